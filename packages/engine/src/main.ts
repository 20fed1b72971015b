import { setInterval } from 'node:timers';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Socket } from 'node:net';
import { engineExit, isPotorooError, PotorooError, shadowFolder, shadowPartition, type Bundle, type EngineToHost, type ErrorCode, type HostToEngine } from '@potoroo/contract/plain';
import { readBundle } from './bundle.ts';
import { Access } from './http/access.ts';
import { Connections } from './http/front.ts';
import { Routes } from './http/routes.ts';
import { configureLog, log } from './log.ts';
import { prometheus } from './metrics.ts';
import { checkAccessList, readOptions, type EngineOptions } from './options.ts';
import { loadPipeline } from './pipeline.ts';
import { Sidekicks } from './runtimes/sidekicks.ts';
import { Service } from './serving/service.ts';
import type { Spool } from './spool/spool.ts';

/**
 * The engine process: one bundle, loaded, proven and served. How it is started and what it says to its host is written in
 * the contract package (`engine.ts`).
 */
const exits: Partial<Record<ErrorCode, number>> = {
  settings_invalid: engineExit.badSettings,
  pipeline_invalid: engineExit.badBundle,
  port_in_use: engineExit.portTaken,
  engine_out_of_memory: engineExit.outOfMemory,
  storage_full: engineExit.storage,
  storage_read_only: engineExit.storage,
  internal: 1,
};

function tell(message: EngineToHost): Promise<void> {
  if (process.send === undefined || !process.connected) return Promise.resolve();
  return new Promise((resolve) => process.send?.(message, () => resolve()));
}

/** Set once the engine knows its name. */
let sidekicks: Sidekicks | undefined;

async function giveUp(error: unknown): Promise<never> {
  const reason = isPotorooError(error) ? error : new PotorooError('internal', 'The engine stopped because of a fault of its own; its log says more.', { cause: error });
  const cause = isPotorooError(error) ? undefined : { stack: error instanceof Error ? error.stack : String(error) };
  log.error(reason.message, { code: reason.code, ...cause });
  await sidekicks?.flush();
  await tell({ type: 'failed', code: reason.code, message: reason.message });
  process.exit(exits[reason.code] ?? (isPotorooError(error) ? engineExit.loadFailed : 1));
}

function watchMemory(limit: number): void {
  setInterval(() => {
    const rss = process.memoryUsage.rss();
    if (rss > limit) void giveUp(new PotorooError('engine_out_of_memory', `The engine uses ${Math.round(rss / 1048576)} MiB, over its limit of ${Math.round(limit / 1048576)} MiB. Give the deployment more memory, or send smaller requests.`));
  }, 500).unref();
}

/** How long a drain waits for challengers. */
const challengersMs = 2000;

/** What challengers say has a spool of its own, in a folder below: it takes a quarter of the room. */
async function openSpools(options: EngineOptions, bundle: Bundle, shadowed: boolean): Promise<{ spool?: Spool; shadowSpool?: Spool }> {
  const { spool: dir, partition, spoolBytes, ops: ship } = options;
  if (dir === undefined) return {};
  const { openSpool } = await import('./spool/spool.ts');
  const common = { pipeline: bundle.pipeline, ...(ship && { ship }) };
  if (!shadowed) return { spool: openSpool({ ...common, dir, partition, maxBytes: spoolBytes }) };
  const spool = openSpool({ ...common, dir, partition, maxBytes: spoolBytes * 3 / 4 });
  return { spool, shadowSpool: openSpool({ ...common, dir: join(dir, shadowFolder), partition: shadowPartition(spool.stats().partition), maxBytes: spoolBytes / 4 }) };
}

async function serve(options: EngineOptions): Promise<void> {
  const bundle = await readBundle(options.bundle);
  configureLog(options.logLevel, { pipeline: bundle.pipeline.name, partition: options.partition });
  const beside = new Sidekicks(options.partition, tell);
  sidekicks = beside;
  const pipeline = await loadPipeline(bundle, options.bundle, options.cpus, Math.random, beside);
  for (const note of pipeline.notes) log.info(note);
  const { spool, shadowSpool } = await openSpools(options, bundle, pipeline.challengers.length > 0);
  const startedAt = Date.now();
  let state: 'starting' | 'running' | 'draining' = 'starting';
  const service = new Service({
    bundle, pipeline, spool, shadowSpool, partition: spool?.stats().partition ?? options.partition, queueRows: options.queueRows, queueBytes: options.queueBytes,
    flushed: () => connections.flush(),
  });
  let loop = performance.eventLoopUtilization();
  const access = new Access(options.access);
  const routes = new Routes({
    service,
    access,
    timeoutMs: options.timeoutMs,
    checkAccess: checkAccessList,
    ready: () => state === 'running',
    status: () => ({
      state, pid: process.pid, uptimeMs: Date.now() - startedAt, pipeline: bundle.pipeline, models: pipeline.models, sidekicks: beside.list(),
      queue: { rows: service.scheduler.waitingRows, bytes: service.scheduler.waitingBytes, maxRows: options.queueRows, maxBytes: options.queueBytes },
      inFlight: service.metrics.inFlight, connections: connections.count, spool: spool?.stats() ?? null,
      ...(service.shadows && { shadows: Object.fromEntries(service.shadows.counts), shadowSpool: shadowSpool?.stats() ?? null }),
      limits: { cpus: { value: options.cpus, enforced: 'threads' }, memoryBytes: { value: options.memoryBytes ?? null, enforced: options.memoryBytes === undefined ? 'no' : 'watchdog' } },
    }),
    metrics: () => {
      const now = performance.eventLoopUtilization();
      const since = performance.eventLoopUtilization(now, loop).utilization;
      loop = now;
      return prometheus(service.metrics, bundle.pipeline, {
        queueRows: service.scheduler.waitingRows, queueBytes: service.scheduler.waitingBytes, connections: connections.count, loopUtilisation: since,
        shadows: service.shadows?.counts as ReadonlyMap<string, Readonly<Record<string, number>>> | undefined,
        spool: Object.fromEntries(Object.entries(spool?.stats() ?? {}).filter((e): e is [string, number] => typeof e[1] === 'number')),
      });
    },
  });
  const connections = new Connections(routes, { maxBodyBytes: options.maxBodyBytes, requestTimeoutMs: 120_000, keepAliveMs: 300_000 });

  const drain = async (why: string): Promise<void> => {
    if (state === 'draining') return;
    state = 'draining';
    log.info('draining', { why });
    const until = Date.now() + options.drainMs;
    await connections.drain(options.lingerMs, options.drainMs);
    await service.shadows?.settle(Math.min(challengersMs, Math.max(0, until - Date.now())));
    const left = Math.max(1000, until - Date.now());
    await Promise.all([spool?.flush(left), shadowSpool?.flush(left)]);
    await Promise.all([spool?.close(), shadowSpool?.close()]);
    log.info('stopped');
    await beside.flush();
    process.exit(engineExit.ok);
  };
  const stop = (why: string): void => { drain(why).catch(giveUp); };
  // The host balances by open connections; one message a turn tells how many have closed.
  let closings = 0;
  const closed = (): void => {
    if (closings++ > 0) return;
    setImmediate(() => {
      const count = closings;
      closings = 0;
      void tell({ type: 'closed', count });
    });
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  process.off('disconnect', abandon).on('disconnect', () => stop('the host went away'));
  process.on('message', (message: HostToEngine, handle: unknown) => {
    if (message.type === 'drain') stop('the host asked');
    else if (message.type === 'connection' && handle !== undefined) {
      (handle as Socket).once('close', closed);
      connections.accept(handle as Socket, false);
    }
  });

  if (options.socket !== undefined) await connections.listenSocket(options.socket);
  if (options.listen !== undefined) {
    const port = await connections.listen(options.listen);
    log.info('listening', { address: `${options.listen.host}:${port}` });
  }
  if (options.memoryBytes !== undefined) watchMemory(options.memoryBytes);
  state = 'running';
  log.info('ready', { models: pipeline.models.map((m) => m.name), startMs: Math.round(performance.now()) });
  await tell({ type: 'ready', pid: process.pid, models: pipeline.models, inputs: [...pipeline.inputs], outputs: [...pipeline.outputs] });
}

/** Its host went away before it was ready: nobody will ever send it anything. */
const abandon = (): never => process.exit(engineExit.ok);
process.once('disconnect', abandon);
// False only where there was a host; that may have gone while the program was being read.
if (process.connected === false) abandon();

process.on('uncaughtException', (error) => { void giveUp(error); });
process.on('unhandledRejection', (error) => { void giveUp(error); });
try {
  await serve(readOptions(process.argv.slice(2), process.env));
} catch (error) {
  await giveUp(error);
}
