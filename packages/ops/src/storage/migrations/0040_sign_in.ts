import type { Migration } from '../migrate.ts';

export const signIn: Migration = async ({ db, table }) => {
  await table('device_codes')
    .addColumn('hash', 'text', (c) => c.notNull().unique())
    .addColumn('user_code', 'text', (c) => c.notNull().unique())
    .addColumn('address', 'text', (c) => c.notNull())
    .addColumn('expires_at', 'bigint', (c) => c.notNull())
    .addColumn('polled_at', 'bigint')
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('user_uuid', 'text', (c) => c.references('users.uuid').onDelete('cascade'))
    .execute();
  await db.schema.createIndex('device_codes_expires').on('device_codes').column('expires_at').execute();
  await table('personal_tokens')
    .addColumn('uuid', 'text', (c) => c.notNull().unique())
    .addColumn('user_uuid', 'text', (c) => c.notNull().references('users.uuid').onDelete('cascade'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('hash', 'text', (c) => c.notNull().unique())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('last_used_at', 'bigint')
    .execute();
  await db.schema.createIndex('personal_tokens_user').on('personal_tokens').column('user_uuid').execute();
};
