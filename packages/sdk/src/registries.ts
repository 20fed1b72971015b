import { apiPrefix, type ApiModelVersion, type ApiRegisteredModel, type ApiRegisteredModelVersion, type ApiRegistry, type ApiRegistryArtifact, type NewRegistry } from '@potoroo/contract';
import { createOnce, listOf, type Calls } from './calls.ts';
import { ModelVersion, type UploadOptions } from './models.ts';
import type { Pages } from './pages.ts';
import type { CallOptions } from './transport.ts';

const base = `${apiPrefix}/registries`;
const inWorkspace = (workspaceId: number, id: string) => `${apiPrefix}/workspaces/${workspaceId}/registries/${id}`;
/** The server asks another one, which may take its time. */
const patienceMs = 60_000;

/** As of any upload; a file's name is that in the registry. */
export type RegistryUploadOptions = Omit<UploadOptions, 'fileName' | 'onProgress'>;
type StartOptions = Omit<RegistryUploadOptions, 'onLog'>;

/** A server that keeps models, such as MLflow's, shared through workspaces. */
export class Registry {
  readonly #calls: Calls;
  readonly info: ApiRegistry;

  constructor(calls: Calls, info: ApiRegistry) {
    this.#calls = calls;
    this.info = info;
  }

  get id(): string { return this.info.id; }
  get name(): string { return this.info.name; }
  get url(): string { return this.info.url; }

  /** @throws PotorooError registry_unreachable, registry_refused, registry_invalid, address_refused */
  models(options: CallOptions = {}): Pages<ApiRegisteredModel> {
    return listOf<ApiRegisteredModel>(this.#calls.transport, `${base}/${this.id}/models`, {}, { timeoutMs: patienceMs, ...options });
  }

  /** In the registry's order. */
  versions(model: string, options: CallOptions = {}): Pages<ApiRegisteredModelVersion> {
    return listOf<ApiRegisteredModelVersion>(this.#calls.transport, `${base}/${this.id}/versions`, { model }, { timeoutMs: patienceMs, ...options });
  }

  /** Files and folders of a version. @throws PotorooError artifact_not_found */
  async artifacts(model: string, version: string, options: CallOptions = {}): Promise<ApiRegistryArtifact[]> {
    return (await this.#calls.transport.json<{ items: ApiRegistryArtifact[] }>(`${base}/${this.id}/artifacts`, { timeoutMs: patienceMs, ...options, query: { model, version } })).items;
  }

  /**
   * Uploads a file, or the whole folder of an MLflow model, and waits until it has been fetched and loaded once. `path` is the `address`
   * of an artifact, or `models:/<model>/<version>`. `timeoutMs` is for all of it; 30 minutes when not given.
   * @throws PotorooError with the code and the reason of a model that could not be fetched or cannot be used
   */
  async upload(workspaceId: number, name: string, path: string, options: RegistryUploadOptions): Promise<ModelVersion> {
    const { timeoutMs, onLog, ...rest } = options;
    return (await this.startUpload(workspaceId, name, path, rest)).waitUntilReady({ timeoutMs, signal: options.signal, onLog });
  }

  /** The same without waiting: the version is `uploading`. */
  async startUpload(workspaceId: number, name: string, path: string, options: StartOptions): Promise<ModelVersion> {
    const { signal, timeoutMs, ...upload } = options;
    return new ModelVersion(this.#calls, await createOnce<ApiModelVersion>(this.#calls.transport, `${base}/${this.id}/uploads`, { ...upload, workspaceId, name, path }, { signal, timeoutMs }));
  }

  /** A new token in the place of the one before; null takes it away. For who made the registry and administrators. @throws PotorooError invalid_request, forbidden */
  async setToken(token: string | null, options: CallOptions = {}): Promise<Registry> {
    return new Registry(this.#calls, await this.#calls.transport.json<ApiRegistry>(`${base}/${this.id}`, { ...options, method: 'PATCH', json: { token }, repeat: 'always' }));
  }

  async addToWorkspace(workspaceId: number, options: CallOptions = {}): Promise<Registry> {
    return new Registry(this.#calls, await this.#calls.transport.json<ApiRegistry>(inWorkspace(workspaceId, this.id), { ...options, method: 'PUT' }));
  }

  async removeFromWorkspace(workspaceId: number, options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.request(inWorkspace(workspaceId, this.id), { ...options, method: 'DELETE' });
  }

  /** @throws PotorooError in_use while a workspace has it */
  async delete(options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.request(`${base}/${this.id}`, { ...options, method: 'DELETE' });
  }
}

export class Registries {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Names need not be unique: `name` finds all of that name. */
  list(query: { workspaceId?: number; name?: string } & CallOptions = {}): Pages<Registry> {
    const { workspaceId, name, ...call } = query;
    return listOf<ApiRegistry>(this.#calls.transport, base, { workspaceId, name }, call).map((info) => new Registry(this.#calls, info));
  }

  /** @throws PotorooError registry_not_found */
  async get(id: string, options: CallOptions = {}): Promise<Registry> {
    return new Registry(this.#calls, await this.#calls.transport.json<ApiRegistry>(`${base}/${encodeURIComponent(id)}`, options));
  }

  /** In your own workspace when none is named. The registry is not asked for anything yet. @throws PotorooError invalid_name, invalid_request */
  async create(registry: NewRegistry, options: CallOptions = {}): Promise<Registry> {
    return new Registry(this.#calls, await createOnce<ApiRegistry>(this.#calls.transport, base, registry, options));
  }
}
