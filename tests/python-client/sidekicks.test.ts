import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentOf, environmentsFolder } from '../frameworks/support.ts';
import { run, startOps, stopOps, type Server } from './running.ts';
import { setUpClientPython } from './setup.mjs';

describe('models in processes of their own, by the published Python client', () => {
  let python: string;
  let server: Server;
  beforeAll(async () => {
    python = setUpClientPython();
    await environmentOf('python', []);
    server = await startOps(async (data) => {
      await mkdir(data, { mode: 0o700 });
      await symlink(environmentsFolder, join(data, 'environments')); // what is there need not be made again
    }, { POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11' });
  }, 600_000);
  afterAll(() => stopOps(server));

  it('sidekicks.py', async () => {
    const { steps, code, text } = await run(python, 'sidekicks.py', server);
    const failed = steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`);
    expect(failed, `${text}\n--- ops\n${server.output()}`).toEqual([]);
    expect(code, text).toBe(0);
    expect(steps.length).toBeGreaterThanOrEqual(12);
  });
});
