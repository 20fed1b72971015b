import { spawn } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Potoroo, type Registry } from '@potoroo/sdk';
import { run, startOps, stopOps, type Server } from '../python-client/running.ts';
import { setUpClientPython } from '../python-client/setup.mjs';
import { root } from '../support/server.ts';
import { makeModels, startMlflow, startProxy, startUnsteady, type Expected, type MlflowServer } from './mlflow.ts';
import { setUpMlflowPython } from './setup.mjs';

const admin = { username: 'admin@example.com', password: 'the-first-password' };
const token = 'dapi-0123456789';

/** Those that are there need not be made again. */
async function keepEnvironments(data: string): Promise<void> {
  const kept = join(root, '.venv', 'environments');
  await mkdir(kept, { recursive: true });
  await mkdir(data, { recursive: true, mode: 0o700 });
  await symlink(kept, join(data, 'environments'));
}

let server: Server;
let mlflow: MlflowServer;
let unproxied: MlflowServer;
let proxy: Awaited<ReturnType<typeof startProxy>>;
let expected: Expected;
let potoroo: Potoroo;
let workspaceId: number;
beforeAll(async () => {
  const python = setUpMlflowPython();
  server = await startOps(keepEnvironments, { POTOROO_ALLOWED_PRIVATE_HOSTS: '127.0.0.1', POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11' });
  const folders = await Promise.all(['mlflow', 'unproxied'].map(async (name) => {
    const folder = join(server.folder, name);
    await mkdir(folder);
    return folder;
  })) as [string, string];
  mlflow = await startMlflow(python, folders[0], { proxy: true });
  expected = await makeModels(python, folders[0], mlflow.url);
  unproxied = await startMlflow(python, folders[1], { proxy: false });
  await makeModels(python, folders[1], unproxied.url);
  proxy = await startProxy(mlflow.url, `Bearer ${token}`, '/team/mlflow');
  potoroo = new Potoroo({ url: server.url, ...admin });
  workspaceId = (await potoroo.workspaces.default()).id;
});
afterAll(async () => {
  await proxy?.stop();
  await Promise.all([mlflow?.stop(), unproxied?.stop()]);
  if (server !== undefined) await stopOps(server);
});

it.each([3, 2] as const)('models of every signature and answer run in the Python runtime with MLflow %i', async (major) => {
  const child = spawn(setUpMlflowPython(major), [join(root, 'tests', 'registries', 'pyfunc_cases.py')], {
    cwd: server.folder, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: server.folder, PYTHONPATH: join(root, 'python'), PYTHONWARNINGS: 'ignore', MLFLOW_DISABLE_TELEMETRY: 'true', PYTHONDONTWRITEBYTECODE: '1' },
  });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const cases = JSON.parse(out.trim().split('\n').at(-1) || '[]') as { name: string; ok: boolean }[];
  expect(cases.filter((c) => !c.ok), err.slice(-2000)).toEqual([]);
  expect(cases.length, err.slice(-2000)).toBe(23);
});

it('the published client lists, uploads, deploys and infers', async () => {
  await mkdir(join(server.folder, 'flow'));
  await writeFile(join(server.folder, 'flow', 'given.json'), JSON.stringify({ url: proxy.url, plain: mlflow.url, token, expected }));
  const { steps, code, text: output } = await run(setUpClientPython(), '../registries/flow.py', server);
  expect(steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`), `${output}\n--- ops\n${server.output()}`).toEqual([]);
  expect({ code, steps: steps.length }, output).toEqual({ code: 0, steps: 14 });
  expect(proxy.refused()).toBe(0);
  expect(server.output()).not.toContain(token);
});

describe('the SDK', () => {
  const upload = (registry: Registry, path: string, name: string, framework = 'mlflow', more: object = {}) => registry.upload(workspaceId, name, path, { framework, ...more });
  async function infer(name: string, rows: Record<string, unknown>[]) {
    const workspace = await potoroo.workspaces.get(workspaceId);
    const model = (await workspace.models({ name }).toArray())[0]!.latest;
    const pipeline = (await workspace.buildPipeline(name)).clear().addModelStep(model);
    await (await pipeline.deploy()).waitUntilRunning();
    const answers = await pipeline.infer(rows, { dataset: ['out'] });
    await (await pipeline.undeploy()).waitUntilStopped();
    return answers;
  }

  it('pages through models, and knows an MLflow model by its signature alone', async () => {
    const registry = await potoroo.registries.create({ name: 'plain', url: `${mlflow.url}/` });
    expect(registry.info).toMatchObject({ url: mlflow.url, hasToken: false });
    const names: string[] = [];
    for await (const model of registry.models()) names.push(model.name);
    expect(names.sort()).toEqual(['iris', 'old', 'scaled', "wine tree's"]);
    const version = await upload(registry, "models:/wine tree's/1", 'wine');
    expect(version.info).toMatchObject({ framework: 'mlflow', runtime: 'flight', fileName: "wine tree's.zip", inputs: ['alcohol', 'hue', 'proline'].map((name) => ({ name, type: 'float64', shape: [] })) });
    expect(version.info.conversion).toMatchObject({ source: { registry: registry.id, path: "models:/wine tree's/1" } });
    const log = (await version.uploadLog()).join('\n');
    expect(log).toMatch(/Fetching \d+ files \(\d+ bytes\)[^]*Fetched \d+ bytes[^]*The model is ready/);
    const answers = await infer('wine', expected.wine_rows);
    expect(answers.map((row) => row['out.predictions'])).toEqual(expected.wine);
  });

  it('a folder that somebody zipped is uploaded like any model', async () => {
    const zip = join(server.folder, 'scaled.zip');
    const pack = 'import glob, os, shutil, sys\nfound = [os.path.dirname(f) for f in glob.glob(sys.argv[1] + "/**/MLmodel", recursive=True) if os.path.isdir(os.path.dirname(f) + "/code")]\nshutil.make_archive(sys.argv[2][:-4], "zip", found[0])';
    const packing = spawn('python3', ['-c', pack, join(server.folder, 'mlflow', 'artifacts'), zip]);
    expect(await new Promise((resolve) => { packing.once('close', resolve); })).toBe(0);
    const version = await (await potoroo.workspaces.get(workspaceId)).uploadModel('zipped', zip, { framework: 'mlflow' });
    expect(version.info).toMatchObject({ framework: 'mlflow', runtime: 'flight', inputs: [{ name: 'a', type: 'float64' }, { name: 'b', type: 'int64' }] });
    expect((await infer('zipped', expected.scaled_rows)).map((row) => row['out.scaled'])).toEqual(expected.scaled);
  });

  it('a server that does not hand out its store: what it reads for others', async () => {
    const registry = await potoroo.registries.create({ name: 'unproxied', url: unproxied.url });
    const files = await registry.artifacts('iris', '1');
    const pickle = files.find((file) => file.path === 'model.pkl');
    expect(pickle?.address).toContain('/model-versions/get-artifact?');
    const schemas = { inputSchema: [{ name: 'inputs', type: 'float64', shape: [4] }], outputSchema: [{ name: 'predictions', type: 'int64', shape: [] }] };
    expect((await upload(registry, pickle!.address, 'unproxied-file', 'sklearn', schemas)).info).toMatchObject({ fileName: 'model.pkl', size: pickle!.size, runtime: 'onnx' });
    expect((await infer('unproxied-file', expected.iris_rows.map((inputs) => ({ inputs })))).map((row) => Number(row['out.predictions']))).toEqual(expected.iris_1);
    expect((await registry.artifacts('old', '1')).map((file) => file.address)).toContain(`${unproxied.url}/get-artifact?run_id=${(await registry.versions('old').toArray())[0]!.runId}&path=old/model.pkl`);
    expect((await upload(registry, 'models:/scaled/1', 'unproxied-folder')).info).toMatchObject({ status: 'ready', fileName: 'scaled.zip' });
    expect((await infer('unproxied-folder', expected.scaled_rows)).map((row) => row['out.label'])).toEqual(expected.labels);
  });

  /** A file comes whole over a way that breaks twice; what was asked for. */
  async function unsteadily(url: string, name: string): Promise<(string | number | undefined)[][]> {
    const unsteady = await startUnsteady(url);
    try {
      const registry = await potoroo.registries.create({ name, url: unsteady.url });
      const pickle = (await registry.artifacts('iris', '1')).find((file) => file.path === 'model.pkl')!;
      const schemas = { inputSchema: [{ name: 'inputs', type: 'float64', shape: [4] }], outputSchema: [{ name: 'predictions', type: 'int64', shape: [] }] };
      expect((await upload(registry, pickle.address, name, 'sklearn', schemas)).info).toMatchObject({ size: pickle.size, status: 'ready' });
      return unsteady.asked.map(({ range, status }) => [range, status]);
    } finally {
      await unsteady.stop();
    }
  }

  it.each([['by the artifact proxy', () => mlflow.url], ['by a server that does not hand out its store', () => unproxied.url]])('a fetch whose connection breaks goes on: %s', async (how, url) => {
    expect(await unsteadily(url(), how.replaceAll(' ', '-'))).toEqual([[undefined, 200], ['bytes=100-', 206], ['bytes=200-', 206]]);
  });

  it('MLflow 2: its server, its models, its versions of everything', async () => {
    const python = setUpMlflowPython(2);
    const folder = join(server.folder, 'mlflow2');
    await mkdir(folder);
    const two = await startMlflow(python, folder, { proxy: true });
    try {
      const made = await makeModels(python, folder, two.url);
      const registry = await potoroo.registries.create({ name: 'two', url: two.url });
      expect((await registry.versions('iris').toArray()).map((v) => v.version).sort()).toEqual(['1', '2']);
      const pickle = (await registry.artifacts('iris', '2')).find((file) => file.path === 'model.pkl')!;
      expect(pickle.address).toMatch(/\/mlflow-artifacts\/artifacts\/.*\/artifacts\/iris\/model\.pkl$/);
      const version = await upload(registry, 'models:/iris@champion', 'two-folder');
      expect(version.info).toMatchObject({ runtime: 'flight', inputs: [{ name: 'inputs', type: 'float64', shape: [4] }] });
      expect((await infer('two-folder', made.iris_rows.map((inputs) => ({ inputs })))).map((row) => Number(row['out.predictions']))).toEqual(made.iris_2);
      expect((await upload(registry, 'models:/scaled/1', 'two-scaled')).info.status).toBe('ready');
      expect(await unsteadily(two.url, 'two-unsteady')).toEqual([[undefined, 200], ['bytes=100-', 200], ['bytes=100-', 200]]);
      expect((await infer('two-scaled', made.scaled_rows)).map((row) => row['out.scaled'])).toEqual(made.scaled);
    } finally {
      await two.stop();
    }
  });

  it('a wrong token, no token, a place without MLflow', async () => {
    const wrong = await potoroo.registries.create({ name: 'wrong', url: proxy.url, token: 'other' });
    await expect(wrong.models().toArray()).rejects.toMatchObject({ code: 'registry_refused' });
    await expect(upload(wrong, 'models:/iris/1', 'refused')).rejects.toMatchObject({ code: 'registry_refused' });
    const anonymous = await potoroo.registries.create({ name: 'anonymous', url: proxy.url });
    await expect(anonymous.artifacts('iris', '1')).rejects.toMatchObject({ code: 'registry_refused' });
    const elsewhere = await potoroo.registries.create({ name: 'elsewhere', url: `${mlflow.url}/nowhere` });
    await expect(elsewhere.models().toArray()).rejects.toMatchObject({ code: 'registry_invalid', message: expect.stringContaining('Is http') });
  });
});

it('the command line', { timeout: 600_000 }, async () => {
  const command = async (args: readonly string[], input = ''): Promise<string> => {
    const child = spawn(process.execPath, [join(root, 'packages', 'cli', 'dist', 'main.js'), ...args], {
      env: { PATH: process.env['PATH'] ?? '', HOME: server.folder, POTOROO_CONFIG_DIR: join(server.folder, 'config'), POTOROO_URL: server.url },
    });
    child.stdin.end(input);
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<number | null>((resolve) => { child.once('close', resolve); })]);
    expect(code, `${args.join(' ')}: ${err}`).toBe(0);
    return out;
  };
  await command(['login', '-u', admin.username, '--password-stdin'], admin.password);
  const shown = await command(['registry', 'create', 'company', proxy.url, '--token-stdin'], `${token}\n`);
  expect(shown + (await command(['registry', 'list', '--here']))).not.toContain(token);
  expect(await command(['registry', 'models', 'company'])).toContain('scaled');
  expect(await command(['registry', 'versions', 'company', 'iris'])).toContain('the first one');
  expect(await command(['registry', 'artifacts', 'company', 'iris', '2'])).toContain('model.pkl');
  expect(await command(['registry', 'upload', 'company', 'models:/iris/2', 'from-command'])).toContain('Model from-command is ready: iris.zip');
  await command(['registry', 'remove', 'company']);
  await command(['registry', 'delete', 'company']);
  expect(await command(['registry', 'list', '--json'])).not.toContain('company');
});
