import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromSystemError } from '@potoroo/contract';
import type { UserService } from './domains/users/users.service.ts';
import type { Settings } from './settings.ts';

/** File in the data folder with the first administrator's generated password, readable only by its owner. */
export const administratorFile = (dataDir: string): string => join(dataDir, 'admin.json');

/**
 * On the first start, creates the administrator. The generated password is on disk before the user exists, so that no end
 * of the process in between leaves an administrator whose password nobody knows.
 */
export async function ensureAdministrator(users: UserService, { dataDir, adminEmail, adminPassword }: Settings): Promise<void> {
  if (!(await users.isEmpty())) return;
  const password = adminPassword ?? randomBytes(18).toString('base64url');
  if (adminPassword === undefined) await writeCredentials(administratorFile(dataDir), { email: adminEmail, username: adminEmail, password });
  await users.createFirst({ email: adminEmail, password });
}

async function writeCredentials(file: string, credentials: object): Promise<void> {
  const aside = `${file}.new`;
  try {
    await rm(aside, { force: true });
    const handle = await open(aside, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(credentials, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
  } catch (error) {
    throw fromSystemError(error, `Writing ${file}`);
  }
}
