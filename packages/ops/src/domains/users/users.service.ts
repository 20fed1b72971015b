import { randomUUID } from 'node:crypto';
import { PotorooError, type ErrorField } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, Page, PageQuery, Role, User, Users } from '../domains.ts';
import { hashPassword } from './passwords.ts';
import { toUser, UserStore } from './users.store.ts';

interface NewUser { email: string; username?: string; password: string; role: Role }

export class UserService implements Users {
  readonly #store: UserStore;
  readonly #access: Access;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, clock: () => number) {
    this.#store = new UserStore(db);
    this.#access = access;
    this.#clock = clock;
  }

  async create(actor: Actor, input: NewUser): Promise<User> {
    this.#access.requireAdmin(actor);
    return this.#insert(input);
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#store.list({ take: 1, before: undefined }, {})).length === 0;
  }

  /** The administrator of a first start, whom nobody can create; where there is one by now, nothing happens. */
  async createFirst(input: { email: string; password: string }): Promise<void> {
    if (await this.isEmpty()) await this.#insert({ ...input, role: 'admin' });
  }

  async list(_actor: Actor, query: PageQuery & { ids?: readonly string[]; email?: string } = {}): Promise<Page<User>> {
    const window = pageWindow(query);
    return pageFrom(await this.#store.list(window, query), window, (row) => row.id, toUser);
  }

  async get(_actor: Actor, id: string): Promise<User> {
    const row = await this.#store.byUuid(id);
    if (row === undefined) throw notFound('user_not_found', id);
    return toUser(row);
  }

  async setEnabled(actor: Actor, id: string, enabled: boolean): Promise<User> {
    this.#access.requireAdmin(actor);
    const user = await this.get(actor, id);
    if (user.enabled === enabled) return user;
    if (!enabled && actor.id === id) throw new PotorooError('conflict', 'You cannot disable yourself; another administrator can.');
    if (!enabled && user.role === 'admin' && (await this.#store.enabledAdmins()) <= 1) {
      throw new PotorooError('conflict', `${user.email} is the last administrator who is enabled; enable another one first.`);
    }
    await this.#store.setEnabled(id, enabled);
    this.#access.changed();
    return { ...user, enabled };
  }

  async #insert(input: NewUser): Promise<User> {
    const email = input.email.toLowerCase();
    const username = (input.username ?? email).toLowerCase();
    check(email, username, input.password);
    for (const login of new Set([email, username])) {
      if (await this.#store.byLogin(login)) throw taken(login);
    }
    try {
      const row = await this.#store.insert({
        uuid: randomUUID(), email, username, role: input.role, enabled: 1, passwordHash: await hashPassword(input.password), createdAt: this.#clock(),
      });
      if (input.role === 'admin') this.#access.changed();
      return toUser(row);
    } catch (error) {
      throw isUniqueViolation(error) ? taken(email) : error;
    }
  }
}

const taken = (login: string): PotorooError => new PotorooError('already_exists', `A user with the e-mail or username ${JSON.stringify(login)} exists already; use another.`);

function check(email: string, username: string, password: string): void {
  const fields: ErrorField[] = [];
  if (!/^[^\s@]{1,64}@[^\s@]{1,190}$/.test(email)) fields.push({ field: 'email', message: 'use an e-mail address' });
  if (username !== email && !/^[^\s\x00-\x1f\x7f]{1,254}$/.test(username)) fields.push({ field: 'username', message: 'use 1 to 254 characters without spaces' });
  if (password.length < 8 || password.length > 256) fields.push({ field: 'password', message: 'use 8 to 256 characters' });
  if (fields.length > 0) throw new PotorooError('invalid_request', fields.map((f) => `${f.field}: ${f.message}.`).join(' '), { fields });
}
