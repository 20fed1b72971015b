import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, PotorooError } from '@potoroo/contract';

const algorithm = 'aes-256-gcm';
const keyBytes = 32;

/** Encrypts what must not lie readable in the database, with a key that does not lie there. */
export class Secrets {
  readonly #key: Buffer;
  /** The one before, for what was sealed with that. */
  readonly #previous: Buffer | undefined;

  constructor(key: Buffer, previous?: Buffer) {
    this.#key = key;
    this.#previous = previous;
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
    return this.#opened(sealed, owner).text;
  }

  /** The same, sealed with the key of now; undefined when it is. */
  sealedAnew(sealed: string, owner: string): string | undefined {
    const { text, key } = this.#opened(sealed, owner);
    return key === this.#key ? undefined : this.seal(text, owner);
  }

  /** What only who has the key can say of a text. `use` is bound in: what is said for one use is not good for another. */
  mark(text: string, use: string): string {
    return markWith(this.#key, text, use);
  }

  /** Whether this was said of the text, with the key of now or with the one before. */
  isMark(mark: string, text: string, use: string): boolean {
    return this.#keys().some((key) => {
      const wanted = Buffer.from(markWith(key, text, use));
      const given = Buffer.from(mark);
      return given.length === wanted.length && timingSafeEqual(given, wanted);
    });
  }

  #keys(): Buffer[] {
    return this.#previous === undefined ? [this.#key] : [this.#key, this.#previous];
  }

  #opened(sealed: string, owner: string): { text: string; key: Buffer } {
    const bytes = Buffer.from(sealed, 'base64');
    let cause: unknown;
    for (const key of this.#keys()) {
      try {
        const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, 12)).setAAD(Buffer.from(owner)).setAuthTag(bytes.subarray(12, 28));
        return { key, text: Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8') };
      } catch (error) {
        cause = error;
      }
    }
    throw new PotorooError('internal', 'A stored secret does not open with this key: POTOROO_SECRET_KEY, or secret.key in the data folder, is not the one it was stored with.', { cause });
  }
}

/**
 * The key from the settings (32 bytes in base64), or else from `secret.key` in the data folder, made on first use and
 * readable by its owner only. Several servers on one database need the same key in their settings.
 * `before` is the key of before, for what was sealed with that.
 * @throws settings_invalid, storage_full, storage_read_only
 */
export function openSecrets(dataDir: string, fromSettings: string | undefined, before?: string): Secrets {
  const previous = before === undefined ? undefined : keyOf(before, 'POTOROO_SECRET_KEY_PREVIOUS');
  if (fromSettings !== undefined) return new Secrets(keyOf(fromSettings, 'POTOROO_SECRET_KEY'), previous);
  const file = join(dataDir, 'secret.key');
  try {
    writeFileSync(file, `${randomBytes(keyBytes).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fromSystemError(error, `Writing ${file}`);
  }
  return new Secrets(keyOf(readFileSync(file, 'utf8').trim(), file), previous);
}

const markWith = (key: Buffer, text: string, use: string): string => createHmac('sha256', createHmac('sha256', key).update(`potoroo ${use}`).digest()).update(text).digest('base64url');

function keyOf(text: string, where: string): Buffer {
  const key = Buffer.from(text, 'base64');
  if (key.length !== keyBytes) throw new PotorooError('settings_invalid', `${where} is not a key: use ${keyBytes} random bytes in base64, such as \`openssl rand -base64 ${keyBytes}\` prints.`);
  return key;
}
