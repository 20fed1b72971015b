import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { setUpPython } from '../support/python-environment.mjs';
import { admin, startServer, temporaryFolder, type Server } from '../support/server.ts';

const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
let python: string;
let server: Server;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  python = setUpPython('v2', beside('requirements.txt'));
  folder = await temporaryFolder();
  server = await startServer(`${folder.path}/data`);
});
afterAll(async () => {
  await server?.stop();
  await folder?.remove();
});

it.each([['v2.py', 10], ['pipelines.py', 11]])('%s: tritonclient and mlserver infer get from a deployment what onnxruntime gives', async (script, count) => {
  const child = spawn(python, [beside(script)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: folder.path, POTOROO_URL: server.url, POTOROO_TEST_DIR: folder.path, POTOROO_USER: admin.username, POTOROO_PASSWORD: admin.password, PYTHONDONTWRITEBYTECODE: '1' },
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  child.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString(); });
  const [code] = (await once(child, 'close')) as [number | null];
  const steps = output.split('\n').filter((line) => line.startsWith('{"step"')).map((line) => JSON.parse(line) as { step: string; ok: boolean; error?: string });
  expect(steps.filter((step) => !step.ok).map((step) => `${step.step}: ${step.error}`), errors).toEqual([]);
  expect({ code, steps: steps.length }, output + errors).toEqual({ code: 0, steps: count });
});
