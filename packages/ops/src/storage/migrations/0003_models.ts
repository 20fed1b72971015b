import type { Migration } from '../migrate.ts';

export const models: Migration = async ({ db, table }) => {
  await table('models')
    .addColumn('workspace_id', 'integer', (c) => c.notNull().references('workspaces.id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('owner_id', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('models_name', ['workspace_id', 'name'])
    .execute();
  await table('model_versions')
    .addColumn('model_id', 'integer', (c) => c.notNull().references('models.id'))
    .addColumn('version', 'text', (c) => c.notNull().unique())
    .addColumn('sha256', 'text', (c) => c.notNull())
    .addColumn('size', 'bigint', (c) => c.notNull())
    .addColumn('file_name', 'text', (c) => c.notNull())
    .addColumn('framework', 'text', (c) => c.notNull())
    .addColumn('runtime', 'text', (c) => c.notNull())
    .addColumn('arch', 'text', (c) => c.notNull())
    .addColumn('accel', 'text', (c) => c.notNull())
    .addColumn('visibility', 'text', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('reason', 'text')
    .addColumn('inputs', 'text')
    .addColumn('outputs', 'text')
    .addColumn('conversion', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addColumn('created_by', 'text', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('model_versions_model').on('model_versions').columns(['model_id', 'id']).execute();
  await db.schema.createIndex('model_versions_sha256').on('model_versions').column('sha256').execute();
  await table('model_configs')
    .addColumn('model_version_id', 'integer', (c) => c.notNull().references('model_versions.id').onDelete('cascade'))
    .addColumn('config', 'text', (c) => c.notNull())
    .addColumn('extra', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('model_configs_version').on('model_configs').column('model_version_id').execute();
  await table('model_upload_log')
    .addColumn('model_version_id', 'integer', (c) => c.notNull().references('model_versions.id').onDelete('cascade'))
    .addColumn('line', 'text', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('model_upload_log_version').on('model_upload_log').column('model_version_id').execute();
};
