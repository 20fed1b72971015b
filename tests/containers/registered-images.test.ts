import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Potoroo, type ModelVersion, type Workspace } from '@potoroo/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporary } from '../frameworks/support.ts';
import { setUpClientPython } from '../python-client/setup.mjs';
import { refusal, scalar } from '../support/models.ts';
import { admin, startServer, type Server } from '../support/server.ts';
import { buildMlflowImages, buildServerImage, startRegistry, type Expected, type ImageRegistry } from './images.ts';
import { build, containers, podman } from './podman.ts';

const { folder, remove } = temporary();
const opened: (() => Promise<void>)[] = [];
let registry: ImageRegistry;
/** Has credentials for the registry; the other has none. */
let server: Server;
let workspace: Workspace;
let strange: Workspace;
let expected: Expected;
const images: Record<string, string> = {};

async function open(name: string, env: Record<string, string>): Promise<{ started: Server; own: Workspace }> {
  const data = join(folder, name);
  mkdirSync(data, { mode: 0o700 });
  const started = await startServer(data, { POTOROO_INSECURE_REGISTRIES: registry.address, POTOROO_MODEL_LOAD_TIMEOUT: '60', ...env });
  opened.push(() => started.stop());
  const client = new Potoroo({ url: started.url, ...admin });
  return { started, own: await client.workspaces.create(name) };
}

beforeAll(async () => {
  registry = await startRegistry(folder);
  opened.push(() => registry.stop());
  expected = buildMlflowImages('current', folder);
  images['bikes'] = registry.push('current-bikes', 'team/bikes:1');
  for (const [name, behaves] of [['well', 'well'], ['pid', 'pid'], ['wrong', 'other-names'], ['silent', 'never-ready']] as const) {
    buildServerImage(name, behaves);
    images[name] = registry.push(name, `team/${name}:1`);
  }
  for (const [name, arch] of [['arm', 'arm64'], ['empty', 'amd64']] as const) {
    const context = join(folder, name);
    mkdirSync(context);
    writeFileSync(join(context, 'Containerfile'), `FROM scratch\nLABEL is=${name}\nCOPY Containerfile /\n`);
    build(`localhost/${name}`, context, '--arch', arch);
  }
  images['arm'] = registry.push('arm', 'team/arm:1');
  images['empty'] = registry.push('empty', 'team/empty:1');
  ({ started: server, own: workspace } = await open('with-credentials', { POTOROO_REGISTRY_AUTH: registry.authFile }));
  ({ own: strange } = await open('without', {}));
}, 900_000);
afterAll(async () => {
  for (const close of opened.reverse()) await close();
  remove();
});

const schemas = { inputSchema: [scalar('x')], outputSchema: [scalar('y')] };
/** With all of its names. */
const gone = (image: string): void => { podman('rmi', '--force', ...podman('images', '--quiet', '--no-trunc', '--filter', `reference=${image}`).split('\n').filter((id) => id !== ''), image); };

async function deployed(model: ModelVersion, name: string, config: object = {}) {
  const pipeline = await workspace.buildPipeline(name);
  return pipeline.addModelStep(model).deploy({ config: { engine: { replicas: 1, cpu: 1, resources: { limits: { cpu: 1, memory: '1Gi' } } }, ...config } });
}

describe('an image of a registry', () => {
  it('is registered, deployed and asked with the published client, and answers as the model itself does', async () => {
    gone(images['bikes'] ?? '');
    const python = setUpClientPython();
    const child = spawn(python, [fileURLToPath(new URL('image_flow.py', import.meta.url)), images['bikes'] ?? '', JSON.stringify(expected.bikes.rows)], {
      cwd: folder, stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: folder, POTOROO_URL: server.url, MPLBACKEND: 'Agg', PYTHONUNBUFFERED: '1', WALLAROO_USER: admin.username, WALLAROO_PASSWORD: admin.password },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    await once(child, 'close');
    const line = output.trim().split('\n').findLast((text) => text.startsWith('{'));
    expect(line, output).toBeDefined();
    const answer = JSON.parse(line ?? '{}') as Record<string, unknown>;
    const wanted = expected.bikes.answers.map((value) => expect.closeTo(value, 4) as number);
    expect(answer).toMatchObject({
      frame: wanted, arrow: wanted, image: images['bikes'], again: images['bikes'], file: expect.stringMatching(/^localhost:\d+\/team\/bikes@sha256:[0-9a-f]{64}$/) as string,
      runtime: 'mlflow', state: 'Running', sidekicks: ['Running'], refusal: expect.stringContaining('has no image') as string,
    });
    await expect.poll(() => containers().filter((name) => name.startsWith('potoroo-')), { timeout: 20_000 }).toEqual([]);
  });

  it('is registered with credentials of its own, which nothing shows and which lie sealed', async () => {
    const { username, password } = registry;
    const model = await strange.registerImage('own', { image: images['well'] ?? '', credentials: { username, password }, ...schemas });
    expect(model.info).toMatchObject({ status: 'ready', framework: 'mlflow-image', runtime: 'mlflow', inputs: schemas.inputSchema, outputs: schemas.outputSchema });
    const log = await model.uploadLog();
    expect(log.join('\n')).toContain('Pulling');
    expect(JSON.stringify([model.info, log])).not.toContain(password);
    const data = join(folder, 'without');
    for (const name of readdirSync(data).filter((file) => /\.(db|sqlite)|wal/.test(file))) expect(readFileSync(join(data, name)).includes(password)).toBe(false);
  });

  it('is pulled again for a deployment when it was removed meanwhile, and killing its engine leaves no container', async () => {
    const model = await workspace.registerImage('well', { image: images['pid'] ?? '', inputSchema: [scalar('x')], outputSchema: [scalar('y'), scalar('pid')] });
    gone(images['pid'] ?? '');
    const deployment = await deployed(model, 'well', { engineAux: { images: { [`well-${model.id}`]: { resources: { limits: { memory: '256Mi', cpu: 0.5 }, requests: {} } } } } });
    await deployment.waitUntilRunning();
    const status = await deployment.status();
    expect(status.limits.join('\n')).toMatch(/Model well runs in a container of its own: memory 256 MiB is enforced by the kernel.*cpus 0.5 is enforced/);
    const [before] = containers().filter((name) => name.startsWith('potoroo-'));
    expect(before).toBeDefined();
    process.kill(status.engines[0]?.pid ?? 0, 'SIGKILL');
    await expect.poll(() => containers().includes(before ?? ''), { timeout: 20_000 }).toBe(false);
    await deployment.waitUntilRunning();
    await expect.poll(() => containers().filter((name) => name.startsWith('potoroo-')).length, { timeout: 60_000 }).toBe(1);
    await deployment.undeploy();
    await expect.poll(() => containers().filter((name) => name.startsWith('potoroo-')), { timeout: 30_000 }).toEqual([]);
  });
});

describe('an image that cannot be used ends in an error with the reason', () => {
  const register = (image: string, more: object = {}, where = workspace) => refusal(where.registerImage('bad', { image, ...schemas, ...more }));

  it.each([
    ['an unknown tag', () => register(`${registry.address}/team/well:2`), 'image_unavailable', /has no image/],
    ['an unknown repository', () => register(`${registry.address}/team/nothing:1`), 'image_unavailable', /has no image|does not give/],
    ['wrong credentials', () => register(images['well'] ?? '', { credentials: { username: 'robot', password: 'not-this-one' } }), 'image_unavailable', /does not give .* to these credentials/],
    ['no credentials', () => register(images['bikes'] ?? '', {}, strange), 'image_unavailable', /without credentials: give some/],
    ['a registry that is down', () => register('localhost:9/team/well:1', {}, workspace), 'address_refused', /private network/],
    ['another architecture', () => register(images['arm'] ?? ''), 'arch_mismatch', /made for arm, and x86 is needed/],
    ['an architecture that this machine has not', () => register(images['well'] ?? '', { arch: 'arm' }), 'arch_mismatch', /runs on x86/],
    ['nothing in it that serves', () => register(images['empty'] ?? ''), 'model_invalid', /neither an entrypoint nor a command/],
    ['answers in other columns', () => register(images['wrong'] ?? ''), 'warm_up_failed', /"z"/],
  ])('%s', async (_, attempt, code, message) => {
    expect(await attempt()).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  it('a server in it that never gets ready', async () => {
    const { own } = await open('impatient', { POTOROO_REGISTRY_AUTH: registry.authFile, POTOROO_MODEL_LOAD_TIMEOUT: '5' });
    expect(await register(images['silent'] ?? '', {}, own)).toMatchObject({ code: 'model_invalid', message: expect.stringContaining('within 5 seconds') as string });
    await expect.poll(() => containers().filter((name) => name.startsWith('potoroo-')), { timeout: 20_000 }).toEqual([]);
  });

  it('a registry that does not answer', async () => {
    const { own } = await open('lonely', { POTOROO_INSECURE_REGISTRIES: 'localhost:9' });
    expect(await register('localhost:9/team/well:1', {}, own)).toMatchObject({ code: 'image_unavailable', message: expect.stringContaining('localhost:9 does not answer') as string });
  });

  it('no container tool: what to install is said', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const { own } = await open('toolless', { POTOROO_REGISTRY_AUTH: registry.authFile, POTOROO_CONTAINERS: 'auto', PATH: bin });
    expect(await register(images['well'] ?? '', {}, own)).toMatchObject({ code: 'container_unavailable', message: expect.stringContaining('apt-get install podman') as string });
  });

  it.each([['', 'image'], ['UPPER/case', 'image'], ['a b', 'image'], ['host/../x', 'image'], [`x/${'y'.repeat(600)}`, 'image']])('%j is refused at once as no name of an image', async (image) => {
    expect(await register(image)).toMatchObject({ code: 'invalid_request' });
  });

  it('credentials with line breaks are refused at once', async () => {
    expect(await register(images['well'] ?? '', { credentials: { username: 'a:b', password: 'x' } })).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('credentials.username') as string });
  });
});
