import { checkName, PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { named, notFound, type Access } from '../access.ts';
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
    if (archived && (await this.#store.isDefault(id))) throw new PotorooError('conflict', `${capital(named(workspace))} is somebody's default workspace; those are not archived.`);
    await this.#store.setArchived(id, archived);
    return { ...workspace, archived };
  }

  async setMember(actor: Actor, id: number, member: Member): Promise<Workspace> {
    const workspace = await this.#find(actor, id, 'own');
    await this.#users.get(actor, member.userId);
    if (member.role !== 'owner') await this.#keepAnOwner(actor, workspace, member.userId);
    await this.#store.setMember(id, member);
    this.#access.changed();
    return this.#find(actor, id, 'read');
  }

  async removeMember(actor: Actor, id: number, userId: string): Promise<Workspace> {
    // Everybody may leave; taking others out is for owners.
    const workspace = await this.#find(actor, id, actor.id === userId ? 'read' : 'own');
    if (!workspace.members.some((m) => m.userId === userId)) {
      const { email } = await this.#users.get(actor, userId);
      throw new PotorooError('user_not_found', `User ${email} is not a member of ${named(workspace)}.`);
    }
    await this.#keepAnOwner(actor, workspace, userId);
    if ((await this.#store.defaultOf(userId)) === id) {
      const { email } = await this.#users.get(actor, userId);
      throw new PotorooError('conflict', `${capital(named(workspace))} is the default workspace of user ${email}; nobody is taken out of their own.`);
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

  async #keepAnOwner(actor: Actor, workspace: Workspace, leaving: string): Promise<void> {
    const owners = workspace.members.filter((m) => m.role === 'owner');
    if (owners.length !== 1 || owners[0]?.userId !== leaving) return;
    const { email } = await this.#users.get(actor, leaving);
    throw new PotorooError('conflict', `User ${email} is the only owner of ${named(workspace)}; make somebody else an owner first.`);
  }
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
