import type { Migration } from '../migrate.ts';

/** For pipelines whose log is kept otherwise than the settings say; null is as these say, 0 for ever. */
export const logRetention: Migration = async ({ db, table }) => {
  await table('log_retentions')
    .addColumn('pipeline_id', 'integer', (c) => c.notNull().unique().references('pipelines.id').onDelete('cascade'))
    .addColumn('days', 'integer')
    .addColumn('bytes', 'bigint')
    .execute();
  await db.schema.createIndex('log_segments_sealed').on('log_segments').columns(['partition_id', 'sealed', 'max_time']).execute();
};
