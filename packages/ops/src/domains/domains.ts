/**
 * What the domains offer to the adapters in `protocols/`. Nothing here knows HTTP, GraphQL or a client. Every method that
 * takes an actor checks what that actor may do and throws a `PotorooError`: what an actor may not see is `*_not_found`,
 * what they may see but not change is `forbidden`.
 *
 * Ids are integers as the Python client needs them (`id`), beside the UUIDs that people see (`version`). Times are Dates.
 */
import type {
  AccessList, Accelerator, Architecture, DeploymentConfig, DeploymentState, EngineModelStatus, EngineState, Field, ModelConfig, Reason, SidekickLine, SidekickState, Step,
} from '@potoroo/contract';
import type { Batch } from '@potoroo/batch';
import type { Transaction } from '../storage/database.ts';

export type Role = 'user' | 'admin';
/** Who acts: taken from a verified token. */
export interface Actor {
  readonly id: string; readonly email: string; readonly role: Role;
  /** They showed a personal access token, or what was made of one. */
  readonly personalToken?: boolean;
}

export interface PageQuery { limit?: number; cursor?: string }
/** `cursor` is opaque; null on the last page. Newest first unless a method says otherwise. */
export interface Page<T> { items: T[]; cursor: string | null }

export interface User { id: string; email: string; username: string; role: Role; enabled: boolean; createdAt: Date }
export interface Users {
  create(actor: Actor, input: { email: string; username?: string; password: string; role: Role }): Promise<User>;
  /** Any signed-in user may look others up: workspaces are shared by e-mail. */
  list(actor: Actor, query?: PageQuery & { ids?: readonly string[]; email?: string }): Promise<Page<User>>;
  get(actor: Actor, id: string): Promise<User>;
  /** Administrators only; nobody can disable themselves or the last administrator. */
  setEnabled(actor: Actor, id: string, enabled: boolean): Promise<User>;
}

/** The fields of an OpenID token answer that clients read; times in seconds. */
export interface Tokens { accessToken: string; expiresIn: number; refreshToken: string; refreshExpiresIn: number }
export interface Identity {
  /** `username` is the username or the e-mail; `address` is where the attempt comes from, for the limit on wrong passwords. @throws invalid_credentials, rate_limited */
  passwordGrant(username: string, password: string, address?: string): Promise<Tokens>;
  refreshGrant(refreshToken: string): Promise<Tokens>;
  /** A short-lived access token for a personal one, for what verifies tokens offline. @throws unauthenticated */
  exchange(personalToken: string): Promise<{ accessToken: string; expiresIn: number }>;
  /** Verifies an access token, or a personal one, and that its user is still enabled. @throws unauthenticated */
  actorOf(accessToken: string): Promise<Actor>;
  jwks(): Promise<{ keys: Record<string, unknown>[] }>;
  issuer(): string;
  /** A token with which the engines of one deployment ship their spool. */
  engineToken(deploymentId: number): string;
  /** @throws unauthenticated */
  deploymentOf(engineToken: string): number;
}

/**
 * A key that access tokens are signed with. `next` is shown and does not sign yet, `verifying` signs no more and is shown until the last
 * token of it has ended; `retired` ones are good for nothing any more, and the tokens of `revoked` ones are refused.
 */
export interface SigningKey { id: string; createdAt: Date; signsFrom: Date; state: 'next' | 'signing' | 'verifying' | 'retired' | 'revoked' }
/** For administrators. */
export interface SigningKeys {
  /** Newest first. */
  list(actor: Actor): Promise<SigningKey[]>;
  /** A new key, which signs as soon as every engine knows it. @throws conflict while there is one that does not sign yet */
  rotate(actor: Actor): Promise<SigningKey>;
  /** Refuses its tokens from now on; another key signs at once in the place of the one that does. Again: nothing changes. @throws signing_key_not_found */
  revoke(actor: Actor, id: string): Promise<SigningKey>;
}

/** Times in seconds. */
export interface DeviceStart { deviceCode: string; userCode: string; expiresIn: number; interval: number }
/** Sign-in on one machine, confirmed on another. `address` is where a request comes from, for the limit on guesses. */
export interface DeviceSignIns {
  /** @throws rate_limited */
  start(address: string): Promise<DeviceStart>;
  poll(deviceCode: string): Promise<Tokens | 'pending' | 'slow_down' | 'expired' | 'denied'>;
  /** Whether the code waits for its user. @throws rate_limited */
  isPending(userCode: string, address: string): Promise<boolean>;
  /** @throws invalid_credentials, rate_limited, invalid_request when the code does not wait */
  approve(userCode: string, username: string, password: string, address: string): Promise<void>;
  deny(userCode: string, address: string): Promise<void>;
}

export interface PersonalToken { id: string; name: string; createdAt: Date; expiresAt: Date | null; lastUsedAt: Date | null }
/** A user's own tokens for scripts; nobody sees another's. */
export interface PersonalTokens {
  /** `token` is given here and never again. @throws forbidden for who shows such a token */
  create(actor: Actor, input: { name: string; expiresAt?: Date }): Promise<PersonalToken & { token: string }>;
  list(actor: Actor, query?: PageQuery): Promise<Page<PersonalToken>>;
  revoke(actor: Actor, id: string): Promise<void>;
}

export interface Member { userId: string; role: 'owner' | 'collaborator' }
export interface Workspace { id: number; name: string; archived: boolean; createdAt: Date; createdBy: string; members: Member[] }
export interface Workspaces {
  /** Workspaces the actor is in; administrators see all. `userId` narrows to those of one user. Archived ones only with `archived`. */
  list(actor: Actor, query?: PageQuery & { userId?: string; name?: string; archived?: boolean }): Promise<Page<Workspace>>;
  get(actor: Actor, id: number): Promise<Workspace>;
  create(actor: Actor, input: { name: string }): Promise<Workspace>;
  /** The actor's own workspace, `<email> - Default Workspace`; made on first use. */
  defaultFor(actor: Actor): Promise<Workspace>;
  /** For its owners. An archived workspace is left out of lists; what is in it stays as it is. @throws conflict for a default workspace */
  setArchived(actor: Actor, id: number, archived: boolean): Promise<Workspace>;
  setMember(actor: Actor, id: number, member: Member): Promise<Workspace>;
  removeMember(actor: Actor, id: number, userId: string): Promise<Workspace>;
  /** User ids that may use what is in a workspace: its members and every administrator. */
  subjects(id: number): Promise<string[]>;
}

export type ModelStatus = 'uploading' | 'pending_load_native' | 'attempting_load_native' | 'pending_load_container' | 'attempting_load_container' | 'ready' | 'error';
export interface ModelVersion {
  id: number; modelId: number; workspaceId: number; name: string; version: string;
  sha256: string; size: number; fileName: string; framework: string; runtime: string;
  arch: Architecture; accel: Accelerator; visibility: 'private' | 'public';
  status: ModelStatus; reason: Reason | null;
  /** What the model itself declares, found when it was loaded once after the upload; null before. */
  inputs: Field[] | null; outputs: Field[] | null;
  /** What engines run instead of the file: the ONNX model it was converted to. */
  convertedSha256: string | null;
  /** Hash of the Python environment that engines run the file in. */
  environment: string | null;
  /** As the client sent it and reads it back: python version, requirements and the like. */
  conversion: Record<string, unknown>;
  createdAt: Date; updatedAt: Date; createdBy: string;
}
export interface Model { id: number; workspaceId: number; name: string; ownerId: string; createdAt: Date; updatedAt: Date; versions: ModelVersion[] }
export interface StoredModelConfig extends ModelConfig {
  id: number; modelVersionId: number; runtime: string; extra: Record<string, unknown>;
  /** What the model itself declares, its inputs by the names that this config gives them; null where that is not known. */
  inputs: Field[] | null; outputs: Field[] | null;
}
export interface UploadInput {
  workspaceId: number; name: string; fileName: string; framework: string;
  arch?: Architecture; accel?: Accelerator; visibility?: 'private' | 'public';
  inputSchema?: Field[]; outputSchema?: Field[];
  /** Packages of its environment, beside or in place of the framework's own. */
  requirements?: readonly string[];
  /** Such as `3.11`. */ pythonVersion?: string;
  versions?: 'current' | 'guide';
  /** Settings for the framework. */ frameworkConfig?: Record<string, unknown>;
  /** Requests that each process works on at once. */ concurrency?: number;
  /** False: not tried as ONNX. */ convert?: boolean;
  /** What else a client sent and reads back. */
  conversion?: Record<string, unknown>;
  /** Streamed to the blob store in constant memory. */
  content: AsyncIterable<Uint8Array>;
  /** Milliseconds to wait for what becomes of it; a few seconds when not given. */
  patienceMs?: number;
  /** Told of the version in the transaction that writes it down, before its test load; what it throws takes the version back. */
  onAdded?: (version: ModelVersion, transaction: Transaction) => Promise<void>;
}
export interface Frameworks {
  frameworks: { name: string; runtime: string; converts: boolean; archive: 'no' | 'always' | 'maybe'; requirements: string[]; guideRequirements: string[] }[];
  /** Of this machine, the one that is used when nothing is asked for first. */
  pythonVersions: string[];
}
export interface UploadLog { lines: string[]; next: number }
export interface Models {
  /**
   * Stores the file, then loads it once in a child process. Resolves when that is decided or patience ends, whichever
   * comes first: look at `status`. Uploading an ONNX file that is the model's newest version already gives that version back.
   */
  upload(actor: Actor, input: UploadInput): Promise<ModelVersion>;
  /** Models of a workspace (or all that the actor may see), each with its versions, newest first. */
  list(actor: Actor, query?: PageQuery & { workspaceId?: number; name?: string }): Promise<Page<Model>>;
  get(actor: Actor, id: number): Promise<Model>;
  version(actor: Actor, versionId: number): Promise<ModelVersion>;
  /** By name and UUID. */
  versionByName(actor: Actor, name: string, version: string, workspaceId?: number): Promise<ModelVersion>;
  /** Case-insensitive on names, versions, shas and file names; '' finds all. Of other workspaces, what they have made public. */
  search(actor: Actor, query: PageQuery & { term: string; workspaceId?: number; createdAfter?: Date; createdBefore?: Date; ownerId?: string }): Promise<Page<ModelVersion>>;
  configure(actor: Actor, versionId: number, config: ModelConfig, extra?: Record<string, unknown>): Promise<StoredModelConfig>;
  /** The newest config, made with defaults when there is none. */
  config(actor: Actor, versionId: number): Promise<StoredModelConfig>;
  configById(actor: Actor, configId: number): Promise<StoredModelConfig>;
  /** Lines from after `next` of the page before on, oldest first, at most 1,000: fewer than `limit` are all that there are yet. */
  uploadLog(actor: Actor, versionId: number, query?: { after?: number; limit?: number }): Promise<UploadLog>;
  /** What can be uploaded here. Of any signed-in user. */
  frameworks(actor: Actor): Promise<Frameworks>;
  /** Whether every signed-in user may read it and take it into pipelines, or its workspace alone. */
  setVisibility(actor: Actor, versionId: number, visibility: 'private' | 'public'): Promise<ModelVersion>;
  remove(actor: Actor, versionId: number): Promise<void>;
}

export interface PipelineVersion {
  id: number; pipelineId: number; version: string; steps: Step[]; createdAt: Date; createdBy: string;
  /** What of its steps is accepted but does not do what it seems to. */
  warnings: string[];
}
export interface Pipeline { id: number; workspaceId: number; name: string; ownerId: string; createdAt: Date; updatedAt: Date; versions: PipelineVersion[]; deploymentId: number | null }
export interface Pipelines {
  /** Creates the pipeline, or returns the one of that name in the workspace; with steps, a new version is added unless the newest has the same. */
  create(actor: Actor, input: { workspaceId: number; name: string; steps?: Step[] }): Promise<Pipeline>;
  /** Always adds a version. @throws pipeline_invalid, model_not_found, model_not_ready */
  addVersion(actor: Actor, pipelineId: number, steps: Step[]): Promise<PipelineVersion>;
  list(actor: Actor, query?: PageQuery & { workspaceId?: number; name?: string; deployed?: boolean; term?: string }): Promise<Page<Pipeline>>;
  get(actor: Actor, id: number): Promise<Pipeline>;
  version(actor: Actor, versionId: number): Promise<PipelineVersion>;
  versionByUuid(actor: Actor, version: string): Promise<PipelineVersion>;
  /** Which versions, by UUID, of which pipelines that the actor may see have the model in a step. @throws model_not_found */
  withModel(actor: Actor, model: ModelKey): Promise<{ pipelineId: number; versions: string[] }[]>;
  /** @throws in_use for the one that is deployed, or was last, and for a pipeline's only one */
  removeVersion(actor: Actor, versionId: number): Promise<void>;
  remove(actor: Actor, id: number): Promise<void>;
}

/** A process, or container, that runs one model beside one engine. */
export interface SidekickStatus {
  name: string; model: string; modelVersion: string; step: number; state: SidekickState; reason: Reason | null; restarts: number;
  /** Of the state it is in. */ since: Date;
  pid: number | null; memoryBytes: number | null; cpuSeconds: number | null;
  /** The last lines it wrote. */ log: string[];
}
/** A sidekick that is, or was until `endedAt`. `reason` is what was wrong with it last. */
export interface SidekickRecord {
  name: string; engine: string; model: string; modelVersion: string; sha: string; step: number;
  startedAt: Date; endedAt: Date | null; restarts: number; reason: Reason | null;
}
export interface SidekickLogLine extends Omit<SidekickLine, 'time'> { time: Date }

export interface EngineStatus {
  name: string; state: EngineState; reason: Reason | null; pipelineVersion: string; address: string | null;
  pid: number | null; restarts: number; models: EngineModelStatus[]; sidekicks: SidekickStatus[]; startedAt: Date;
}
export interface Deployment {
  id: number; pipelineId: number; pipelineName: string; workspaceId: number; pipelineVersionId: number;
  config: DeploymentConfig;
  /** What should be. */ wanted: 'running' | 'stopped';
  /** Grows with each change of what should be; `observedGeneration` in the status says what the reconciler has reached. */
  generation: number;
  /** Of its engines: that of its config, else of its models. */
  arch: Architecture;
  /** Port of the public side of its engines, kept for the life of the deployment. */
  port: number | null;
  createdAt: Date; updatedAt: Date;
}
export interface DeploymentStatus {
  state: DeploymentState; reason: Reason | null; observedGeneration: number; pipelineVersion: string;
  /** Whether what answers is what was deployed last; not so while an update is on its way, nor after one that failed. */
  current: boolean;
  /** Whether what was deployed last was given up, as it cannot run: it takes another deploy. What was there before serves on. */
  givenUp: boolean;
  wantedReplicas: number; readyReplicas: number; engines: EngineStatus[];
  /** Which limits hold by force here and which are only advice; one sentence each. */
  limits: string[];
}
export interface Deployments {
  /** Starts or updates the one deployment of a pipeline. Returns once what should be is stored; the reconciler does the rest. */
  deploy(actor: Actor, input: { pipelineId: number; pipelineVersionId?: number; config?: DeploymentConfig }): Promise<Deployment>;
  undeploy(actor: Actor, id: number): Promise<Deployment>;
  get(actor: Actor, id: number): Promise<Deployment>;
  list(actor: Actor, query?: PageQuery & { workspaceId?: number; pipelineId?: number }): Promise<Page<Deployment>>;
  status(actor: Actor, id: number): Promise<DeploymentStatus>;
  /** Yields the status at once and after every change, until `signal` aborts. */
  watch(actor: Actor, id: number, signal: AbortSignal): AsyncIterable<DeploymentStatus>;
  /** Sidekicks that are (`current`) or were, newest first; those that ended are kept for some days. */
  sidekicks(actor: Actor, id: number, query?: PageQuery & { current?: boolean; model?: string }): Promise<Page<SidekickRecord>>;
  /** What a sidekick wrote, newest line first. @throws sidekick_not_found */
  sidekickLog(actor: Actor, id: number, name: string, query?: PageQuery & { start?: Date; end?: Date }): Promise<Page<SidekickLogLine>>;
  /** Its last `tail` lines, oldest first, then what it writes, until it has ended or `signal` aborts. @throws sidekick_not_found */
  followSidekickLog(actor: Actor, id: number, name: string, tail: number, signal: AbortSignal): AsyncIterable<SidekickLogLine[]>;
  /** An engine to send an inference to; call `done` when answered. Waits a moment when one is about to be ready. @throws not_deployed, no_engine_ready */
  route(actor: Actor, id: number, deadline: number): Promise<{ socketPath: string; done(): void }>;
}

/** Where an export stands: row offsets per partition. */
export type LogCursor = Record<string, number>;
export interface LogQuery {
  pipelineId: number;
  limit?: number;
  /** desc = newest first. */ order?: 'asc' | 'desc';
  start?: Date; end?: Date;
  /** Continue from here (as `next` of the page before). */ cursor?: LogCursor;
  pipelineVersion?: string; partition?: string;
  /** Rows that failed a validation, and no others. Where these are rare, a page can be empty and go on. */
  anomalies?: boolean;
  /** Whoever asked is gone: a read that waits does not begin, one that is at work stops. It rejects with the reason, a PotorooError. */
  signal?: AbortSignal;
}
/** A model by its id; or by its name, then of all workspaces that the actor sees. */
export type ModelKey = { id: number } | { name: string };
export interface LogPage {
  /** Flat columns `time`, `in.x`, `out.y`, `anomaly.count`, `metadata.*`; one schema a page. */
  batch: Batch;
  status: 'All' | 'RecordLimited' | 'ByteLimited' | 'SchemaChange';
  next: LogCursor | null;
}
/** How long and how much of a log is kept: null is as the settings say, 0 for ever; `effective` is what holds. */
export interface LogRetention { days: number | null; bytes: number | null; effective: { days: number; bytes: number } }
export interface Logs {
  /**
   * Takes frames of one partition as an engine spooled them; rows below the partition's next offset were here before and are
   * skipped. Durable when it resolves. Returns the offset wanted next.
   */
  ingest(deploymentId: number, partition: string, frames: Uint8Array): Promise<number>;
  read(actor: Actor, query: LogQuery): Promise<LogPage>;
  /** Rows of every pipeline version that has the model in a step, of all pipelines that the actor may see. @throws model_not_found */
  readModel(actor: Actor, model: ModelKey, query: Omit<LogQuery, 'pipelineId' | 'pipelineVersion'>): Promise<LogPage>;
  /** First and next row offset of each partition of a pipeline. */
  partitions(actor: Actor, pipelineId: number): Promise<Record<string, { start: number; end: number }>>;
  /** The same of all pipelines that the rows of a model come from. @throws model_not_found */
  modelPartitions(actor: Actor, model: ModelKey): Promise<Record<string, { start: number; end: number }>>;
  retention(actor: Actor, pipelineId: number): Promise<LogRetention>;
  /** What is over it goes with the next run of the job that removes it. @throws invalid_request */
  setRetention(actor: Actor, pipelineId: number, retention: { days: number | null; bytes: number | null }): Promise<LogRetention>;
}

/** Something that can carry tags. */
export type Taggable = { modelVersionId: number } | { pipelineId: number };
/** `modelVersionIds` and `pipelineIds` hold only what the actor may see. */
export interface Tag { id: number; tag: string; createdAt: Date; createdBy: string; modelVersionIds: number[]; pipelineIds: number[] }
export interface Tags {
  /** @throws already_exists, invalid_name */
  create(actor: Actor, text: string): Promise<Tag>;
  get(actor: Actor, id: number): Promise<Tag>;
  list(actor: Actor, query?: PageQuery & { tag?: string }): Promise<Page<Tag>>;
  /** Adding a tag that is there already changes nothing. */
  add(actor: Actor, tagId: number, to: Taggable): Promise<void>;
  remove(actor: Actor, tagId: number, from: Taggable): Promise<void>;
  /** Takes it off everything. For who made it and administrators. */
  delete(actor: Actor, id: number): Promise<void>;
  /** Tags of things that the caller has read already, by id. */
  ofModels(versionIds: readonly number[]): Promise<Map<number, { id: number; tag: string }[]>>;
  ofPipelines(ids: readonly number[]): Promise<Map<number, { id: number; tag: string }[]>>;
}

export type ConnectionKey = { id: string } | { name: string };
/** Without its details: those are read one at a time, on purpose. `workspaces` are those of them that the actor may see. */
export interface Connection { id: string; name: string; type: string; createdAt: Date; createdBy: string; workspaces: { id: number; name: string }[] }
export interface Connections {
  /** @throws already_exists: names are unique on the server */
  create(actor: Actor, input: { name: string; type: string; details: Record<string, unknown> }): Promise<Connection>;
  get(actor: Actor, key: ConnectionKey): Promise<Connection>;
  details(actor: Actor, key: ConnectionKey): Promise<Record<string, unknown>>;
  list(actor: Actor, query?: PageQuery & { workspaceId?: number; name?: string }): Promise<Page<Connection>>;
  addToWorkspace(actor: Actor, key: ConnectionKey, workspaceId: number): Promise<Connection>;
  removeFromWorkspace(actor: Actor, key: ConnectionKey, workspaceId: number): Promise<void>;
  /** @throws in_use while it is in a workspace */
  remove(actor: Actor, key: ConnectionKey): Promise<void>;
}

/** A server that keeps models, such as MLflow's. Its token is never given out. `workspaces` are those that the actor may see. */
export interface Registry { id: string; name: string; url: string; hasToken: boolean; createdAt: Date; updatedAt: Date; createdBy: string; workspaces: { id: number; name: string }[] }
export interface RegisteredModelVersion {
  name: string; version: string; description: string | null; runId: string | null; runLink: string | null;
  source: string; status: string; stage: string; userId: string | null; createdAt: Date; updatedAt: Date;
}
export interface RegisteredModel { name: string; description: string | null; userId: string | null; createdAt: Date; updatedAt: Date; latestVersions: RegisteredModelVersion[] }
/** `path` is from the model's folder on; `address` is what to upload it by. */
export interface RegistryArtifact { path: string; address: string; directory: boolean; size: number | null; modifiedAt: Date | null }
/** `path`: the address of an artifact, or `models:/<model>/<version>` for the whole folder of a version. */
export type RegistryUpload = Omit<UploadInput, 'fileName' | 'content' | 'patienceMs'> & { path: string };
/** Every method that asks the registry throws registry_unreachable, registry_refused, registry_invalid or address_refused when it cannot. */
export interface Registries {
  /** Also puts it into the workspace: the actor's own one when none is given. @throws invalid_name, invalid_request */
  create(actor: Actor, input: { name: string; url: string; token?: string; workspaceId?: number }): Promise<Registry>;
  get(actor: Actor, id: string): Promise<Registry>;
  list(actor: Actor, query?: PageQuery & { workspaceId?: number; name?: string }): Promise<Page<Registry>>;
  /** In the place of the one before; null takes it away. For who made the registry and administrators. @throws invalid_request, forbidden */
  setToken(actor: Actor, id: string, token: string | null): Promise<Registry>;
  addToWorkspace(actor: Actor, id: string, workspaceId: number): Promise<Registry>;
  removeFromWorkspace(actor: Actor, id: string, workspaceId: number): Promise<void>;
  /** @throws in_use while it is in a workspace */
  remove(actor: Actor, id: string): Promise<void>;
  /** In the registry's order. */
  models(actor: Actor, id: string, query?: PageQuery): Promise<Page<RegisteredModel>>;
  /** In the registry's order. */
  versions(actor: Actor, id: string, model: string, query?: PageQuery): Promise<Page<RegisteredModelVersion>>;
  /** Files and folders of a version, folders before what is in them. @throws artifact_not_found */
  artifacts(actor: Actor, id: string, model: string, version: string): Promise<RegistryArtifact[]>;
  /** Resolves when it is known that the file is wanted; the version is `uploading` until the file is here. A folder becomes a zip. */
  upload(actor: Actor, id: string, input: RegistryUpload): Promise<ModelVersion>;
}

export interface ImageInput {
  workspaceId: number; name: string;
  /** With its registry: `registry.example.com/team/model:1`; one without is of Docker Hub. */ image: string;
  /** For the registry; kept sealed. Without them those that the server has for it are used. */
  credentials?: { username: string; password: string };
  arch?: Architecture; visibility?: 'private' | 'public';
  inputSchema?: Field[]; outputSchema?: Field[]; onAdded?: UploadInput['onAdded'];
  /** What else a client sent and reads back. */ conversion?: Record<string, unknown>;
  /** Milliseconds to wait for what becomes of it; none when not given. */ patienceMs?: number;
}
/** Container images that serve the MLflow scoring protocol, as models. */
export interface Images {
  /**
   * Makes a model version of an image: `uploading` until it is pulled, then started once. From then on it is meant by its digest.
   * What is wrong with the image or its registry is in the `status` and the `reason`. @throws invalid_request, invalid_name
   */
  register(actor: Actor, input: ImageInput): Promise<ModelVersion>;
}

export interface AuditRecord {
  id: number; time: Date; userId: string; email: string;
  /** `<domain>.<what was done>`, such as `pipelines.addVersion`. */ action: string;
  kind: string; objectId: string | null; workspaceId: number | null;
  /** `done`, the code of the error that it was refused with, or `begun`: under way, or cut off by an end of the server. */ outcome: string;
  requestId: string | null;
}
export type AuditQuery = PageQuery & { workspaceId?: number; userId?: string; kind?: string; objectId?: string; action?: string; outcome?: string; start?: Date; end?: Date };
export interface Audit {
  /** For administrators; for owners of the workspace that is asked for. */
  list(actor: Actor, query?: AuditQuery): Promise<Page<AuditRecord>>;
}

export interface Domains {
  users: Users; identity: Identity; workspaces: Workspaces; models: Models; pipelines: Pipelines; deployments: Deployments; logs: Logs; tags: Tags; connections: Connections; registries: Registries; images: Images;
  devices: DeviceSignIns; personalTokens: PersonalTokens; signingKeys: SigningKeys; audit: Audit;
  /** Access list for the engines of a workspace. */
  accessList(workspaceId: number): Promise<AccessList>;
}
