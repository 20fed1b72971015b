import type { Generated, Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { Time } from '../../storage/values.ts';

interface LogRetentionTable { id: Generated<number>; pipelineId: number; days: number | null; bytes: number | null }
export interface RetentionTables { logRetentions: LogRetentionTable }

/** How long and how much; null is as the settings say, 0 without a bound. */
export interface Retention { readonly days: number | null; readonly bytes: number | null }
export interface ExpiredSegment { readonly id: number; readonly file: string; readonly rows: number; readonly bytes: number; readonly maxTime: Time }

/** So many segments go in one transaction. */
const most = 256;

export class RetentionStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async of(pipelineId: number): Promise<Retention> {
    return (await this.#db.selectFrom('logRetentions').select(['days', 'bytes']).where('pipelineId', '=', pipelineId).executeTakeFirst()) ?? { days: null, bytes: null };
  }

  /** @throws a foreign key violation when the pipeline is gone */
  async set(pipelineId: number, { days, bytes }: Retention): Promise<void> {
    await this.#db.insertInto('logRetentions').values({ pipelineId, days, bytes }).onConflict((c) => c.column('pipelineId').doUpdateSet({ days, bytes })).execute();
  }

  /** Every pipeline that has a log. */
  async pipelines(): Promise<(Retention & { readonly pipelineId: number })[]> {
    return this.#db.selectFrom('logPartitions').leftJoin('logRetentions', 'logRetentions.pipelineId', 'logPartitions.pipelineId')
      .select(['logPartitions.pipelineId', 'days', 'bytes']).distinct().orderBy('logPartitions.pipelineId').execute();
  }

  /** Partitions whose last segment still takes rows, and has only older ones. */
  async idle(pipelineId: number, before: Time): Promise<string[]> {
    const rows = await this.#db.selectFrom('logPartitions').innerJoin('logSegments', 'logPartitions.id', 'logSegments.partitionId')
      .select('name').where('pipelineId', '=', pipelineId).where('sealed', '=', 0).where('maxTime', '<', before).execute();
    return rows.map((row) => row.name);
  }

  /**
   * Takes sealed segments out of the manifest, oldest first: those with only rows from before `before`, and as many more as are over
   * `bytes`. Some at a time; none when there are no more.
   */
  takeExpired(pipelineId: number, before: Time, bytes: number): Promise<ExpiredSegment[]> {
    return this.#db.transaction().execute(async (tx) => {
      const segments = tx.selectFrom('logSegments').innerJoin('logPartitions', 'logPartitions.id', 'logSegments.partitionId').where('pipelineId', '=', pipelineId);
      let over = -bytes;
      if (bytes !== Infinity) over += Number((await segments.select(({ fn }) => fn.sum('bytes').as('bytes')).executeTakeFirstOrThrow()).bytes ?? 0);
      const oldest = await segments.select(['logSegments.id', 'file', 'rows', 'bytes', 'maxTime']).where('sealed', '=', 1).orderBy('maxTime').orderBy('logSegments.id').limit(most).execute();
      const expired: ExpiredSegment[] = [];
      for (const segment of oldest) {
        if (segment.maxTime >= before && over <= 0) break;
        expired.push(segment);
        over -= segment.bytes;
      }
      if (expired.length > 0) await tx.deleteFrom('logSegments').where('id', 'in', expired.map(({ id }) => id)).execute();
      return expired;
    });
  }
}
