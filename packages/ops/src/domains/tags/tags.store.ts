import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import type { Time } from '../../storage/values.ts';

interface TagTable { id: Generated<number>; tag: string; createdBy: string; createdAt: Time }
interface ModelTagTable { tagId: number; modelVersionId: number }
interface PipelineTagTable { tagId: number; pipelineId: number }
export interface TagTables { tags: TagTable; modelTags: ModelTagTable; pipelineTags: PipelineTagTable }
export type TagRow = Selectable<TagTable>;

/** The two kinds of thing that carry tags differ in their table and column alone. */
const links = { model: { table: 'modelTags', column: 'modelVersionId' }, pipeline: { table: 'pipelineTags', column: 'pipelineId' } } as const;
export type Tagged = keyof typeof links;

export class TagStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(tag: string, createdBy: string, now: Time): Promise<number> {
    return (await this.#db.insertInto('tags').values({ tag, createdBy, createdAt: now }).returning('id').executeTakeFirstOrThrow()).id;
  }

  byId(id: number): Promise<TagRow | undefined> {
    return this.#db.selectFrom('tags').selectAll().where('id', '=', id).executeTakeFirst();
  }

  list(window: PageWindow, tag: string | undefined): Promise<TagRow[]> {
    let query = this.#db.selectFrom('tags').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (tag !== undefined) query = query.where('tag', '=', tag);
    return query.execute();
  }

  /** Ids of the things of one kind that carry each of these tags. */
  async carriers(kind: Tagged, tagIds: readonly number[]): Promise<Map<number, number[]>> {
    const found = new Map<number, number[]>(tagIds.map((id) => [id, []]));
    for (const { tagId, id } of await this.#links(kind, 'tagId', tagIds)) found.get(tagId)?.push(id);
    return found;
  }

  /** Tags of each of these things of one kind. */
  async of(kind: Tagged, ids: readonly number[]): Promise<Map<number, TagRow[]>> {
    const found = new Map<number, TagRow[]>(ids.map((id) => [id, []]));
    const rows = await this.#links(kind, links[kind].column, ids);
    if (rows.length === 0) return found;
    const tags = await this.#db.selectFrom('tags').selectAll().where('id', 'in', rows.map((r) => r.tagId)).execute();
    const byId = new Map(tags.map((tag) => [tag.id, tag]));
    for (const { tagId, id } of rows) { const tag = byId.get(tagId); if (tag) found.get(id)?.push(tag); }
    return found;
  }

  async add(kind: Tagged, tagId: number, id: number): Promise<void> {
    const done = kind === 'model'
      ? this.#db.insertInto('modelTags').values({ tagId, modelVersionId: id }).onConflict((c) => c.columns(['tagId', 'modelVersionId']).doNothing())
      : this.#db.insertInto('pipelineTags').values({ tagId, pipelineId: id }).onConflict((c) => c.columns(['tagId', 'pipelineId']).doNothing());
    await done.execute();
  }

  async remove(kind: Tagged, tagId: number, id: number): Promise<boolean> {
    const done = kind === 'model'
      ? this.#db.deleteFrom('modelTags').where('tagId', '=', tagId).where('modelVersionId', '=', id)
      : this.#db.deleteFrom('pipelineTags').where('tagId', '=', tagId).where('pipelineId', '=', id);
    return (await done.executeTakeFirst()).numDeletedRows > 0n;
  }

  async delete(id: number): Promise<void> {
    await this.#db.deleteFrom('tags').where('id', '=', id).execute();
  }

  #links(kind: Tagged, by: 'tagId' | 'modelVersionId' | 'pipelineId', ids: readonly number[]): Promise<{ tagId: number; id: number }[]> {
    if (ids.length === 0) return Promise.resolve([]);
    return kind === 'model'
      ? this.#db.selectFrom('modelTags').select(['tagId', 'modelVersionId as id']).where(by as 'tagId' | 'modelVersionId', 'in', ids).orderBy('tagId').orderBy('modelVersionId').execute()
      : this.#db.selectFrom('pipelineTags').select(['tagId', 'pipelineId as id']).where(by as 'tagId' | 'pipelineId', 'in', ids).orderBy('tagId').orderBy('pipelineId').execute();
  }
}
