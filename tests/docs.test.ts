import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from './support/server.ts';
import { snippets, startCheckout, type Checkout } from './support/snippets.ts';

const all = await snippets();

describe('README and docs', () => {
  let checkout: Checkout;
  beforeAll(async () => { checkout = await startCheckout(); });
  afterAll(async () => { await checkout?.stop(); });

  // Python needs the published client: tests/python-client runs those.
  it.each(all.filter(({ language }) => language !== 'python').map((snippet) => [snippet.place, snippet.language, snippet] as const))('%s (%s) runs', { timeout: 180_000 }, async (_place, _language, snippet) => {
    expect(await checkout.run(snippet)).not.toBe('');
  });

  it('show each way in at least once', () => {
    for (const language of ['bash', 'ts', 'python']) expect(all.filter((snippet) => snippet.language === language && snippet.place.startsWith('README')).length, language).toBeGreaterThan(0);
  });
});

it('no page links to a file that is not there', async () => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...(await readdir(join(root, 'docs'), { recursive: true })).filter((name) => name.endsWith('.md')).map((name) => join('docs', name))];
  const broken: string[] = [];
  for (const page of pages) {
    for (const [, target] of (await readFile(join(root, page), 'utf8')).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (target !== undefined && !/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(page), target))) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});
