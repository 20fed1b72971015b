import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import type { Time } from '../../storage/values.ts';
import type { Access } from '../access.ts';

interface ConnectionTable { id: Generated<number>; uuid: string; name: string; type: string; sealedDetails: string; createdBy: string; createdAt: Time }
interface WorkspaceConnectionTable { workspaceId: number; connectionId: number }
export interface ConnectionTables { connections: ConnectionTable; workspaceConnections: WorkspaceConnectionTable }
export type ConnectionRow = Selectable<ConnectionTable>;

export class ConnectionStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: Omit<ConnectionRow, 'id'>): Promise<void> {
    await this.#db.insertInto('connections').values(row).execute();
  }

  by(key: { uuid: string } | { name: string }): Promise<ConnectionRow | undefined> {
    const query = this.#db.selectFrom('connections').selectAll();
    return ('uuid' in key ? query.where('uuid', '=', key.uuid) : query.where('name', '=', key.name)).executeTakeFirst();
  }

  /** Those of one workspace, or those that somebody made or shares a workspace with; all when neither is given. */
  list(window: PageWindow, filter: { workspaceId?: number; name?: string; visibleTo?: { userId: string } }): Promise<ConnectionRow[]> {
    let query = this.#db.selectFrom('connections').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.workspaceId !== undefined) query = query.where('id', 'in', this.#db.selectFrom('workspaceConnections').select('connectionId').where('workspaceId', '=', filter.workspaceId));
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    const { visibleTo } = filter;
    if (visibleTo !== undefined) {
      query = query.where((eb) => eb.or([
        eb('createdBy', '=', visibleTo.userId),
        eb('id', 'in', eb.selectFrom('workspaceConnections').innerJoin('workspaceMembers', 'workspaceMembers.workspaceId', 'workspaceConnections.workspaceId')
          .select('workspaceConnections.connectionId').where('workspaceMembers.userUuid', '=', visibleTo.userId)),
      ]));
    }
    return query.execute();
  }

  /** Workspaces of each of these connections, by connection id: all, or those among `visible`. */
  async workspacesOf(ids: readonly number[], visible: ReturnType<Access['workspacesOf']>): Promise<Map<number, { id: number; name: string }[]>> {
    const found = new Map<number, { id: number; name: string }[]>(ids.map((id) => [id, []]));
    if (ids.length === 0) return found;
    let query = this.#db.selectFrom('workspaceConnections').innerJoin('workspaces', 'workspaces.id', 'workspaceConnections.workspaceId')
      .select(['workspaceConnections.connectionId', 'workspaces.id', 'workspaces.name']).where('workspaceConnections.connectionId', 'in', ids).orderBy('workspaces.id');
    if (visible !== undefined) query = query.where('workspaces.id', 'in', visible);
    const rows = await query.execute();
    for (const row of rows) found.get(row.connectionId)?.push({ id: row.id, name: row.name });
    return found;
  }

  async add(workspaceId: number, connectionId: number): Promise<void> {
    await this.#db.insertInto('workspaceConnections').values({ workspaceId, connectionId }).onConflict((c) => c.columns(['workspaceId', 'connectionId']).doNothing()).execute();
  }

  async remove(workspaceId: number, connectionId: number): Promise<boolean> {
    const done = await this.#db.deleteFrom('workspaceConnections').where('workspaceId', '=', workspaceId).where('connectionId', '=', connectionId).executeTakeFirst();
    return done.numDeletedRows > 0n;
  }

  async delete(id: number): Promise<void> {
    await this.#db.deleteFrom('connections').where('id', '=', id).execute();
  }
}
