import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { Json, Time } from '../../storage/values.ts';

/** `privateJwk` is sealed, bound to `kid`; keys of before that was so are JSON. `signsFrom` is null where that follows from when it was made. */
interface SigningKeyTable { id: Generated<number>; kid: string; privateJwk: Json; publicJwk: Json; createdAt: Time; signsFrom: Time | null; revokedAt: Time | null }
/** A refresh token is used once and then replaced; all that came from one sign-in share a family. */
interface RefreshTokenTable { id: Generated<number>; family: string; hash: string; userUuid: string; expiresAt: Time; usedAt: Time | null }
export interface IdentityTables { signingKeys: SigningKeyTable; refreshTokens: RefreshTokenTable }
export type SigningKeyRow = Selectable<SigningKeyTable>;
export type RefreshTokenRow = Selectable<RefreshTokenTable>;

export class IdentityStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Oldest first. */
  keys(): Promise<SigningKeyRow[]> {
    return this.#db.selectFrom('signingKeys').selectAll().orderBy('id').execute();
  }

  async addKey(key: Omit<SigningKeyRow, 'id'>): Promise<void> {
    await this.#db.insertInto('signingKeys').values(key).execute();
  }

  async sealKey(id: number, privateJwk: string): Promise<void> {
    await this.#db.updateTable('signingKeys').set({ privateJwk }).where('id', '=', id).execute();
  }

  async revokeKey(id: number, revokedAt: Time): Promise<void> {
    await this.#db.updateTable('signingKeys').set({ revokedAt }).where('id', '=', id).where('revokedAt', 'is', null).execute();
  }

  async addRefreshToken(token: Omit<RefreshTokenRow, 'id' | 'usedAt'>, now: Time): Promise<void> {
    await this.#db.deleteFrom('refreshTokens').where('expiresAt', '<', now).execute();
    await this.#db.insertInto('refreshTokens').values({ ...token, usedAt: null }).execute();
  }

  refreshToken(hash: string): Promise<RefreshTokenRow | undefined> {
    return this.#db.selectFrom('refreshTokens').selectAll().where('hash', '=', hash).executeTakeFirst();
  }

  /** Whether this call was the first use. */
  async use(id: number, now: Time): Promise<boolean> {
    const result = await this.#db.updateTable('refreshTokens').set({ usedAt: now }).where('id', '=', id).where('usedAt', 'is', null).executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  async endFamily(family: string): Promise<void> {
    await this.#db.deleteFrom('refreshTokens').where('family', '=', family).execute();
  }
}
