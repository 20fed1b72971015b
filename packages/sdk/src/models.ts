import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { apiPrefix, PotorooError, uploadLogPage, type Accelerator, type ApiFrameworks, type ApiModel, type ApiModelConfig, type ApiModelVersion, type ApiUploadLog, type Architecture, type Field, type ImageRegistration, type ModelConfig } from '@potoroo/contract';
import { createOnce, listOf, type Calls } from './calls.ts';
import { Logs, type LogOptions } from './logs.ts';
import type { Pages } from './pages.ts';
import { reasonError } from './problem.ts';
import type { TagName } from './tags.ts';
import type { CallOptions } from './transport.ts';
import { formOf, uploadOf, type ModelSource, type UploadProgress } from './upload.ts';

export type { ModelSource };

const base = `${apiPrefix}/models`;
const versions = `${apiPrefix}/model-versions`;

export interface UploadOptions extends CallOptions {
  /** What made it, such as `onnx`, `sklearn` or `python`; `frameworks()` gives all there are. */
  readonly framework: string;
  /** Name to show; that of the path when a path is uploaded. */
  readonly fileName?: string;
  readonly arch?: Architecture;
  readonly accel?: Accelerator;
  readonly visibility?: 'private' | 'public';
  /** Columns that the model takes and gives; ONNX models say these themselves. */
  readonly inputSchema?: readonly Field[];
  readonly outputSchema?: readonly Field[];
  /** Packages beside the framework's own, or in their place, such as `scikit-learn==1.3.0`. */
  readonly requirements?: readonly string[];
  /** Such as `3.11`. */
  readonly pythonVersion?: string;
  /** The framework's versions that the guide names, for models that were made with these. */
  readonly versions?: 'current' | 'guide';
  /** Settings of the framework; those of a custom model reach its builder. */
  readonly frameworkConfig?: Readonly<Record<string, unknown>>;
  /** Requests that each process of the model works on at once; 1 when not given. */
  readonly concurrency?: number;
  /** False: not tried as ONNX. */
  readonly convert?: boolean;
  readonly onProgress?: (progress: UploadProgress) => void;
  readonly onLog?: LoadOptions['onLog'];
}

export interface LoadOptions extends CallOptions {
  /** Called with each line that is said while the model is loaded: packages that are installed, what became of its conversion. */
  readonly onLog?: ((line: string) => void) | undefined;
}

/** One version of a model: an uploaded file, loaded once after the upload. */
export class ModelVersion {
  readonly #calls: Calls;
  readonly info: ApiModelVersion;

  constructor(calls: Calls, info: ApiModelVersion) {
    this.#calls = calls;
    this.info = info;
  }

  get id(): number { return this.info.id; }
  get name(): string { return this.info.name; }
  /** A UUID. */
  get version(): string { return this.info.version; }
  get status(): ApiModelVersion['status'] { return this.info.status; }

  /** Sets how the model is run, such as `{ tensorFields: ['tensor'] }`; the newest config counts when a pipeline is deployed. */
  async configure(config: ModelConfig, options: CallOptions = {}): Promise<this> {
    await this.#calls.transport.json(`${versions}/${this.id}/config`, { ...options, method: 'PUT', json: config });
    return this;
  }

  config(options: CallOptions = {}): Promise<ApiModelConfig> {
    return this.#calls.transport.json<ApiModelConfig>(`${versions}/${this.id}/config`, options);
  }

  refresh(options: CallOptions = {}): Promise<ModelVersion> {
    return this.#calls.models.version(this.id, options);
  }

  /** What was said when the model was loaded after its upload. */
  async uploadLog(options: CallOptions = {}): Promise<string[]> {
    const lines: string[] = [];
    await this.#tell(0, (line) => lines.push(line), options);
    return lines;
  }

  /** Tells the lines that there are after a place in the upload log; gives the place after them. */
  async #tell(after: number, onLog: (line: string) => void, options: CallOptions): Promise<number> {
    for (;;) {
      const { lines, next } = await this.#calls.transport.json<ApiUploadLog>(`${versions}/${this.id}/upload-log`, { ...options, query: { after, limit: uploadLogPage } });
      for (const line of lines) onLog(line);
      after = next;
      if (lines.length < uploadLogPage) return after;
    }
  }

  /** The tags that it carries. */
  async tags(options: CallOptions = {}): Promise<TagName[]> {
    return (await this.#calls.transport.json<{ items: TagName[] }>(`${versions}/${this.id}/tags`, options)).items;
  }

  /** @throws PotorooError with the code and the reason of a model that cannot be used; deadline_exceeded after `timeoutMs`, 30 minutes when not given: an environment may have to be made */
  async waitUntilReady(options: LoadOptions = {}): Promise<ModelVersion> {
    const { signal, timeoutMs = 1_800_000, onLog } = options;
    const limit = AbortSignal.timeout(timeoutMs);
    let version = new ModelVersion(this.#calls, this.info);
    let told = 0;
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      if (onLog !== undefined) told = await this.#tell(told, onLog, { signal });
      if (version.status === 'ready') return version;
      if (version.status === 'error') throw reasonError(version.info.reason, `Model ${version.name} cannot be used.`);
      if (limit.aborted) throw new PotorooError('deadline_exceeded', `Model ${version.name} is still ${version.status} after ${timeoutMs} ms.`);
      await delay(pause, undefined, signal === undefined ? {} : { signal });
      version = await version.refresh({ signal });
    }
  }

  /** `public`: every signed-in user may read it and take it into pipelines; `private`: its workspace alone. */
  async setVisibility(visibility: 'private' | 'public', options: CallOptions = {}): Promise<ModelVersion> {
    return new ModelVersion(this.#calls, await this.#calls.transport.json<ApiModelVersion>(`${versions}/${this.id}`, { ...options, method: 'PATCH', json: { visibility }, repeat: 'always' }));
  }

  /** @throws PotorooError in_use while a pipeline uses it */
  async delete(options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.bytes(`${versions}/${this.id}`, { ...options, method: 'DELETE' });
  }
}

/** A model: a name in a workspace, and its versions. */
export class Model {
  readonly #calls: Calls;
  readonly info: ApiModel;
  /** Newest first. */
  readonly versions: readonly ModelVersion[];

  constructor(calls: Calls, info: ApiModel) {
    this.#calls = calls;
    this.info = info;
    this.versions = info.versions.map((version) => new ModelVersion(calls, version));
  }

  get id(): number { return this.info.id; }
  get name(): string { return this.info.name; }

  /** The inferences that it took part in, of all pipelines that have it in a step; newest first. */
  logs(options: Omit<LogOptions, 'pipelineVersion'> = {}): Logs {
    return new Logs(this.#calls.transport, `${base}/${this.id}/logs`, options);
  }

  /** The newest version. */
  get latest(): ModelVersion {
    const version = this.versions[0];
    if (version === undefined) throw new PotorooError('model_not_found', `Model ${this.name} has no version.`);
    return version;
  }
}

export class Models {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  list(query: { workspaceId?: number; name?: string } & CallOptions = {}): Pages<Model> {
    const { workspaceId, name, ...call } = query;
    return listOf<ApiModel>(this.#calls.transport, base, { workspaceId, name }, call).map((info) => new Model(this.#calls, info));
  }

  /** What models can be of there, and which Pythons there are for them. */
  frameworks(options: CallOptions = {}): Promise<ApiFrameworks> {
    return this.#calls.transport.json<ApiFrameworks>(`${apiPrefix}/frameworks`, options);
  }

  /** @throws PotorooError model_not_found */
  async get(id: number, options: CallOptions = {}): Promise<Model> {
    return new Model(this.#calls, await this.#calls.transport.json<ApiModel>(`${base}/${id}`, options));
  }

  /** Versions, newest first, of which a part of the name, version, digest or file name is `term`. */
  search(query: { term?: string; workspaceId?: number; createdAfter?: Date; createdBefore?: Date } & CallOptions = {}): Pages<ModelVersion> {
    const { term, workspaceId, createdAfter, createdBefore, ...call } = query;
    return listOf<ApiModelVersion>(this.#calls.transport, versions, { term, workspaceId, createdAfter: createdAfter?.toISOString(), createdBefore: createdBefore?.toISOString() }, call).map((info) => new ModelVersion(this.#calls, info));
  }

  /** @throws PotorooError model_not_found */
  async version(id: number, options: CallOptions = {}): Promise<ModelVersion> {
    return new ModelVersion(this.#calls, await this.#calls.transport.json<ApiModelVersion>(`${versions}/${id}`, options));
  }

  /**
   * Registers a container image that serves MLflow's scoring protocol, and waits until it has been pulled and started once.
   * @throws PotorooError image_unavailable, container_unavailable, arch_mismatch, engine_start_timeout, with the reason
   */
  async registerImage(workspaceId: number, name: string, image: ImageRegistration, options: LoadOptions = {}): Promise<ModelVersion> {
    const { timeoutMs, onLog, ...call } = options;
    const info = await createOnce<ApiModelVersion>(this.#calls.transport, `${apiPrefix}/workspaces/${workspaceId}/models/${encodeURIComponent(name)}/images`, image, call);
    return new ModelVersion(this.#calls, info).waitUntilReady({ timeoutMs: timeoutMs ?? 1_800_000, signal: options.signal, onLog });
  }

  /**
   * Uploads a model and waits until it has been loaded once. The same ONNX file as the newest version gives that version back.
   * A file or bytes are sent again when the connection breaks, which never makes a second version.
   * There is no time limit for the upload itself unless `timeoutMs` sets one.
   * @throws PotorooError invalid_name, invalid_request naming the option, body_too_large, model_invalid, model_unsupported, warm_up_failed, environment_failed
   */
  async upload(workspaceId: number, name: string, source: ModelSource, options: UploadOptions): Promise<ModelVersion> {
    const { onProgress, onLog, signal, timeoutMs, fileName, framework, arch, accel, visibility, pythonVersion, versions: pinned, concurrency, convert, ...more } = options;
    const upload = await uploadOf(source, onProgress);
    const form = Object.keys(more).length === 0 ? undefined : formOf(more, upload);
    const info = await this.#calls.transport.json<ApiModelVersion>(`${apiPrefix}/workspaces/${workspaceId}/models/${encodeURIComponent(name)}/versions`, {
      method: 'POST',
      query: { framework, fileName: fileName ?? upload.fileName, arch, accel, visibility, pythonVersion, versions: pinned, concurrency, convert },
      body: () => (form ?? upload).open(),
      headers: { 'content-type': form?.contentType ?? 'application/octet-stream', 'idempotency-key': randomUUID() },
      repeat: upload.repeatable ? 'always' : 'never',
      timeoutMs: timeoutMs ?? Number.POSITIVE_INFINITY,
      signal,
    });
    return await new ModelVersion(this.#calls, info).waitUntilReady({ signal, onLog });
  }
}
