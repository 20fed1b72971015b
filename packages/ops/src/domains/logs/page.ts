import { setImmediate } from 'node:timers/promises';
import { PotorooError, shadowPartition } from '@potoroo/contract';
import { concat, slice, type Batch, type Column } from '@potoroo/batch';
import { Challengers } from './challengers.ts';
import type { LogCursor, LogPage, LogQuery } from '../domains.ts';
import type { PartitionContext } from './partition.ts';
import { reversed } from './reverse.ts';
import type { Window } from './segment.ts';
import { PartitionStream, type Rows } from './stream.ts';

/** A page ends at this many bytes of columns, or rows, whatever its limit; it always has at least one row if there is any. */
export const pageBounds = { bytes: 4 * 1024 * 1024, rows: 50_000 } as const;
/** A page of rare rows also ends, maybe without any, when so many have been looked at for it. */
export const lookedAt = 200_000;
const attempts = 5;
/** Rows are views of what was read of their segment; when those hold on to this much, they are copied out. */
const heldBytes = 32 * 1024 * 1024;
/** Likewise at this many: a view of one row is larger than the row. */
const heldParts = 512;
const takesATurn = 2048;

/** A pipeline whose rows a page is made of; of these versions alone, where they are named. */
export interface LogSource { readonly pipelineId: number; readonly versions: readonly string[] | undefined }
type PageQuery = Omit<LogQuery, 'pipelineId' | 'pipelineVersion'>;

/**
 * One page of the log of a pipeline, or of several. Rows of one partition keep their order; partitions are merged by the time of their rows, and by
 * name where that is the same. Descending order is that order backwards.
 */
export async function readPage(context: PartitionContext, sources: readonly LogSource[], query: PageQuery, onError: (error: unknown, context: Record<string, unknown>) => void): Promise<LogPage> {
  const window = windowOf(query);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await new PageReader(context, sources, query, window).read();
    } catch (error) {
      // A segment that was rewritten after the manifest was read is asked for anew.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === attempts) {
        if (error instanceof PotorooError) throw error;
        onError(error, { doing: 'reading a log', pipelineIds: sources.map((s) => s.pipelineId) });
        throw new PotorooError('internal', 'The log cannot be read: one of its segments is damaged or missing. The server log says which.', { cause: error });
      }
    }
  }
}

function windowOf({ start, end, limit, cursor, order, anomalies = false }: PageQuery): Window {
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1)) throw new PotorooError('invalid_request', `limit ${limit} is not allowed: use a whole number from 1 on.`, { fields: [{ field: 'limit', message: '1 or more' }] });
  for (const [field, time] of Object.entries({ start, end })) {
    if (time !== undefined && Number.isNaN(time.getTime())) throw new PotorooError('invalid_request', `${field} is not a time.`, { fields: [{ field, message: 'a time' }] });
  }
  for (const [partition, offset] of Object.entries(cursor ?? {})) {
    if (!Number.isSafeInteger(offset) || offset < 0) throw new PotorooError('invalid_cursor', `The cursor of partition ${JSON.stringify(partition.slice(0, 80))} is ${JSON.stringify(offset)}: use the \`next\` of the page before.`);
  }
  return { from: start === undefined ? -Infinity : start.getTime(), to: end === undefined ? Infinity : end.getTime(), backwards: order === 'desc', anomalies };
}

class PageReader {
  readonly #context: PartitionContext;
  readonly #sources: readonly LogSource[];
  readonly #query: PageQuery;
  readonly #window: Window;
  /** Runs of rows in order, and the same rows as batches. */
  readonly #runs: Run[] = [];
  #parts: Batch[] = [];
  /** Those before them, copied out. */
  readonly #copied: Batch[] = [];
  #last: Rows | undefined;
  /** What parts are views of: with partitions in turns, a batch comes back again and again. */
  readonly #batches = new Set<Batch>();
  #held = 0;
  #rows = 0;
  #bytes = 0;
  #looked = 0;

  constructor(context: PartitionContext, sources: readonly LogSource[], query: PageQuery, window: Window) {
    this.#context = context;
    this.#sources = sources;
    this.#query = query;
    this.#window = window;
  }

  async read(): Promise<LogPage> {
    const streams: PartitionStream[] = [];
    for (const source of this.#sources) if (source.versions === undefined || source.versions.length > 0) streams.push(...await this.#streams(source));
    const status = await this.#merge(streams);
    await setImmediate();
    return { batch: batchOf([...this.#copied, ...this.#parts], this.#runs), status, next: status === 'All' ? null : cursorOf(streams, this.#window.backwards) };
  }

  async #streams({ pipelineId, versions }: LogSource): Promise<PartitionStream[]> {
    const { partition, start, end, cursor } = this.#query;
    const filter = { pipelineVersions: versions, start: start?.getTime(), end: end?.getTime() };
    const all = new Map((await this.#context.store.bounds(pipelineId, { ...filter, partition })).map((bounds) => [bounds.partition, bounds]));
    const shadows = new Set([...all.keys()].map(shadowPartition).filter((name) => all.has(name)));
    const schemas = shadows.size === 0 ? undefined : await this.#context.store.shadowSchemas(pipelineId);
    // Backwards, what is not in a cursor is newer than what it leads to, or has been read; forwards it is new.
    return [...all.values()].filter(({ partition: name }) => !shadows.has(name)).map((bounds) => new PartitionStream(
      this.#context, bounds, filter, this.#window, cursor === undefined ? undefined : cursor[bounds.partition] ?? 0,
      schemas && new Challengers(this.#context, all.get(shadowPartition(bounds.partition))?.partitionId, schemas),
    ));
  }

  /** Takes rows in order until there are no more or the page is full. */
  async #merge(streams: readonly PartitionStream[]): Promise<LogPage['status']> {
    const { limit = Infinity } = this.#query;
    for (let takes = 1; ; takes += 1) {
      // Rows that lie in turns in many partitions are taken one by one: others get a turn in between.
      if (takes % takesATurn === 0) await setImmediate();
      const best = await this.#best(streams);
      if (best === undefined) return 'All';
      if (best === 'enough') return 'ByteLimited';
      const { stream, until } = best;
      if (this.#rows >= limit) return 'RecordLimited';
      if (this.#rows >= pageBounds.rows || this.#bytes >= pageBounds.bytes) return 'ByteLimited';
      const room = Math.min(limit, pageBounds.rows) - this.#rows;
      const rows = stream.take(room, pageBounds.bytes - this.#bytes, until, this.#last?.source.key);
      if (rows === undefined) return 'SchemaChange';
      this.#add(rows);
    }
  }

  #add(rows: Rows): void {
    const count = rows.to - rows.from;
    this.#rows += count;
    this.#bytes += rows.bytes;
    this.#runs.push({ source: rows.source, rows: count });
    if (!this.#batches.has(rows.batch)) {
      this.#batches.add(rows.batch);
      this.#held += rows.batchBytes;
    }
    this.#last = rows;
    this.#parts.push((this.#window.backwards ? reversed : slice)(rows.batch, rows.from, rows.to));
    if ((this.#held < heldBytes && this.#parts.length < heldParts) || this.#parts.length === 1) return;
    this.#copied.push(concat(this.#parts));
    this.#parts = [];
    this.#batches.clear();
    this.#held = 0;
  }

  /** The stream whose next row is next, and up to which other stream's row it may go on. Streams are opened only when it is their turn. */
  async #best(streams: readonly PartitionStream[]): Promise<{ stream: PartitionStream; until: PartitionStream | undefined } | 'enough' | undefined> {
    for (;;) {
      let best: PartitionStream | undefined;
      let second: PartitionStream | undefined;
      for (const stream of streams) {
        if (stream.done) continue;
        if (best === undefined || stream.before(best)) {
          second = best;
          best = stream;
        } else if (second === undefined || stream.before(second)) second = stream;
      }
      if (best === undefined) return undefined;
      this.#query.signal?.throwIfAborted();
      if (best.ready) return { stream: best, until: second };
      if (this.#window.anomalies === true && this.#looked >= lookedAt) return 'enough';
      this.#looked += await best.load();
    }
  }
}

function cursorOf(streams: readonly PartitionStream[], backwards: boolean): LogCursor {
  return Object.fromEntries(streams.filter((stream) => !backwards || !stream.done).map((stream) => [stream.partition, stream.position]));
}

interface Run { readonly source: Rows['source']; readonly rows: number }

function batchOf(parts: readonly Batch[], runs: readonly Run[]): Batch {
  const { rows, columns } = concat(parts);
  return { rows, columns: columns.flatMap((column) => described(column, runs)) };
}

/** What segments keep once is put back into every row. */
function described(column: Column, runs: readonly Run[]): Column[] {
  if (column.name === 'metadata.model') {
    const { values } = column as { values: Int32Array };
    const models = perRow(runs, ({ source }, row) => source.models[values[row]!]!);
    return [text('metadata.last_model', models), text('metadata.pipeline_version', perRow(runs, ({ source }) => source.pipelineVersion))];
  }
  if (column.name === 'metadata.dropped') return [column, text('metadata.partition', perRow(runs, ({ source }) => source.partition))];
  return [column];
}

function perRow(runs: readonly Run[], value: (run: Run, row: number) => Buffer): Buffer[] {
  const values: Buffer[] = [];
  for (const run of runs) for (let i = 0; i < run.rows; i += 1) values.push(value(run, values.length));
  return values;
}

function text(name: string, parts: readonly Buffer[]): Column {
  const offsets = new Int32Array(parts.length + 1);
  for (const [i, part] of parts.entries()) offsets[i + 1] = offsets[i]! + part.length;
  return { kind: 'tensor', name, type: 'string', shape: [], values: { offsets, bytes: Buffer.concat(parts) } };
}
