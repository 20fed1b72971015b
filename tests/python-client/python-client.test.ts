import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run, startOps, stopOps, type Server } from './running.ts';
import { setUpClientPython } from './setup.mjs';

describe('the published Python client', () => {
  let python: string;
  let server: Server;
  beforeAll(async () => {
    python = setUpClientPython();
    server = await startOps();
  });
  afterAll(() => stopOps(server));

  it.each([['documents.py', 3], ['flow.py', 30], ['errors.py', 18], ['experiments.py', 11], ['tags_connections.py', 14], ['sign_in.py', 8]])('%s', async (script, atLeast) => {
    const { steps, code, text } = await run(python, script, server);
    const failed = steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`);
    expect(failed, `${text}\n--- ops\n${server.output()}`).toEqual([]);
    expect(code, text).toBe(0);
    expect(steps.length).toBeGreaterThanOrEqual(atLeast);
  });
});
