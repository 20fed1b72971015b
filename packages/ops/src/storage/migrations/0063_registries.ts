import type { Migration } from '../migrate.ts';

export const registries: Migration = async ({ db, table }) => {
  await table('registries')
    .addColumn('uuid', 'text', (c) => c.notNull().unique())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('url', 'text', (c) => c.notNull())
    .addColumn('sealed_token', 'text')
    .addColumn('created_by', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema.createTable('workspace_registries')
    .addColumn('workspace_id', 'integer', (c) => c.notNull().references('workspaces.id').onDelete('cascade'))
    .addColumn('registry_id', 'integer', (c) => c.notNull().references('registries.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('workspace_registries_key', ['workspace_id', 'registry_id'])
    .execute();
};
