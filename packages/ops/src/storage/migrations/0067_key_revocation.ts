import type { Migration } from '../migrate.ts';

/** From when a signing key signs, where that is not told by when it was made; and since when its tokens are refused. */
export const keyRevocation: Migration = async ({ db }) => {
  await db.schema.alterTable('signing_keys').addColumn('signs_from', 'bigint').execute();
  await db.schema.alterTable('signing_keys').addColumn('revoked_at', 'bigint').execute();
};
