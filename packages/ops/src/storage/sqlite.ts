import { setTimeout as pause } from 'node:timers/promises';
import type Sqlite from 'better-sqlite3';
import { CompiledQuery, SqliteDialect, SqliteDriver, type DatabaseConnection, type QueryResult } from 'kysely';
import { isBusy } from './errors.ts';

/** How often, and so many times at most, a statement is tried again while another program holds the database: five seconds. */
const again = { ms: 50, times: 100 } as const;

/**
 * Kysely's dialect for a database that other programs open as well, such as a shell or what makes backups. While one of them has it
 * locked, statements wait without holding up the thread. Once one has waited in vain the next are refused at once, or the readers
 * behind them, who share the connection, would wait for each in turn; the first that writes ends that.
 */
export function sqliteDialect(database: Sqlite.Database): SqliteDialect {
  const dialect = new SqliteDialect({ database });
  dialect.createDriver = () => new Driver(database);
  return dialect;
}

class Driver extends SqliteDriver {
  readonly #database: Sqlite.Database;
  #connection: DatabaseConnection | undefined;

  constructor(database: Sqlite.Database) {
    super({ database });
    this.#database = database;
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection();
    return (this.#connection ??= patient(connection));
  }

  /** The lock is taken here: later, what was read may have been changed by who had it, and waiting would not help. */
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  /** SQLite ends a transaction itself when the disk is full; rolling it back once more would fail and hide why. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#database.inTransaction) await super.rollbackTransaction(connection);
  }
}

function patient(connection: DatabaseConnection): DatabaseConnection {
  let left: number = again.times;
  return {
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      for (;;) {
        try {
          const result = await connection.executeQuery<R>(query);
          // Readers get through while others may not write.
          if (result.numAffectedRows !== undefined) left = again.times;
          return result;
        } catch (error) {
          if (!isBusy(error) || left === 0) throw error;
          left -= 1;
          await pause(again.ms);
        }
      }
    },
    streamQuery: (query, size) => connection.streamQuery(query, size),
  };
}
