import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snippets, startCheckout, type Checkout } from '../support/snippets.ts';
import { setUpClientPython } from './setup.mjs';

const python = (await snippets()).filter(({ language }) => language === 'python');

describe('Python in README and docs', () => {
  let checkout: Checkout;
  beforeAll(async () => { checkout = await startCheckout(); });
  afterAll(async () => { await checkout?.stop(); });

  it.each(python.map((snippet) => [snippet.place, snippet] as const))('%s runs with the published client', async (_place, snippet) => {
    expect(await checkout.run(snippet, setUpClientPython())).not.toBe('');
  });
});
