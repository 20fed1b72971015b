import { checkName, PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, Member, Page, PageQuery, Users, Workspace, Workspaces } from '../domains.ts';
import { WorkspaceStore } from './workspaces.store.ts';

export class WorkspaceService implements Workspaces {
  readonly #store: WorkspaceStore;
  readonly #access: Access;
  readonly #users: Users;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, users: Users, clock: () => number) {
    this.#store = new WorkspaceStore(db);
    this.#access = access;
    this.#users = users;
    this.#clock = clock;
  }

  async list(actor: Actor, query: PageQuery & { userId?: string; name?: string; archived?: boolean } = {}): Promise<Page<Workspace>> {
    const window = pageWindow(query);
    const rows = await this.#store.list(window, { visible: this.#access.workspacesOf(actor), userId: query.userId, name: query.name, archived: query.archived ?? false });
    const page = pageFrom(rows, window, (row) => row.id, (row) => row);
    return { items: await this.#store.withMembers(page.items), cursor: page.cursor };
  }

  get(actor: Actor, id: number): Promise<Workspace> {
    return this.#find(actor, id, 'read');
  }

  /** Names need not be unique: the guide's are not. */
  async create(actor: Actor, input: { name: string }): Promise<Workspace> {
    const id = await this.#store.insert(checkName('workspace', input.name), actor.id, this.#clock(), false);
    return this.get(actor, id);
  }

  async defaultFor(actor: Actor): Promise<Workspace> {
    const known = await this.#store.defaultOf(actor.id);
    if (known !== undefined) return this.get(actor, known);
    try {
      return await this.get(actor, await this.#store.insert(`${actor.email} - Default Workspace`, actor.id, this.#clock(), true));
    } catch (error) {
      if (isUniqueViolation(error)) return this.defaultFor(actor);
      throw error;
    }
  }

  async setArchived(actor: Actor, id: number, archived: boolean): Promise<Workspace> {
    const workspace = await this.#find(actor, id, 'own');
    if (archived && (await this.#store.isDefault(id))) throw new PotorooError('conflict', `Workspace ${id} is somebody's default workspace; those are not archived.`);
    await this.#store.setArchived(id, archived);
    return { ...workspace, archived };
  }

  async setMember(actor: Actor, id: number, member: Member): Promise<Workspace> {
    const workspace = await this.#find(actor, id, 'own');
    await this.#users.get(actor, member.userId);
    if (member.role !== 'owner') keepAnOwner(workspace, member.userId);
    await this.#store.setMember(id, member);
    this.#access.changed();
    return this.#find(actor, id, 'read');
  }

  async removeMember(actor: Actor, id: number, userId: string): Promise<Workspace> {
    // Everybody may leave; taking others out is for owners.
    const workspace = await this.#find(actor, id, actor.id === userId ? 'read' : 'own');
    if (!workspace.members.some((m) => m.userId === userId)) {
      throw new PotorooError('user_not_found', `User ${JSON.stringify(userId)} is not a member of workspace ${id}.`);
    }
    keepAnOwner(workspace, userId);
    if ((await this.#store.defaultOf(userId)) === id) {
      throw new PotorooError('conflict', `Workspace ${id} is the default workspace of user ${JSON.stringify(userId)}; nobody is taken out of their own.`);
    }
    await this.#store.removeMember(id, userId);
    this.#access.changed();
    return { ...workspace, members: workspace.members.filter((m) => m.userId !== userId) };
  }

  subjects(id: number): Promise<string[]> {
    return this.#access.subjects(id);
  }

  async #find(actor: Actor, id: number, right: 'read' | 'own'): Promise<Workspace> {
    const missing = notFound('workspace_not_found', id);
    const workspace = await this.#store.byId(id);
    if (workspace === undefined) throw missing;
    await this.#access.require(actor, id, right, missing);
    return workspace;
  }
}

function keepAnOwner(workspace: Workspace, leaving: string): void {
  const owners = workspace.members.filter((m) => m.role === 'owner');
  if (owners.length === 1 && owners[0]?.userId === leaving) {
    throw new PotorooError('conflict', `User ${JSON.stringify(leaving)} is the only owner of workspace ${workspace.id}; make somebody else an owner first.`);
  }
}
