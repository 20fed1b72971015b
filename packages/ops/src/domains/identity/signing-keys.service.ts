import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { date, json, parsed } from '../../storage/values.ts';
import type { Access } from '../access.ts';
import type { Actor, SigningKey, SigningKeys } from '../domains.ts';
import { IdentityStore, type SigningKeyRow } from './identity.store.ts';

export const algorithm = 'ES256';
/** A new key is shown for so long before it signs, so that every engine and server knows it by then. */
const leadMs = 120_000;
/** What is known of the keys is read anew this often: another server on the same database may have made one. */
const freshMs = 30_000;
/** Clocks of machines may differ by this. */
const slackMs = 60_000;

interface Key { readonly row: SigningKeyRow; readonly publicJwk: JWK; readonly sign: CryptoKey; readonly verify: CryptoKey }
export interface SigningKeyOptions {
  readonly clock: () => number;
  /** Seconds. */
  readonly accessTokenLifetime: number;
  /** Called when there is a key that was not there before. */
  readonly onKeys?: (() => void) | undefined;
}

/**
 * The keys of the built-in issuer. A new one is shown first, then signs; the one before is shown until the last token that it signed has
 * ended. It goes on verifying the tokens with which engines ship their logs: these have no end.
 */
export class SigningKeyService implements SigningKeys {
  readonly #store: IdentityStore;
  readonly #access: Pick<Access, 'requireAdmin'>;
  readonly #options: SigningKeyOptions;
  readonly #imported = new Map<string, Key>();
  #keys: Promise<Key[]> | undefined;
  #readAt = 0;

  constructor(db: Kysely<Database>, access: Pick<Access, 'requireAdmin'>, options: SigningKeyOptions) {
    this.#store = new IdentityStore(db);
    this.#access = access;
    this.#options = options;
  }

  async list(actor: Actor): Promise<SigningKey[]> {
    this.#access.requireAdmin(actor);
    return this.#shown(await this.#read());
  }

  async rotate(actor: Actor): Promise<SigningKey> {
    this.#access.requireAdmin(actor);
    const waiting = this.#shown(await this.#read()).find(({ state }) => state === 'next');
    if (waiting !== undefined) throw new PotorooError('conflict', `Key ${waiting.id} was made ${Math.round((this.#options.clock() - waiting.createdAt.getTime()) / 1000)} seconds ago and does not sign yet: wait until ${waiting.signsFrom.toISOString()}.`);
    const { kid } = await this.#add();
    return this.#shown(await this.#read()).find(({ id }) => id === kid) as SigningKey;
  }

  /** The one that signs now. */
  async signer(): Promise<{ kid: string; sign: CryptoKey }> {
    const keys = await this.#load();
    const now = this.#options.clock();
    const { row, sign } = keys.findLast((_, i) => signsFrom(keys, i) <= now) as Key;
    return { kid: row.kid, sign };
  }

  /** @param lasting of tokens without an end: then a retired key is good, too */
  async verifier(kid: string | undefined, lasting: boolean): Promise<CryptoKey | undefined> {
    const named = (keys: readonly Key[]) => keys.find((key, i) => key.row.kid === kid && (lasting || this.#retiresAt(keys, i) > this.#options.clock()));
    return named(await this.#load())?.verify;
  }

  /** The public part of those with which tokens of users are verified. */
  async jwks(): Promise<{ keys: Record<string, unknown>[] }> {
    const keys = await this.#load();
    return { keys: keys.filter((_, i) => this.#retiresAt(keys, i) > this.#options.clock()).map((key) => ({ ...key.publicJwk })) };
  }

  #retiresAt(keys: readonly Key[], i: number): number {
    return i === keys.length - 1 ? Infinity : signsFrom(keys, i + 1) + this.#options.accessTokenLifetime * 1000 + slackMs;
  }

  #shown(keys: readonly Key[]): SigningKey[] {
    const now = this.#options.clock();
    const signing = keys.findLastIndex((_, i) => signsFrom(keys, i) <= now);
    return keys.map(({ row }, i) => ({
      id: row.kid, createdAt: date(row.createdAt), signsFrom: date(Math.max(row.createdAt, signsFrom(keys, i))),
      state: i > signing ? 'next' as const : i === signing ? 'signing' as const : this.#retiresAt(keys, i) > now ? 'verifying' as const : 'retired' as const,
    })).toReversed();
  }

  #load(): Promise<Key[]> {
    if (this.#keys === undefined || this.#options.clock() - this.#readAt > freshMs) return this.#read();
    return this.#keys;
  }

  #read(): Promise<Key[]> {
    const before = this.#imported.size;
    this.#readAt = this.#options.clock();
    const reading = this.#import().then((keys) => {
      if (before > 0 && this.#imported.size > before) this.#options.onKeys?.();
      return keys;
    });
    reading.catch(() => { if (this.#keys === reading) this.#keys = undefined; });
    this.#keys = reading;
    return reading;
  }

  async #import(): Promise<Key[]> {
    // The first start of a database makes one.
    if ((await this.#store.keys()).length === 0) await this.#add();
    return Promise.all((await this.#store.keys()).map(async (row) => {
      const known = this.#imported.get(row.kid);
      if (known !== undefined) return known;
      const publicJwk = parsed<JWK>(row.publicJwk);
      const [sign, verify] = await Promise.all([importJWK(parsed<JWK>(row.privateJwk), algorithm), importJWK(publicJwk, algorithm)]) as [CryptoKey, CryptoKey];
      const key = { row, publicJwk, sign, verify };
      this.#imported.set(row.kid, key);
      return key;
    }));
  }

  async #add(): Promise<{ kid: string }> {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    const publicJwk = await exportJWK(pair.publicKey);
    const kid = await calculateJwkThumbprint(publicJwk);
    await this.#store.addKey({ kid, privateJwk: json(await exportJWK(pair.privateKey)), publicJwk: json({ ...publicJwk, kid, alg: algorithm, use: 'sig' }), createdAt: this.#options.clock() });
    return { kid };
  }
}

/** The first key of a database signs at once: nobody has tokens of another. */
function signsFrom(keys: readonly Key[], i: number): number {
  return i === 0 ? -Infinity : (keys[i] as Key).row.createdAt + leadMs;
}
