import type { Generated, Kysely, SelectQueryBuilder, Transaction } from 'kysely';
import { shadowPartition } from '@potoroo/contract';
import type { LogSchema } from '@potoroo/batch/frames';
import type { Database } from '../../storage/database.ts';
import { flag, json, parsed, type Flag, type Json, type Time } from '../../storage/values.ts';

/** `next` is the offset wanted next, `missing` how many rows below it never came. */
interface LogPartitionTable { id: Generated<number>; pipelineId: number; name: string; next: number; missing: number; createdAt: Time }
/** Rows `first .. first + rows` of a partition, without gaps, in the first `bytes` bytes of a file. The last one of a partition grows until it is sealed. */
interface LogSegmentTable {
  id: Generated<number>; partitionId: number; pipelineVersion: string; file: string; first: number; rows: number; bytes: number;
  minTime: Time; maxTime: Time; sealed: Flag; schema: Json;
}
export interface LogTables { logPartitions: LogPartitionTable; logSegments: LogSegmentTable }

export interface PartitionRow { readonly id: number; readonly pipelineId: number; readonly name: string; readonly next: number; readonly missing: number }
export interface SegmentRow {
  readonly id: number; readonly pipelineVersion: string; readonly file: string; readonly first: number; readonly rows: number; readonly bytes: number;
  readonly minTime: Time; readonly maxTime: Time; readonly sealed: boolean; readonly schema: LogSchema;
}
export type NewSegment = Omit<SegmentRow, 'id'>;
/** A segment as a list of what to read needs it: without its schema. */
export interface SegmentSpan { readonly id: number; readonly file: string; readonly first: number; readonly rows: number; readonly bytes: number; readonly minTime: Time; readonly maxTime: Time }

/** Offsets `first .. end` of a partition, and the times within which its rows are. */
export interface PartitionBounds { readonly partitionId: number; readonly partition: string; readonly first: number; readonly end: number; readonly minTime: Time; readonly maxTime: Time }

/** A page reads few of a partition's segments: the rest of the manifest stays where it is. */
export const segmentsAtOnce = 16;
const spanColumns = ['id', 'file', 'first', 'rows', 'bytes', 'minTime', 'maxTime'] as const;

export interface SegmentFilter { /** UUIDs, at least one. */ pipelineVersions?: readonly string[] | undefined; partition?: string | undefined; start?: Time | undefined; end?: Time | undefined }

/** A segment after its last rows; without an id it is new. */
export type Growth = NewSegment & { readonly id?: number };
interface Commit { readonly run: (tx: Transaction<Database>) => Promise<number[]>; readonly resolve: (ids: number[]) => void; readonly reject: (error: unknown) => void }

export class LogStore {
  readonly #db: Kysely<Database>;
  readonly #waiting: Commit[] = [];
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async pipelineOf(deploymentId: number): Promise<number | undefined> {
    const row = await this.#db.selectFrom('deployments').select('pipelineId').where('id', '=', deploymentId).executeTakeFirst();
    return row?.pipelineId;
  }

  partition(pipelineId: number, name: string): Promise<PartitionRow | undefined> {
    return this.#db.selectFrom('logPartitions').select(['id', 'pipelineId', 'name', 'next', 'missing'])
      .where('pipelineId', '=', pipelineId).where('name', '=', name).executeTakeFirst();
  }

  /** @throws a foreign key violation when the pipeline is gone */
  addPartition(pipelineId: number, name: string, now: Time): Promise<PartitionRow> {
    return this.#db.insertInto('logPartitions').values({ pipelineId, name, next: 0, missing: 0, createdAt: now })
      .returning(['id', 'pipelineId', 'name', 'next', 'missing']).executeTakeFirstOrThrow();
  }

  /** The segment that a partition's next rows go to; undefined when the last one is sealed. */
  async openSegment(partitionId: number): Promise<SegmentRow | undefined> {
    const row = await this.#db.selectFrom('logSegments').selectAll().where('partitionId', '=', partitionId).orderBy('first', 'desc').limit(1).executeTakeFirst();
    if (row === undefined || row.sealed === 1) return undefined;
    return { ...row, sealed: false, schema: parsed<LogSchema>(row.schema) };
  }

  /**
   * Moves a partition on from `from` with the segments that its rows went to, all or nothing. Gives the ids of the segments. Commits
   * of one turn of the event loop share a transaction, as each of those is a wait for the disk.
   * @throws Error when somebody else moved it: the rows are not in the log through this call
   */
  commit(partition: PartitionRow, from: number, segments: readonly Growth[]): Promise<number[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ run: (tx) => move(tx, partition, from, segments), resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => { void this.#commitWaiting(); });
    });
  }

  async #commitWaiting(): Promise<void> {
    const commits = this.#waiting.splice(0);
    const together = (some: readonly Commit[]): Promise<number[][]> => this.#db.transaction().execute(async (tx) => {
      const ids: number[][] = [];
      for (const { run } of some) ids.push(await run(tx));
      return ids;
    });
    try {
      (await together(commits)).forEach((ids, i) => { commits[i]!.resolve(ids); });
    } catch (error) {
      // One that cannot be must not take the others with it.
      if (commits.length === 1) commits[0]!.reject(error);
      else for (const commit of commits) await together([commit]).then(([ids]) => { commit.resolve(ids!); }, commit.reject);
    }
  }

  /** The same rows in another file, or the end of its growth. */
  async replaceFile(id: number, file: { file: string; bytes: number; sealed: boolean }): Promise<void> {
    await this.#db.updateTable('logSegments').set({ ...file, sealed: flag(file.sealed) }).where('id', '=', id).execute();
  }

  /** Partitions with segments that can have rows that the filter lets through, and the bounds of those. What challengers said of them is in partitions of its own. */
  async bounds(pipelineId: number, filter: SegmentFilter): Promise<PartitionBounds[]> {
    let query = filtered(this.#db.selectFrom('logSegments').innerJoin('logPartitions', 'logPartitions.id', 'logSegments.partitionId'), filter)
      .select(({ fn, eb }) => ['partitionId', 'logPartitions.name as partition', fn.min('first').as('first'), fn.max(eb('first', '+', eb.ref('rows'))).as('end'), fn.min('minTime').as('minTime'), fn.max('maxTime').as('maxTime')])
      .where('pipelineId', '=', pipelineId).groupBy(['partitionId', 'logPartitions.name']).orderBy('logPartitions.name');
    if (filter.partition !== undefined) query = query.where('logPartitions.name', 'in', [filter.partition, shadowPartition(filter.partition)]);
    return query.execute();
  }

  /** Segments of one partition that can have rows that the filter lets through, a few at a time: those with rows from offset `from` on in row order, or, backwards, with rows below it, last first. */
  segments(partitionId: number, filter: Omit<SegmentFilter, 'partition'>, from: number, backwards: boolean): Promise<SegmentSpan[]> {
    return filtered(this.#db.selectFrom('logSegments'), filter).select(spanColumns).where('partitionId', '=', partitionId)
      .where(({ eb }) => (backwards ? eb('first', '<', from) : eb(eb('first', '+', eb.ref('rows')), '>', from))).orderBy('first', backwards ? 'desc' : 'asc').limit(segmentsAtOnce).execute();
  }

  /** Segments with rows of `from .. to`, in row order. */
  segmentsOver(partitionId: number, from: number, to: number): Promise<SegmentSpan[]> {
    return this.#db.selectFrom('logSegments').select(spanColumns).where('partitionId', '=', partitionId)
      .where(({ eb }) => eb.and([eb('first', '<', to), eb(eb('first', '+', eb.ref('rows')), '>', from)])).orderBy('first').execute();
  }

  async schemaOf(segmentId: number): Promise<LogSchema | undefined> {
    const row = await this.#db.selectFrom('logSegments').select('schema').where('id', '=', segmentId).executeTakeFirst();
    return row && parsed<LogSchema>(row.schema);
  }

  /** Of what challengers say: the newest schema of each pipeline version. */
  async shadowSchemas(pipelineId: number): Promise<Map<string, LogSchema>> {
    const newest = this.#db.selectFrom('logSegments').innerJoin('logPartitions', 'logPartitions.id', 'logSegments.partitionId')
      .where('pipelineId', '=', pipelineId).where('logPartitions.name', 'like', shadowPartition('%')).groupBy('pipelineVersion').select(({ fn }) => fn.max('logSegments.id').as('id'));
    const rows = await this.#db.selectFrom('logSegments').select(['pipelineVersion', 'schema']).where('id', 'in', newest).execute();
    return new Map(rows.map((row) => [row.pipelineVersion, parsed<LogSchema>(row.schema)]));
  }

  async partitions(pipelineId: number): Promise<{ name: string; start: number; end: number }[]> {
    const rows = await this.#db.selectFrom('logPartitions').leftJoin('logSegments', 'logPartitions.id', 'logSegments.partitionId')
      .select(({ fn }) => ['name', 'next as end', fn.min('first').as('start')])
      .where('pipelineId', '=', pipelineId).groupBy(['logPartitions.id', 'name', 'next']).orderBy('name').execute();
    const names = new Set(rows.map((row) => row.name));
    const shadows = new Set([...names].map(shadowPartition));
    return rows.filter(({ name }) => !shadows.has(name)).map(({ name, start, end }) => ({ name, start: Number(start ?? end), end }));
  }

  /** All files that the manifest knows. */
  async files(): Promise<string[]> {
    return (await this.#db.selectFrom('logSegments').select('file').execute()).map((row) => row.file);
  }
}

function filtered<D extends Database, T extends keyof D, O>(query: SelectQueryBuilder<D, T | 'logSegments', O>, { pipelineVersions, start, end }: SegmentFilter): SelectQueryBuilder<D, T | 'logSegments', O> {
  let some = query as SelectQueryBuilder<Database, 'logSegments', O>;
  if (pipelineVersions !== undefined) some = some.where('pipelineVersion', 'in', pipelineVersions);
  if (start !== undefined) some = some.where('maxTime', '>=', start);
  if (end !== undefined) some = some.where('minTime', '<=', end);
  return some as SelectQueryBuilder<D, T | 'logSegments', O>;
}

async function move(tx: Transaction<Database>, partition: PartitionRow, from: number, segments: readonly Growth[]): Promise<number[]> {
  const { numUpdatedRows } = await tx.updateTable('logPartitions').set({ next: partition.next, missing: partition.missing })
    .where('id', '=', partition.id).where('next', '=', from).executeTakeFirst();
  if (numUpdatedRows !== 1n) throw new Error(`The log partition ${partition.name} was written by somebody else.`);
  const ids: number[] = [];
  for (const { id, sealed, schema, ...rest } of segments) {
    const values = { ...rest, sealed: flag(sealed), schema: json(schema) };
    if (id === undefined) ids.push((await tx.insertInto('logSegments').values({ ...values, partitionId: partition.id }).returning('id').executeTakeFirstOrThrow()).id);
    else {
      await tx.updateTable('logSegments').set(values).where('id', '=', id).execute();
      ids.push(id);
    }
  }
  return ids;
}
