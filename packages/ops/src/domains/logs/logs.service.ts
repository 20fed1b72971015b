import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromSystemError, PotorooError, validationsOf } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { fromDatabaseError, isForeignKeyViolation, isUniqueViolation } from '../../storage/errors.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, LogPage, LogQuery, LogRetention, Logs, ModelKey, Pipeline, Pipelines } from '../domains.ts';
import { LogStore, type PartitionRow } from './logs.store.ts';
import { readPage, type LogSource } from './page.ts';
import { LogPartition, type PartitionContext } from './partition.ts';
import { bounds, removeExpired, type Removed } from './retention.ts';
import { RetentionStore, type Retention } from './retention.store.ts';
import { SegmentReader } from './segment.ts';
import { spoolPieces } from './spool-files.ts';
import { Turns } from './turns.ts';

export interface LogParts {
  readonly db: Kysely<Database>;
  readonly access: Pick<Access, 'require'>;
  readonly pipelines: Pick<Pipelines, 'get' | 'withModel'>;
  /** Where the segments lie; nobody else writes there. */
  readonly folder: string;
  readonly clock: () => number;
  /** For pipelines that have none of their own: days and bytes, 0 is for ever. */
  readonly retention: { readonly days: number; readonly bytes: number };
  /** What went wrong in the background. */
  readonly onError: (error: unknown, context: Record<string, unknown>) => void;
}

/** The versions of a source that have validations: in rows of the others nothing can have failed one. */
function validated({ pipelineId, versions }: LogSource, pipeline: Pipeline): LogSource {
  const own = pipeline.versions.filter((v) => validationsOf(v.steps).length > 0).map((v) => v.version);
  return { pipelineId, versions: versions === undefined ? own : own.filter((v) => versions.includes(v)) };
}

/** Partitions whose file is kept open for their next rows. */
const maxOpen = 64;

/** Opens the log store; files that the manifest does not know, left by a crash, are removed. */
export async function openLogs(parts: LogParts): Promise<LogService> {
  const { folder } = parts;
  const store = new LogStore(parts.db);
  try {
    await mkdir(folder, { recursive: true });
    const known = new Set(await store.files());
    for (const pipeline of await readdir(folder)) {
      for (const name of await readdir(join(folder, pipeline))) {
        if (!known.has(`${pipeline}/${name}`)) await rm(join(folder, pipeline, name));
      }
    }
  } catch (error) {
    throw fromDatabaseError(error);
  }
  return new LogService(parts, { store, folder, reader: new SegmentReader() });
}

/** The inference log of every pipeline: rows come from engines' spools, lie in Arrow segments and are read in pages. */
export class LogService implements Logs {
  readonly #parts: LogParts;
  readonly #context: PartitionContext;
  readonly #retentions: RetentionStore;
  #closing = false;
  #removing: Promise<unknown> = Promise.resolve();
  /** A page in the making holds on to tens of MiB, and many at a time are no quicker than a few. */
  readonly #reading = new Turns({ atOnce: 3, waiting: 200 });
  /** Least recently used first. */
  readonly #open = new Map<string, LogPartition>();
  /** The last task of each partition: one at a time writes. */
  readonly #tasks = new Map<string, Promise<unknown>>();

  constructor(parts: LogParts, context: PartitionContext) {
    this.#parts = parts;
    this.#context = context;
    this.#retentions = new RetentionStore(parts.db);
  }

  async ingest(deploymentId: number, partition: string, frames: Uint8Array): Promise<number> {
    return this.#take(await this.#pipelineOf(deploymentId), partition, frames);
  }

  /**
   * Takes in what engines that are gone left in a spool folder, as if they had shipped it. A file's damaged end is reported and left
   * out: no inference was answered for what is in it.
   * @throws deployment_not_found, storage_full, storage_read_only
   */
  async adopt(folder: string, owner: { readonly deploymentId: number }): Promise<void> {
    const pipelineId = await this.#pipelineOf(owner.deploymentId);
    const partitions = new Set<string>();
    for await (const piece of spoolPieces(folder)) {
      if (piece.torn !== undefined) this.#parts.onError(new PotorooError('malformed_body', `The spool file ${piece.file} has a damaged end, which is left out. ${piece.torn}`), { partition: piece.partition });
      if (piece.frames.length === 0) continue;
      partitions.add(piece.partition);
      await this.#take(pipelineId, piece.partition, piece.frames);
    }
    for (const name of partitions) await this.#write(pipelineId, name, (partition) => partition.seal());
  }

  async read(actor: Actor, { pipelineId, pipelineVersion, ...query }: LogQuery): Promise<LogPage> {
    const pipeline = await this.#parts.pipelines.get(actor, pipelineId);
    const source = { pipelineId, versions: pipelineVersion === undefined ? undefined : [pipelineVersion] };
    return this.#readPage([query.anomalies === true ? validated(source, pipeline) : source], query);
  }

  async readModel(actor: Actor, model: ModelKey, query: Omit<LogQuery, 'pipelineId' | 'pipelineVersion'>): Promise<LogPage> {
    const { pipelines } = this.#parts;
    const sources: LogSource[] = await pipelines.withModel(actor, model);
    if (query.anomalies === true) for (const [i, source] of sources.entries()) sources[i] = validated(source, await pipelines.get(actor, source.pipelineId));
    return this.#readPage(sources, query);
  }

  #readPage(sources: readonly LogSource[], query: Parameters<typeof readPage>[2]): Promise<LogPage> {
    return this.#reading.take(() => readPage(this.#context, sources, query, this.#parts.onError), query.signal);
  }

  async modelPartitions(actor: Actor, model: ModelKey): Promise<Record<string, { start: number; end: number }>> {
    const found: Record<string, { start: number; end: number }> = {};
    for (const { pipelineId } of await this.#parts.pipelines.withModel(actor, model)) Object.assign(found, await this.partitions(actor, pipelineId));
    return found;
  }

  async partitions(actor: Actor, pipelineId: number): Promise<Record<string, { start: number; end: number }>> {
    await this.#parts.pipelines.get(actor, pipelineId);
    return Object.fromEntries((await this.#context.store.partitions(pipelineId)).map(({ name, start, end }) => [name, { start, end }]));
  }

  async retention(actor: Actor, pipelineId: number): Promise<LogRetention> {
    await this.#parts.pipelines.get(actor, pipelineId);
    const own = await this.#retentions.of(pipelineId);
    return { ...own, effective: this.#effective(own) };
  }

  async setRetention(actor: Actor, pipelineId: number, retention: Retention): Promise<LogRetention> {
    const { workspaceId } = await this.#parts.pipelines.get(actor, pipelineId);
    await this.#parts.access.require(actor, workspaceId, 'write', notFound('pipeline_not_found', pipelineId));
    for (const [field, value] of Object.entries(retention)) {
      if (value !== null && (!Number.isSafeInteger(value) || value < 0)) throw new PotorooError('invalid_request', `${field} ${value} is not allowed: use a whole number from 0 on, or null.`, { fields: [{ field, message: '0 or more, or null' }] });
    }
    await this.#retentions.set(pipelineId, retention).catch((error: unknown) => {
      throw isForeignKeyViolation(error) ? notFound('pipeline_not_found', pipelineId) : fromDatabaseError(error);
    });
    return { ...retention, effective: this.#effective(retention) };
  }

  /** Removes what is over the retention of each pipeline; one run after the other. Rows that still come in are not waited for. */
  removeExpired(): Promise<Removed[]> {
    const run = this.#removing.then(() => this.#removeExpired());
    this.#removing = run.catch(() => {});
    return run;
  }

  async #removeExpired(): Promise<Removed[]> {
    const removed: Removed[] = [];
    for (const { pipelineId, ...own } of await this.#retentions.pipelines()) {
      if (this.#closing) break;
      try {
        const bound = bounds(this.#effective(own), this.#parts.clock());
        // What nobody writes to any more would be kept for as long as that.
        for (const name of await this.#retentions.idle(pipelineId, bound.before)) await this.#write(pipelineId, name, (partition) => partition.seal());
        const some = await removeExpired(this.#context, this.#retentions, pipelineId, bound);
        if (some !== undefined) removed.push(some);
      } catch (error) {
        // One log that cannot be shortened must not let the others grow.
        this.#parts.onError(error, { doing: 'removing old log records', pipelineId });
      }
    }
    return removed;
  }

  #effective({ days, bytes }: Retention): { days: number; bytes: number } {
    return { days: days ?? this.#parts.retention.days, bytes: bytes ?? this.#parts.retention.bytes };
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#removing;
    while (this.#tasks.size > 0) await Promise.allSettled(this.#tasks.values());
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(open.map((partition) => partition.close()));
  }

  async #pipelineOf(deploymentId: number): Promise<number> {
    const pipelineId = await this.#context.store.pipelineOf(deploymentId);
    if (pipelineId === undefined) throw notFound('deployment_not_found', deploymentId);
    return pipelineId;
  }

  async #take(pipelineId: number, name: string, frames: Uint8Array): Promise<number> {
    const next = await this.#write(pipelineId, name, async (partition) => {
      const from = partition.next;
      const stopped = await partition.append(frames);
      // What came before the bad frame is good, and is not asked for again.
      if (stopped !== undefined && partition.next === from) throw stopped;
      await partition.commit(from);
      return partition.next;
    });
    // The engine does not wait for that.
    this.#write(pipelineId, name, (partition) => partition.compact()).catch((error: unknown) => this.#parts.onError(error, { doing: 'compacting a log segment', pipelineId, partition: name }));
    return next;
  }

  /** Runs one task on a partition after those before it. A task that fails leaves it as the manifest has it. */
  #write<T>(pipelineId: number, name: string, task: (partition: LogPartition) => Promise<T>): Promise<T> {
    const key = `${pipelineId}/${name}`;
    const run = (this.#tasks.get(key) ?? Promise.resolve()).then(async () => {
      const partition = this.#open.get(key) ?? await LogPartition.open(this.#context, await this.#partition(pipelineId, name));
      this.#open.delete(key);
      try {
        const result = await task(partition);
        this.#open.set(key, partition);
        await this.#closeIdle();
        return result;
      } catch (error) {
        await partition.close();
        throw error instanceof Error && 'syscall' in error ? fromSystemError(error, 'Writing the inference log') : fromDatabaseError(error);
      }
    });
    const settled = run.then(() => {}, () => {}).finally(() => {
      if (this.#tasks.get(key) === settled) this.#tasks.delete(key);
    });
    this.#tasks.set(key, settled);
    return run;
  }

  async #closeIdle(): Promise<void> {
    for (const [key, partition] of this.#open) {
      if (this.#open.size <= maxOpen) return;
      if (this.#tasks.has(key)) continue;
      this.#open.delete(key);
      await partition.close();
    }
  }

  async #partition(pipelineId: number, name: string): Promise<PartitionRow> {
    if (!/^[^\x00-\x1f\x7f]{1,256}$/u.test(name)) throw new PotorooError('invalid_name', `The partition name ${JSON.stringify(name.slice(0, 80))} is not allowed: use 1 to 256 printable characters.`);
    const { store } = this.#context;
    const known = await store.partition(pipelineId, name);
    if (known !== undefined) return known;
    try {
      return await store.addPartition(pipelineId, name, this.#parts.clock());
    } catch (error) {
      if (isForeignKeyViolation(error)) throw notFound('pipeline_not_found', pipelineId);
      const other = isUniqueViolation(error) ? await store.partition(pipelineId, name) : undefined;
      if (other === undefined) throw error;
      return other;
    }
  }
}
