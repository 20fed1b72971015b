import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as wait } from 'node:timers/promises';
import { Potoroo, type ApiDeploymentStatus, type Deployment, type Field, type ModelVersion, type Workspace } from '@potoroo/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentOf, environmentsFolder } from './frameworks/support.ts';
import { admin, root, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let potoroo: Potoroo;
let workspace: Workspace;
beforeAll(async () => {
  await environmentOf('python', []);
  folder = await temporaryFolder();
  const data = join(folder.path, 'data');
  mkdirSync(data, { mode: 0o700 });
  symlinkSync(environmentsFolder, join(data, 'environments'));
  server = await startServer(data, { POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11', POTOROO_SIDEKICK_LOG_BYTES: '200000' });
  potoroo = new Potoroo({ url: server.url, ...admin });
  workspace = await potoroo.workspaces.default();
}, 600_000);
afterAll(async () => {
  await server?.stop();
  await folder?.remove();
});

const x: Field = { name: 'x', type: 'float64', shape: [] };
const y: Field = { name: 'y', type: 'float64', shape: [] };
const script = (body: string): Uint8Array => Buffer.from(`import json, os, threading, time\nimport pandas as pd\n${body}\n`);

const step = (name: string, body: string, more: object = {}): Promise<ModelVersion> => workspace.uploadModel(name, script(body), { framework: 'python', inputSchema: [x], outputSchema: [y], ...more });
async function deployed(name: string, ...models: ModelVersion[]): Promise<Deployment> {
  const pipeline = await workspace.buildPipeline(name);
  pipeline.clear();
  for (const model of models) pipeline.addModelStep(model);
  const deployment = await pipeline.deploy({ config: { engine: { replicas: 1, cpu: 1 } } });
  await deployment.waitUntilRunning();
  return deployment;
}
/** The first status that is as wanted. */
async function until(deployment: Deployment, reached: (status: ApiDeploymentStatus) => boolean): Promise<ApiDeploymentStatus> {
  let last: ApiDeploymentStatus | undefined;
  try {
    for await (last of deployment.watch({ signal: AbortSignal.timeout(60_000) })) if (reached(last)) return last;
  } catch { /* the time is over */ }
  throw new Error(`never reached: ${JSON.stringify(last, null, 1)}`);
}
const sidekickOf = (status: ApiDeploymentStatus) => {
  const [sidekick] = status.engines.flatMap((e) => e.sidekicks);
  if (sidekick === undefined) throw new Error(JSON.stringify(status));
  return sidekick;
};
const rows = (...values: number[]) => values.map((value) => ({ x: value }));
async function potorooCommand(...args: string[]): Promise<{ out: string; err: string; code: number | null }> {
  const child = spawn(process.execPath, [join(root, 'packages/cli/bin/potoroo.mjs'), ...args], { cwd: folder.path, env: { PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_URL: server.url, POTOROO_TOKEN: await potoroo.token() } });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { out, err, code: child.exitCode };
}

const talks = `print('process', os.getpid())
def wallaroo_json(data: pd.DataFrame):
    for value in data['x']:
        print(f'saw {value}')
        if value < 0:
            os.abort()
    return pd.DataFrame({'y': data['x'] * 2})`;

describe('a model in a process of its own', { timeout: 180_000 }, () => {
  let model: ModelVersion;
  let deployment: Deployment;
  beforeAll(async () => {
    model = await step('talker', talks);
    deployment = await deployed('talk', model);
  }, 180_000);

  it('is shown with its process and what it uses', async () => {
    const sidekick = sidekickOf(await until(deployment, (s) => sidekickOf(s).memoryBytes !== null));
    const [engine] = (await deployment.status()).engines;
    expect(sidekick).toMatchObject({ name: `engine-sidekick-talker-${model.id}-${engine?.name.replace('engine-', '')}`, model: 'talker', modelVersion: model.version, step: 0, state: 'running', reason: null, restarts: 0 });
    expect(readFileSync(`/proc/${sidekick.pid}/cmdline`, 'utf8')).toContain('potoroo_runtime');
    expect(sidekick.memoryBytes).toBeGreaterThan(10 * 1024 * 1024);
    expect(sidekick.cpuSeconds).toBeGreaterThan(0);
    await expect.poll(async () => sidekickOf(await deployment.status()).log).toContain(`process ${sidekick.pid}`);
    const said = await potorooCommand('deployment', 'status', 'talk');
    expect(said.out).toMatch(new RegExp(`${sidekick.name} +talker +running +${sidekick.pid} +0`));
  });

  it('has what it prints kept: newest first, page after page, between two times', async () => {
    const { name } = sidekickOf(await deployment.status());
    await deployment.infer(rows(1, 2, 3));
    const lines = async () => (await deployment.sidekickLog(name).toArray()).filter((line) => line.text.startsWith('saw') && !line.text.includes('0.5'));
    await expect.poll(async () => (await lines()).map((line) => line.text)).toEqual(['saw 3.0', 'saw 2.0', 'saw 1.0']);
    const [newest] = await lines();
    expect(newest).toMatchObject({ stream: 'stdout' });
    const first = await deployment.sidekickLog(name).page();
    expect(first.cursor).toBeNull();
    const between = new Date(newest?.time ?? 0);
    await expect.poll(() => Date.now(), { interval: 1 }).toBeGreaterThan(between.getTime());
    await deployment.infer(rows(4));
    await expect.poll(async () => (await deployment.sidekickLog(name, { start: new Date(between.getTime() + 1) }).toArray()).map((line) => line.text)).toEqual(['saw 4.0']);
    expect((await deployment.sidekickLog(name, { end: between }).toArray())[0]?.text).toBe('saw 3.0');
    await expect(deployment.sidekickLog('nobody').toArray()).rejects.toMatchObject({ code: 'sidekick_not_found' });
  });

  it('is followed line by line, by the SDK and by the command', async () => {
    const { name } = sidekickOf(await deployment.status());
    const stop = new AbortController();
    const heard: string[] = [];
    const following = (async () => { for await (const line of deployment.followSidekickLog(name, { tail: 1, signal: stop.signal })) heard.push(line.text); })().catch(() => 'stopped');
    await expect.poll(() => heard.length).toBe(1);
    await deployment.infer(rows(7, 8));
    await expect.poll(() => heard).toEqual([heard[0], 'saw 7.0', 'saw 8.0']);
    stop.abort();
    expect(await following).toBe('stopped');
    const shown = await potorooCommand('deployment', 'logs', 'talk', '--limit', '2');
    expect(shown.out).toMatch(/^\S+Z saw 7\.0\n\S+Z saw 8\.0\n$/);
    expect((await potorooCommand('deployment', 'logs', 'talk', '--sidekick', 'nobody')).err).toContain('nobody');
  });

  it('that crashes is shown so, with the reason, and started again; its log goes on', async () => {
    const before = sidekickOf(await deployment.status());
    const seen: ApiDeploymentStatus[] = [];
    const watching = until(deployment, (s) => { seen.push(s); return sidekickOf(s).restarts === 1 && sidekickOf(s).state === 'running' && s.state === 'running'; });
    await expect.poll(() => seen.length).toBeGreaterThan(0);
    await expect(deployment.infer(rows(-1))).rejects.toMatchObject({ code: 'model_process_lost' });
    const after = sidekickOf(await watching);
    expect(after.pid).not.toBe(before.pid);
    expect(after.name).toBe(before.name);
    const down = seen.find((s) => sidekickOf(s).state === 'error');
    expect(down && sidekickOf(down)).toMatchObject({ reason: { code: 'model_process_lost', message: expect.stringContaining('SIGABRT') as string, log: expect.arrayContaining(['saw -1.0']) as string[] } });
    expect(down).toMatchObject({ readyReplicas: 0, reason: { code: 'model_process_lost', message: expect.stringContaining('talker') as string }, engines: [{ models: [{ status: 'Error' }] }] });
    expect(await deployment.infer(rows(5))).toMatchObject([{ 'out.y': 10 }]);
    await expect.poll(async () => (await deployment.sidekickLog(before.name).toArray()).map((line) => line.text)).toEqual(expect.arrayContaining(['saw -1.0', expect.stringContaining('SIGABRT') as string, 'Starting it again (restart 1).', `process ${after.pid}`]));
  });

  it('that cannot be started again is an error, with the reason', async () => {
    // Its environment variable says when: a process that was started more than a moment after the first ends at once.
    const fragile = await step('fragile', `import sys\nif time.time() > float(os.environ.get('UNTIL', '1e18')):\n    print('not again')\n    sys.exit(9)\n${talks}`);
    const pipeline = await workspace.buildPipeline('fragile');
    pipeline.clear();
    pipeline.addModelStep(fragile);
    const last = String(Date.now() / 1000 + 8);
    const other = await pipeline.deploy({ config: { engine: { replicas: 1, cpu: 1 }, engineAux: { images: { [`fragile-${fragile.id}`]: { env: [{ name: 'UNTIL', value: last }] } } } } });
    await other.waitUntilRunning();
    await expect.poll(() => Date.now() / 1000, { timeout: 30_000 }).toBeGreaterThan(Number(last));
    await expect(other.infer(rows(-1))).rejects.toMatchObject({ code: 'model_process_lost' });
    const status = await until(other, (s) => s.state === 'error');
    expect(status).toMatchObject({ readyReplicas: 0, reason: { message: expect.stringContaining('SystemExit: 9') as string }, engines: [{ state: 'running', models: [{ status: 'Error' }] }] });
    expect(sidekickOf(status)).toMatchObject({ state: 'error', reason: { log: expect.arrayContaining(['not again']) as string[] } });
    expect(await potorooCommand('deployment', 'status', 'fragile')).toMatchObject({ out: expect.stringContaining('not again') as string });
    await other.undeploy();
    await other.waitUntilStopped();
  });

  it('is remembered after its end, with its log and why it ended', async () => {
    const { name } = sidekickOf(await deployment.status());
    await deployment.undeploy();
    await deployment.waitUntilStopped();
    expect(await deployment.sidekicks({ current: true }).toArray()).toEqual([]);
    const [past] = await deployment.sidekicks({ model: 'talker' }).toArray();
    expect(past).toMatchObject({ name, model: 'talker', modelVersion: model.version, sha: model.info.sha256, step: 0, restarts: 1, endedAt: expect.any(String) as string });
    expect((await deployment.sidekickLog(name).toArray()).map((line) => line.text)).toContain('saw 5.0');
    // What has ended has an end.
    const all: string[] = [];
    for await (const line of deployment.followSidekickLog(name, { tail: 1000 })) all.push(line.text);
    expect(all).toContain('saw 5.0');
    expect((await potorooCommand('deployment', 'sidekicks', 'talk')).out).toContain(name);
  });

  it('that prints without end is kept as far as the bound goes, the newest lines', async () => {
    const loud = await deployed('loud', await step('loud', `def wallaroo_json(data: pd.DataFrame):\n    for i in range(int(data['x'][0])):\n        print('line', i, 'x' * 1000)\n    return pd.DataFrame({'y': data['x']})`));
    const { name } = sidekickOf(await loud.status());
    for (let i = 0; i < 3; i++) {
      await loud.infer(rows(400));
      await wait(1000); // more than that a second is left out before it comes to the bound that this is about
    }
    await expect.poll(async () => (await loud.sidekickLog(name).page()).items[0]?.text, { timeout: 10_000 }).toMatch(/^line 399 |left out/);
    const lines = await loud.sidekickLog(name).toArray();
    expect(lines.reduce((sum, line) => sum + line.text.length, 0)).toBeLessThan(200_000);
    expect(lines.length).toBeGreaterThan(50);
  });
});

describe('requests that a model works on at once', { timeout: 180_000 }, () => {
  const meets = (parties: number): string => `barrier = threading.Barrier(${parties}, timeout=20)\ndef wallaroo_json(data: pd.DataFrame):\n    if data['x'][0] > 1:\n        barrier.wait()\n    return pd.DataFrame({'y': data['x']})`;
  const both = (deployment: Deployment, ...values: number[]) => Promise.all(values.map((value) => deployment.infer(rows(value))));

  it('are as many as the upload says', async () => {
    const deployment = await deployed('meet', await step('meet', meets(2), { concurrency: 2 }));
    const answers = await both(deployment, 2, 3);
    expect(answers.map((answer) => (answer as { 'out.y': number }[])[0]?.['out.y'])).toEqual([2, 3]);
  });
  it('are as many as the config says from the next deploy on', async () => {
    const model = await step('meet-more', meets(3));
    await model.configure({ concurrency: 3 });
    const deployment = await deployed('meet-more', model);
    expect((await both(deployment, 2, 3, 4)).length).toBe(3);
    await expect(model.configure({ concurrency: 0 })).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('an upload through the native API', { timeout: 180_000 }, () => {
  it('takes nested lists, lists of one length, strings and records, and gives them back', async () => {
    const schema: Field[] = [{ name: 'matrix', type: 'float32', shape: [-1, 2] }, { name: 'four', type: 'int64', shape: [4] }, { name: 'word', type: 'string', shape: [] }];
    const given: Field[] = [{ name: 'sums', type: 'float64', shape: [-1] }, { name: 'tag', type: 'string', shape: [], fields: [{ name: 'word', type: 'string', shape: [] }, { name: 'total', type: 'int64', shape: [] }] }];
    const model = await workspace.uploadModel('shapes', script("def wallaroo_json(data: list):\n    return [{'sums': [float(sum(r)) for r in row['matrix']], 'tag': {'word': row['word'] + '!', 'total': sum(row['four'])}} for row in data]"), { framework: 'python', inputSchema: schema, outputSchema: given });
    expect(model.info.inputs).toEqual(schema);
    const deployment = await deployed('shapes', model);
    expect(await deployment.infer([{ matrix: [[1, 2], [3, 4], [5, 6]], four: [1, 2, 3, 4], word: 'é' }])).toMatchObject([{ 'out.sums': [3, 7, 11], 'out.tag': { word: 'é!', total: 10 } }]);
    await expect(deployment.infer([{ matrix: [[1, 2, 3]], four: [1, 2, 3, 4], word: 'x' }])).rejects.toMatchObject({ code: 'schema_mismatch', message: expect.stringContaining('matrix') as string });
    await deployment.undeploy();
  });

  it('tells what is said while the model is loaded, and why it cannot be', async () => {
    const said: string[] = [];
    await step('tells', "def wallaroo_json(data: pd.DataFrame):\n    print('a first row')\n    return pd.DataFrame({'y': data['x']})", { onLog: (line: string) => said.push(line) });
    expect(said.join('\n')).toMatch(/Loading .* as python\.[^]*a first row/);
    await expect(step('fails', 'raise ValueError("not today")', { onLog: (line: string) => said.push(line) })).rejects.toMatchObject({ code: 'model_invalid' });
    expect(said.at(-1)).toContain('not today');
  });

  it('is refused at once by the field that is wrong', async () => {
    const wrong = (more: object) => step('never', 'pass', more);
    await expect(wrong({ inputSchema: [{ name: 'x', type: 'decimal', shape: [] }] })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('inputSchema[0].type') as string });
    await expect(wrong({ inputSchema: [{ name: 'x', type: 'string', shape: [], fields: [{ name: '', type: 'string', shape: [] }] }] })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('inputSchema[0].fields[0].name') as string });
    await expect(wrong({ requirements: ['https://example.com/x.whl'] })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('requirements[0]') as string });
    await expect(wrong({ pythonVersion: '3.7' })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('pythonVersion') as string });
    await expect(wrong({ framework: 'fortran' })).rejects.toMatchObject({ code: 'framework_unsupported' });
    await expect(wrong({ colour: 'red' })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('colour') as string });
    for await (const model of workspace.models()) expect(model.name).not.toBe('never');
  });

  it('by the command takes schemas from files or as text, and names what is wrong with them', async () => {
    writeFileSync(join(folder.path, 'double.py'), script("def wallaroo_json(data: pd.DataFrame):\n    return pd.DataFrame({'y': data['x'] * 2})"));
    writeFileSync(join(folder.path, 'in.json'), JSON.stringify([x]));
    const done = await potorooCommand('model', 'upload', 'double', 'double.py', '--input-schema', 'in.json', '--output-schema', JSON.stringify([y]), '--concurrency', '2', '--python', '3.11', '--json');
    expect(done.err).toBe('');
    expect(JSON.parse(done.out)).toMatchObject({ framework: 'python', runtime: 'python', inputs: [x], conversion: { python_version: '3.11', concurrency: 2 } });
    expect(await potorooCommand('model', 'upload', 'double', 'double.py', '--input-schema', 'nowhere.json')).toMatchObject({ code: 2, err: expect.stringContaining('nowhere.json') as string });
    expect(await potorooCommand('model', 'upload', 'double', 'double.py', '--input-schema', '[{')).toMatchObject({ code: 2, err: expect.stringContaining('not JSON') as string });
    const listed = await potorooCommand('model', 'frameworks');
    expect(listed.out).toMatch(/sklearn +onnx, else flight +file +.*scikit-learn==/);
    expect(listed.out).toMatch(/^Pythons: 3\.11/m);
  });
});
