import type { Migration } from '../migrate.ts';

/** What ran models beside engines, now and for a while after its end, and what it wrote: pieces of many lines each. */
export const sidekicks: Migration = async ({ db, table }) => {
  await table('sidekicks')
    .addColumn('deployment_id', 'integer', (c) => c.notNull().references('deployments.id').onDelete('cascade'))
    .addColumn('engine', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('model', 'text', (c) => c.notNull())
    .addColumn('model_version', 'text', (c) => c.notNull())
    .addColumn('sha', 'text', (c) => c.notNull())
    .addColumn('step', 'integer', (c) => c.notNull())
    .addColumn('started_at', 'bigint', (c) => c.notNull())
    .addColumn('ended_at', 'bigint')
    .addColumn('reason', 'text')
    .addColumn('restarts', 'integer', (c) => c.notNull())
    .addColumn('next_line', 'bigint', (c) => c.notNull())
    .addColumn('log_bytes', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('sidekicks_name', ['deployment_id', 'name'])
    .execute();
  await db.schema.createIndex('sidekicks_ended').on('sidekicks').column('ended_at').execute();
  await table('sidekick_lines')
    .addColumn('sidekick_id', 'integer', (c) => c.notNull().references('sidekicks.id').onDelete('cascade'))
    .addColumn('first', 'bigint', (c) => c.notNull())
    .addColumn('bytes', 'integer', (c) => c.notNull())
    .addColumn('min_time', 'bigint', (c) => c.notNull())
    .addColumn('max_time', 'bigint', (c) => c.notNull())
    .addColumn('lines', 'text', (c) => c.notNull())
    .addUniqueConstraint('sidekick_lines_first', ['sidekick_id', 'first'])
    .execute();
};
