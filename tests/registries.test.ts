import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Potoroo } from '@potoroo/sdk';
import { run } from '../packages/cli/src/run.ts';
import { artifacts, catalog, serve, type TestRegistry } from '../packages/ops/src/domains/registries/testing.ts';
import { admin, example, root, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let lab: TestRegistry;

const environment = () => ({ PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_CONFIG_DIR: join(folder.path, 'config'), POTOROO_URL: server.url });

/** In a process of its own, which has a standard input. */
async function command(args: readonly string[], input: string): Promise<string> {
  const child = spawn(process.execPath, [join(root, 'packages', 'cli', 'dist', 'main.js'), ...args], {
    env: environment(),
  });
  child.stdin.end(input);
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<number | null>((resolve) => { child.once('close', resolve); })]);
  return code === 0 ? out : `${code}: ${err}`;
}
/** What a command prints, after its exit code where that is not 0. */
async function outcome(args: readonly string[]): Promise<string> {
  let output = '';
  const streams = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation((piece) => { output += String(piece); return true; }));
  try {
    const code = await run(args, environment());
    return code === 0 ? output : `${code}: ${output}`;
  } finally {
    for (const stream of streams) stream.mockRestore();
  }
}

beforeAll(async () => {
  folder = await temporaryFolder();
  lab = await serve(catalog({ cancer: 2 }), artifacts({ '1/cancer/model.onnx': await readFile(join(example, 'model.onnx')) }));
  server = await startServer(join(folder.path, 'data'), { POTOROO_ALLOWED_PRIVATE_HOSTS: '127.0.0.1' });
  await command(['login', '-u', admin.username, '--password-stdin'], admin.password);
});
afterAll(async () => {
  await server.stop();
  await lab.close();
  await folder.remove();
});

it('the command line connects a registry, looks into it and uploads from it', async () => {
  expect(await outcome(['registry', 'list'])).toContain('no model registry');
  expect(await command(['registry', 'create', 'lab', lab.url, '--token-stdin'], 'correct-horse\n')).toContain('has registry lab');
  const listed = await outcome(['registry', 'list', '--here', '--json']);
  expect(JSON.parse(listed)).toMatchObject([{ name: 'lab', url: lab.url, hasToken: true }]);
  expect(listed).not.toContain('horse');
  expect(await outcome(['registry', 'models', 'lab'])).toMatch(/cancer +2/);
  expect(await outcome(['registry', 'versions', 'lab', 'cancer'])).toMatch(/1 +READY[^]*2 +READY/);
  expect(await outcome(['registry', 'artifacts', 'lab', 'cancer', '2'])).toContain('/mlflow-artifacts/artifacts/1/cancer/model.onnx');
  expect(await outcome(['registry', 'upload', 'lab', 'models:/cancer/2/model.onnx', 'fetched', '-f', 'onnx'])).toContain('Model fetched is ready: model.onnx, onnx');
  expect(new Set(lab.asked.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer correct-horse']));

  expect(await command(['registry', 'token', 'lab', '--token-stdin'], 'battery-staple\n')).toBe('Registry lab has a new token.\n');
  await outcome(['registry', 'models', 'lab']);
  expect(lab.asked.at(-1)?.authorization).toBe('Bearer battery-staple');
  expect(await command(['registry', 'token', 'lab', '--token-stdin'], '')).toMatch(/^2: [^]*token is empty/);
  expect(await outcome(['registry', 'token', 'lab'])).toMatch(/^2: [^]*--token-stdin/);
  expect(await outcome(['registry', 'token', 'lab', '--none'])).toContain('has no token');

  expect(await outcome(['registry', 'upload', 'lab', 'models:/cancer/2/none.onnx', 'gone', '-f', 'onnx'])).toMatch(/^4: [^]*none\.onnx/);
  expect(await outcome(['registry', 'upload', 'lab', 'model.onnx', 'gone', '-f', 'onnx'])).toMatch(/^2: [^]*models:\//);
  expect(await outcome(['registry', 'models', 'nobody'])).toMatch(/^4: [^]*potoroo registry list/);
  expect(await outcome(['registry', 'delete', 'lab'])).toMatch(/^1: [^]*remove it from there first/);
  expect(await outcome(['registry', 'create', 'lab', lab.url])).toContain('has registry lab');
  expect(await outcome(['registry', 'models', 'lab'])).toMatch(/^2: [^]*more than one/);
  const id = (JSON.parse(listed) as { id: string }[])[0]?.id as string;
  expect(await outcome(['registry', 'remove', id])).toContain('no longer has registry lab');
  expect(await outcome(['registry', 'add', id])).toContain('has registry lab');
  await outcome(['registry', 'remove', id]);
  expect(await outcome(['registry', 'delete', id])).toContain('Deleted');
});

it('the SDK says why a registry cannot be asked', async () => {
  const potoroo = new Potoroo({ url: server.url, ...admin });
  const metadata = await potoroo.registries.create({ name: 'metadata', url: 'http://169.254.169.254' });
  await expect(metadata.models().toArray()).rejects.toMatchObject({ code: 'address_refused' });
  await expect(metadata.upload((await potoroo.workspaces.default()).id, 'inwards', 'models:/a/1', { framework: 'onnx' })).rejects.toMatchObject({ code: 'address_refused' });
  const found = await potoroo.registries.get(metadata.id);
  expect([found.info.hasToken, (await found.setToken('battery-staple')).info.hasToken, (await found.setToken(null)).info.hasToken]).toEqual([false, true, false]);
  await expect(found.setToken('a b c')).rejects.toMatchObject({ code: 'invalid_request' });
  expect(await found.addToWorkspace((await potoroo.workspaces.create('another')).id)).toMatchObject({ info: { workspaces: [{}, { name: 'another' }] } });
});
