import type { Migration } from '../migrate.ts';

export const deployments: Migration = async ({ db, table }) => {
  await table('deployments')
    .addColumn('pipeline_id', 'integer', (c) => c.notNull().unique().references('pipelines.id'))
    .addColumn('workspace_id', 'integer', (c) => c.notNull().references('workspaces.id'))
    .addColumn('pipeline_version_id', 'integer', (c) => c.notNull())
    .addColumn('wanted', 'text', (c) => c.notNull())
    .addColumn('generation', 'integer', (c) => c.notNull())
    .addColumn('config', 'text', (c) => c.notNull())
    .addColumn('spec', 'text', (c) => c.notNull())
    .addColumn('proven_spec', 'text')
    .addColumn('proven_generation', 'integer')
    .addColumn('port', 'integer')
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('deployments_workspace').on('deployments').column('workspace_id').execute();
};
