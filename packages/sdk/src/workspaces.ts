import { apiPrefix, type ApiWorkspace, type ImageRegistration } from '@potoroo/contract';
import type { LoadOptions, Model, ModelSource, ModelVersion, UploadOptions } from './models.ts';
import type { Pages } from './pages.ts';
import type { Pipeline } from './pipelines.ts';
import { createOnce, listOf, type Calls } from './calls.ts';
import type { CallOptions } from './transport.ts';

const base = `${apiPrefix}/workspaces`;

/** A workspace: who works together on which models and pipelines. */
export class Workspace {
  readonly #calls: Calls;
  readonly info: ApiWorkspace;

  constructor(calls: Calls, info: ApiWorkspace) {
    this.#calls = calls;
    this.info = info;
  }

  get id(): number { return this.info.id; }
  get name(): string { return this.info.name; }

  models(query: { name?: string } & CallOptions = {}): Pages<Model> {
    return this.#calls.models.list({ ...query, workspaceId: this.id });
  }

  pipelines(query: { name?: string } & CallOptions = {}): Pages<Pipeline> {
    return this.#calls.pipelines.list({ ...query, workspaceId: this.id });
  }

  uploadModel(name: string, source: ModelSource, options: UploadOptions): Promise<ModelVersion> {
    return this.#calls.models.upload(this.id, name, source, options);
  }

  /** Registers a container image that serves MLflow's scoring protocol as a model. */
  registerImage(name: string, image: ImageRegistration, options: LoadOptions = {}): Promise<ModelVersion> {
    return this.#calls.models.registerImage(this.id, name, image, options);
  }

  /** The pipeline of that name, made when there is none. */
  buildPipeline(name: string, options: CallOptions = {}): Promise<Pipeline> {
    return this.#calls.pipelines.build(this.id, name, options);
  }

  /** For its owners. An archived workspace is left out of lists; what is in it stays as it is. */
  async setArchived(archived: boolean, options: CallOptions = {}): Promise<Workspace> {
    return new Workspace(this.#calls, await this.#calls.transport.json<ApiWorkspace>(`${base}/${this.id}`, { ...options, method: 'PATCH', json: { archived }, repeat: 'always' }));
  }

  async setMember(userId: string, role: 'owner' | 'collaborator', options: CallOptions = {}): Promise<Workspace> {
    const path = `${base}/${this.id}/members/${encodeURIComponent(userId)}`;
    return new Workspace(this.#calls, await this.#calls.transport.json<ApiWorkspace>(path, { ...options, method: 'PUT', json: { role } }));
  }

  async removeMember(userId: string, options: CallOptions = {}): Promise<Workspace> {
    const path = `${base}/${this.id}/members/${encodeURIComponent(userId)}`;
    return new Workspace(this.#calls, await this.#calls.transport.json<ApiWorkspace>(path, { ...options, method: 'DELETE' }));
  }
}

export class Workspaces {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** `archived` lists the archived ones instead of the others. */
  list(query: { name?: string; archived?: boolean } & CallOptions = {}): Pages<Workspace> {
    const { name, archived, ...call } = query;
    return listOf<ApiWorkspace>(this.#calls.transport, base, { name, archived }, call).map((info) => new Workspace(this.#calls, info));
  }

  /** @throws PotorooError workspace_not_found */
  async get(id: number, options: CallOptions = {}): Promise<Workspace> {
    return new Workspace(this.#calls, await this.#calls.transport.json<ApiWorkspace>(`${base}/${id}`, options));
  }

  /** The caller's own workspace, made on first use. */
  async default(options: CallOptions = {}): Promise<Workspace> {
    return new Workspace(this.#calls, await this.#calls.transport.json<ApiWorkspace>(`${base}/default`, options));
  }

  /** @throws PotorooError invalid_name, already_exists */
  async create(name: string, options: CallOptions = {}): Promise<Workspace> {
    return new Workspace(this.#calls, await createOnce<ApiWorkspace>(this.#calls.transport, base, { name }, options));
  }
}
