import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, PotorooError } from '@potoroo/contract';
import { tryLock } from './file-lock.ts';
import { makeFolder } from './folders.ts';

/** A data folder in use by this process. */
export interface DataFolder {
  readonly path: string;
  release(): void;
}

/**
 * Takes a data folder for this process alone; `server.json` beside the lock only tells people who holds it.
 * @throws data_dir_in_use, storage_full, storage_read_only
 */
export function takeDataFolder(path: string): DataFolder {
  const holder = join(path, 'server.json');
  let release: (() => void) | undefined;
  try {
    makeFolder(path, 0o700);
    release = tryLock(join(path, 'server.lock'));
    if (release === undefined) throw new PotorooError('data_dir_in_use', `The data folder ${path} is used by ${holderOf(holder)}. Stop that server, or set POTOROO_DATA_DIR to another folder.`);
    writeFileSync(holder, `${JSON.stringify({ pid: process.pid, since: new Date().toISOString() })}\n`);
    return { path, release };
  } catch (error) {
    release?.();
    const code = String((error as { code?: unknown }).code);
    if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_READONLY')) {
      throw new PotorooError('storage_read_only', `The data folder ${path} cannot be written. Make it writable for this user, or set POTOROO_DATA_DIR to another folder.`, { cause: error });
    }
    if (code === 'SQLITE_FULL') throw new PotorooError('storage_full', `The data folder ${path} is on a full disk. Free space there.`, { cause: error });
    throw fromSystemError(error, `Opening the data folder ${path}`);
  }
}

function holderOf(file: string): string {
  try {
    const { pid, since } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; since: string };
    return `the server with process id ${pid}, started ${since}`;
  } catch {
    return 'another server that is just starting';
  }
}
