import { sql, type CreateTableBuilder, type Kysely } from 'kysely';
import type { Database, Dialect } from './database.ts';
import { migrations } from './migrations/index.ts';

/** What a migration works with. `table` starts a table whose `id` counts up and is never used twice. */
export interface MigrationContext {
  readonly db: Kysely<Database>;
  readonly dialect: Dialect;
  table(name: string): CreateTableBuilder<string, 'id'>;
}
export type Migration = (context: MigrationContext) => Promise<void>;

const advisoryLock = 7_207_660_001;

/**
 * Runs the migrations that this database has not had, in order, in one transaction under a lock. Names that this version
 * does not know are left alone: they come from a newer version, whose migrations are safe beside this one.
 */
export async function migrate(db: Kysely<Database>, dialect: Dialect): Promise<void> {
  await db.transaction().execute(async (tx) => {
    if (dialect === 'postgres') await sql`select pg_advisory_xact_lock(${sql.lit(advisoryLock)})`.execute(tx);
    await sql`create table if not exists schema_migrations (name text primary key, ran_at bigint not null)`.execute(tx);
    const done = await sql<{ name: string }>`select name from schema_migrations`.execute(tx);
    const names = new Set(done.rows.map((row) => row.name));
    for (const [name, run] of Object.entries(migrations)) {
      if (names.has(name)) continue;
      await run({ db: tx, dialect, table: (table) => tableWithId(tx, dialect, table) });
      await sql`insert into schema_migrations (name, ran_at) values (${name}, ${Date.now()})`.execute(tx);
    }
  });
}

function tableWithId(db: Kysely<Database>, dialect: Dialect, name: string): CreateTableBuilder<string, 'id'> {
  const table = db.schema.createTable(name);
  return dialect === 'postgres'
    ? table.addColumn('id', 'integer', (c) => c.generatedByDefaultAsIdentity().primaryKey())
    : table.addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement());
}
