import type { Migration } from '../migrate.ts';

export const tagsAndConnections: Migration = async ({ db, table }) => {
  await table('tags')
    .addColumn('tag', 'text', (c) => c.notNull().unique())
    .addColumn('created_by', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema.createTable('model_tags')
    .addColumn('tag_id', 'integer', (c) => c.notNull().references('tags.id').onDelete('cascade'))
    .addColumn('model_version_id', 'integer', (c) => c.notNull().references('model_versions.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('model_tags_key', ['tag_id', 'model_version_id'])
    .execute();
  await db.schema.createIndex('model_tags_version').on('model_tags').column('model_version_id').execute();
  await db.schema.createTable('pipeline_tags')
    .addColumn('tag_id', 'integer', (c) => c.notNull().references('tags.id').onDelete('cascade'))
    .addColumn('pipeline_id', 'integer', (c) => c.notNull().references('pipelines.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('pipeline_tags_key', ['tag_id', 'pipeline_id'])
    .execute();
  await db.schema.createIndex('pipeline_tags_pipeline').on('pipeline_tags').column('pipeline_id').execute();

  await table('connections')
    .addColumn('uuid', 'text', (c) => c.notNull().unique())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('sealed_details', 'text', (c) => c.notNull())
    .addColumn('created_by', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema.createTable('workspace_connections')
    .addColumn('workspace_id', 'integer', (c) => c.notNull().references('workspaces.id').onDelete('cascade'))
    .addColumn('connection_id', 'integer', (c) => c.notNull().references('connections.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('workspace_connections_key', ['workspace_id', 'connection_id'])
    .execute();
};
