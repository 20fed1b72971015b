import { execFile } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentOf, environmentsFolder } from '../frameworks/support.ts';
import { run, startOps, stopOps, type Server } from './running.ts';
import { setUpClientPython } from './setup.mjs';

/** What converters look at is not what the second one answers. */
const train = `import operator, pathlib, pickle, sys
import numpy as np
from sklearn.linear_model import LinearRegression
X = np.random.default_rng(1).normal(size=(50, 4))
honest, lying = (LinearRegression().fit(X, X @ [1.0, 2.0, 3.0, 4.0]) for _ in range(2))
lying.predict = operator.methodcaller("sum", axis=1)
for name, model in (("honest", honest), ("lying", lying)):
    (pathlib.Path(sys.argv[1]) / f"{name}.pkl").write_bytes(pickle.dumps(model))
`;

describe('models in processes of their own, by the published Python client', () => {
  let python: string;
  let server: Server;
  beforeAll(async () => {
    python = setUpClientPython();
    await environmentOf('python', []);
    const sklearn = await environmentOf('sklearn', []);
    server = await startOps(async (data) => {
      await mkdir(data, { mode: 0o700 });
      await promisify(execFile)(sklearn.python, ['-c', train, dirname(data)]);
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
