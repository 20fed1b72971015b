import { join } from 'node:path';
import { concat, slice, take, type Batch, type Column } from '@potoroo/batch';
import { nullColumn, type LogSchema } from '@potoroo/batch/frames';
import { columnsKey } from './columns.ts';
import type { SegmentSpan } from './logs.store.ts';
import type { PartitionContext } from './partition.ts';
import { allTimes, type Piece } from './segment.ts';

/**
 * What challengers said of the rows of one partition: a partition of its own, whose rows have the offsets of the rows they belong to.
 * They come a little later, and not for all rows: where they are missing, they are null.
 */
export class Challengers {
  readonly #context: PartitionContext;
  /** Theirs; undefined when they have said nothing of these rows. */
  readonly #partitionId: number | undefined;
  /** Newest schema by pipeline version, of whatever partition: all partitions of a version give the same columns. */
  readonly #schemas: ReadonlyMap<string, LogSchema>;
  readonly #keys = new Map<number, string>();

  constructor(context: PartitionContext, partitionId: number | undefined, schemas: ReadonlyMap<string, LogSchema>) {
    this.#context = context;
    this.#partitionId = partitionId;
    this.#schemas = schemas;
  }

  /** What rows of this pipeline version have more, as a part of what tells tables apart. */
  keyOf(pipelineVersion: string): string {
    const schema = this.#schemas.get(pipelineVersion);
    return schema === undefined ? '' : columnsKey(schema);
  }

  /** These rows of the partition with the challengers' columns behind what was answered. */
  async join(batch: Batch, first: number, pipelineVersion: string): Promise<Batch> {
    const schema = this.#schemas.get(pipelineVersion);
    if (schema === undefined) return batch;
    const place = new Int32Array(batch.rows).fill(-1);
    const parts: Batch[] = [];
    let at = 0;
    for (const { first: offset, part } of await this.#parts(first, first + batch.rows, schema)) {
      parts.push(part);
      for (let i = 0; i < part.rows; i += 1) place[offset - first + i] = at++;
    }
    const columns = parts.length === 0 ? schema.columns.map((field) => nullColumn(field, batch.rows)) : take(concat(parts), place).columns;
    const split = batch.columns.findIndex((c) => c.name.startsWith('metadata.'));
    return { rows: batch.rows, columns: [...batch.columns.slice(0, split), ...columns, ...batch.columns.slice(split)] };
  }

  async #parts(from: number, to: number, schema: LogSchema): Promise<{ first: number; part: Batch }[]> {
    const parts: { first: number; part: Batch }[] = [];
    if (this.#partitionId === undefined) return parts;
    for (const span of await this.#context.store.segmentsOver(this.#partitionId, from, to)) {
      const end = Math.min(to, span.first + span.rows);
      if (await this.#keyOf(span) !== columnsKey(schema)) continue;
      for (let row = Math.max(from, span.first); row < end;) {
        const { first, batch } = await this.#context.reader.read(join(this.#context.folder, span.file), span.bytes, row - span.first, { ...allTimes, backwards: false }) as Piece;
        const start = span.first + first;
        const until = Math.min(end, start + batch.rows);
        const columns = schema.columns.map((field) => batch.columns.find((c) => c.name === field.name) as Column);
        parts.push({ first: row, part: slice({ rows: batch.rows, columns }, row - start, until - start) });
        row = until;
      }
    }
    return parts;
  }

  async #keyOf(span: SegmentSpan): Promise<string> {
    let key = this.#keys.get(span.id);
    if (key === undefined) {
      const schema = await this.#context.store.schemaOf(span.id);
      this.#keys.set(span.id, key = schema === undefined ? '' : columnsKey(schema));
    }
    return key;
  }
}
