import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { fromSystemError, PotorooError } from '@potoroo/contract';
import { migrate } from './migrate.ts';
import { fromDatabaseError } from './errors.ts';
import { makeFolder } from './folders.ts';
import { sqliteDialect } from './sqlite.ts';
import type { IdentityTables } from '../domains/identity/identity.store.ts';
import type { AuditTables } from '../domains/audit/audit.store.ts';
import type { DeviceTables } from '../domains/identity/device.store.ts';
import type { PersonalTokenTables } from '../domains/identity/personal-tokens.store.ts';
import type { UserTables } from '../domains/users/users.store.ts';
import type { WorkspaceTables } from '../domains/workspaces/workspaces.store.ts';
import type { ModelTables } from '../domains/models/models.store.ts';
import type { PipelineTables } from '../domains/pipelines/pipelines.store.ts';
import type { DeploymentTables } from '../domains/deployments/deployments.store.ts';
import type { SidekickTables } from '../domains/deployments/sidekicks.store.ts';
import type { TagTables } from '../domains/tags/tags.store.ts';
import type { ConnectionTables } from '../domains/connections/connections.store.ts';
import type { ImageTables } from '../domains/images/images.store.ts';
import type { RegistryTables } from '../domains/registries/registries.store.ts';
import type { LogTables } from '../domains/logs/logs.store.ts';
import type { RetentionTables } from '../domains/logs/retention.store.ts';
import type { IdempotencyTables } from '../protocols/native/idempotency.store.ts';

/** Every table, declared by the store that owns it. Columns are camelCase here and snake_case in SQL. */
export interface Database extends IdentityTables, AuditTables, DeviceTables, PersonalTokenTables, UserTables, WorkspaceTables, ModelTables, PipelineTables, DeploymentTables, SidekickTables, TagTables, ConnectionTables, RegistryTables, ImageTables, LogTables, RetentionTables, IdempotencyTables {}

/** The database as one transaction sees it. */
export type Transaction = Kysely<Database>;

export type Dialect = 'sqlite' | 'postgres';
export interface Storage {
  readonly db: Kysely<Database>;
  readonly dialect: Dialect;
  close(): Promise<void>;
}

const plugins = [new CamelCasePlugin()];

/**
 * Opens the database and brings it to this version's shape: Postgres when `databaseUrl` is given, else `potoroo.db` in
 * the data folder. The same SQL runs on both: times are milliseconds, booleans 0 and 1, JSON is text (`values.ts`).
 */
export async function createDatabase(settings: { dataDir: string; databaseUrl?: string | undefined }): Promise<Storage> {
  const dialect: Dialect = settings.databaseUrl === undefined ? 'sqlite' : 'postgres';
  const db = settings.databaseUrl === undefined ? openSqlite(settings.dataDir) : openPostgres(settings.databaseUrl);
  try {
    await migrate(db, dialect);
  } catch (error) {
    await db.destroy();
    const known = fromDatabaseError(error);
    if (known.code !== 'internal' || dialect === 'sqlite') throw known;
    throw new PotorooError('settings_invalid', `DATABASE_URL: the database cannot be used (${(error as Error).message}). Check that it runs and that the user may create tables.`, { cause: error });
  }
  return { db, dialect, close: () => db.destroy() };
}

function openSqlite(dataDir: string): Kysely<Database> {
  try {
    makeFolder(dataDir);
    const database = new Sqlite(join(dataDir, 'potoroo.db'));
    database.pragma('journal_mode = WAL');
    // What was acknowledged survives a power cut too; ops writes little, so the fsync per commit is affordable.
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    // From here on waiting is the driver's: SQLite itself would wait on the thread that everything else needs.
    database.pragma('busy_timeout = 0');
    return new Kysely<Database>({ dialect: sqliteDialect(database), plugins });
  } catch (error) {
    const known = fromDatabaseError(error);
    throw known.code === 'internal' ? fromSystemError(error, `Opening the database in ${dataDir}`) : known;
  }
}

function openPostgres(connectionString: string): Kysely<Database> {
  const int8 = 20;
  const types = {
    getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
      oid === int8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
  };
  const pool = new pg.Pool({ connectionString, max: 10, types, connectionTimeoutMillis: 10_000 });
  // A connection lost while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => {});
  return new Kysely<Database>({ dialect: new PostgresDialect({ pool }), plugins });
}
