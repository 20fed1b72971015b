import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { imageFramework, modelsOf, PotorooError, type AccessList, type BundleModel, type DeploymentConfig, type Field, type Isolation } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Host } from '../../hosts/host.ts';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { date } from '../../storage/values.ts';
import { notFound, type Access, type Right } from '../access.ts';
import type { Actor, Deployment, Deployments, DeploymentStatus, Models, SidekickLogLine, SidekickRecord, ModelVersion, Page, PageQuery, Pipeline, Pipelines, PipelineVersion } from '../domains.ts';
import { openBundles } from './bundle.ts';
import { checkChain, linkOf } from './chain.ts';
import { concurrencyOf, optionsOf } from '../models/python-loads.ts';
import { readConfig, readSidekick } from './config.ts';
import { DeploymentStore, type DeploymentRow, type DeploymentSpec } from './deployments.store.ts';
import { placementOf, type Wanted } from './placement.ts';
import { defaultBounds, type Bounds } from './plan.ts';
import { bundleOf, inContainers, Reconciler, type ReconcilerParts } from './reconciler.ts';
import { defaultSidekickBounds, Sidekicks, type SidekickBounds } from './sidekicks.ts';
import { SidekickStore } from './sidekicks.store.ts';
import { Spools, type Adopt } from './spools.ts';
import { Changes } from './changes.ts';

export interface DeploymentParts {
  readonly db: Kysely<Database>;
  readonly access: Access;
  readonly pipelines: Pick<Pipelines, 'get' | 'version'>;
  readonly models: Pick<Models, 'versionByName' | 'config'>;
  readonly host: Host;
  readonly dataDir: string;
  readonly clock: () => number;
  /** Where the file of a digest lies. */
  readonly blob: (sha256: string) => string;
  readonly accessList: (workspaceId: number) => Promise<AccessList | null>;
  /** Where engines ship their spool to; known once ops listens. */
  readonly shipTo: (deploymentId: number) => Promise<{ url: string; token: string } | null>;
  readonly adopt: Adopt;
  /** What went wrong in the background and is tried again; for ops' own log. */
  readonly onError: (error: unknown, context: Record<string, unknown>) => void;
  /** Gets what a model needs beside its file, such as an image, onto this machine before an engine is started for it. */
  readonly prepare?: (model: BundleModel) => Promise<void>;
  /** Removes what engines that were killed have left of the containers of their models. */
  readonly sweep?: () => void;
  /** Where models with a process of their own run when their deployment does not say; in child processes when not given. */
  readonly isolation?: Isolation;
  readonly bounds?: Partial<Bounds>;
  /** How long and how much is kept of what models write. */
  readonly sidekicks?: SidekickBounds;
}

const maxWaiting = 1_024;
/** An inference waits that long for an engine that is on its way. */
const maxWaitMs = 10_000;
/** So often each deployment is looked at without a cause. */
const resyncMs = 10_000;

export class DeploymentService implements Deployments {
  readonly #parts: DeploymentParts;
  readonly #store: DeploymentStore;
  readonly #spools: Spools;
  readonly #loopParts: ReconcilerParts;
  readonly #loops = new Map<number, Reconciler>();
  readonly #changes = new Changes();
  readonly #sidekicks: Sidekicks;
  readonly #closing = new AbortController();
  readonly #stopListening: () => void;
  #resync: NodeJS.Timeout | null = null;
  #waiting = 0;
  #closed = false;

  constructor(parts: DeploymentParts) {
    const { host, dataDir, clock, accessList, shipTo, onError } = parts;
    this.#parts = parts;
    this.#store = new DeploymentStore(parts.db);
    this.#spools = new Spools(join(dataDir, 'spools'), parts.adopt, (error, owner) => onError(error, { ...owner }));
    const bundles = openBundles(join(dataDir, 'bundles'), parts.blob);
    const collect = (): Promise<void> => bundles.collect(async () =>
      (await this.#store.all()).flatMap((row) => (row.wanted === 'stopped' ? [] : [row.spec, ...(row.proven === null ? [] : [row.proven])]).map((spec) => bundleOf(spec, row.id))));
    this.#loopParts = {
      store: this.#store, host, bundles, prepare: parts.prepare, sweep: parts.sweep, spools: this.#spools, clock, accessList, shipTo,
      bounds: { ...defaultBounds, ...parts.bounds },
      onChange: (id) => this.#changes.tell(id),
      onSettled: () => { collect().catch((error: unknown) => onError(error, { doing: 'collecting bundles' })); },
      onError: (deploymentId, error) => onError(error, { deploymentId }),
    };
    this.#sidekicks = new Sidekicks({ store: new SidekickStore(parts.db), clock, bounds: parts.sidekicks ?? defaultSidekickBounds, onError: (error) => onError(error, { doing: 'writing down what models print' }) });
    this.#sidekicks.listen(host);
    host.onChange((id) => this.#loops.get(id)?.kick());
    this.#stopListening = parts.access.onChange(() => this.#kickAll());
  }

  /** Takes in what engines of a killed server left, and brings back every deployment that should run. Call it once ops listens. */
  async start(): Promise<void> {
    await this.#spools.collectAll();
    await this.#sidekicks.start();
    const rows = await this.#store.all();
    if (rows.some((row) => inContainers(row.spec))) this.#parts.sweep?.();
    for (const row of rows) this.#loop(row.id).kick();
    this.#resync = setInterval(() => this.#kickAll(), resyncMs).unref();
  }

  /** Drains and stops every engine, in order, bounded by the host's drain time. What should be stays as it is for the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.abort();
    this.#stopListening();
    if (this.#resync !== null) clearInterval(this.#resync);
    this.#changes.tellAll();
    await Promise.all([...this.#loops.values()].map((loop) => loop.close()));
    await this.#parts.host.close();
    await this.#sidekicks.close();
    for (const deploymentId of this.#loops.keys()) {
      for (const { name } of this.#parts.host.engines(deploymentId)) this.#spools.collect({ deploymentId, partition: name });
    }
    await this.#spools.close(10_000);
  }

  async deploy(actor: Actor, input: { pipelineId: number; pipelineVersionId?: number; config?: DeploymentConfig }): Promise<Deployment> {
    const pipeline = await this.#parts.pipelines.get(actor, input.pipelineId);
    await this.#parts.access.require(actor, pipeline.workspaceId, 'write', notFound('pipeline_not_found', input.pipelineId));
    const before = await this.#store.byPipeline(pipeline.id);
    const config = input.config ?? before?.config ?? {};
    const version = await this.#version(actor, pipeline, input.pipelineVersionId);
    const spec = await this.#spec(actor, pipeline, version, config);
    if (before !== undefined && before.wanted === 'running' && !this.#loop(before.id).failed(before.generation) && same(before, version, config, spec)) return deploymentOf(before);

    const change = { pipelineVersionId: version.id, wanted: 'running' as const, generation: (before?.generation ?? 0) + 1, config, spec };
    const id = await this.#save(before, { pipelineId: pipeline.id, workspaceId: pipeline.workspaceId, ...change });
    // Somebody else changed it at the same moment: look again at what is there now.
    if (id === null) return this.deploy(actor, input);
    this.#loop(id).kick();
    return deploymentOf(await this.#row(id));
  }

  async undeploy(actor: Actor, id: number): Promise<Deployment> {
    const row = await this.#find(actor, id, 'write');
    if (row.wanted === 'stopped') return deploymentOf(row);
    const { pipelineVersionId, config, spec } = row;
    const stopped = await this.#store.change(id, { pipelineVersionId, config, spec, wanted: 'stopped', generation: row.generation + 1 }, this.#parts.clock());
    if (!stopped) return this.undeploy(actor, id);
    this.#loop(id).kick();
    return deploymentOf(await this.#row(id));
  }

  async get(actor: Actor, id: number): Promise<Deployment> {
    return deploymentOf(await this.#find(actor, id, 'read'));
  }

  async list(actor: Actor, query: PageQuery & { workspaceId?: number; pipelineId?: number } = {}): Promise<Page<Deployment>> {
    const window = pageWindow(query);
    const rows = await this.#store.list(window, { visible: this.#parts.access.workspacesOf(actor), workspaceId: query.workspaceId, pipelineId: query.pipelineId });
    return pageFrom(rows, window, (row) => row.id, deploymentOf);
  }

  async status(actor: Actor, id: number): Promise<DeploymentStatus> {
    const row = await this.#find(actor, id, 'read');
    return this.#loop(id).status(row);
  }

  async *watch(actor: Actor, id: number, signal: AbortSignal): AsyncGenerator<DeploymentStatus> {
    const listening = this.#changes.listen(id);
    try {
      for (let last = ''; !signal.aborted && !this.#closed;) {
        const status = await this.status(actor, id);
        const text = comparable(status);
        if (text !== last) yield status;
        last = text;
        await listening.next(signal);
      }
    } finally {
      listening.stop();
    }
  }

  async sidekicks(actor: Actor, id: number, query: PageQuery & { current?: boolean; model?: string } = {}): Promise<Page<SidekickRecord>> {
    await this.#find(actor, id, 'read');
    return this.#sidekicks.list(id, query);
  }

  async sidekickLog(actor: Actor, id: number, name: string, query: PageQuery & { start?: Date; end?: Date } = {}): Promise<Page<SidekickLogLine>> {
    await this.#find(actor, id, 'read');
    return this.#sidekicks.log(id, name, query);
  }

  async *followSidekickLog(actor: Actor, id: number, name: string, tail: number, signal: AbortSignal): AsyncGenerator<SidekickLogLine[]> {
    // Asked again and again: they may have left the workspace meanwhile.
    yield* this.#sidekicks.follow(id, name, tail, AbortSignal.any([signal, this.#closing.signal]), async () => { await this.#find(actor, id, 'read'); });
  }

  async route(actor: Actor, id: number, deadline: number): Promise<{ socketPath: string; done(): void }> {
    const { host, clock } = this.#parts;
    const row = await this.#find(actor, id, 'read');
    const name = row.spec.bundle.pipeline.name;
    if (row.wanted === 'stopped') throw new PotorooError('not_deployed', `Pipeline ${name} is not deployed: deploy it, then infer.`);
    const engine = host.take(id);
    if (engine !== null) return engine;
    if (this.#waiting >= maxWaiting) throw new PotorooError('overloaded', `${maxWaiting} inferences wait for engines already: try again in a moment.`);
    this.#waiting += 1;
    const listening = this.#changes.listen(id);
    try {
      return await this.#await(row, Math.min(deadline, clock() + maxWaitMs), listening.next);
    } finally {
      listening.stop();
      this.#waiting -= 1;
    }
  }

  async #await(row: DeploymentRow, until: number, change: (signal: AbortSignal) => Promise<void>): Promise<{ socketPath: string; done(): void }> {
    const { host, clock } = this.#parts;
    for (;;) {
      const engine = host.take(row.id);
      if (engine !== null) return engine;
      const left = until - clock();
      if (left <= 0 || this.#closed || !this.#loop(row.id).expects(row)) {
        const { reason } = this.#loop(row.id).status(row);
        throw new PotorooError('no_engine_ready', `No engine of ${row.spec.bundle.pipeline.name} is ready${reason === null ? '.' : `: ${reason.message}`}`);
      }
      await change(AbortSignal.timeout(left));
    }
  }

  async #version(actor: Actor, pipeline: Pipeline, id: number | undefined): Promise<PipelineVersion> {
    const newest = pipeline.versions.toSorted((a, b) => b.id - a.id)[0];
    const version = id === undefined ? newest : (pipeline.versions.find((v) => v.id === id) ?? await this.#parts.pipelines.version(actor, id));
    if (version === undefined || version.steps.length === 0) throw new PotorooError('pipeline_invalid', `Pipeline ${pipeline.name} has no steps: add a model step, then deploy.`);
    if (version.pipelineId !== pipeline.id) {
      const { name } = await this.#parts.pipelines.get(actor, version.pipelineId);
      throw new PotorooError('invalid_request', `pipelineVersionId ${id} is a version of pipeline ${name} (${version.pipelineId}), not of ${pipeline.name} (${pipeline.id}): use one of its own.`, { fields: [{ field: 'pipelineVersionId', message: `use a version of pipeline ${pipeline.name} (${pipeline.id})` }] });
    }
    return version;
  }

  async #spec(actor: Actor, pipeline: Pipeline, version: PipelineVersion, config: DeploymentConfig): Promise<DeploymentSpec> {
    const { replicas, limits, arch: wantedArch, accel } = readConfig(config);
    const refs = modelsOf(version.steps);
    const found = new Map<string, Found>();
    for (const ref of refs) {
      if (!found.has(ref.version)) found.set(ref.version, await this.#model(actor, ref, config));
    }
    const models = [...found.values()];
    checkChain(version.steps, (ref) => {
      const { version: { name, inputs, outputs }, model: { config, python } } = found.get(ref.version) as Found;
      return linkOf(name, { inputs, outputs }, config, python !== undefined);
    });
    const bundle = {
      format: 1 as const,
      pipeline: { id: pipeline.id, name: pipeline.name, version: version.version, versionId: version.id, workspaceId: pipeline.workspaceId, deploymentId: 0 },
      steps: version.steps,
      models: models.map(({ model }) => model),
    };
    const all = { ...limits, gpus: models.reduce((sum, { model: { python } }) => sum + (python?.gpus ?? 0), limits.gpus) };
    const { arch, archs, accels, refusal } = placementOf({ arch: wantedArch, accel }, models.map(({ version: { name, arch: own, accel: ownAccel }, sidekick }) => ({ name, arch: own, accel: ownAccel, ...(sidekick && { sidekick }) })));
    // Refused, it is another set than the one that may run, so that the two are not taken for each other.
    const revision = createHash('sha256').update(JSON.stringify([bundle, all, ...(refusal === null ? [] : [refusal])])).digest('hex').slice(0, 16);
    return { revision, replicas, bundle, limits: all, arch, archs, accels, ...(refusal !== null && { refusal }) };
  }

  async #model(actor: Actor, ref: { name: string; version: string }, deployment: DeploymentConfig): Promise<Found> {
    const version = await this.#parts.models.versionByName(actor, ref.name, ref.version);
    if (version.status !== 'ready') {
      throw new PotorooError('model_not_ready', `Model ${version.name} (${version.version}) is ${version.status}${version.reason === null ? '' : `: ${version.reason.message}`}${version.status === 'error' ? ' Use another version.' : ' Deploy once it is ready.'}`);
    }
    const { tensorFields, batchConfig, filterThreshold, inputSchema, outputSchema, concurrency: configured, id: configId } = await this.#parts.models.config(actor, version.id);
    const concurrency = concurrencyOf(version, { ...(configured !== undefined && { concurrency: configured }) });
    const { id, name, fileName, environment } = version;
    const sha256 = version.convertedSha256 ?? version.sha256;
    const framework = version.convertedSha256 === null ? version.framework : 'onnx';
    const { sidekick, arch, accel } = readSidekick(deployment, `${name}-${id}`, this.#parts.isolation);
    const python = version.framework === imageFramework ? { ...sidekick, isolation: 'container' as const } : environment === null ? undefined : { environment, python: join(this.#parts.dataDir, 'environments', environment, 'bin', 'python'), options: optionsOf(version), ...(concurrency !== undefined && { concurrency }), ...sidekick };
    // Undefined properties vanish in JSON, so that the same config gives the same revision.
    // A later config that is about something else leaves the schemas of the upload as they are.
    const schemas = python === undefined ? { inputSchema, outputSchema } : { inputSchema: inputSchema ?? some(version.inputs), outputSchema: outputSchema ?? some(version.outputs) };
    const config = JSON.parse(JSON.stringify({ tensorFields, batchConfig, filterThreshold, ...schemas })) as BundleModel['config'];
    return { version, sidekick: python && { arch, accel }, model: { id, configId, name, version: version.version, sha256, framework, fileName, file: `models/${sha256}`, config, ...(python && { python }) } };
  }

  /** Id of the deployment; null when it was changed by somebody else in between. */
  async #save(before: DeploymentRow | undefined, row: Parameters<DeploymentStore['insert']>[0]): Promise<number | null> {
    if (before !== undefined) {
      const { pipelineVersionId, wanted, generation, config, spec } = row;
      return await this.#store.change(before.id, { pipelineVersionId, wanted, generation, config, spec }, this.#parts.clock()) ? before.id : null;
    }
    try {
      return await this.#store.insert(row, this.#parts.clock());
    } catch (error) {
      if (isUniqueViolation(error)) return null;
      throw error;
    }
  }

  async #find(actor: Actor, id: number, right: Right): Promise<DeploymentRow> {
    const missing = notFound('deployment_not_found', id);
    const row = await this.#store.byId(id);
    if (row === undefined) throw missing;
    await this.#parts.access.require(actor, row.workspaceId, right, missing);
    return row;
  }

  async #row(id: number): Promise<DeploymentRow> {
    const row = await this.#store.byId(id);
    if (row === undefined) throw notFound('deployment_not_found', id);
    return row;
  }

  #loop(id: number): Reconciler {
    let loop = this.#loops.get(id);
    if (loop === undefined) {
      loop = new Reconciler(id, this.#loopParts);
      this.#loops.set(id, loop);
    }
    return loop;
  }

  #kickAll(): void {
    for (const loop of this.#loops.values()) loop.kick();
  }
}

const some = (fields: Field[] | null): Field[] | undefined => (fields === null || fields.length === 0 ? undefined : fields);

/** Without what changes all the time and is no news. */
function comparable(status: DeploymentStatus): string {
  return JSON.stringify({ ...status, engines: status.engines.map((e) => ({ ...e, sidekicks: e.sidekicks.map(({ memoryBytes: _, cpuSeconds: __, log: ___, ...rest }) => rest) })) });
}

/** A model of the pipeline as its engines are to run it; `sidekick` is where the deployment says that its sidekick runs. */
interface Found { readonly version: ModelVersion; readonly model: BundleModel; readonly sidekick: Wanted | undefined }

function same(row: DeploymentRow, version: PipelineVersion, config: DeploymentConfig, spec: DeploymentSpec): boolean {
  return row.pipelineVersionId === version.id && row.spec.revision === spec.revision && row.spec.replicas === spec.replicas
    && JSON.stringify(row.spec.archs) === JSON.stringify(spec.archs) && JSON.stringify(row.config) === JSON.stringify(config);
}

function deploymentOf(row: DeploymentRow): Deployment {
  const { id, pipelineId, workspaceId, pipelineVersionId, config, wanted, generation, port } = row;
  return {
    id, pipelineId, pipelineName: row.spec.bundle.pipeline.name, workspaceId, pipelineVersionId, config, wanted, generation, port, arch: row.spec.arch ?? row.spec.archs[0] ?? 'x86',
    createdAt: date(row.createdAt), updatedAt: date(row.updatedAt),
  };
}
