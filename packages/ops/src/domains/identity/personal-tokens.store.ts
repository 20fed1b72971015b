import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import type { Time } from '../../storage/values.ts';

interface PersonalTokenTable { id: Generated<number>; uuid: string; userUuid: string; name: string; hash: string; createdAt: Time; expiresAt: Time | null; lastUsedAt: Time | null }
export interface PersonalTokenTables { personalTokens: PersonalTokenTable }
export type PersonalTokenRow = Selectable<PersonalTokenTable>;

export class PersonalTokenStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  insert(row: Omit<PersonalTokenRow, 'id' | 'lastUsedAt'>): Promise<PersonalTokenRow> {
    return this.#db.insertInto('personalTokens').values({ ...row, lastUsedAt: null }).returningAll().executeTakeFirstOrThrow();
  }

  byHash(hash: string): Promise<PersonalTokenRow | undefined> {
    return this.#db.selectFrom('personalTokens').selectAll().where('hash', '=', hash).executeTakeFirst();
  }

  list(window: PageWindow, userUuid: string): Promise<PersonalTokenRow[]> {
    let query = this.#db.selectFrom('personalTokens').selectAll().where('userUuid', '=', userUuid).orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    return query.execute();
  }

  async count(userUuid: string): Promise<number> {
    const row = await this.#db.selectFrom('personalTokens').select((eb) => eb.fn.countAll<number | string>().as('n')).where('userUuid', '=', userUuid).executeTakeFirstOrThrow();
    return Number(row.n);
  }

  async used(id: number, now: Time): Promise<void> {
    await this.#db.updateTable('personalTokens').set({ lastUsedAt: now }).where('id', '=', id).execute();
  }

  async remove(userUuid: string, uuid: string): Promise<boolean> {
    return (await this.#db.deleteFrom('personalTokens').where('userUuid', '=', userUuid).where('uuid', '=', uuid).executeTakeFirst()).numDeletedRows > 0n;
  }
}
