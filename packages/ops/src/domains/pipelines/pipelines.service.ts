import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { checkName, checkSteps, modelsOf, PotorooError, StepSchema, StepsSchema, type Step } from '@potoroo/contract';
import { Value } from '@sinclair/typebox/value';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isForeignKeyViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { notFound, type Access } from '../access.ts';
import { checkChain, linkOf, type Link } from '../deployments/chain.ts';
import type { Actor, ModelKey, Models, ModelVersion, Page, PageQuery, Pipeline, Pipelines, PipelineVersion } from '../domains.ts';
import { PipelineStore, type NewPipelineVersion } from './pipelines.store.ts';

export class PipelineService implements Pipelines {
  readonly #store: PipelineStore;
  readonly #access: Access;
  readonly #models: Models;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, models: Models, clock: () => number) {
    this.#store = new PipelineStore(db);
    this.#access = access;
    this.#models = models;
    this.#clock = clock;
  }

  async create(actor: Actor, input: { workspaceId: number; name: string; steps?: Step[] }): Promise<Pipeline> {
    const { workspaceId } = input;
    const missing = notFound('workspace_not_found', workspaceId);
    await this.#access.require(actor, workspaceId, 'write', missing);
    const name = checkName('pipeline', input.name);
    const version = await this.#newVersion(actor, input.steps ?? []);
    try {
      // No steps asks for none: a pipeline that has some keeps them.
      const id = await this.#store.ensure(workspaceId, name, version, (newest) => version.steps.length > 0 && !isDeepStrictEqual(newest.steps, version.steps));
      return await this.get(actor, id);
    } catch (error) {
      throw isForeignKeyViolation(error) ? missing : error;
    }
  }

  async addVersion(actor: Actor, pipelineId: number, steps: Step[]): Promise<PipelineVersion> {
    await this.#find(actor, pipelineId, 'write');
    const id = await this.#store.addVersion(pipelineId, await this.#newVersion(actor, steps));
    return this.version(actor, id);
  }

  async list(actor: Actor, query: PageQuery & { workspaceId?: number; name?: string; deployed?: boolean; term?: string } = {}): Promise<Page<Pipeline>> {
    const window = pageWindow(query);
    const rows = await this.#store.list(window, { ...query, visible: this.#access.workspacesOf(actor) });
    const page = pageFrom(rows, window, (row) => row.id, (row) => row);
    return { items: await this.#store.withVersions(page.items), cursor: page.cursor };
  }

  get(actor: Actor, id: number): Promise<Pipeline> {
    return this.#find(actor, id, 'read');
  }

  version(actor: Actor, versionId: number): Promise<PipelineVersion> {
    return this.#version(actor, { id: versionId }, versionId);
  }

  versionByUuid(actor: Actor, version: string): Promise<PipelineVersion> {
    return this.#version(actor, { version }, version);
  }

  async withModel(actor: Actor, model: ModelKey): Promise<{ pipelineId: number; versions: string[] }[]> {
    const found = await this.#store.withModel(model, this.#access.workspacesOf(actor));
    if (found.length > 0) return found;
    // In no pipeline, which is told from being no model that the actor sees.
    if ('id' in model) await this.#models.get(actor, model.id);
    else if ((await this.#models.list(actor, { name: model.name, limit: 1 })).items.length === 0) throw notFound('model_not_found', model.name);
    return found;
  }

  async removeVersion(actor: Actor, versionId: number): Promise<void> {
    const { pipelineId, version } = await this.version(actor, versionId);
    const { name } = await this.#find(actor, pipelineId, 'write');
    if (!(await this.#store.removeVersion(pipelineId, versionId))) {
      throw new PotorooError('in_use', `Version ${version} of pipeline ${name} is its only one, or the one that is deployed or was last: deploy another version first, or remove the pipeline.`);
    }
  }

  async remove(actor: Actor, id: number): Promise<void> {
    const pipeline = await this.#find(actor, id, 'write');
    if (!(await this.#store.removeStopped(id))) throw new PotorooError('in_use', `Pipeline ${pipeline.name} is deployed, or its engines are still stopping: undeploy it and wait until it has stopped.`);
  }

  async #find(actor: Actor, id: number, right: 'read' | 'write'): Promise<Pipeline> {
    const missing = notFound('pipeline_not_found', id);
    const pipeline = await this.#store.byId(id);
    if (pipeline === undefined) throw missing;
    await this.#access.require(actor, pipeline.workspaceId, right, missing);
    return pipeline;
  }

  async #version(actor: Actor, by: { id: number } | { version: string }, asked: number | string): Promise<PipelineVersion> {
    const missing = new PotorooError('pipeline_not_found', `Pipeline version ${JSON.stringify(asked)} does not exist, or you may not see it.`);
    const found = await this.#store.version(by);
    if (found === undefined) throw missing;
    const { workspaceId, ...version } = found;
    await this.#access.require(actor, workspaceId, 'read', missing);
    return version;
  }

  /** @throws pipeline_invalid, model_not_found, model_not_ready */
  async #newVersion(actor: Actor, steps: Step[]): Promise<NewPipelineVersion> {
    checkShape(steps);
    checkSteps(steps);
    const models = await Promise.all(modelsOf(steps).map((ref) => this.#models.versionByName(actor, ref.name, ref.version)));
    for (const model of models) {
      if (model.status === 'ready') continue;
      const why = model.status === 'error' ? `cannot be used: ${model.reason?.message ?? 'it did not load.'}` : 'is still being loaded; wait until its status is ready.';
      throw new PotorooError('model_not_ready', `Version ${model.version} of model ${model.name} ${why}`);
    }
    if (steps.some((step) => step.type !== 'model')) await this.#checkFit(actor, steps, models);
    return { version: randomUUID(), steps, modelVersionIds: models.map((m) => m.id), createdBy: actor.id, createdAt: this.#clock() };
  }

  /** Experiments and validations are refused when they are added, where it can be told then; deploying checks all steps, with the configs of then. */
  async #checkFit(actor: Actor, steps: Step[], models: readonly ModelVersion[]): Promise<void> {
    const links = await Promise.all(models.map(async (m) => linkOf(m.name, m, await this.#models.config(actor, m.id), m.environment !== null)));
    checkChain(steps, (ref) => links[models.findIndex((m) => m.name === ref.name && m.version === ref.version)] as Link);
  }
}

/** @throws pipeline_invalid naming the field */
function checkShape(steps: Step[]): void {
  const refuse = (path: string, message: string): never => {
    const field = `steps${path.replace(/\/(\d+)/g, '[$1]').replaceAll('/', '.')}`;
    throw new PotorooError('pipeline_invalid', `${field}: ${message}.`, { fields: [{ field, message }] });
  };
  if (Array.isArray(steps)) {
    steps.forEach((step, i) => {
      // Of a step of a known type, what is wrong with it says more than that it is none.
      const wrong = StepSchema.anyOf.filter((schema) => schema.properties.type.const === step?.type).map((schema) => Value.Errors(schema, step).First()).find((error) => error !== undefined);
      if (wrong !== undefined) refuse(`/${i}${wrong.path}`, wrong.message);
    });
  }
  const wrong = Value.Errors(StepsSchema, steps).First();
  if (wrong !== undefined) refuse(wrong.path, wrong.message);
}
