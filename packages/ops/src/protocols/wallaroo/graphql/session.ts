import { isPotorooError, PotorooError } from '@potoroo/contract';
import type { Actor, Deployment, Domains, Model, ModelVersion, Page, PageQuery, Pipeline, PipelineVersion, StoredModelConfig, Tag, Workspace } from '../../../domains/domains.ts';
import { all } from '../pages.ts';
import type { Refusals } from '../refusals.ts';
import { limits } from './limits.ts';

type TagName = Pick<Tag, 'id' | 'tag'>;

/** Asks once for all the ids that are asked for in one turn of the event loop. */
function batched<T>(read: (ids: readonly number[]) => Promise<Map<number, T[]>>): (id: number) => Promise<T[]> {
  let waiting: { ids: Set<number>; found: Promise<Map<number, T[]>> } | undefined;
  return async (id) => {
    if (waiting === undefined) {
      const ids = new Set<number>();
      const found = new Promise<void>((resolve) => { setImmediate(resolve); }).then(() => {
        waiting = undefined;
        return read([...ids]);
      });
      waiting = { ids, found };
    }
    const { ids, found } = waiting;
    ids.add(id);
    return (await found).get(id) ?? [];
  };
}

/**
 * One operation's view of the domains: what was read once is not read again, and the rows it touches are counted, so that
 * a document whose lists multiply ends in an error instead of a busy server.
 */
export class Session {
  readonly domains: Domains;
  readonly actor: Actor;
  readonly refusals: Refusals;
  /** Tags of a model version that was read, and of a pipeline. */
  readonly tagsOfModel: (versionId: number) => Promise<TagName[]>;
  readonly tagsOfPipeline: (id: number) => Promise<TagName[]>;
  readonly #reads = new Map<string, Promise<unknown>>();
  #rows = 0;

  constructor(domains: Domains, actor: Actor, refusals: Refusals) {
    this.refusals = refusals;
    this.domains = domains;
    this.actor = actor;
    this.tagsOfModel = batched((ids) => domains.tags.ofModels(ids));
    this.tagsOfPipeline = batched((ids) => domains.tags.ofPipelines(ids));
  }

  count<T>(rows: T[]): T[] {
    this.#rows += rows.length;
    if (this.#rows > limits.rows) throw new PotorooError('invalid_request', `The answer has more than ${limits.rows} rows. Ask for less at once.`);
    return rows;
  }

  #once<T>(key: string, read: () => Promise<T>): Promise<T> {
    const known = this.#reads.get(key);
    if (known !== undefined) return known as Promise<T>;
    const started = read();
    this.#reads.set(key, started);
    return started;
  }

  workspace(id: number): Promise<Workspace> {
    return this.#once(`workspace ${id}`, () => this.domains.workspaces.get(this.actor, id));
  }
  model(id: number): Promise<Model> {
    return this.#once(`model ${id}`, () => this.domains.models.get(this.actor, id));
  }
  models(workspaceId: number): Promise<Model[]> {
    return this.#once(`models of ${workspaceId}`, () => all((page) => this.domains.models.list(this.actor, { ...page, workspaceId })));
  }
  modelVersion(id: number): Promise<ModelVersion> {
    return this.#once(`version ${id}`, () => this.domains.models.version(this.actor, id));
  }
  modelVersionNamed(name: string, version: string, workspaceId?: number): Promise<ModelVersion> {
    return this.#once(`version ${version} of ${name} in ${workspaceId}`, () => this.domains.models.versionByName(this.actor, name, version, workspaceId));
  }
  config(modelVersionId: number): Promise<StoredModelConfig> {
    return this.#once(`config of ${modelVersionId}`, () => this.domains.models.config(this.actor, modelVersionId));
  }
  pipeline(id: number): Promise<Pipeline> {
    return this.#once(`pipeline ${id}`, () => this.domains.pipelines.get(this.actor, id));
  }
  pipelines(workspaceId: number): Promise<Pipeline[]> {
    return this.#once(`pipelines of ${workspaceId}`, () => all((page) => this.domains.pipelines.list(this.actor, { ...page, workspaceId })));
  }
  pipelineVersion(id: number): Promise<PipelineVersion> {
    return this.#once(`pipeline version ${id}`, () => this.domains.pipelines.version(this.actor, id));
  }
  tag(id: number): Promise<Tag> {
    return this.#once(`tag ${id}`, () => this.domains.tags.get(this.actor, id));
  }
  /** A page of the list; each is known from then on. */
  async tags(query: PageQuery): Promise<Page<Tag>> {
    const page = await this.domains.tags.list(this.actor, query);
    for (const tag of page.items) this.#reads.set(`tag ${tag.id}`, Promise.resolve(tag));
    return page;
  }
  deployment(id: number): Promise<Deployment> {
    return this.#once(`deployment ${id}`, () => this.domains.deployments.get(this.actor, id));
  }
}

/** What is not there, or not for this user to see, is null on this wire. */
export async function orNull<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    if (isPotorooError(error) && error.status === 404) return null;
    throw error;
  }
}
