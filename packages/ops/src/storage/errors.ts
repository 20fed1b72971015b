import { fromSystemError, isPotorooError, PotorooError } from '@potoroo/contract';

const codeOf = (error: unknown): string => (error as { code?: string } | null)?.code ?? '';

/** Whether an insert or update broke a unique constraint: somebody else was first. */
export function isUniqueViolation(error: unknown): boolean {
  return ['SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_CONSTRAINT_PRIMARYKEY', '23505'].includes(codeOf(error));
}

/** Whether a row could not be removed or added because of another row that points to it, or does not exist. */
export function isForeignKeyViolation(error: unknown): boolean {
  return ['SQLITE_CONSTRAINT_FOREIGNKEY', '23503', '23001'].includes(codeOf(error));
}

/** Whether another program has the database locked. */
export function isBusy(error: unknown): boolean {
  return codeOf(error).startsWith('SQLITE_BUSY');
}

/** What a database or the file system says, as an error that a person can act on; the rest is `internal`. */
export function fromDatabaseError(error: unknown): PotorooError {
  if (isPotorooError(error)) return error;
  const code = codeOf(error);
  if (code === 'SQLITE_FULL' || code === '53100') return new PotorooError('storage_full', 'The database cannot grow: no space is left. Free space on its disk.', { cause: error });
  if (code.startsWith('SQLITE_READONLY') || code === 'SQLITE_CANTOPEN' || code === 'SQLITE_PERM') {
    return new PotorooError('storage_read_only', 'The database in the data folder cannot be written. Make the folder writable for this user.', { cause: error });
  }
  if (isBusy(error)) return new PotorooError('storage_busy', 'Another program has the database in the data folder locked. Try again in a moment, or end what holds potoroo.db.', { cause: error });
  return fromSystemError(error, 'The request');
}
