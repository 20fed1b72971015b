import { randomUUID } from 'node:crypto';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import type { Secrets } from '../../storage/secrets.ts';
import { date, json, parsed } from '../../storage/values.ts';
import type { Access } from '../access.ts';
import type { Actor, Connection, ConnectionKey, Connections, Page, PageQuery } from '../domains.ts';
import { nameText, Sharing } from '../sharing.ts';
import { ConnectionStore, type ConnectionRow } from './connections.store.ts';

const maxDetailBytes = 256 * 1024;

/** How to reach data stores, shared through workspaces. Names are unique on the server, so that one is told by its name alone. */
export class ConnectionService implements Connections {
  readonly #store: ConnectionStore;
  readonly #sharing: Sharing<ConnectionRow>;
  readonly #secrets: Secrets;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, secrets: Secrets, clock: () => number) {
    this.#store = new ConnectionStore(db);
    this.#sharing = new Sharing(db, access, { table: 'connections', links: 'workspaceConnections', link: 'connectionId', word: 'connection', missing: 'connection_not_found' });
    this.#secrets = secrets;
    this.#clock = clock;
  }

  async create(actor: Actor, input: { name: string; type: string; details: Record<string, unknown> }): Promise<Connection> {
    const name = nameText('name', input.name);
    const type = nameText('type', input.type);
    const details = json(input.details);
    if (Buffer.byteLength(details) > maxDetailBytes) throw new PotorooError('invalid_request', `details takes ${Buffer.byteLength(details)} bytes; ${maxDetailBytes} are allowed.`, { fields: [{ field: 'details', message: 'too large' }] });
    const uuid = randomUUID();
    try {
      await this.#store.insert({ uuid, name, type, sealedDetails: this.#secrets.seal(details, uuid), createdBy: actor.id, createdAt: this.#clock() });
    } catch (error) {
      if (isUniqueViolation(error)) throw new PotorooError('already_exists', `There is a connection named ${JSON.stringify(name)} already; choose another name.`);
      throw error;
    }
    return this.get(actor, { id: uuid });
  }

  async get(actor: Actor, key: ConnectionKey): Promise<Connection> {
    return (await this.#shown(actor, [await this.#sharing.find(actor, key)]))[0] as Connection;
  }

  async details(actor: Actor, key: ConnectionKey): Promise<Record<string, unknown>> {
    const row = await this.#sharing.find(actor, key);
    return parsed(this.#secrets.open(row.sealedDetails, row.uuid));
  }

  async list(actor: Actor, query: PageQuery & { workspaceId?: number; name?: string } = {}): Promise<Page<Connection>> {
    const page = await this.#sharing.list(actor, query);
    return { items: await this.#shown(actor, page.items), cursor: page.cursor };
  }

  async addToWorkspace(actor: Actor, key: ConnectionKey, workspaceId: number): Promise<Connection> {
    await this.#sharing.addTo(actor, await this.#sharing.find(actor, key), workspaceId);
    return this.get(actor, key);
  }

  async removeFromWorkspace(actor: Actor, key: ConnectionKey, workspaceId: number): Promise<void> {
    await this.#sharing.removeFrom(actor, await this.#sharing.find(actor, key), workspaceId);
  }

  async remove(actor: Actor, key: ConnectionKey): Promise<void> {
    await this.#sharing.remove(actor, await this.#sharing.find(actor, key));
  }

  async #shown(actor: Actor, rows: readonly ConnectionRow[]): Promise<Connection[]> {
    const workspaces = await this.#sharing.workspacesOf(actor, rows);
    return rows.map((row) => ({ id: row.uuid, name: row.name, type: row.type, createdBy: row.createdBy, createdAt: date(row.createdAt), workspaces: workspaces.get(row.id) ?? [] }));
  }
}
