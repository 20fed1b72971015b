import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import type { PageWindow } from '../../storage/paging.ts';
import { date, flag, type Flag, type Time } from '../../storage/values.ts';
import type { Role, User } from '../domains.ts';

/** `id` orders the list; `uuid` is what the rest of the system knows a user by. E-mail and username are lower case. */
interface UserTable {
  id: Generated<number>; uuid: string; email: string; username: string; role: Role; enabled: Flag; passwordHash: string; createdAt: Time;
}
export interface UserTables { users: UserTable }
export type UserRow = Selectable<UserTable>;

export const toUser = (row: UserRow): User => ({
  id: row.uuid, email: row.email, username: row.username, role: row.role, enabled: row.enabled === 1, createdAt: date(row.createdAt),
});

export class UserStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  insert(user: Omit<UserRow, 'id'>): Promise<UserRow> {
    return this.#db.insertInto('users').values(user).returningAll().executeTakeFirstOrThrow();
  }

  byUuid(uuid: string): Promise<UserRow | undefined> {
    return this.#db.selectFrom('users').selectAll().where('uuid', '=', uuid).executeTakeFirst();
  }

  /** By username or e-mail; a username that is somebody else's e-mail cannot exist. */
  byLogin(login: string): Promise<UserRow | undefined> {
    const name = login.toLowerCase();
    return this.#db.selectFrom('users').selectAll().where((eb) => eb.or([eb('username', '=', name), eb('email', '=', name)])).executeTakeFirst();
  }

  list(window: PageWindow, filter: { ids?: readonly string[] | undefined; email?: string | undefined }): Promise<UserRow[]> {
    let query = this.#db.selectFrom('users').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.ids !== undefined) query = query.where('uuid', 'in', filter.ids.length === 0 ? [''] : [...filter.ids]);
    if (filter.email !== undefined) query = query.where('email', '=', filter.email.toLowerCase());
    return query.execute();
  }

  async setEnabled(uuid: string, enabled: boolean): Promise<void> {
    await this.#db.updateTable('users').set({ enabled: flag(enabled) }).where('uuid', '=', uuid).execute();
  }

  /** Whether the e-mail was free. */
  async follow(uuid: string, { email, role }: { email: string; role: Role }): Promise<boolean> {
    try {
      await this.#db.updateTable('users').set({ email, username: email, role }).where('uuid', '=', uuid).execute();
      return true;
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
  }

  async enabledAdmins(): Promise<number> {
    const row = await this.#db.selectFrom('users').select((eb) => eb.fn.countAll<number | string>().as('n')).where('role', '=', 'admin').where('enabled', '=', 1).executeTakeFirstOrThrow();
    return Number(row.n);
  }
}
