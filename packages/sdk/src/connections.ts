import { apiPrefix, type ApiConnection, type NewConnection } from '@potoroo/contract';
import { createOnce, listOf, type Calls } from './calls.ts';
import type { Pages } from './pages.ts';
import type { CallOptions } from './transport.ts';

const base = `${apiPrefix}/connections`;
const inWorkspace = (workspaceId: number, id: string) => `${apiPrefix}/workspaces/${workspaceId}/connections/${id}`;

/** How to reach a data store, shared through workspaces. Its details come only when they are asked for. */
export class Connection {
  readonly #calls: Pick<Calls, 'transport'>;
  readonly info: ApiConnection;

  constructor(calls: Pick<Calls, 'transport'>, info: ApiConnection) {
    this.#calls = calls;
    this.info = info;
  }

  get id(): string { return this.info.id; }
  get name(): string { return this.info.name; }
  get type(): string { return this.info.type; }

  details(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return this.#calls.transport.json<Record<string, unknown>>(`${base}/${this.id}/details`, options);
  }

  async addToWorkspace(workspaceId: number, options: CallOptions = {}): Promise<Connection> {
    return new Connection(this.#calls, await this.#calls.transport.json<ApiConnection>(inWorkspace(workspaceId, this.id), { ...options, method: 'PUT' }));
  }

  async removeFromWorkspace(workspaceId: number, options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.request(inWorkspace(workspaceId, this.id), { ...options, method: 'DELETE' });
  }

  /** @throws PotorooError in_use while a workspace has it */
  async delete(options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.request(`${base}/${this.id}`, { ...options, method: 'DELETE' });
  }
}

export class Connections {
  readonly #calls: Pick<Calls, 'transport'>;

  constructor(calls: Pick<Calls, 'transport'>) {
    this.#calls = calls;
  }

  /** `name` finds the one of that name. */
  list(query: { workspaceId?: number; name?: string } & CallOptions = {}): Pages<Connection> {
    const { workspaceId, name, ...call } = query;
    return listOf<ApiConnection>(this.#calls.transport, base, { workspaceId, name }, call).map((info) => new Connection(this.#calls, info));
  }

  /** @throws PotorooError connection_not_found */
  async get(id: string, options: CallOptions = {}): Promise<Connection> {
    return new Connection(this.#calls, await this.#calls.transport.json<ApiConnection>(`${base}/${encodeURIComponent(id)}`, options));
  }

  /** @throws PotorooError already_exists: names are unique on the server */
  async create(connection: NewConnection, options: CallOptions = {}): Promise<Connection> {
    return new Connection(this.#calls, await createOnce<ApiConnection>(this.#calls.transport, base, connection, options));
  }
}
