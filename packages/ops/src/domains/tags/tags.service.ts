import { isPotorooError, PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { date } from '../../storage/values.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, Models, Page, PageQuery, Pipelines, Tag, Tags, Taggable } from '../domains.ts';
import { TagStore, type TagRow } from './tags.store.ts';

const maxLength = 256;

/** Tags are shared by everybody who is signed in; what carries one is shown only to those who may see that thing. */
export class TagService implements Tags {
  readonly #store: TagStore;
  readonly #access: Access;
  readonly #models: Pick<Models, 'version'>;
  readonly #pipelines: Pick<Pipelines, 'get'>;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, models: Pick<Models, 'version'>, pipelines: Pick<Pipelines, 'get'>, clock: () => number) {
    this.#store = new TagStore(db);
    this.#access = access;
    this.#models = models;
    this.#pipelines = pipelines;
    this.#clock = clock;
  }

  async create(actor: Actor, text: string): Promise<Tag> {
    if (text.trim() === '' || text.length > maxLength || /\p{Cc}/u.test(text)) {
      throw new PotorooError('invalid_name', `tag ${JSON.stringify(text.slice(0, 80))} is not allowed: use 1 to ${maxLength} printable characters.`, { fields: [{ field: 'tag', message: `1 to ${maxLength} printable characters` }] });
    }
    try {
      return this.get(actor, await this.#store.insert(text, actor.id, this.#clock()));
    } catch (error) {
      if (isUniqueViolation(error)) throw new PotorooError('already_exists', `There is a tag ${JSON.stringify(text)} already; use that one.`);
      throw error;
    }
  }

  async get(actor: Actor, id: number): Promise<Tag> {
    const row = await this.#store.byId(id);
    if (row === undefined) throw notFound('tag_not_found', id);
    return (await this.#shown(actor, [row]))[0] as Tag;
  }

  async list(actor: Actor, query: PageQuery & { tag?: string } = {}): Promise<Page<Tag>> {
    const window = pageWindow(query);
    const page = pageFrom(await this.#store.list(window, query.tag), window, (row) => row.id, (row) => row);
    return { items: await this.#shown(actor, page.items), cursor: page.cursor };
  }

  async add(actor: Actor, tagId: number, to: Taggable): Promise<void> {
    const { kind, id } = await this.#check(actor, tagId, to);
    await this.#store.add(kind, tagId, id);
  }

  async remove(actor: Actor, tagId: number, from: Taggable): Promise<void> {
    const { kind, id, name, tag } = await this.#check(actor, tagId, from);
    if (!(await this.#store.remove(kind, tagId, id))) throw new PotorooError('tag_not_found', `${name} does not carry tag ${JSON.stringify(tag)}.`);
  }

  async delete(actor: Actor, id: number): Promise<void> {
    const row = await this.#store.byId(id);
    if (row === undefined) throw notFound('tag_not_found', id);
    if (actor.role !== 'admin' && row.createdBy !== actor.id) throw new PotorooError('forbidden', `Only who made tag ${JSON.stringify(row.tag)} or an administrator may delete it.`);
    await this.#store.delete(id);
  }

  async ofModels(versionIds: readonly number[]): Promise<Map<number, { id: number; tag: string }[]>> {
    return this.#store.of('model', versionIds);
  }

  async ofPipelines(ids: readonly number[]): Promise<Map<number, { id: number; tag: string }[]>> {
    return this.#store.of('pipeline', ids);
  }

  /** The tag exists and the actor may see what it is put on; members may tag what is in their workspaces. */
  async #check(actor: Actor, tagId: number, thing: Taggable): Promise<{ kind: 'model' | 'pipeline'; id: number; name: string; tag: string }> {
    const found = await this.#store.byId(tagId);
    if (found === undefined) throw notFound('tag_not_found', tagId);
    const { tag } = found;
    if ('modelVersionId' in thing) {
      const { workspaceId, name, version } = await this.#models.version(actor, thing.modelVersionId);
      // A public model is for everybody to see and use, not to change.
      await this.#access.require(actor, workspaceId, 'write', new PotorooError('forbidden', `Model ${name} is in a workspace that you are not in; only its members may tag it.`));
      return { kind: 'model', id: thing.modelVersionId, name: `Version ${version} of model ${name}`, tag };
    }
    const { name } = await this.#pipelines.get(actor, thing.pipelineId);
    return { kind: 'pipeline', id: thing.pipelineId, name: `Pipeline ${name}`, tag };
  }

  async #shown(actor: Actor, rows: readonly TagRow[]): Promise<Tag[]> {
    const ids = rows.map((row) => row.id);
    const [models, pipelines] = [await this.#store.carriers('model', ids), await this.#store.carriers('pipeline', ids)];
    const seenModels = await visible([...models.values()].flat(), (id) => this.#models.version(actor, id));
    const seenPipelines = await visible([...pipelines.values()].flat(), (id) => this.#pipelines.get(actor, id));
    return rows.map((row) => ({
      id: row.id, tag: row.tag, createdAt: date(row.createdAt), createdBy: row.createdBy,
      modelVersionIds: (models.get(row.id) ?? []).filter((id) => seenModels.has(id)),
      pipelineIds: (pipelines.get(row.id) ?? []).filter((id) => seenPipelines.has(id)),
    }));
  }
}

/** Those of the ids that can be read. */
async function visible(ids: readonly number[], read: (id: number) => Promise<unknown>): Promise<Set<number>> {
  const seen = new Set<number>();
  for (const id of new Set(ids)) await read(id).then(() => seen.add(id), (error: unknown) => {
    if (!isPotorooError(error) || error.status !== 404) throw error;
  });
  return seen;
}
