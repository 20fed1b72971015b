import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setUpPython } from '../../support/python-environment.mjs';
import { run, startOps, stopOps, type Server } from '../running.ts';
import { setUpClientPython } from '../setup.mjs';

describe('the API document that the published Python client writes of a deployed pipeline', () => {
  let server: Server;
  beforeAll(async () => { server = await startOps(); });
  afterAll(() => stopOps(server));

  it('is valid, and a client generated from it calls the pipeline', async () => {
    const pythons = [setUpClientPython(), setUpPython('openapi', fileURLToPath(new URL('requirements.txt', import.meta.url)))];
    for (const [i, script] of ['api-spec/write.py', 'api-spec/call.py'].entries()) {
      const { steps, code, text } = await run(pythons[i]!, script, server);
      expect(steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`), `${text}\n--- ops\n${server.output()}`).toEqual([]);
      expect(code, text).toBe(0);
    }
  });
});
