import type { Migration } from '../migrate.ts';

/** Keys of uploads: what the file was that an answered one came with, and when the request that holds one was last at work. */
export const uploadKeys: Migration = async ({ db }) => {
  await db.schema.alterTable('idempotency_keys').addColumn('content', 'text').execute();
  await db.schema.alterTable('idempotency_keys').addColumn('renewed_at', 'bigint').execute();
  await db.schema.createIndex('idempotency_keys_user').on('idempotency_keys').columns(['user_uuid', 'created_at']).execute();
};
