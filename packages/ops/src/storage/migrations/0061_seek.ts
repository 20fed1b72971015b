import type { Migration } from '../migrate.ts';

/** For what is looked up by its time: which segments of a log come into question is told by an index alone; audit records go by age and are asked for by who. */
export const seek: Migration = async ({ db }) => {
  await db.schema.createIndex('log_segments_seek').on('log_segments').columns(['partition_id', 'first', 'rows', 'min_time', 'max_time']).execute();
  // The same rows in the same order.
  await db.schema.dropIndex('log_segments_partition').execute();
  await db.schema.createIndex('audit_records_time').on('audit_records').columns(['time']).execute();
  await db.schema.createIndex('audit_records_user').on('audit_records').columns(['user_uuid', 'id']).execute();
};
