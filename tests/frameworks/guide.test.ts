import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run, startOps, stopOps, type Server } from '../python-client/running.ts';
import { setUpClientPython } from '../python-client/setup.mjs';
import { environmentOf, environmentsFolder, makeModels, temporary } from './support.ts';

const name = 'custom-image-clustering-of-the-guide';
const { folder, remove } = temporary();
let server: Server;
beforeAll(async () => {
  const { python } = await environmentOf('keras', ['scikit-learn==1.9.1']);
  makeModels('tensorflow_models.py', python, folder);
  server = await startOps(async (data) => {
    mkdirSync(data, { mode: 0o700 });
    symlinkSync(environmentsFolder, join(data, 'environments')); // those that are there need not be made again
  }, { POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11' });
}, 1_200_000);
afterAll(async () => {
  await stopOps(server);
  remove();
});

describe("the SDK guide's image clustering", () => {
  it('runs as printed, through the published client', async () => {
    const files = ['vgg16_clustering.zip', `${name}.in.arrow`, `${name}.out.arrow`].map((file) => join(folder, file));
    const { steps, code, text } = await run(setUpClientPython(), 'guide/clustering.py', server, files);
    expect(steps.filter((s) => !s.ok), `${text}\n--- ops\n${server.output()}`).toEqual([]);
    expect(code, text).toBe(0);
    expect(steps.length).toBe(2);
  });
});
