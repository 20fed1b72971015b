import type { Migration } from '../migrate.ts';

export const audit: Migration = async ({ db, table }) => {
  await table('audit_records')
    .addColumn('time', 'bigint', (c) => c.notNull())
    .addColumn('user_uuid', 'text', (c) => c.notNull())
    .addColumn('email', 'text', (c) => c.notNull())
    .addColumn('action', 'text', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('object_id', 'text')
    .addColumn('workspace_id', 'integer')
    .addColumn('outcome', 'text', (c) => c.notNull())
    .addColumn('request_id', 'text')
    .execute();
  // No references: a record outlives what it tells of.
  await db.schema.createIndex('audit_records_workspace').on('audit_records').columns(['workspace_id', 'id']).execute();
  await db.schema.createIndex('audit_records_object').on('audit_records').columns(['kind', 'object_id', 'id']).execute();
};
