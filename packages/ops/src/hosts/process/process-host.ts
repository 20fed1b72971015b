import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Socket } from 'node:net';
import { Agent, request } from 'undici';
import { engineNode, fromSystemError, PotorooError, type AccessList } from '@potoroo/contract';
import type { EngineLimits, EngineSpec, Host } from '../host.ts';
import { containerEnv } from '../container-env.ts';
import { openCpuQuota, type CpuQuota } from './cpu-quota.ts';
import { EngineProcess } from './engine-process.ts';
import { Entry } from './entry.ts';
import { makeFolder } from '../../storage/folders.ts';
import { outliveOrphans, residentBytes } from './orphans.ts';
import { limitSentences } from './limits.ts';

export interface ProcessHostOptions {
  /** Data folder of ops: the spools of its engines are below it, and its sockets where the path is short enough. */
  readonly dataDir: string;
  /** Address of the public ports. */
  readonly address?: string;
  /** The engine's entry point; by default that of the engine package beside this one. */
  readonly engineMain?: string;
  readonly clock?: () => number;
  readonly drainMs?: number;
  /** How many seconds a ready engine may answer nothing at all. */
  readonly silentSeconds?: number;
  /** What engines write: debug, info, warn, error or silent. */
  readonly logLevel?: string;
  /** Each line an engine writes. */
  readonly onLine?: (engine: string, line: string) => void;
  /** Null where engines are not to be held by quotas. */
  readonly quota?: CpuQuota | null;
}

/** Architecture of this machine. */
export const hostArch = process.arch === 'arm64' ? 'arm' : process.arch === 'ppc64' ? 'power10' : 'x86';

const watchMs = 1_000;
/** What an engine gets of ops' environment; none of its secrets is in it. */
const passed = [
  'PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH', 'NODE_EXTRA_CA_CERTS',
  ...containerEnv,
];

interface Entrance { entry: Entry; port: Promise<number> }

/** Opens the host; resolves when no engine of a killed server writes in this data folder any more. */
export async function openProcessHost(options: ProcessHostOptions): Promise<Host> {
  // First: what they hold, such as their control groups, is cleared away by the new host.
  await outliveOrphans(resolve(options.dataDir));
  return new ProcessHost(options);
}

class ProcessHost implements Host {
  readonly arch = hostArch;
  readonly gpus = 0;
  readonly accels: Host['accels'] = [];
  readonly address: string;
  readonly #options: ProcessHostOptions;
  readonly #engines = new Map<string, EngineProcess>();
  readonly #entrances = new Map<number, Entrance>();
  readonly #routed = new Map<number, readonly string[]>();
  readonly #listeners = new Set<(deploymentId: number) => void>();
  readonly #sidekickListeners = new Set<Parameters<Host['onSidekicks']>[0]>();
  readonly #sockets: string;
  readonly #quota: CpuQuota | null;
  readonly #main: string;
  readonly #drainMs: number;
  readonly #watch: NodeJS.Timeout;
  #closing = false;
  #started = 0;

  constructor(options: ProcessHostOptions) {
    this.#options = options;
    this.#drainMs = options.drainMs ?? 30_000;
    this.address = options.address ?? '127.0.0.1';
    this.#main = options.engineMain ?? fileURLToPath(new URL('../../../../engine/dist/main.js', import.meta.url));
    const instance = createHash('sha256').update(resolve(options.dataDir)).digest('hex').slice(0, 12);
    this.#sockets = socketFolder(options.dataDir, instance);
    this.#quota = options.quota === undefined ? openCpuQuota(instance) : options.quota;
    this.#watch = setInterval(() => { for (const engine of this.#engines.values()) engine.watch(); }, watchMs).unref();
  }

  describeLimits(limits: EngineLimits): string[] {
    return limitSentences(limits, { cpuQuota: this.#quota !== null, memoryPolled: residentBytes(process.pid) !== null, cpus: availableParallelism(), memory: totalmem() });
  }

  async open(deploymentId: number, port: number | null): Promise<number> {
    const there = this.#entrances.get(deploymentId);
    if (there !== undefined) return there.port;
    const entry = new Entry({ address: this.address, give: (socket) => this.#give(deploymentId, socket) });
    const entrance = { entry, port: entry.open(port) };
    this.#entrances.set(deploymentId, entrance);
    try {
      return await entrance.port;
    } catch (error) {
      this.#entrances.delete(deploymentId);
      throw error;
    }
  }

  shut(deploymentId: number): void {
    this.#entrances.get(deploymentId)?.entry.close();
    this.#entrances.delete(deploymentId);
  }

  async start(spec: EngineSpec): Promise<void> {
    if (this.#closing || this.#engines.has(spec.name)) return;
    this.#started += 1;
    const socketPath = join(this.#sockets, `${this.#started.toString(36)}.sock`);
    const command = [process.execPath, ...engineNode(spec.limits.memory), this.#main, '--bundle', resolve(spec.bundle), '--spool', resolve(spec.spool), '--partition', spec.name,
      '--socket', socketPath, '--memory', String(spec.limits.memory), '--cpus', String(spec.limits.cpus),
      // Its own end of a drain comes before ours, so that it can say what it gave up.
      '--drain-ms', String(Math.ceil(this.#drainMs * 0.8))];
    try {
      makeFolder(spec.spool);
      rmSync(socketPath, { force: true });
      if (spec.access !== null) {
        const file = `${socketPath}.access.json`;
        writeFileSync(file, JSON.stringify(spec.access), { mode: 0o600 });
        command.push('--access', file);
      }
    } catch (error) {
      throw fromSystemError(error, `Starting engine ${spec.name}`);
    }
    if (spec.ops !== null) command.push('--ops', spec.ops.url);
    if (this.#options.logLevel !== undefined) command.push('--log-level', this.#options.logLevel);
    const held: { release: (() => void) | null } = { release: null };
    const engine: EngineProcess = new EngineProcess(spec, {
      command, socketPath, env: environment(spec), clock: this.#options.clock ?? Date.now, drainMs: this.#drainMs, silentLooks: ((this.#options.silentSeconds ?? 30) * 1_000) / watchMs,
      onLine: (line) => this.#options.onLine?.(spec.name, line),
      onChange: () => this.#changed(spec.deploymentId),
      onSidekicks: (said) => { for (const listener of this.#sidekickListeners) listener(spec, said); },
      onReturned: (socket) => {
        const entrance = this.#entrances.get(spec.deploymentId);
        if (entrance === undefined) socket.destroy();
        else entrance.entry.admit(socket);
      },
      onExit: () => {
        held.release?.();
        for (const file of [socketPath, `${socketPath}.access.json`]) rmSync(file, { force: true });
      },
    });
    this.#engines.set(spec.name, engine);
    if (this.#quota !== null && engine.pid !== null) {
      try {
        held.release = this.#quota.hold(engine.pid, spec.name, spec.limits.cpus);
      } catch {
        // Ended already, or the groups were taken away: its thread counts still hold it about there.
      }
    }
  }

  route(deploymentId: number, routing: { engines: readonly string[]; expect: boolean }): void {
    this.#routed.set(deploymentId, routing.engines);
    const entry = this.#entrances.get(deploymentId)?.entry;
    if (entry === undefined) return;
    entry.expect = routing.expect;
    entry.pump();
  }

  drain(name: string): void {
    this.#engines.get(name)?.drain();
  }

  kill(name: string, reason: Parameters<Host['kill']>[1]): void {
    this.#engines.get(name)?.kill(reason);
  }

  forget(name: string): void {
    if (this.#engines.get(name)?.phase === 'exited') this.#engines.delete(name);
  }

  engines(deploymentId: number): ReturnType<Host['engines']> {
    return [...this.#engines.values()].filter((e) => e.spec.deploymentId === deploymentId).map((e) => e.view());
  }

  take(deploymentId: number): ReturnType<Host['take']> {
    const engine = this.#least(deploymentId, (e) => e.inferences);
    return engine === null ? null : { socketPath: engine.socketPath, done: engine.begin() };
  }

  async setAccess(name: string, access: AccessList): Promise<void> {
    const engine = this.#engines.get(name);
    if (engine?.phase !== 'ready') return;
    const dispatcher = new Agent({ connect: { socketPath: engine.socketPath } });
    try {
      const answer = await request('http://engine/access', {
        method: 'PUT', body: JSON.stringify(access), headers: { 'content-type': 'application/json' }, dispatcher, headersTimeout: 5_000, bodyTimeout: 5_000,
      });
      await answer.body.dump();
      if (answer.statusCode >= 300) throw new PotorooError('internal', `Engine ${name} answered ${answer.statusCode} to its new access list.`);
    } finally {
      await dispatcher.destroy();
    }
  }

  onChange(listener: (deploymentId: number) => void): void {
    this.#listeners.add(listener);
  }

  onSidekicks(listener: Parameters<Host['onSidekicks']>[0]): void {
    this.#sidekickListeners.add(listener);
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const id of [...this.#entrances.keys()]) this.shut(id);
    for (const engine of this.#engines.values()) engine.drain();
    await new Promise<void>((done) => {
      const check = (): void => {
        if ([...this.#engines.values()].every((e) => e.phase === 'exited')) done();
      };
      this.#listeners.add(check);
      check();
    });
    clearInterval(this.#watch);
    rmSync(this.#sockets, { recursive: true, force: true });
  }

  #give(deploymentId: number, socket: Socket): boolean {
    const engine = this.#least(deploymentId, (e) => e.connections);
    engine?.give(socket);
    return engine !== null;
  }

  #least(deploymentId: number, load: (engine: EngineProcess) => number): EngineProcess | null {
    let best: EngineProcess | null = null;
    for (const name of this.#routed.get(deploymentId) ?? []) {
      const engine = this.#engines.get(name);
      if (engine?.phase === 'ready' && (best === null || load(engine) < load(best))) best = engine;
    }
    return best;
  }

  #changed(deploymentId: number): void {
    this.#entrances.get(deploymentId)?.entry.pump();
    for (const listener of this.#listeners) listener(deploymentId);
  }
}

function environment(spec: EngineSpec): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const name of passed) if (process.env[name] !== undefined) env[name] = process.env[name];
  if (spec.ops !== null) env.POTOROO_ENGINE_TOKEN = spec.ops.token;
  return env;
}

/** The system bounds the length of a socket's path to about 100 bytes. Only this user may enter the folder. */
function socketFolder(dataDir: string, instance: string): string {
  const near = join(resolve(dataDir), 'run');
  const folder = near.length <= 80 ? near : join(tmpdir(), `potoroo-${instance}`);
  try {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
  } catch (error) {
    throw fromSystemError(error, `Making the folder ${folder} for the sockets of engines`);
  }
  const { uid } = lstatSync(folder);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new PotorooError('storage_read_only', `The folder ${basename(folder)} for the sockets of engines belongs to another user: remove it.`);
  }
  return folder;
}
