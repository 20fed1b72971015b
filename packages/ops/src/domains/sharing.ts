import { PotorooError, type ErrorCode } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../storage/database.ts';
import { isForeignKeyViolation } from '../storage/errors.ts';
import { pageFrom, pageWindow } from '../storage/paging.ts';
import type { Time } from '../storage/values.ts';
import { notFound, type Access } from './access.ts';
import type { Actor, Page, PageQuery } from './domains.ts';

/** What rows of every shared kind have. */
export interface SharedRow { id: number; uuid: string; name: string; createdBy: string; createdAt: Time }
/** One kind: its table, the table that says which workspaces have one, and how it is called. */
export interface SharedKind {
  readonly table: 'connections' | 'registries';
  readonly links: 'workspaceConnections' | 'workspaceRegistries';
  readonly link: 'connectionId' | 'registryId';
  readonly word: string;
  readonly missing: ErrorCode & `${string}_not_found`;
}
export type SharedKey = { id: string } | { name: string };

/** The tables of a kind under the names `shared` and `links`. */
type Tables<Row extends SharedRow> = Pick<Database, 'workspaces' | 'workspaceMembers'> & { shared: Row; links: { workspaceId: number; sharedId: number } };

/**
 * Things that belong to the whole server and are shared through workspaces: who made one, members of its workspaces and
 * administrators may see and use it; to everybody else it does not exist.
 */
export class Sharing<Row extends SharedRow> {
  readonly #db: Kysely<Tables<SharedRow>>;
  readonly #access: Access;
  readonly #kind: SharedKind;
  readonly #shared: 'shared';
  readonly #links: 'links';
  readonly #link: 'links.sharedId';

  constructor(db: Kysely<Database>, access: Access, kind: SharedKind) {
    this.#db = db as unknown as Kysely<Tables<SharedRow>>;
    this.#access = access;
    this.#kind = kind;
    this.#shared = `${kind.table} as shared` as 'shared';
    this.#links = `${kind.links} as links` as 'links';
    this.#link = `links.${kind.link}` as 'links.sharedId';
  }

  /** @throws <kind>_not_found for what the actor may not see, too */
  async find(actor: Actor, key: SharedKey): Promise<Row> {
    const missing = notFound(this.#kind.missing, 'id' in key ? key.id : key.name);
    const query = this.#db.selectFrom(this.#shared).selectAll('shared');
    const row = await ('id' in key ? query.where('shared.uuid', '=', key.id) : query.where('shared.name', '=', key.name)).executeTakeFirst();
    if (row === undefined) throw missing;
    if (actor.role === 'admin' || row.createdBy === actor.id) return row as Row;
    const seen = await this.#rows({ take: 1, before: row.id + 1 }, { visibleTo: actor.id });
    if (seen[0]?.id !== row.id) throw missing;
    return row as Row;
  }

  /** Those of one workspace, or all that the actor may see. */
  async list(actor: Actor, query: PageQuery & { workspaceId?: number; name?: string }): Promise<Page<Row>> {
    const window = pageWindow(query);
    const { workspaceId, name } = query;
    if (workspaceId !== undefined) await this.#access.require(actor, workspaceId, 'read', notFound('workspace_not_found', workspaceId));
    const rows = await this.#rows(window, { workspaceId, name, visibleTo: actor.role === 'admin' || workspaceId !== undefined ? undefined : actor.id });
    return pageFrom(rows, window, (row) => row.id, (row) => row as Row);
  }

  /** By the id of the row, the workspaces that have it, of those that the actor may see. */
  workspacesOf(actor: Actor, rows: readonly SharedRow[]): Promise<Map<number, { id: number; name: string }[]>> {
    return this.#workspacesOf(rows.map((row) => row.id), this.#access.workspacesOf(actor));
  }

  async addTo(actor: Actor, row: SharedRow, workspaceId: number): Promise<void> {
    await this.#access.require(actor, workspaceId, 'write', notFound('workspace_not_found', workspaceId));
    const values = { workspaceId, [this.#kind.link]: row.id } as unknown as { workspaceId: number; sharedId: number };
    try {
      await this.#db.insertInto(this.#kind.links as 'links').values(values).onConflict((c) => c.doNothing()).execute();
    } catch (error) {
      if (isForeignKeyViolation(error)) throw notFound('workspace_not_found', workspaceId);
      throw error;
    }
  }

  async removeFrom(actor: Actor, row: SharedRow, workspaceId: number): Promise<void> {
    await this.#access.require(actor, workspaceId, 'write', notFound('workspace_not_found', workspaceId));
    const done = await this.#db.deleteFrom(this.#kind.links as 'links').where('workspaceId', '=', workspaceId).where(this.#kind.link as 'sharedId', '=', row.id).executeTakeFirst();
    if (done.numDeletedRows === 0n) throw new PotorooError(this.#kind.missing, `${this.#named(row)} is not in ${await this.#access.named(workspaceId)}.`);
  }

  /** All workspaces that have it are touched by what only these may do. @throws forbidden */
  requireMaker(actor: Actor, row: SharedRow, what: 'change' | 'delete'): void {
    if (actor.role !== 'admin' && row.createdBy !== actor.id) throw new PotorooError('forbidden', `Only who made ${this.#kind.word} ${JSON.stringify(row.name)} or an administrator may ${what} it.`);
  }

  /** For who made it and administrators. @throws in_use while a workspace has it */
  async remove(actor: Actor, row: SharedRow): Promise<void> {
    this.requireMaker(actor, row, 'delete');
    const workspaces = (await this.#workspacesOf([row.id], undefined)).get(row.id) ?? [];
    if (workspaces.length > 0) {
      const seen = (await this.workspacesOf(actor, [row])).get(row.id) ?? [];
      const named = seen.slice(0, 5).map((w) => `, ${JSON.stringify(w.name)}`).join('');
      throw new PotorooError('in_use', `${this.#named(row)} is in ${workspaces.length} ${workspaces.length === 1 ? 'workspace' : 'workspaces'}${named}; remove it from there first.`);
    }
    await this.#db.deleteFrom(this.#kind.table as 'shared').where('id', '=', row.id).execute();
  }

  /** `Connection "sales"` */
  #named(row: SharedRow): string {
    return `${this.#kind.word.charAt(0).toUpperCase()}${this.#kind.word.slice(1)} ${JSON.stringify(row.name)}`;
  }

  #rows(window: { take: number; before: number | undefined }, filter: { workspaceId?: number | undefined; name?: string | undefined; visibleTo?: string | undefined }): Promise<SharedRow[]> {
    let query = this.#db.selectFrom(this.#shared).selectAll('shared').orderBy('shared.id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('shared.id', '<', window.before);
    if (filter.workspaceId !== undefined) query = query.where('shared.id', 'in', this.#db.selectFrom(this.#links).select(`${this.#link} as sharedId`).where('links.workspaceId', '=', filter.workspaceId));
    if (filter.name !== undefined) query = query.where('shared.name', '=', filter.name);
    const { visibleTo } = filter;
    if (visibleTo !== undefined) {
      query = query.where((eb) => eb.or([
        eb('shared.createdBy', '=', visibleTo),
        eb('shared.id', 'in', this.#db.selectFrom(this.#links).innerJoin('workspaceMembers', 'workspaceMembers.workspaceId', 'links.workspaceId')
          .select(`${this.#link} as sharedId`).where('workspaceMembers.userUuid', '=', visibleTo)),
      ]));
    }
    return query.execute();
  }

  async #workspacesOf(ids: readonly number[], visible: ReturnType<Access['workspacesOf']>): Promise<Map<number, { id: number; name: string }[]>> {
    const found = new Map<number, { id: number; name: string }[]>(ids.map((id) => [id, []]));
    if (ids.length === 0) return found;
    let query = this.#db.selectFrom(this.#links).innerJoin('workspaces', 'workspaces.id', 'links.workspaceId')
      .select([`${this.#link} as sharedId`, 'workspaces.id', 'workspaces.name']).where(this.#link, 'in', ids).orderBy('workspaces.id');
    if (visible !== undefined) query = query.where('workspaces.id', 'in', visible);
    for (const row of await query.execute()) found.get(row.sharedId)?.push({ id: row.id, name: row.name });
    return found;
  }
}

const maxName = 256;

/** A free text that names something, as a person gave it. @throws invalid_name */
export function nameText(field: string, value: string): string {
  if (value.trim() !== '' && value.length <= maxName && !/\p{Cc}/u.test(value)) return value;
  throw new PotorooError('invalid_name', `${field} ${JSON.stringify(value.slice(0, 80))} is not allowed: use 1 to ${maxName} printable characters.`, { fields: [{ field, message: `1 to ${maxName} printable characters` }] });
}
