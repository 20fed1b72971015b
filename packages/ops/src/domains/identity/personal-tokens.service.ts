import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { date } from '../../storage/values.ts';
import type { Actor, Page, PageQuery, PersonalToken, PersonalTokens } from '../domains.ts';
import { PersonalTokenStore, type PersonalTokenRow } from './personal-tokens.store.ts';

/** What every personal access token begins with, so that one that leaks is found by those who look for such. */
export const personalTokenPrefix = 'potoroo_pat_';
const mostPerUser = 100;
/** `lastUsedAt` is written at most this often. */
const usedEveryMs = 60_000;

/** Tokens that people make for their scripts: kept as a hash, shown once, good until they end or are revoked. */
export class PersonalTokenService implements PersonalTokens {
  readonly #store: PersonalTokenStore;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, clock: () => number) {
    this.#store = new PersonalTokenStore(db);
    this.#clock = clock;
  }

  async create(actor: Actor, input: { name: string; expiresAt?: Date }): Promise<PersonalToken & { token: string }> {
    // A token that leaked must not make one that outlives it.
    if (actor.personalToken === true) throw new PotorooError('forbidden', 'A personal access token cannot make another: sign in for that.');
    const { name, expiresAt } = input;
    if (name.trim() === '' || name.length > 128 || /\p{Cc}/u.test(name)) throw new PotorooError('invalid_name', `name ${JSON.stringify(name.slice(0, 80))} is not allowed: use 1 to 128 printable characters.`, { fields: [{ field: 'name', message: '1 to 128 printable characters' }] });
    if (expiresAt !== undefined && expiresAt.getTime() <= this.#clock()) throw new PotorooError('invalid_request', `expiresAt ${expiresAt.toISOString()} is past: give a time to come.`, { fields: [{ field: 'expiresAt', message: 'past' }] });
    if ((await this.#store.count(actor.id)) >= mostPerUser) throw new PotorooError('conflict', `You have ${mostPerUser} personal access tokens: revoke one first.`);
    const token = personalTokenPrefix + randomBytes(32).toString('base64url');
    const row = await this.#store.insert({ uuid: randomUUID(), userUuid: actor.id, name, hash: sha256(token), createdAt: this.#clock(), expiresAt: expiresAt?.getTime() ?? null });
    return { ...shown(row), token };
  }

  async list(actor: Actor, query?: PageQuery): Promise<Page<PersonalToken>> {
    const window = pageWindow(query);
    return pageFrom(await this.#store.list(window, actor.id), window, (row) => row.id, shown);
  }

  async revoke(actor: Actor, id: string): Promise<void> {
    if (!(await this.#store.remove(actor.id, id))) throw new PotorooError('token_not_found', `You have no personal access token ${JSON.stringify(id.slice(0, 80))}.`);
  }

  /** Id of the user whose token this is. @throws unauthenticated */
  async userOf(token: string): Promise<string> {
    const now = this.#clock();
    const row = await this.#store.byHash(sha256(token));
    if (row === undefined || (row.expiresAt !== null && row.expiresAt <= now)) throw new PotorooError('unauthenticated', 'The personal access token is unknown, revoked or expired: make a new one.');
    if (row.lastUsedAt === null || now - row.lastUsedAt >= usedEveryMs) await this.#store.used(row.id, now);
    return row.userUuid;
  }
}

const shown = (row: PersonalTokenRow): PersonalToken => ({
  id: row.uuid, name: row.name, createdAt: date(row.createdAt), expiresAt: row.expiresAt === null ? null : date(row.expiresAt), lastUsedAt: row.lastUsedAt === null ? null : date(row.lastUsedAt),
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
