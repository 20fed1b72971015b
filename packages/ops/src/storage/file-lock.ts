import Sqlite from 'better-sqlite3';

/** What nobody refers to is closed by the garbage collector, and with it the lock would end. */
const held = new Set<Sqlite.Database>();

/**
 * Takes a lock for this process alone and gives what ends it; undefined while somebody else, in this process or another, has it. The lock
 * is the operating system's, on a file held open, so that it ends with the process however that ends. The file stays where it is.
 * @throws what SQLite throws where the file cannot be made
 */
export function tryLock(file: string): (() => void) | undefined {
  const lock = new Sqlite(file, { timeout: 0 });
  try {
    lock.pragma('journal_mode = DELETE');
    lock.exec('begin exclusive');
  } catch (error) {
    lock.close();
    const code = String((error as { code?: unknown }).code);
    if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return undefined;
    throw error;
  }
  held.add(lock);
  return () => { held.delete(lock); lock.close(); };
}
