import type { Migration } from '../migrate.ts';

export const pipelines: Migration = async ({ db, table }) => {
  await table('pipelines')
    .addColumn('workspace_id', 'integer', (c) => c.notNull().references('workspaces.id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('owner_id', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('pipelines_name', ['workspace_id', 'name'])
    .execute();
  await table('pipeline_versions')
    .addColumn('pipeline_id', 'integer', (c) => c.notNull().references('pipelines.id').onDelete('cascade'))
    .addColumn('version', 'text', (c) => c.notNull().unique())
    .addColumn('steps', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('created_by', 'text', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('pipeline_versions_pipeline').on('pipeline_versions').columns(['pipeline_id', 'id']).execute();
  await db.schema.createTable('pipeline_version_models')
    .addColumn('pipeline_version_id', 'integer', (c) => c.notNull().references('pipeline_versions.id').onDelete('cascade'))
    .addColumn('model_version_id', 'integer', (c) => c.notNull().references('model_versions.id'))
    .addPrimaryKeyConstraint('pipeline_version_models_key', ['pipeline_version_id', 'model_version_id'])
    .execute();
  await db.schema.createIndex('pipeline_version_models_model').on('pipeline_version_models').column('model_version_id').execute();
};
