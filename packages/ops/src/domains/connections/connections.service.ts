import { randomUUID } from 'node:crypto';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isForeignKeyViolation, isUniqueViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import type { Secrets } from '../../storage/secrets.ts';
import { date, json, parsed } from '../../storage/values.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, Connection, ConnectionKey, Connections, Page, PageQuery } from '../domains.ts';
import { ConnectionStore, type ConnectionRow } from './connections.store.ts';

const maxName = 256;
const maxDetailBytes = 256 * 1024;

/**
 * Connections belong to the whole server and are shared through workspaces: who made one, members of its workspaces and
 * administrators may see it and what is in it; to everybody else it does not exist, but for its name being taken.
 */
export class ConnectionService implements Connections {
  readonly #store: ConnectionStore;
  readonly #access: Access;
  readonly #secrets: Secrets;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, secrets: Secrets, clock: () => number) {
    this.#store = new ConnectionStore(db);
    this.#access = access;
    this.#secrets = secrets;
    this.#clock = clock;
  }

  async create(actor: Actor, input: { name: string; type: string; details: Record<string, unknown> }): Promise<Connection> {
    const name = text('name', input.name);
    const type = text('type', input.type);
    const details = json(input.details);
    if (Buffer.byteLength(details) > maxDetailBytes) throw new PotorooError('invalid_request', `details takes ${Buffer.byteLength(details)} bytes; ${maxDetailBytes} are allowed.`, { fields: [{ field: 'details', message: 'too large' }] });
    const uuid = randomUUID();
    try {
      await this.#store.insert({ uuid, name, type, sealedDetails: this.#secrets.seal(details, uuid), createdBy: actor.id, createdAt: this.#clock() });
    } catch (error) {
      if (isUniqueViolation(error)) throw new PotorooError('already_exists', `There is a connection named ${JSON.stringify(name)} already; choose another name.`);
      throw error;
    }
    return (await this.#shown(actor, [await this.#find(actor, { id: uuid })]))[0] as Connection;
  }

  async get(actor: Actor, key: ConnectionKey): Promise<Connection> {
    return (await this.#shown(actor, [await this.#find(actor, key)]))[0] as Connection;
  }

  async details(actor: Actor, key: ConnectionKey): Promise<Record<string, unknown>> {
    const row = await this.#find(actor, key);
    return parsed(this.#secrets.open(row.sealedDetails, row.uuid));
  }

  async list(actor: Actor, query: PageQuery & { workspaceId?: number; name?: string } = {}): Promise<Page<Connection>> {
    const window = pageWindow(query);
    const { workspaceId } = query;
    if (workspaceId !== undefined) await this.#access.require(actor, workspaceId, 'read', notFound('workspace_not_found', workspaceId));
    const rows = await this.#store.list(window, { ...(workspaceId === undefined ? {} : { workspaceId }), ...(query.name === undefined ? {} : { name: query.name }), ...(actor.role === 'admin' || workspaceId !== undefined ? {} : { visibleTo: { userId: actor.id } }) });
    const page = pageFrom(rows, window, (row) => row.id, (row) => row);
    return { items: await this.#shown(actor, page.items), cursor: page.cursor };
  }

  async addToWorkspace(actor: Actor, key: ConnectionKey, workspaceId: number): Promise<Connection> {
    const row = await this.#find(actor, key);
    await this.#access.require(actor, workspaceId, 'write', notFound('workspace_not_found', workspaceId));
    try {
      await this.#store.add(workspaceId, row.id);
    } catch (error) {
      if (isForeignKeyViolation(error)) throw notFound('workspace_not_found', workspaceId);
      throw error;
    }
    return this.get(actor, key);
  }

  async removeFromWorkspace(actor: Actor, key: ConnectionKey, workspaceId: number): Promise<void> {
    const row = await this.#find(actor, key);
    await this.#access.require(actor, workspaceId, 'write', notFound('workspace_not_found', workspaceId));
    if (!(await this.#store.remove(workspaceId, row.id))) throw new PotorooError('connection_not_found', `Connection ${JSON.stringify(row.name)} is not in workspace ${workspaceId}.`);
  }

  async remove(actor: Actor, key: ConnectionKey): Promise<void> {
    const row = await this.#find(actor, key);
    if (actor.role !== 'admin' && row.createdBy !== actor.id) throw new PotorooError('forbidden', `Only who made connection ${JSON.stringify(row.name)} or an administrator may delete it.`);
    const workspaces = (await this.#store.workspacesOf([row.id], undefined)).get(row.id) ?? [];
    if (workspaces.length > 0) {
      const seen = (await this.#shown(actor, [row]))[0]?.workspaces ?? [];
      const named = seen.slice(0, 5).map((w) => `, ${JSON.stringify(w.name)}`).join('');
      throw new PotorooError('in_use', `Connection ${JSON.stringify(row.name)} is in ${workspaces.length} ${workspaces.length === 1 ? 'workspace' : 'workspaces'}${named}; remove it from there first.`);
    }
    await this.#store.delete(row.id);
  }

  async #find(actor: Actor, key: ConnectionKey): Promise<ConnectionRow> {
    const missing = notFound('connection_not_found', 'id' in key ? key.id : key.name);
    const row = await this.#store.by('id' in key ? { uuid: key.id } : { name: key.name });
    if (row === undefined) throw missing;
    if (actor.role === 'admin' || row.createdBy === actor.id) return row;
    const seen = await this.#store.list({ take: 1, before: row.id + 1 }, { visibleTo: { userId: actor.id } });
    if (seen[0]?.id !== row.id) throw missing;
    return row;
  }

  async #shown(actor: Actor, rows: readonly ConnectionRow[]): Promise<Connection[]> {
    const workspaces = await this.#store.workspacesOf(rows.map((row) => row.id), this.#access.workspacesOf(actor));
    return rows.map((row) => ({ id: row.uuid, name: row.name, type: row.type, createdBy: row.createdBy, createdAt: date(row.createdAt), workspaces: workspaces.get(row.id) ?? [] }));
  }
}

function text(field: string, value: string): string {
  if (value.trim() !== '' && value.length <= maxName && !/\p{Cc}/u.test(value)) return value;
  throw new PotorooError('invalid_name', `${field} ${JSON.stringify(value.slice(0, 80))} is not allowed: use 1 to ${maxName} printable characters.`, { fields: [{ field, message: `1 to ${maxName} printable characters` }] });
}
