import { apiPrefix, PotorooError, type ApiDeployment, type ApiPipeline, type ApiPipelineVersion, type DeploymentConfig, type Step, type ApiLogRetention, type ApiSetLogRetention, type ValidationSpec } from '@potoroo/contract';
import { createOnce, listOf, type Calls } from './calls.ts';
import { Deployment } from './deployments.ts';
import { inferAt, type Infer } from './inference.ts';
import { Logs, type LogOptions } from './logs.ts';
import type { Pages } from './pages.ts';
import { modelStep, validations, type StepModel } from './steps.ts';
import type { TagName } from './tags.ts';
import type { CallOptions } from './transport.ts';

const base = `${apiPrefix}/pipelines`;

export interface DeployOptions extends CallOptions {
  readonly config?: DeploymentConfig;
  /** Deploys this earlier version instead of the steps as they stand. */
  readonly pipelineVersionId?: number;
}

/**
 * A pipeline: steps that are run in order. Steps are changed here first, as in the guide; `deploy` and `createVersion`
 * save them as a new version.
 */
export class Pipeline {
  readonly #calls: Calls;
  #info: ApiPipeline;
  #steps: Step[];
  /** Takes rows as an array of records, an Arrow table or a batch. @throws PotorooError not_deployed, no_engine_ready, schema_mismatch and the others of inference data */
  readonly infer: Infer;

  constructor(calls: Calls, info: ApiPipeline) {
    this.#calls = calls;
    this.infer = inferAt(calls.transport, async (options) => `${apiPrefix}/deployments/${await this.#deploymentId(options)}/infer`);
    this.#info = info;
    this.#steps = [...(info.versions[0]?.steps ?? [])];
  }

  get info(): ApiPipeline { return this.#info; }
  get id(): number { return this.#info.id; }
  get name(): string { return this.#info.name; }
  /** Newest first. */
  get versions(): readonly ApiPipelineVersion[] { return this.#info.versions; }
  get steps(): readonly Step[] { return this.#steps; }

  addModelStep(model: StepModel): this {
    this.#steps.push(modelStep(model));
    return this;
  }

  replaceWithModelStep(index: number, model: StepModel): this {
    this.#steps[this.#index(index)] = modelStep(model);
    return this;
  }

  /** Any kind of step: `randomSplit(…)`, `keySplit(…)`, `shadow(…)`, `validations(…)`. */
  addStep(step: Step): this {
    this.#steps.push(step);
    return this;
  }

  replaceStep(index: number, step: Step): this {
    this.#steps[this.#index(index)] = step;
    return this;
  }

  /** @example pipeline.addValidations(col('out.price').gt(500_000).as('too_high')) */
  addValidations(...list: readonly ValidationSpec[]): this {
    return this.addStep(validations(...list));
  }

  removeStep(index: number): this {
    this.#steps.splice(this.#index(index), 1);
    return this;
  }

  clear(): this {
    this.#steps = [];
    return this;
  }

  /** Saves the steps as a new version. @throws PotorooError pipeline_invalid, model_not_found, model_not_ready */
  async createVersion(options: CallOptions = {}): Promise<ApiPipelineVersion> {
    const version = await createOnce<ApiPipelineVersion>(this.#calls.transport, `${base}/${this.id}/versions`, { steps: this.#steps }, options);
    this.#info = { ...this.#info, versions: [version, ...this.#info.versions] };
    return version;
  }

  /**
   * Deploys the steps as they stand, or updates the deployment there is; what runs keeps answering until the new one has
   * proved itself. Returns as soon as it is wanted: see `deployment.waitUntilRunning()`.
   */
  async deploy(options: DeployOptions = {}): Promise<Deployment> {
    const { config, pipelineVersionId, ...call } = options;
    const newest = this.versions[0];
    const changed = newest === undefined || JSON.stringify(newest.steps) !== JSON.stringify(this.#steps);
    const versionId = pipelineVersionId ?? (changed ? (await this.createVersion(call)).id : newest.id);
    const info = await this.#calls.transport.json<ApiDeployment>(`${base}/${this.id}/deployment`, { ...call, method: 'PUT', json: { pipelineVersionId: versionId, config } });
    this.#info = { ...this.#info, deploymentId: info.id };
    return new Deployment(this.#calls, info);
  }

  /** @throws PotorooError not_deployed */
  async deployment(options: CallOptions = {}): Promise<Deployment> {
    return await this.#calls.deployments.get(await this.#deploymentId(options), options);
  }

  /** Reads the pipeline again; steps that were changed here and not saved stay. */
  async refresh(options: CallOptions = {}): Promise<ApiPipeline> {
    this.#info = await this.#calls.transport.json<ApiPipeline>(`${base}/${this.id}`, options);
    return this.#info;
  }

  async undeploy(options: CallOptions = {}): Promise<Deployment> {
    return await (await this.deployment(options)).undeploy(options);
  }

  /** What was inferred, newest first unless `order` or `start` says otherwise. */
  logs(options: LogOptions = {}): Logs {
    return new Logs(this.#calls.transport, `${base}/${this.id}/logs`, options);
  }

  /** First and next row offset of what each engine or edge wrote into its log. */
  async logPartitions(options: CallOptions = {}): Promise<Record<string, { start: number; end: number }>> {
    return await this.#calls.transport.json<Record<string, { start: number; end: number }>>(`${base}/${this.id}/logs/partitions`, options);
  }

  /** How long and how much of its log is kept: null is as the server is set, 0 for ever. */
  async logRetention(options: CallOptions = {}): Promise<ApiLogRetention> {
    return await this.#calls.transport.json<ApiLogRetention>(`${base}/${this.id}/log-retention`, options);
  }

  /** What is over it is removed within the hour. @throws PotorooError invalid_request */
  async setLogRetention(retention: ApiSetLogRetention, options: CallOptions = {}): Promise<ApiLogRetention> {
    return await this.#calls.transport.json<ApiLogRetention>(`${base}/${this.id}/log-retention`, { ...options, method: 'PUT', json: retention });
  }

  /** The tags that it carries. */
  async tags(options: CallOptions = {}): Promise<TagName[]> {
    return (await this.#calls.transport.json<{ items: TagName[] }>(`${base}/${this.id}/tags`, options)).items;
  }

  /** @throws PotorooError in_use for the one that is deployed, or was last, and for the only one */
  async deleteVersion(versionId: number, options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.bytes(`${apiPrefix}/pipeline-versions/${versionId}`, { ...options, method: 'DELETE' });
    await this.refresh(options);
  }

  async delete(options: CallOptions = {}): Promise<void> {
    await this.#calls.transport.bytes(`${base}/${this.id}`, { ...options, method: 'DELETE' });
  }

  /** A pipeline has one deployment for life; once known it is not asked for again. */
  async #deploymentId(options: CallOptions): Promise<number> {
    const id = this.#info.deploymentId ?? (await this.refresh(options)).deploymentId;
    if (id === null) throw new PotorooError('not_deployed', `Pipeline ${this.name} is not deployed; deploy it first.`);
    return id;
  }

  #index(index: number): number {
    if (Number.isInteger(index) && index >= 0 && index < this.#steps.length) return index;
    throw new PotorooError('pipeline_invalid', `Pipeline ${this.name} has ${this.#steps.length} steps and none at index ${index}; the first is 0.`);
  }
}

export class Pipelines {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** `term` is part of a name or a version. */
  list(query: { workspaceId?: number; name?: string; deployed?: boolean; term?: string } & CallOptions = {}): Pages<Pipeline> {
    const { workspaceId, name, deployed, term, ...call } = query;
    return listOf<ApiPipeline>(this.#calls.transport, base, { workspaceId, name, deployed, term }, call).map((info) => new Pipeline(this.#calls, info));
  }

  /** @throws PotorooError pipeline_not_found */
  async get(id: number, options: CallOptions = {}): Promise<Pipeline> {
    return new Pipeline(this.#calls, await this.#calls.transport.json<ApiPipeline>(`${base}/${id}`, options));
  }

  /** @throws PotorooError pipeline_not_found */
  version(id: number, options: CallOptions = {}): Promise<ApiPipelineVersion> {
    return this.#calls.transport.json<ApiPipelineVersion>(`${apiPrefix}/pipeline-versions/${id}`, options);
  }

  /** The pipeline of that name in a workspace, made when there is none. @throws PotorooError invalid_name */
  async build(workspaceId: number, name: string, options: CallOptions = {}): Promise<Pipeline> {
    return new Pipeline(this.#calls, await createOnce<ApiPipeline>(this.#calls.transport, `${apiPrefix}/workspaces/${workspaceId}/pipelines`, { name }, options));
  }
}
