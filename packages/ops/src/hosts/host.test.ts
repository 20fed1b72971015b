import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { AccessList } from '@potoroo/contract';
import type { EngineSpec, EngineView, Host } from './host.ts';
import { processesNaming } from './process/orphans.ts';
import { openProcessHost } from './process/process-host.ts';
import { infer, writeBundle } from './testing.ts';

const gibibyte = 1024 ** 3;
let dataDir: string;
let bundle: string;
let host: Host;
let count = 0;

const hosts: { name: string; open: (more?: { engineMain?: string; drainMs?: number; silentSeconds?: number }) => Promise<Host> }[] = [
  { name: 'process', open: (more) => openProcessHost({ dataDir, logLevel: 'info', ...more }) },
];

const spec = (more: Partial<EngineSpec> = {}): EngineSpec => {
  count += 1;
  const name = more.name ?? `engine-test-${count}`;
  return { name, deploymentId: 1, revision: 'r1', slot: 0, bundle, spool: join(dataDir, 'spools', '1', name), limits: { cpus: 1, memory: gibibyte, gpus: 0 }, access: null, ops: null, ...more };
};
const find = (name: string): EngineView | undefined => host.engines(1).find((e) => e.name === name);
const reaches = (name: string, phase: EngineView['phase']): Promise<EngineView> => vi.waitFor(() => {
  const engine = find(name);
  expect(engine?.phase, JSON.stringify(engine)).toBe(phase);
  return engine as EngineView;
}, { timeout: 15_000, interval: 10 });
async function ready(more: Partial<EngineSpec> = {}): Promise<EngineView> {
  const wanted = spec(more);
  await host.start(wanted);
  return reaches(wanted.name, 'ready');
}
const partition = (text: string): string => /"partition":"([^"]+)"/.exec(text)?.[1] ?? text;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'potoroo-host-'));
  bundle = await writeBundle(join(dataDir, 'bundle'), 'chain-first');
});
afterEach(async () => {
  await host.close();
  const left = processesNaming(dataDir);
  await rm(dataDir, { recursive: true, force: true });
  if (left.length > 0) throw new Error(`engines ${left.join(', ')} outlived their host`);
});

describe.each(hosts)('a $name host', ({ open }) => {
  test('an engine is ready once it has proven its models, and answers on both sides', async () => {
    host = await open();
    const port = await host.open(1, null);
    const engine = await ready();
    expect(engine).toMatchObject({ phase: 'ready', exit: null, models: [{ name: 'chain-first', status: 'Running' }] });
    expect(engine.pid).toBeGreaterThan(0);
    host.route(1, { engines: [engine.name], expect: false });
    expect(await infer({ port })).toMatchObject({ status: 200, text: expect.stringMatching(/\[2(\.0)?,4(\.0)?,6(\.0)?\]/) });
    const taken = host.take(1);
    expect(await infer({ ...(taken && { socketPath: taken.socketPath }) })).toMatchObject({ status: 200 });
    taken?.done();
  });

  test('starting a name twice, and naming engines that are not there, changes nothing', async () => {
    host = await open();
    const wanted = spec();
    await host.start(wanted);
    await host.start(wanted);
    expect(host.engines(1)).toHaveLength(1);
    for (const name of ['engine-none', wanted.name]) host.forget(name);
    host.drain('engine-none');
    host.kill('engine-none', null);
    host.shut(99);
    expect(host.take(99)).toBeNull();
    expect(host.engines(1)).toHaveLength(1);
  });

  test('a connection that comes before an engine is ready waits for it', async () => {
    host = await open();
    const port = await host.open(1, null);
    host.route(1, { engines: [], expect: true });
    const answer = infer({ port });
    const engine = await ready();
    host.route(1, { engines: [engine.name], expect: false });
    expect((await answer).status).toBe(200);
  });

  test('a connection for which no engine is on its way is answered 503 at once, also one that waited', async () => {
    host = await open();
    const port = await host.open(1, null);
    host.route(1, { engines: [], expect: true });
    const waiting = infer({ port });
    await vi.waitFor(async () => {
      host.route(1, { engines: [], expect: false });
      expect(await infer({ port })).toMatchObject({ status: 503, text: expect.stringContaining('no_engine_ready'), closes: true });
    });
    expect((await waiting).status).toBe(503);
  });

  test('keep-alive connections are spread evenly, and those that close make room', async () => {
    host = await open();
    const port = await host.open(1, null);
    const engines = await Promise.all([ready({ slot: 0 }), ready({ slot: 1 })]);
    host.route(1, { engines: engines.map((e) => e.name), expect: false });
    const agents = Array.from({ length: 8 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    const served = async (): Promise<Map<string, Agent[]>> => {
      const by = new Map<string, Agent[]>();
      for (const agent of agents) {
        const name = partition((await infer({ port, agent })).text);
        by.set(name, [...(by.get(name) ?? []), agent]);
      }
      return by;
    };
    const first = await served();
    expect([...first.values()].map((list) => list.length)).toEqual([4, 4]);
    // All of one engine's clients go and come again: they fill that engine up, not the other one.
    const leave = (): void => { for (const agent of first.get(engines[0].name) ?? []) agent.destroy(); };
    leave();
    await vi.waitFor(async () => {
      const again = await served();
      // Those that came before ops knew that the others had left go, and come again later.
      if ([...again.values()].some((list) => list.length !== 4)) leave();
      expect([...again.values()].map((list) => list.length)).toEqual([4, 4]);
      expect(again.get(engines[1].name)).toEqual(first.get(engines[1].name));
    }, { timeout: 10_000, interval: 100 });
    for (const agent of agents) agent.destroy();
  });

  test('inferences go to the engine with the fewest under way', async () => {
    host = await open();
    const engines = await Promise.all([ready({ slot: 0 }), ready({ slot: 1 })]);
    host.route(1, { engines: engines.map((e) => e.name), expect: false });
    const taken = Array.from({ length: 4 }, () => host.take(1));
    const paths = taken.map((t) => t?.socketPath);
    expect(new Set(paths).size).toBe(2);
    expect(paths[0]).not.toBe(paths[1]);
    taken[0]?.done();
    taken[0]?.done();
    taken.push(host.take(1));
    expect(taken.at(-1)?.socketPath).toBe(paths[0]);
    for (const one of taken) one?.done();
  });

  test('a drained engine answers what it was given, closes its keep-alive connections and goes', async () => {
    host = await open();
    const port = await host.open(1, null);
    const [old, next] = await Promise.all([ready({ slot: 0 }), ready({ slot: 1 })]);
    host.route(1, { engines: [old.name], expect: false });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(partition((await infer({ port, agent })).text)).toBe(old.name);
    const taken = host.take(1);
    host.route(1, { engines: [next.name], expect: false });
    host.drain(old.name);
    expect(find(old.name)?.phase).toBe('draining');
    // Ops was given the address before the drain: the engine waits for that inference.
    expect((await infer({ ...(taken && { socketPath: taken.socketPath }) })).status).toBe(200);
    taken?.done();
    // The next answer on the kept connection says that it is the last; the one after comes from the other engine.
    await vi.waitFor(async () => expect(await infer({ port, agent })).toMatchObject({ status: 200, closes: true }));
    expect(partition((await infer({ port, agent })).text)).toBe(next.name);
    expect((await reaches(old.name, 'exited')).exit).toMatchObject({ asked: true, permanent: false });
    host.forget(old.name);
    expect(find(old.name)).toBeUndefined();
    agent.destroy();
  });

  test('an engine killed from outside is seen at once, with its last words; others take its place', async () => {
    host = await open();
    const port = await host.open(1, null);
    const [one, other] = await Promise.all([ready({ slot: 0 }), ready({ slot: 1 })]);
    host.route(1, { engines: [one.name, other.name], expect: false });
    const changed = new Promise<void>((resolve) => host.onChange(() => { if (find(one.name)?.phase === 'exited') resolve(); }));
    process.kill(one.pid ?? 0, 'SIGKILL');
    await changed;
    expect(find(one.name)?.exit).toMatchObject({ asked: false, permanent: false, reason: { code: 'engine_crashed', message: expect.stringContaining('SIGKILL'), log: expect.arrayContaining([expect.stringContaining('ready')]) } });
    for (let n = 0; n < 4; n += 1) expect(partition((await infer({ port })).text)).toBe(other.name);
  });

  test('a connection that comes while an engine dies is answered by another or closed, and never left waiting', async () => {
    host = await open();
    const port = await host.open(1, null);
    const route = (): void => host.route(1, { engines: host.engines(1).filter((e) => e.phase === 'ready').map((e) => e.name), expect: true });
    host.onChange(route);
    await Promise.all([ready({ slot: 0 }), ready({ slot: 1 })]);
    const clients = join(dataDir, 'clients.mjs');
    await writeFile(clients, `
      import { request } from 'node:http';
      let answered = 0, stopping = false, open = 8;
      const again = () => { if (!stopping) one(); else if (--open === 0) { console.log('answered ' + answered); process.exit(0); } };
      const one = () => request({ host: '127.0.0.1', port: ${port}, method: 'POST', path: '/pipelines/doubler', agent: false, headers: { 'content-type': 'application/json' } }, (response) => {
        response.resume().on('end', () => { answered += 1; }).on('error', () => {}).on('close', () => setImmediate(again));
      }).on('error', () => setImmediate(again)).end('[{"text":[1,2,3]}]');
      for (let n = 0; n < open; n += 1) one();
      console.log('started');
      process.on('SIGTERM', () => { stopping = true; });`);
    // In a process of their own, so that they connect while this one has not seen yet that the engine is gone.
    const load = spawn(process.execPath, [clients], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    load.stdout.setEncoding('utf8').on('data', (text: string) => { said += text; });
    await vi.waitFor(() => expect(said).toContain('started'));
    for (let n = 0; n < 4; n += 1) {
      process.kill(host.engines(1).find((e) => e.phase === 'ready')?.pid ?? 0, 'SIGKILL');
      await ready({ slot: n });
    }
    load.kill('SIGTERM');
    await vi.waitFor(() => expect(said).toMatch(/answered [1-9]/), { timeout: 5_000 });
  });

  test.each([
    ['a bundle that is not there', 'pipeline_invalid', async () => join(dataDir, 'nothing')],
    ['a model whose warm-up fails', 'warm_up_failed', () => writeBundle(join(dataDir, 'bad'), 'bad-warm-up')],
    ['a model of an unknown opset', 'model_unsupported', () => writeBundle(join(dataDir, 'bad'), 'bad-opset')],
  ])('%s ends the engine for good, with the reason', async (_, code, make) => {
    host = await open();
    const wanted = spec({ bundle: await make() });
    await host.start(wanted);
    const { exit } = await reaches(wanted.name, 'exited');
    expect(exit).toMatchObject({ permanent: true, asked: false, reason: { code, log: expect.arrayContaining([expect.any(String)]) } });
    expect(exit?.reason.message).not.toMatch(/\n|at .*\.js:\d/);
  });

  test('memory over the limit ends the engine, and says so', async () => {
    host = await open();
    const wanted = spec({ limits: { cpus: 1, memory: 30 * 1024 ** 2, gpus: 0 } });
    await host.start(wanted);
    expect((await reaches(wanted.name, 'exited')).exit?.reason).toMatchObject({ code: 'engine_out_of_memory', message: expect.stringContaining('30 MiB') });
    expect(host.describeLimits(wanted.limits).join(' ')).toMatch(/cpus 1 is (enforced|advisory).*memory 30 MiB is enforced/);
  });

  test('an engine that lives and answers nothing is ended and told', async () => {
    host = await open({ silentSeconds: 1 });
    const engine = await ready();
    process.kill(engine.pid ?? 0, 'SIGSTOP');
    expect((await reaches(engine.name, 'exited')).exit).toMatchObject({ asked: false, permanent: false, reason: { code: 'engine_unresponsive' } });
  });

  test('who may call the public side is what the access list says, and changes while the engine runs', async () => {
    host = await open();
    const port = await host.open(1, null);
    const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    const key = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'EdDSA' };
    const token = await new SignJWT({}).setProtectedHeader({ alg: 'EdDSA', kid: 'k' }).setSubject('ada').setIssuer('https://here').setExpirationTime('1h').sign(privateKey);
    const list = (...subjects: string[]): AccessList => ({ issuer: 'https://here', jwks: { keys: [key] }, subjects });
    const engine = await ready({ access: list('bob') });
    host.route(1, { engines: [engine.name], expect: false });
    expect((await infer({ port })).status).toBe(401);
    expect((await infer({ port, token })).status).toBe(403);
    await host.setAccess(engine.name, list('ada', 'bob'));
    expect((await infer({ port, token })).status).toBe(200);
    const taken = host.take(1);
    expect((await infer({ ...(taken && { socketPath: taken.socketPath }) })).status).toBe(200);
    taken?.done();
  });

  test('the port is kept: opened again it is the same; taken by another it is an error that names it', async () => {
    host = await open();
    const port = await host.open(1, null);
    expect(await host.open(1, null)).toBe(port);
    await expect(host.open(2, port)).rejects.toMatchObject({ code: 'port_in_use', message: expect.stringContaining(String(port)) });
    host.shut(1);
    expect(await host.open(2, port)).toBe(port);
    expect(await new Promise((resolve) => connect(port, '127.0.0.1').on('connect', function connected(this: { destroy(): void }) { this.destroy(); resolve('open'); }))).toBe('open');
  });

  test('closing drains every engine and ends what does not go by itself', async () => {
    const stubborn = join(dataDir, 'stubborn.mjs');
    await writeFile(stubborn, 'process.on("SIGTERM", () => {}); process.on("message", () => {}); process.send({ type: "ready", pid: process.pid, models: [], inputs: [], outputs: [] }); setInterval(() => {}, 1000);');
    host = await open({ engineMain: stubborn, drainMs: 300 });
    const engine = await ready();
    await host.close();
    expect(find(engine.name)).toMatchObject({ phase: 'exited', exit: { asked: true } });
    expect(() => process.kill(engine.pid ?? 0, 0)).toThrow('ESRCH');
  });

  test('an engine that cannot even be started is a crash with a reason', async () => {
    host = await open({ engineMain: join(dataDir, 'missing.mjs') });
    const wanted = spec();
    await host.start(wanted);
    expect((await reaches(wanted.name, 'exited')).exit).toMatchObject({ permanent: false, reason: { code: 'engine_crashed', log: expect.arrayContaining([expect.stringContaining('missing.mjs')]) } });
  });

  test('a folder that cannot be written is an error that says so', async () => {
    host = await open();
    await writeFile(join(dataDir, 'file'), '');
    await expect(host.start(spec({ spool: join(dataDir, 'file', 'spool') }))).rejects.toMatchObject({ name: 'PotorooError', message: expect.stringContaining('Starting engine') });
    expect(host.engines(1)).toEqual([]);
  });
});

describe('the process host', () => {
  test('an engine gets none of the secrets in the environment of ops', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://user:secret@host/db').stubEnv('POTOROO_ADMIN_PASSWORD', 'secret-too');
    host = await openProcessHost({ dataDir });
    const engine = await ready({ ops: { url: 'http://127.0.0.1:9', token: 'its-own-token' } });
    const environment = readFileSync(`/proc/${engine.pid}/environ`, 'utf8');
    expect(environment).toContain('its-own-token');
    expect(environment).not.toContain('secret');
    vi.unstubAllEnvs();
    process.kill(engine.pid ?? 0, 'SIGKILL');
  });

  test('the socket of an engine is open to this user alone', async () => {
    host = await openProcessHost({ dataDir });
    const engine = await ready();
    host.route(1, { engines: [engine.name], expect: false });
    const taken = host.take(1);
    const path = taken?.socketPath ?? '';
    taken?.done();
    expect((await stat(path)).mode & 0o077).toBe(0);
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
  });

  test('engines of a killed server end by themselves, and the next host waits for that', async () => {
    const script = join(dataDir, 'server.mjs');
    const built = new URL('../../dist/hosts/process/process-host.js', import.meta.url).href;
    await writeFile(script, `
      const { openProcessHost } = await import(${JSON.stringify(built)});
      const host = await openProcessHost({ dataDir: ${JSON.stringify(dataDir)} });
      host.onChange(() => console.log('ready'));
      await host.start(${JSON.stringify(spec({ name: 'engine-orphan' }))});`);
    const server = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(server.stdout, 'data');
    expect(processesNaming(dataDir)).toHaveLength(1);
    server.kill('SIGKILL');
    host = await openProcessHost({ dataDir });
    expect(processesNaming(dataDir)).toEqual([]);
    expect(await ready()).toMatchObject({ phase: 'ready' });
  });
});
