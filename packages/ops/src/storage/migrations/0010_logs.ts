import type { Migration } from '../migrate.ts';

export const logs: Migration = async ({ db, table }) => {
  await table('log_partitions')
    .addColumn('pipeline_id', 'integer', (c) => c.notNull().references('pipelines.id').onDelete('cascade'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('next', 'bigint', (c) => c.notNull())
    .addColumn('missing', 'bigint', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('log_partitions_name', ['pipeline_id', 'name'])
    .execute();
  await table('log_segments')
    .addColumn('partition_id', 'integer', (c) => c.notNull().references('log_partitions.id').onDelete('cascade'))
    .addColumn('pipeline_version', 'text', (c) => c.notNull())
    .addColumn('file', 'text', (c) => c.notNull().unique())
    .addColumn('first', 'bigint', (c) => c.notNull())
    .addColumn('rows', 'bigint', (c) => c.notNull())
    .addColumn('bytes', 'bigint', (c) => c.notNull())
    .addColumn('min_time', 'bigint', (c) => c.notNull())
    .addColumn('max_time', 'bigint', (c) => c.notNull())
    .addColumn('sealed', 'integer', (c) => c.notNull())
    .addColumn('schema', 'text', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('log_segments_partition').on('log_segments').columns(['partition_id', 'first']).execute();
  await db.schema.createIndex('log_segments_time').on('log_segments').columns(['partition_id', 'max_time']).execute();
};
