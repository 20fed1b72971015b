import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { checkName, frameworks, imageFramework, ModelConfigSchema, PotorooError, uploadLogPage, type ModelConfig } from '@potoroo/contract';
import { Value } from '@sinclair/typebox/value';
import type { Kysely } from 'kysely';
import type { Blob, Blobs } from '../../storage/blobs.ts';
import type { Database } from '../../storage/database.ts';
import { isForeignKeyViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { json } from '../../storage/values.ts';
import type { Logger } from '../../log.ts';
import { notFound, type Access, type Right } from '../access.ts';
import type { Actor, Frameworks, Model, Models, ModelVersion, Page, PageQuery, StoredModelConfig, UploadInput, UploadLog } from '../domains.ts';
import type { Environments } from '../environments/environments.service.ts';
import type { Inspect } from './inspection.ts';
import { LoadQueue, type OpenSource } from './load-queue.ts';
import { declared, ModelStore, type NewVersion } from './models.store.ts';
import { runsInEngine } from './python-loads.ts';
import { readUploadOptions, type KeptOptions } from './upload-options.ts';

export interface ModelOptions {
  readonly inspect: Inspect;
  readonly loadsAtOnce: number;
  readonly maxBytes: number;
  readonly clock: () => number;
  readonly log: Logger;
  /** Makes the environments of models that Python loads; without it only ONNX models are taken. */
  readonly environments?: Environments;
  readonly loadTimeoutMs?: number;
  /** Opens the files of versions that `receive` made. */
  readonly open?: OpenSource;
  /** Told when there is no such version any more. */
  readonly onRemoved?: (version: ModelVersion) => void;
}

/** How long an upload waits for the test load before it answers with a status that is not decided yet. */
const patienceMs = 5000;

export class ModelService implements Models {
  readonly #store: ModelStore;
  readonly #blobs: Blobs;
  readonly #access: Access;
  readonly #options: ModelOptions;
  readonly #loads: LoadQueue;

  constructor(db: Kysely<Database>, blobs: Blobs, access: Access, options: ModelOptions) {
    this.#store = new ModelStore(db);
    this.#blobs = blobs;
    this.#access = access;
    this.#options = options;
    this.#loads = new LoadQueue({ ...options, store: this.#store, blobs, atOnce: options.loadsAtOnce });
  }

  /** Takes up the test loads that an end of the server cut short. */
  async resume(): Promise<void> {
    for (const id of await this.#store.undecided()) void this.#loads.load(id);
  }

  /** Removes files and environments that no model version refers to: left by uploads that were cut short and by removed versions. */
  async sweep(): Promise<number> {
    // What a load has just made is written down when it is over.
    if (!this.#loads.busy) await this.#options.environments?.collect(() => this.#store.environments());
    return this.#blobs.sweep((sha256) => this.#store.uses(sha256), this.#options.clock());
  }

  close(): Promise<void> {
    return this.#loads.close();
  }

  async upload(actor: Actor, input: UploadInput): Promise<ModelVersion> {
    const kept = await this.#check(actor, input);
    const blob = await this.#blobs.put(input.content, this.#options.maxBytes);
    if (blob.size === 0) throw new PotorooError('model_invalid', 'The file is empty; upload the model file itself.');
    const { values, config } = this.#newVersion(actor, input, kept, blob);
    const { framework, arch, accel } = values;
    const { version } = await this.#store.add(
      input.workspaceId, input.name, randomUUID(), values, config,
      // What failed once may have failed for want of time or memory: the same bytes get another try.
      // What Python loads depends on more than its bytes: schemas, requirements.
      { same: (newest) => framework === 'onnx' && newest.sha256 === blob.sha256 && newest.framework === framework && newest.arch === arch && newest.accel === accel && newest.status !== 'error', onAdded: input.onAdded },
    );
    if (version.status === 'ready') return version;
    return this.#settled(version, input.patienceMs ?? patienceMs);
  }

  /** The version as it is when its test load is over, or patience. */
  async #settled(version: ModelVersion, ms: number): Promise<ModelVersion> {
    const answered = new AbortController();
    await Promise.race([this.#loads.load(version.id), delay(ms, undefined, { signal: answered.signal }).catch(() => {})]);
    answered.abort();
    return (await this.#store.version(version.id)) ?? version;
  }

  /** A version whose file this server gets by itself; its status says how far it is. `open` of the options finds where by what is in `conversion`. */
  async receive(actor: Actor, input: Omit<UploadInput, 'content'>): Promise<ModelVersion> {
    const kept = await this.#check(actor, input, [imageFramework]);
    const { values, config } = this.#newVersion(actor, input, kept, { sha256: '', size: 0 });
    const { version } = await this.#store.add(input.workspaceId, input.name, randomUUID(), values, config, { status: 'uploading', onAdded: input.onAdded });
    return this.#settled(version, input.patienceMs ?? 0);
  }

  async list(actor: Actor, query: PageQuery & { workspaceId?: number; name?: string } = {}): Promise<Page<Model>> {
    const window = pageWindow(query);
    const rows = await this.#store.list(window, { visible: this.#access.workspacesOf(actor), workspaceId: query.workspaceId, name: query.name });
    const page = pageFrom(rows, window, (row) => row.id, (row) => row);
    return { items: await this.#store.withVersions(page.items), cursor: page.cursor };
  }

  async get(actor: Actor, id: number): Promise<Model> {
    const rows = await this.#store.list({ take: 1, before: undefined }, { visible: this.#access.workspacesOf(actor), id });
    const [model] = await this.#store.withVersions(rows);
    if (model === undefined) throw notFound('model_not_found', id);
    return model;
  }

  async version(actor: Actor, versionId: number): Promise<ModelVersion> {
    const missing = notFound('model_not_found', versionId);
    const version = await this.#store.version(versionId);
    if (version === undefined) throw missing;
    await this.#access.requireRead(actor, version, missing);
    return version;
  }

  async versionByName(actor: Actor, name: string, version: string, workspaceId?: number): Promise<ModelVersion> {
    const missing = new PotorooError('model_not_found', `Model ${JSON.stringify(name)} has no version ${JSON.stringify(version)}${workspaceId === undefined ? '' : ` in workspace ${workspaceId}`}, or you may not see it.`);
    const found = await this.#store.versionByName(name, version, workspaceId);
    if (found === undefined) throw missing;
    await this.#access.requireRead(actor, found, missing);
    return found;
  }

  async search(actor: Actor, query: Parameters<Models['search']>[1]): Promise<Page<ModelVersion>> {
    const window = pageWindow(query);
    const rows = await this.#store.search(window, { ...query, visible: this.#access.workspacesOf(actor) });
    return pageFrom(rows, window, (row) => row.id, (row) => row);
  }

  async configure(actor: Actor, versionId: number, config: ModelConfig, extra: Record<string, unknown> = {}): Promise<StoredModelConfig> {
    const version = await this.#change(actor, versionId, 'write');
    const clean = checkConfig(config, version);
    // What was said before the load decided that is no reason to refuse everything else.
    if (clean.concurrency !== undefined && runsInEngine(version) === true && clean.concurrency !== (await this.#store.config({ modelVersionId: versionId }))?.concurrency) {
      const why = `the engine runs this model${(frameworks as readonly string[]).includes(version.framework) ? '' : ' as ONNX'} and merges the requests that wait by itself; leave it away`;
      throw new PotorooError('invalid_request', `concurrency ${clean.concurrency} has no effect: ${why}.`, { fields: [{ field: 'concurrency', message: why }] });
    }
    const id = await this.#store.addConfig(versionId, clean, extra, this.#options.clock());
    return { ...clean, id, modelVersionId: versionId, runtime: version.runtime, extra, ...declared(version, clean) };
  }

  async config(actor: Actor, versionId: number): Promise<StoredModelConfig> {
    const version = await this.version(actor, versionId);
    const found = await this.#store.config({ modelVersionId: version.id });
    if (found !== undefined) return found;
    await this.#store.addConfig(version.id, {}, {}, this.#options.clock());
    return this.config(actor, versionId);
  }

  async configById(actor: Actor, configId: number): Promise<StoredModelConfig> {
    const missing = new PotorooError('model_not_found', `Model config ${configId} does not exist, or you may not see it.`);
    const config = await this.#store.config({ id: configId });
    const version = config && (await this.#store.version(config.modelVersionId));
    if (config === undefined || version === undefined) throw missing;
    await this.#access.requireRead(actor, version, missing);
    return config;
  }

  async uploadLog(actor: Actor, versionId: number, { after = 0, limit = uploadLogPage }: { after?: number; limit?: number } = {}): Promise<UploadLog> {
    await this.version(actor, versionId);
    return this.#store.logOf(versionId, after, Math.min(limit, uploadLogPage));
  }

  async setVisibility(actor: Actor, versionId: number, visibility: 'private' | 'public'): Promise<ModelVersion> {
    await this.#change(actor, versionId, 'write');
    await this.#store.setVisibility(versionId, visibility, this.#options.clock());
    return this.version(actor, versionId);
  }

  /** ONNX, and what Python serves where there is a Python. */
  async frameworks(): Promise<Frameworks> {
    const { environments } = this.#options;
    const catalog = await environments?.catalog().catch(() => undefined);
    const python = Object.entries(catalog?.frameworks ?? {}).map(([name, { runtime, converts, archive, requirements, guideRequirements }]) => ({ name, runtime, converts, archive, requirements, guideRequirements }));
    return {
      frameworks: [...frameworks.map((name) => ({ name, runtime: name, converts: false, archive: 'no' as const, requirements: [], guideRequirements: [] })), ...python],
      pythonVersions: (await environments?.pythons().catch(() => [])) ?? [],
    };
  }

  async remove(actor: Actor, versionId: number): Promise<void> {
    const version = await this.#change(actor, versionId, 'write');
    try {
      await this.#store.remove(version);
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new PotorooError('in_use', `Version ${version.version} of model ${version.name} is a step of a pipeline version; remove that pipeline first.`);
    }
    this.#options.onRemoved?.(version);
  }

  async #change(actor: Actor, versionId: number, right: Right): Promise<ModelVersion> {
    const version = await this.version(actor, versionId);
    const missing = version.visibility === 'public' ? new PotorooError('forbidden', `Model ${version.name} is in a workspace that you are not in; only its members may change it.`) : notFound('model_not_found', versionId);
    await this.#access.require(actor, version.workspaceId, right, missing);
    return version;
  }

  async #check(actor: Actor, input: Omit<UploadInput, 'content'>, more: readonly string[] = []): Promise<KeptOptions> {
    await this.#access.require(actor, input.workspaceId, 'write', notFound('workspace_not_found', input.workspaceId));
    await this.#requireWorkspace(input.workspaceId);
    checkName('model', input.name);
    const native: readonly string[] = [...frameworks, ...more];
    // What runs without Python does not wait for it, and is taken also while it cannot be asked.
    const environments = native.includes(input.framework) ? undefined : this.#options.environments;
    const catalog = await environments?.catalog();
    checkFile(input, [...native, ...Object.keys(catalog?.frameworks ?? {})]);
    return readUploadOptions(input, { facts: catalog?.frameworks[input.framework], pythons: (await environments?.pythons()) ?? [] });
  }

  #newVersion(actor: Actor, input: Omit<UploadInput, 'content'>, { conversion, config }: KeptOptions, { sha256, size }: Blob): { values: NewVersion; config: ModelConfig | undefined } {
    const { framework, fileName, arch = 'x86', accel = 'none', visibility = 'private' } = input;
    return {
      values: { sha256, size, fileName, framework, runtime: 'onnx', arch, accel, visibility, conversion: json(conversion), createdAt: this.#options.clock(), createdBy: actor.id },
      config: Object.keys(config).length === 0 ? undefined : config,
    };
  }

  async #requireWorkspace(id: number): Promise<void> {
    if (!(await this.#store.workspaceExists(id))) throw notFound('workspace_not_found', id);
  }
}

function checkFile({ framework, fileName }: Pick<UploadInput, 'framework' | 'fileName'>, known: readonly string[]): void {
  if (!known.includes(framework)) {
    throw new PotorooError('framework_unsupported', `framework ${JSON.stringify(framework.slice(0, 80))} cannot be run here: use ${known.join(', ')}.`, { fields: [{ field: 'framework', message: `one of ${known.join(', ')}` }] });
  }
  if (!/^[^/\\\x00-\x1f\x7f]{1,255}$/.test(fileName) || fileName === '.' || fileName === '..') {
    throw new PotorooError('invalid_request', `fileName ${JSON.stringify(fileName.slice(0, 80))} is not allowed: use 1 to 255 printable characters without slashes.`, { fields: [{ field: 'fileName', message: 'no slashes, 1 to 255 characters' }] });
  }
}

function checkConfig(config: ModelConfig, version: ModelVersion): ModelConfig {
  const clean = Value.Clean(ModelConfigSchema, structuredClone(config)) as ModelConfig;
  const wrong = Value.Errors(ModelConfigSchema, clean).First();
  const bad = (field: string, message: string) => new PotorooError('invalid_request', `${field}: ${message}.`, { fields: [{ field, message }] });
  if (wrong !== undefined) throw bad(wrong.path.slice(1).replaceAll('/', '.') || 'config', wrong.message);
  const names = clean.tensorFields;
  if (names === undefined) return clean;
  if (new Set(names).size !== names.length) throw bad('tensorFields', 'every name may be there only once');
  if (version.inputs !== null && names.length !== version.inputs.length) {
    throw bad('tensorFields', `${names.length} names for the model's ${version.inputs.length} inputs (${version.inputs.map((f) => f.name).join(', ')}): give as many`);
  }
  return clean;
}
