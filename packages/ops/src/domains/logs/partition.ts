import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { PotorooError } from '@potoroo/contract';
import { slice } from '@potoroo/batch';
import { decodeRows, decodeSchema, FrameReader, rowRange, rowsToBatch, type LogRows, type LogSchema } from '@potoroo/batch/frames';
import type { LogStore, NewSegment, PartitionRow } from './logs.store.ts';
import { columnsKey } from './columns.ts';
import { chunk, rewrite, SegmentFile, type SegmentReader } from './segment.ts';

export interface PartitionContext { readonly store: LogStore; readonly reader: SegmentReader; readonly folder: string }

/** A segment is closed at this size, and another begun. */
const sealAt = { bytes: 16 * chunk.bytes, rows: 1 << 20 } as const;
/** So many small record batches, and at least half of the segment, are worth a rewrite: the cost of all of them stays a small multiple of the rows. */
const compactAt = 256;

/** Frames that go into one record batch; `skip` rows of the first were here before. */
interface Pending { readonly frames: LogRows[]; readonly schema: LogSchema; readonly first: number; readonly skip: number; rows: number; bytes: number }

const framesATurn = 256;

interface OpenSegment { row: NewSegment & { id?: number }; readonly file: SegmentFile }

/** The writing end of one partition. Calls must come one after the other. */
export class LogPartition {
  readonly #context: PartitionContext;
  #row: PartitionRow;
  #segment: OpenSegment | undefined;
  /** Segments touched since the last commit. */
  #touched: OpenSegment[] = [];
  #pending: Pending | undefined;

  private constructor(context: PartitionContext, row: PartitionRow, segment: OpenSegment | undefined) {
    this.#context = context;
    this.#row = row;
    this.#segment = segment;
  }

  /** As the manifest has it; what a crash left behind the committed end of its file is cut off. */
  static async open(context: PartitionContext, row: PartitionRow): Promise<LogPartition> {
    const last = await context.store.openSegment(row.id);
    const file = last && await SegmentFile.reopen(join(context.folder, last.file), last.bytes);
    return new LogPartition(context, row, last && file && { row: last, file });
  }

  get next(): number {
    return this.#row.next;
  }

  /**
   * Appends the rows of these frames that are new. Nothing of it counts until `commit`.
   * @returns why it stopped before the end, if it did
   */
  async append(bytes: Uint8Array): Promise<PotorooError | undefined> {
    const reader = new FrameReader(bytes);
    let schema: LogSchema | undefined;
    try {
      let count = 0;
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        // Thousands of small frames are milliseconds of work: others get a turn in between.
        if (++count % framesATurn === 0) await setImmediate();
        if (frame.kind === 'schema') schema = this.#checked(decodeSchema(frame.payload));
        else if (schema === undefined) return new PotorooError('malformed_body', 'Log frames must begin with a schema frame.');
        else await this.#appendRows(frame.payload, schema);
      }
      return reader.torn === undefined ? undefined : new PotorooError('malformed_body', reader.torn);
    } catch (error) {
      if (error instanceof PotorooError && error.code === 'malformed_body') return error;
      throw error;
    } finally {
      await this.#flush();
    }
  }

  /** Makes everything appended since the last commit durable, and part of the log. */
  async commit(from: number): Promise<void> {
    if (this.#row.next === from) return;
    const touched = this.#touched;
    this.#touched = [];
    for (const { file, row } of touched) {
      if (row.sealed) await file.finish();
      await file.sync();
    }
    const ids = await this.#context.store.commit(this.#row, from, touched.map(({ row, file }) => ({ ...row, bytes: file.bytes })));
    touched.forEach((segment, i) => { segment.row = { ...segment.row, id: ids[i]!, bytes: segment.file.bytes }; });
    await Promise.all(touched.filter((segment) => segment !== this.#segment).map(({ file }) => file.close()));
  }

  /** Merges small record batches into large ones where there are enough of them. */
  async compact(): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined) return;
    const { batches, bytes } = segment.file.loose;
    const full = segment.file.bytes >= sealAt.bytes || segment.row.rows >= sealAt.rows;
    if (full || (batches >= compactAt && bytes * 2 >= segment.file.bytes)) await this.#rewrite(segment, full);
  }

  /** For when no more rows will come. */
  async seal(): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined) return;
    const { file, row } = segment;
    if (await this.#context.reader.batches(file.path, file.bytes) > 2 * file.bytes / chunk.bytes + 4) return this.#rewrite(segment, true);
    await file.finish();
    await file.sync();
    await this.#context.store.replaceFile(row.id!, { file: row.file, bytes: row.bytes, sealed: true });
    this.#segment = undefined;
    await file.close();
  }

  async #rewrite({ row, file }: OpenSegment, sealed: boolean): Promise<void> {
    const to = await this.#newFile();
    try {
      await rewrite(this.#context.reader, { path: file.path, bytes: file.bytes, rows: row.rows }, to.file);
      if (sealed) await to.file.finish();
      await to.file.sync();
      await this.#context.store.replaceFile(row.id!, { file: to.name, bytes: to.file.bytes, sealed });
    } catch (error) {
      await to.file.discard();
      throw error;
    }
    // Whoever has it open reads on; whoever comes too late asks the manifest again.
    await file.discard();
    this.#context.reader.forget(file.path);
    if (sealed) await to.file.close();
    this.#segment = sealed ? undefined : { row: { ...row, file: to.name, bytes: to.file.bytes }, file: to.file };
  }

  /** Files that no commit made part of the log go. */
  async close(): Promise<void> {
    const open = new Set([...this.#touched, ...(this.#segment === undefined ? [] : [this.#segment])]);
    this.#touched = [];
    this.#segment = undefined;
    await Promise.all([...open].map(({ row, file }) => (row.id === undefined ? file.discard() : file.close())));
  }

  #checked(schema: LogSchema): LogSchema {
    const { pipelineId, name } = this.#row;
    if (schema.partition !== name) throw new PotorooError('invalid_request', `These frames are of partition ${JSON.stringify(schema.partition)}, not of ${JSON.stringify(name)}.`);
    if (schema.pipeline.id !== pipelineId) throw new PotorooError('invalid_request', `These frames are of pipeline ${schema.pipeline.id}, not of ${pipelineId}.`);
    return schema;
  }

  async #appendRows(payload: Uint8Array, schema: LogSchema): Promise<void> {
    const { from, to } = rowRange(payload);
    const { next } = this.#row;
    if (to <= next) return;
    const first = Math.max(from, next);
    const frame = decodeRows(payload, schema);
    const pending = this.#pending;
    if (pending !== undefined && (pending.schema !== schema || pending.first + pending.rows !== first || pending.rows >= chunk.rows || pending.bytes >= chunk.bytes)) await this.#flush();
    this.#pending ??= { frames: [], schema, first, skip: first - from, rows: 0, bytes: 0 };
    this.#pending.frames.push(frame);
    this.#pending.rows += to - first;
    this.#pending.bytes += payload.length;
    this.#row = { ...this.#row, next: to, missing: this.#row.missing + first - next };
  }

  async #flush(): Promise<void> {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined) return;
    const { frames, schema, first, rows, skip } = pending;
    const times = timesOf(frames);
    const segment = await this.#segmentFor(schema, first, times);
    const batch = rowsToBatch(frames, schema);
    await segment.file.append(slice(batch, skip, batch.rows));
    const { row } = segment;
    segment.row = {
      ...row, schema: row.schema.models.length < schema.models.length ? schema : row.schema, rows: row.rows + rows,
      minTime: Math.min(row.minTime, times[0]), maxTime: Math.max(row.maxTime, times[1]),
    };
    if (!this.#touched.includes(segment)) this.#touched.push(segment);
  }

  /** The segment that takes rows of this schema from this offset on: the open one where it fits, else a new one. */
  async #segmentFor(schema: LogSchema, first: number, times: readonly [number, number]): Promise<OpenSegment> {
    const open = this.#segment;
    if (open !== undefined) {
      const { row, file } = open;
      const fits = row.first + row.rows === first && row.pipelineVersion === schema.pipeline.version && columnsKey(row.schema) === columnsKey(schema) && sameStart(row.schema.models, schema.models);
      if (fits && file.bytes < sealAt.bytes && row.rows < sealAt.rows) return open;
      open.row = { ...row, sealed: true };
      if (!this.#touched.includes(open)) this.#touched.push(open);
    }
    const { name, file } = await this.#newFile();
    const row = { pipelineVersion: schema.pipeline.version, file: name, first, rows: 0, bytes: 0, minTime: times[0], maxTime: times[1], sealed: false, schema };
    this.#segment = { row, file };
    return this.#segment;
  }

  async #newFile(): Promise<{ name: string; file: SegmentFile }> {
    const name = `${this.#row.pipelineId}/${randomUUID()}.arrow`;
    const path = join(this.#context.folder, name);
    await mkdir(dirname(path), { recursive: true });
    return { name, file: await SegmentFile.create(path) };
  }
}

function timesOf(frames: readonly LogRows[]): [number, number] {
  let [least, most] = [Infinity, -Infinity];
  for (const { requests } of frames) {
    for (const { timeMs } of requests) {
      if (timeMs < least) least = timeMs;
      if (timeMs > most) most = timeMs;
    }
  }
  return [least, most];
}

/** Models are told by their index: one list must continue the other. */
function sameStart(a: LogSchema['models'], b: LogSchema['models']): boolean {
  return a.slice(0, b.length).every((model, i) => model.sha === b[i]!.sha && model.name === b[i]!.name);
}
