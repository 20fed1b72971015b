import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, PotorooError } from '@potoroo/contract';

const algorithm = 'aes-256-gcm';
const keyBytes = 32;

/** Encrypts what must not lie readable in the database, with a key that does not lie there. */
export class Secrets {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** `owner` is bound in: sealed text that is moved to another owner's row does not open. */
  seal(text: string, owner: string): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv(algorithm, this.#key, iv).setAAD(Buffer.from(owner));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64');
  }

  /** @throws PotorooError `internal` when the key is another one than it was sealed with */
  open(sealed: string, owner: string): string {
    const bytes = Buffer.from(sealed, 'base64');
    try {
      const decipher = createDecipheriv(algorithm, this.#key, bytes.subarray(0, 12)).setAAD(Buffer.from(owner)).setAuthTag(bytes.subarray(12, 28));
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8');
    } catch (error) {
      throw new PotorooError('internal', 'A stored secret does not open with this key: POTOROO_SECRET_KEY, or secret.key in the data folder, is not the one it was stored with.', { cause: error });
    }
  }
}

/**
 * The key from the settings (32 bytes in base64), or else from `secret.key` in the data folder, made on first use and
 * readable by its owner only. Several servers on one database need the same key in their settings.
 * @throws settings_invalid, storage_full, storage_read_only
 */
export function openSecrets(dataDir: string, fromSettings: string | undefined): Secrets {
  if (fromSettings !== undefined) return new Secrets(keyOf(fromSettings, 'POTOROO_SECRET_KEY'));
  const file = join(dataDir, 'secret.key');
  try {
    writeFileSync(file, `${randomBytes(keyBytes).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fromSystemError(error, `Writing ${file}`);
  }
  return new Secrets(keyOf(readFileSync(file, 'utf8').trim(), file));
}

function keyOf(text: string, where: string): Buffer {
  const key = Buffer.from(text, 'base64');
  if (key.length !== keyBytes) throw new PotorooError('settings_invalid', `${where} is not a key: use ${keyBytes} random bytes in base64, such as \`openssl rand -base64 ${keyBytes}\` prints.`);
  return key;
}
