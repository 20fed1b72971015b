import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run, startOps, stopOps, type Server } from '../running.ts';
import { setUpClientPython } from '../setup.mjs';

describe('every row of the checklist of the published Python client', () => {
  let python: string;
  let server: Server;
  beforeAll(async () => {
    python = setUpClientPython();
    server = await startOps();
  });
  afterAll(() => stopOps(server));

  it('holds, with its error cases', async () => {
    const { steps, code, text } = await run(python, 'conformance/run.py', server);
    const failed = steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`);
    expect(failed, `${text}\n--- ops\n${server.output()}`).toEqual([]);
    expect(code, text).toBe(0);
  });
});
