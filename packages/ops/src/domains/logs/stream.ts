import { join } from 'node:path';
import type { Batch, TensorColumn } from '@potoroo/batch';
import type { LogSchema } from '@potoroo/batch/frames';
import type { Challengers } from './challengers.ts';
import { columnsKey } from './columns.ts';
import type { SegmentSpan } from './logs.store.ts';
import type { PartitionContext } from './partition.ts';

/** Which rows are wanted, times inclusive, and in which direction. */
export interface Window { readonly from: number; readonly to: number; readonly backwards: boolean }

/** What holds for all rows of a segment. */
interface Source { readonly key: string; readonly partition: Buffer; readonly pipelineVersion: Buffer; readonly models: readonly Buffer[] }

/** Rows `from .. to` of a batch: about `bytes` bytes of the `batchBytes` that it holds. */
export interface Rows { readonly batch: Batch; readonly from: number; readonly to: number; readonly bytes: number; readonly batchBytes: number; readonly source: Source }

interface Chunk { readonly batch: Batch; readonly times: BigInt64Array; readonly first: number; readonly bytesPerRow: number; readonly source: Source }

/**
 * The rows of one partition that a query lets through, in one direction. Until a segment's turn comes, the bounds of its times stand
 * for its rows; then it is read chunk by chunk.
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
  /** What is left to read, the next one last. */
  readonly #spans: SegmentSpan[];
  #source: { id: number; source: Source } | undefined;
  readonly #challengers: Challengers | undefined;

  constructor(context: PartitionContext, partition: string, spans: readonly SegmentSpan[], window: Window, cursor: number | undefined, challengers?: Challengers) {
    this.#context = context;
    this.#challengers = challengers;
    this.partition = partition;
    this.#window = window;
    this.#spans = window.backwards ? [...spans] : spans.toReversed();
    this.position = window.backwards ? cursor ?? Infinity : Math.max(cursor ?? 0, spans[0]?.first ?? 0);
    this.#nextSpan();
  }

  get done(): boolean {
    return this.#spans.length === 0;
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

  /** Reads on until the next row is known, or one more chunk had none. */
  async load(): Promise<void> {
    const span = this.#spans.at(-1)!;
    const { backwards } = this.#window;
    const row = (backwards ? this.position - 1 : this.position) - span.first;
    const read = await this.#context.reader.read(join(this.#context.folder, span.file), span.bytes, row, backwards);
    const { first } = read;
    const times = (read.batch.columns[0] as TensorColumn).values as BigInt64Array;
    const source = await this.#sourceOf(span);
    const batch = this.#challengers === undefined ? read.batch : await this.#challengers.join(read.batch, span.first + first, source.pipelineVersion.toString());
    this.#chunk = { batch, times, first: span.first + first, bytesPerRow: Math.max(1, bytesOf(batch) / batch.rows), source };
    this.#settle();
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
    return time >= this.#window.from && time <= this.#window.to;
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
        this.#time = backwards ? Math.min(span.maxTime, this.#window.to) : Math.max(span.minTime, this.#window.from);
        return;
      }
      this.#spans.pop();
    }
  }

  async #sourceOf(span: SegmentSpan): Promise<Source> {
    if (this.#source?.id === span.id) return this.#source.source;
    const schema = await this.#context.store.schemaOf(span.id);
    // Its pipeline was removed this moment.
    if (schema === undefined) throw Object.assign(new Error('A log segment is gone.'), { code: 'ENOENT' });
    const source = sourceFrom(schema, span.partition, this.#challengers?.keyOf(schema.pipeline.version) ?? '');
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
