import { PotorooError, type ErrorCode } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../storage/database.ts';
import type { Actor, Member } from './domains.ts';

/** What somebody wants to do in a workspace. Collaborators read and write; owners also manage the members. */
export type Right = 'read' | 'write' | 'own';

/**
 * The one place that says who may do what. Administrators may do everything; members what their role allows; to everybody
 * else a workspace and what is in it does not exist.
 */
export class Access {
  readonly #db: Kysely<Database>;
  readonly #listeners = new Set<() => void>();

  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /**
   * @param missing what to throw when the actor may not see the workspace: the same as when the thing asked for does not exist.
   * @throws missing, or `forbidden` when the actor may see it but not do this
   */
  async require(actor: Actor, workspaceId: number, right: Right, missing: PotorooError): Promise<void> {
    if (actor.role === 'admin') return;
    const role = await this.#roleOf(workspaceId, actor.id);
    if (role === undefined) throw missing;
    if (right === 'own' && role !== 'owner') {
      throw new PotorooError('forbidden', `Only an owner of ${await this.named(workspaceId)} or an administrator may do this; ask one of them.`);
    }
  }

  /** As `require`, for reading a thing that its owner has opened to every signed-in user. */
  async requireRead(actor: Actor, thing: { workspaceId: number; visibility: 'private' | 'public' }, missing: PotorooError): Promise<void> {
    if (thing.visibility === 'private') await this.require(actor, thing.workspaceId, 'read', missing);
  }

  requireAdmin(actor: Actor): void {
    if (actor.role !== 'admin') throw new PotorooError('forbidden', 'Only an administrator may do this.');
  }

  /** Ids of the workspaces to narrow a list to, as a subquery; undefined when the actor sees all. */
  workspacesOf(actor: Actor) {
    if (actor.role === 'admin') return undefined;
    return this.#db.selectFrom('workspaceMembers').select('workspaceMembers.workspaceId').where('workspaceMembers.userUuid', '=', actor.id);
  }

  /** User ids that may use what is in a workspace. */
  async subjects(workspaceId: number): Promise<string[]> {
    const rows = await this.#db.selectFrom('users').select('uuid').where('enabled', '=', 1)
      .where((eb) => eb.or([
        eb('role', '=', 'admin'),
        eb('uuid', 'in', eb.selectFrom('workspaceMembers').select('userUuid').where('workspaceId', '=', workspaceId)),
      ]))
      .orderBy('uuid').execute();
    return rows.map((row) => row.uuid);
  }

  /** Calls the listener whenever `subjects` may have changed, so that running engines can be told. Returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For the services that change users and members. */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** The workspace as a person knows it, for messages to those who may see it. */
  async named(workspaceId: number): Promise<string> {
    const row = await this.#db.selectFrom('workspaces').select('name').where('id', '=', workspaceId).executeTakeFirst();
    return row === undefined ? `workspace ${workspaceId}` : named({ id: workspaceId, name: row.name });
  }

  async #roleOf(workspaceId: number, userId: string): Promise<Member['role'] | undefined> {
    const row = await this.#db.selectFrom('workspaceMembers').select('role').where('workspaceId', '=', workspaceId).where('userUuid', '=', userId).executeTakeFirst();
    return row?.role;
  }
}

/** `workspace "sales" (7)`: several may have one name. */
export const named = ({ id, name }: { readonly id: number; readonly name: string }): string => `workspace ${JSON.stringify(name)} (${id})`;

/** `model 7 does not exist, or you may not see it.` */
export function notFound(code: ErrorCode & `${string}_not_found`, id: number | string): PotorooError {
  const what = code.replace(/_not_found$/, '').replaceAll('_', ' ');
  return new PotorooError(code, `${what} ${JSON.stringify(id)} does not exist, or you may not see it.`);
}
