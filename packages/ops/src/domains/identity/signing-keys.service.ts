import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import { silent, type Logger } from '../../log.ts';
import type { Database } from '../../storage/database.ts';
import type { Secrets } from '../../storage/secrets.ts';
import { date, json, parsed } from '../../storage/values.ts';
import type { Access } from '../access.ts';
import type { Actor, SigningKey, SigningKeys } from '../domains.ts';
import { IdentityStore, type SigningKeyRow } from './identity.store.ts';

export const algorithm = 'ES256';
/** A new key is shown for so long before it signs, so that every engine and server knows it by then. */
const leadMs = 120_000;
/** What is known of the keys is read anew this often: another server on the same database may have made or revoked one. */
const freshMs = 30_000;
/** The same for a key that is not known, whoever asks for it. */
const unknownMs = 1000;
/** Clocks of machines may differ by this. */
const slackMs = 60_000;

/** `sign` is undefined where the private part does not open with this server's secret key. */
interface Key { readonly publicJwk: JWK; readonly sign: CryptoKey | undefined; readonly verify: CryptoKey }
interface Known extends Key { readonly row: SigningKeyRow }
export interface SigningKeyOptions {
  readonly clock: () => number;
  readonly secrets: Secrets;
  /** Seconds. */
  readonly accessTokenLifetime: number;
  /** Called when there is a key that was not there before, or one is revoked. */
  readonly onKeys?: (() => void) | undefined;
  readonly log?: Logger | undefined;
}

/**
 * The keys of the built-in issuer. A new one is shown first, then signs; the one before is shown until the last token that it signed has
 * ended. A revoked one is shown no more.
 */
export class SigningKeyService implements SigningKeys {
  readonly #store: IdentityStore;
  readonly #access: Pick<Access, 'requireAdmin'>;
  readonly #options: SigningKeyOptions;
  readonly #imported = new Map<string, Key>();
  #keys: Promise<Known[]> | undefined;
  #readAt = 0;
  /** What engines were told last. */
  #told: string | undefined;

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
    return this.#one(await this.#add(null));
  }

  async revoke(actor: Actor, id: string): Promise<SigningKey> {
    this.#access.requireAdmin(actor);
    const found = (await this.#read()).find(({ row }) => row.kid === id);
    if (found === undefined) throw new PotorooError('signing_key_not_found', `There is no signing key ${JSON.stringify(id.slice(0, 80))}: see \`potoroo key list\`.`);
    const signing = signerOf(await this.#read(), this.#options.clock())?.row.kid === id;
    // The other way round, a stop in between would leave an older key to sign.
    if (signing) await this.#add(this.#options.clock());
    await this.#store.revokeKey(found.row.id, this.#options.clock());
    return this.#one(id);
  }

  /** The one that signs now. */
  async signer(): Promise<{ kid: string; sign: CryptoKey }> {
    const key = signerOf(await this.#load(), this.#options.clock());
    if (key?.sign !== undefined) return { kid: key.row.kid, sign: key.sign };
    this.#options.log?.warn('no key that signs access tokens opens with the secret key of this server: it makes a new one');
    await this.#add(this.#options.clock());
    await this.#read();
    return this.signer();
  }

  async verifier(kid: string | undefined): Promise<CryptoKey | undefined> {
    let keys = await this.#load();
    if (kid !== undefined && !keys.some(({ row }) => row.kid === kid) && this.#options.clock() - this.#readAt > unknownMs) keys = await this.#read();
    return this.#good(keys).find(({ row }) => row.kid === kid)?.verify;
  }

  /** The public part of those with which tokens are verified. */
  async jwks(): Promise<{ keys: Record<string, unknown>[] }> {
    return { keys: this.#good(await this.#load()).map((key) => ({ ...key.publicJwk })) };
  }

  #good(keys: readonly Known[]): Known[] {
    return keys.filter(({ row }, i) => row.revokedAt === null && this.#retiresAt(keys, i) > this.#options.clock());
  }

  #retiresAt(keys: readonly Known[], i: number): number {
    return i === keys.length - 1 ? Infinity : signsFrom(keys, i + 1) + this.#options.accessTokenLifetime * 1000 + slackMs;
  }

  async #one(kid: string): Promise<SigningKey> {
    return this.#shown(await this.#read()).find(({ id }) => id === kid) as SigningKey;
  }

  #shown(keys: readonly Known[]): SigningKey[] {
    const now = this.#options.clock();
    const signing = signerOf(keys, now);
    const state = (key: Known, i: number): SigningKey['state'] => {
      if (key.row.revokedAt !== null) return 'revoked';
      if (key === signing) return 'signing';
      if (signsFrom(keys, i) > now) return 'next';
      return this.#retiresAt(keys, i) > now ? 'verifying' : 'retired';
    };
    return keys.map((key, i) => ({ id: key.row.kid, createdAt: date(key.row.createdAt), signsFrom: date(Math.max(key.row.createdAt, signsFrom(keys, i))), state: state(key, i) })).toReversed();
  }

  #load(): Promise<Known[]> {
    if (this.#keys === undefined || this.#options.clock() - this.#readAt > freshMs) return this.#read();
    return this.#keys;
  }

  #read(): Promise<Known[]> {
    this.#readAt = this.#options.clock();
    const reading = this.#import().then((keys) => {
      const news = keys.map(({ row }) => `${row.kid} ${row.revokedAt ?? ''}`).join();
      if (this.#told !== undefined && this.#told !== news) this.#options.onKeys?.();
      this.#told = news;
      return keys;
    });
    reading.catch(() => { if (this.#keys === reading) this.#keys = undefined; });
    this.#keys = reading;
    return reading;
  }

  async #import(): Promise<Known[]> {
    // The first start of a database makes one.
    if ((await this.#store.keys()).length === 0) await this.#add(this.#options.clock());
    return Promise.all((await this.#store.keys()).map(async (row) => {
      const known = this.#imported.get(row.kid);
      if (known !== undefined) return { ...known, row };
      const publicJwk = parsed<JWK>(row.publicJwk);
      const secret = await this.#opened(row);
      const [sign, verify] = await Promise.all([secret === undefined ? undefined : importJWK(parsed<JWK>(secret), algorithm), importJWK(publicJwk, algorithm)]) as [CryptoKey | undefined, CryptoKey];
      const key = { publicJwk, sign, verify };
      this.#imported.set(row.kid, key);
      return { ...key, row };
    }));
  }

  /** The private part; sealed where it is not yet. */
  async #opened({ id, kid, privateJwk }: SigningKeyRow): Promise<string | undefined> {
    const { secrets, log = silent } = this.#options;
    try {
      if (!privateJwk.startsWith('{')) return secrets.open(privateJwk, kid);
      await this.#store.sealKey(id, secrets.seal(privateJwk, kid));
      return privateJwk;
    } catch (error) {
      log.warn({ key: kid, reason: (error as Error).message }, 'a key that signs access tokens can only verify');
      return undefined;
    }
  }

  /** @param from when it signs; null: once everybody knows it */
  async #add(from: number | null): Promise<string> {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    const publicJwk = await exportJWK(pair.publicKey);
    const kid = await calculateJwkThumbprint(publicJwk);
    if (kid.startsWith('-')) return this.#add(from); // a command line would take it for an option
    const privateJwk = this.#options.secrets.seal(json(await exportJWK(pair.privateKey)), kid);
    await this.#store.addKey({ kid, privateJwk, publicJwk: json({ ...publicJwk, kid, alg: algorithm, use: 'sig' }), createdAt: this.#options.clock(), signsFrom: from, revokedAt: null });
    return kid;
  }
}

/** The first key of a database signs at once: nobody has tokens of another. */
function signsFrom(keys: readonly Known[], i: number): number {
  const { row } = keys[i] as Known;
  return row.signsFrom ?? (i === 0 ? -Infinity : row.createdAt + leadMs);
}

const signerOf = (keys: readonly Known[], now: number): Known | undefined => keys.findLast(({ row, sign }, i) => sign !== undefined && row.revokedAt === null && signsFrom(keys, i) <= now);
