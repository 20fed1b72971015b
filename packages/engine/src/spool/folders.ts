import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { PotorooError } from '@potoroo/contract/plain';

/**
 * Makes a folder and those above it, one after the other: Node's own recursive way never ends on a file system that says "no such
 * folder" to every new one, as /proc does.
 * @throws storage_read_only, and what the system throws
 */
export function makeFolder(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.push(at);
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, { mode });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw new PotorooError('storage_read_only', `The folder ${path} cannot be made: ${dirname(folder)} takes no new folders. Use a folder on a disk.`, { cause: error });
      if (code !== 'EEXIST') throw error;
    }
  }
}
