import type { Migration } from '../migrate.ts';

/** Credentials for the registries of images that were registered as models; each goes with its model version. */
export const images: Migration = async ({ db, table }) => {
  await table('image_credentials')
    .addColumn('uuid', 'text', (c) => c.notNull().unique())
    .addColumn('model_version_id', 'integer', (c) => c.references('model_versions.id').onDelete('cascade'))
    .addColumn('sealed', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute();
  await db.schema.createIndex('image_credentials_version').on('image_credentials').column('model_version_id').execute();
};
