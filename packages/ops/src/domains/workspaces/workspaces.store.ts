import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import { date, flag, type Flag, type Time } from '../../storage/values.ts';
import type { Access } from '../access.ts';
import type { Member, Workspace } from '../domains.ts';

interface WorkspaceTable { id: Generated<number>; name: string; archived: Flag; createdAt: Time; createdBy: string }
interface WorkspaceMemberTable { workspaceId: number; userUuid: string; role: Member['role'] }
interface DefaultWorkspaceTable { userUuid: string; workspaceId: number }
export interface WorkspaceTables { workspaces: WorkspaceTable; workspaceMembers: WorkspaceMemberTable; defaultWorkspaces: DefaultWorkspaceTable }
type WorkspaceRow = Selectable<WorkspaceTable>;
type IdQuery = ReturnType<Access['workspacesOf']>;

export class WorkspaceStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** With its creator as the owner; `asDefault` makes it the creator's own workspace. */
  insert(name: string, createdBy: string, now: Time, asDefault: boolean): Promise<number> {
    return this.#db.transaction().execute(async (tx) => {
      const { id } = await tx.insertInto('workspaces').values({ name, archived: 0, createdAt: now, createdBy }).returning('id').executeTakeFirstOrThrow();
      await tx.insertInto('workspaceMembers').values({ workspaceId: id, userUuid: createdBy, role: 'owner' }).execute();
      if (asDefault) await tx.insertInto('defaultWorkspaces').values({ userUuid: createdBy, workspaceId: id }).execute();
      return id;
    });
  }

  async byId(id: number): Promise<Workspace | undefined> {
    const row = await this.#db.selectFrom('workspaces').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : (await this.withMembers([row]))[0];
  }

  list(window: PageWindow, filter: { visible: IdQuery; userId?: string | undefined; name?: string | undefined; archived: boolean }): Promise<WorkspaceRow[]> {
    let query = this.#db.selectFrom('workspaces').selectAll().where('archived', '=', flag(filter.archived)).orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.visible !== undefined) query = query.where('id', 'in', filter.visible);
    if (filter.userId !== undefined) query = query.where('id', 'in', this.#db.selectFrom('workspaceMembers').select('workspaceId').where('userUuid', '=', filter.userId));
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    return query.execute();
  }

  /** Members in the order in which they came to the server: lists of them look the same each time they are shown. */
  async withMembers(rows: readonly WorkspaceRow[]): Promise<Workspace[]> {
    if (rows.length === 0) return [];
    const members = await this.#db.selectFrom('workspaceMembers').leftJoin('users', 'users.uuid', 'workspaceMembers.userUuid').select(['workspaceId', 'userUuid', 'workspaceMembers.role'])
      .where('workspaceId', 'in', rows.map((row) => row.id)).orderBy('users.id').orderBy('userUuid').execute();
    return rows.map((row) => ({
      id: row.id, name: row.name, archived: row.archived === 1, createdAt: date(row.createdAt), createdBy: row.createdBy,
      members: members.filter((m) => m.workspaceId === row.id).map((m) => ({ userId: m.userUuid, role: m.role })),
    }));
  }

  async defaultOf(userId: string): Promise<number | undefined> {
    return (await this.#db.selectFrom('defaultWorkspaces').select('workspaceId').where('userUuid', '=', userId).executeTakeFirst())?.workspaceId;
  }

  async isDefault(id: number): Promise<boolean> {
    return (await this.#db.selectFrom('defaultWorkspaces').select('workspaceId').where('workspaceId', '=', id).executeTakeFirst()) !== undefined;
  }

  async setArchived(id: number, archived: boolean): Promise<void> {
    await this.#db.updateTable('workspaces').set({ archived: flag(archived) }).where('id', '=', id).execute();
  }

  async setMember(id: number, member: Member): Promise<void> {
    await this.#db.insertInto('workspaceMembers').values({ workspaceId: id, userUuid: member.userId, role: member.role })
      .onConflict((c) => c.columns(['workspaceId', 'userUuid']).doUpdateSet({ role: member.role })).execute();
  }

  async removeMember(id: number, userId: string): Promise<void> {
    await this.#db.deleteFrom('workspaceMembers').where('workspaceId', '=', id).where('userUuid', '=', userId).execute();
  }
}
