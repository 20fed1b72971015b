import { join } from 'node:path';
import type { Batch, TensorColumn } from '@potoroo/batch';
import type { LogSchema } from '@potoroo/batch/frames';
import type { Challengers } from './challengers.ts';
import { columnsKey } from './columns.ts';
import { segmentsAtOnce, type PartitionBounds, type SegmentFilter, type SegmentSpan } from './logs.store.ts';
import type { PartitionContext } from './partition.ts';
import type { Window } from './segment.ts';

/** What holds for all rows of a segment. */
interface Source { readonly key: string; readonly partition: Buffer; readonly pipelineVersion: Buffer; readonly models: readonly Buffer[] }

/** Rows `from .. to` of a batch: about `bytes` bytes of the `batchBytes` that it holds. */
export interface Rows { readonly batch: Batch; readonly from: number; readonly to: number; readonly bytes: number; readonly batchBytes: number; readonly source: Source }

interface Chunk { readonly batch: Batch; readonly times: BigInt64Array; /** Anomalies of each row. */ readonly counts: Int8Array | undefined; readonly first: number; readonly bytesPerRow: number; readonly source: Source }

/**
 * The rows of one partition that a query lets through, in one direction. Until its turn comes, the bounds of its times stand for its
 * rows, and until a segment's turn comes, those of the segment; then that is read chunk by chunk.
 */
export class PartitionStream {
  readonly partition: string;
  /** Cursor: forwards the offset of the next row, backwards one more than that. */
  position: number;
  /** Time of the next row, or a bound of it while `ready` is false. */
  #time = 0;
  #chunk: Chunk | undefined;
  readonly #context: PartitionContext;
  readonly #window: Window;
  readonly #bounds: PartitionBounds;
  readonly #filter: Omit<SegmentFilter, 'partition'>;
  /** What is known to be left to read, the next one last. */
  #spans: SegmentSpan[] = [];
  /** Whether the manifest may have more behind these. */
  #more = true;
  #source: { id: number; source: Source } | undefined;
  readonly #challengers: Challengers | undefined;

  constructor(context: PartitionContext, bounds: PartitionBounds, filter: Omit<SegmentFilter, 'partition'>, window: Window, cursor: number | undefined, challengers?: Challengers) {
    this.#context = context;
    this.#challengers = challengers;
    this.partition = bounds.partition;
    this.#bounds = bounds;
    this.#filter = filter;
    this.#window = window;
    this.position = window.backwards ? Math.min(cursor ?? Infinity, bounds.end) : Math.max(cursor ?? 0, bounds.first);
    this.#time = this.#bound(bounds);
    // What a cursor has left behind is not looked up again.
    if (window.backwards ? this.position <= bounds.first : this.position >= bounds.end) this.#more = false;
  }

  get done(): boolean {
    return this.#spans.length === 0 && !this.#more;
  }

  get ready(): boolean {
    return this.#chunk !== undefined;
  }

  /** Whether its next row comes before the other's. A bound comes before what is known to be at that time. */
  before(other: PartitionStream): boolean {
    return this.#order(this.#time, other);
  }

  #order(time: number, other: PartitionStream): boolean {
    if (time !== other.#time) return this.#window.backwards ? time > other.#time : time < other.#time;
    if (other.ready !== this.ready) return !this.ready;
    return this.#window.backwards ? this.partition > other.partition : this.partition < other.partition;
  }

  /** Reads on until the next row is known, or one more chunk or list of segments had none. How many rows that were. */
  async load(): Promise<number> {
    const span = this.#spans.at(-1);
    if (span === undefined) {
      await this.#list();
      return 0;
    }
    const { backwards } = this.#window;
    const row = (backwards ? this.position - 1 : this.position) - span.first;
    const read = await this.#context.reader.read(join(this.#context.folder, span.file), span.bytes, row, this.#window);
    if (read === undefined) {
      this.position = backwards ? span.first : span.first + span.rows;
      this.#nextSpan();
      return 0;
    }
    const first = span.first + read.first;
    this.position = backwards ? Math.min(this.position, first + read.batch.rows) : Math.max(this.position, first);
    const times = (read.batch.columns[0] as TensorColumn).values as BigInt64Array;
    const counts = (read.batch.columns.find((c) => c.name === 'anomaly.count') as TensorColumn | undefined)?.values as Int8Array | undefined;
    const source = await this.#sourceOf(span);
    const batch = this.#challengers === undefined ? read.batch : await this.#challengers.join(read.batch, first, source.pipelineVersion.toString());
    this.#chunk = { batch, times, counts, first, bytesPerRow: Math.max(1, bytesOf(batch) / batch.rows), source };
    this.#settle();
    return batch.rows;
  }

  /**
   * The next rows, as long as they come before those of `until`: at most `rows` of them and about `bytes` bytes, but one at least.
   * Undefined when the next row's columns have another key than `key`.
   */
  take(rows: number, bytes: number, until: PartitionStream | undefined, key: string | undefined): Rows | undefined {
    const chunk = this.#chunk!;
    const { batch, source, bytesPerRow } = chunk;
    if (key !== undefined && source.key !== key) return undefined;
    const { backwards } = this.#window;
    const most = Math.max(1, Math.min(rows, Math.floor(bytes / bytesPerRow)));
    const step = backwards ? -1 : 1;
    const start = this.#index(chunk);
    let end = start + step;
    while (end !== start + step * most && end >= 0 && end < batch.rows && this.#wanted(chunk, end) && (until === undefined || this.#order(Number(chunk.times[end]), until))) end += step;
    this.position += end - start;
    this.#settle();
    const [from, to] = backwards ? [end + 1, start + 1] : [start, end];
    return { batch, from, to, bytes: (to - from) * bytesPerRow, batchBytes: batch.rows * bytesPerRow, source };
  }

  #index(chunk: Chunk): number {
    return (this.#window.backwards ? this.position - 1 : this.position) - chunk.first;
  }

  #wanted(chunk: Chunk, index: number): boolean {
    const time = Number(chunk.times[index]);
    return time >= this.#window.from && time <= this.#window.to && (!this.#window.anomalies || (chunk.counts?.[index] ?? 0) > 0);
  }

  /** Goes to the next row that is wanted, within what has been read. */
  #settle(): void {
    const chunk = this.#chunk!;
    const step = this.#window.backwards ? -1 : 1;
    let index = this.#index(chunk);
    while (index >= 0 && index < chunk.batch.rows && !this.#wanted(chunk, index)) {
      index += step;
      this.position += step;
    }
    if (index >= 0 && index < chunk.batch.rows) {
      this.#time = Number(chunk.times[index]);
      return;
    }
    this.#chunk = undefined;
    this.#nextSpan();
  }

  /** Drops segments that are read; the time bound of what comes next stands for it. */
  #nextSpan(): void {
    const { backwards } = this.#window;
    for (let span = this.#spans.at(-1); span !== undefined; span = this.#spans.at(-1)) {
      const end = span.first + span.rows;
      if (backwards ? this.position > span.first : this.position < end) {
        // Between segments, offsets may be missing.
        this.position = backwards ? Math.min(this.position, end) : Math.max(this.position, span.first);
        this.#time = this.#bound(span);
        return;
      }
      this.#spans.pop();
    }
    // Of what is behind the known ones nothing else is known: clocks are set back, too.
    this.#time = this.#bound(this.#bounds);
  }

  async #list(): Promise<void> {
    const { backwards } = this.#window;
    const found = await this.#context.store.segments(this.#bounds.partitionId, this.#filter, this.position, backwards);
    this.#more = found.length === segmentsAtOnce;
    this.#spans = found.toReversed();
    this.#nextSpan();
  }

  /** Time that none of these rows comes before. */
  #bound({ minTime, maxTime }: { minTime: number; maxTime: number }): number {
    return this.#window.backwards ? Math.min(maxTime, this.#window.to) : Math.max(minTime, this.#window.from);
  }

  async #sourceOf(span: SegmentSpan): Promise<Source> {
    if (this.#source?.id === span.id) return this.#source.source;
    const schema = await this.#context.store.schemaOf(span.id);
    // Its pipeline was removed this moment.
    if (schema === undefined) throw Object.assign(new Error('A log segment is gone.'), { code: 'ENOENT' });
    const source = sourceFrom(schema, this.partition, this.#challengers?.keyOf(schema.pipeline.version) ?? '');
    this.#source = { id: span.id, source };
    return source;
  }
}

function sourceFrom(schema: LogSchema, partition: string, more: string): Source {
  return {
    key: columnsKey(schema) + more, partition: Buffer.from(partition), pipelineVersion: Buffer.from(schema.pipeline.version),
    models: schema.models.map(({ name, sha }) => Buffer.from(JSON.stringify({ model_name: name, model_sha: sha }))),
  };
}

function bytesOf({ columns }: Batch): number {
  return columns.reduce((sum, column) => {
    if (column.kind === 'struct') return sum + bytesOf({ rows: 0, columns: column.fields });
    if (column.kind === 'list') return sum + column.offsets.byteLength + bytesOf({ rows: 0, columns: [column.items] });
    const { values } = column;
    return sum + ('offsets' in values ? values.offsets.byteLength + values.bytes.byteLength : values.byteLength);
  }, 0);
}
