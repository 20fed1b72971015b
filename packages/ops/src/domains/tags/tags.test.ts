import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { databases } from '../../storage/testing.ts';
import type { Actor } from '../domains.ts';
import { openDomains, type TestDomains } from '../testing.ts';
import { TagService } from './tags.service.ts';

describe.each(databases)('tags on $name', (database) => {
  let t: TestDomains;
  let tags: TagService;
  /** Ann's; Bob is in her workspace, Eve is not. */
  let [ann, bob, eve]: Actor[] = [];
  let versionId: number;
  let pipelineId: number;

  beforeEach(async () => {
    t = await openDomains(database, { inspect: async () => ({ ok: true, inputs: [], outputs: [], log: [] }) });
    [ann, bob, eve] = [t.ann, t.bob, t.eve];
    versionId = (await t.upload(t.ann, 'm')).id;
    pipelineId = (await t.pipelines.create(t.ann, { workspaceId: t.workspaceId, name: 'p' })).id;
    tags = new TagService(t.storage.db, t.access, t.models, t.pipelines, () => t.time.now);
  });
  afterEach(() => t.close());

  test('put on a model version and a pipeline, taken off again', async () => {
    const tag = await tags.create(ann!, 'production');
    await tags.add(ann!, tag.id, { modelVersionId: versionId });
    await tags.add(ann!, tag.id, { modelVersionId: versionId });
    await tags.add(ann!, tag.id, { pipelineId });
    expect(await tags.get(ann!, tag.id)).toMatchObject({ tag: 'production', modelVersionIds: [versionId], pipelineIds: [pipelineId] });
    expect((await tags.ofModels([versionId])).get(versionId)).toMatchObject([{ id: tag.id, tag: 'production' }]);
    expect((await tags.ofPipelines([pipelineId, 999])).get(999)).toEqual([]);
    await tags.remove(ann!, tag.id, { modelVersionId: versionId });
    expect(await tags.get(ann!, tag.id)).toMatchObject({ modelVersionIds: [], pipelineIds: [pipelineId] });
    await expect(tags.remove(ann!, tag.id, { modelVersionId: versionId })).rejects.toMatchObject({ code: 'tag_not_found', message: expect.stringMatching(/^Version [-0-9a-f]{36} of model [a-z-]+ does not carry tag "production"\.$/) as string });
    await tags.remove(ann!, tag.id, { pipelineId });
    await expect(tags.remove(ann!, tag.id, { pipelineId })).rejects.toMatchObject({ code: 'tag_not_found', message: expect.stringMatching(/^Pipeline [a-z-]+ does not carry tag "production"\.$/) as string });
  });

  test('what carries a tag is hidden from those who may not see it', async () => {
    const tag = await tags.create(ann!, 'secret project');
    await tags.add(ann!, tag.id, { pipelineId });
    await tags.add(bob!, tag.id, { modelVersionId: versionId });
    expect((await tags.list(bob!)).items).toMatchObject([{ pipelineIds: [pipelineId], modelVersionIds: [versionId] }]);
    expect((await tags.list(eve!)).items).toMatchObject([{ tag: 'secret project', pipelineIds: [], modelVersionIds: [] }]);
    for (const [thing, code] of [[{ pipelineId }, 'pipeline_not_found'], [{ modelVersionId: versionId }, 'model_not_found']] as const) {
      await expect(tags.add(eve!, tag.id, thing)).rejects.toMatchObject({ code });
      await expect(tags.remove(eve!, tag.id, thing)).rejects.toMatchObject({ code });
    }
  });

  test('a public model is seen by all and tagged by members only', async () => {
    const tag = await tags.create(eve!, 'mine');
    await t.storage.db.updateTable('modelVersions').set({ visibility: 'public' }).where('id', '=', versionId).execute();
    await expect(tags.add(eve!, tag.id, { modelVersionId: versionId })).rejects.toMatchObject({ code: 'forbidden' });
    await tags.add(bob!, tag.id, { modelVersionId: versionId });
    expect((await tags.get(eve!, tag.id)).modelVersionIds).toEqual([versionId]);
  });

  test('is found by its text, and finds what carries it', async () => {
    const tag = await tags.create(ann!, 'My Great Tag');
    await tags.create(ann!, 'other');
    expect((await tags.list(ann!, { tag: 'My Great Tag' })).items.map((found) => found.id)).toEqual([tag.id]);
    await tags.add(ann!, tag.id, { modelVersionId: versionId });
    await tags.add(ann!, tag.id, { pipelineId });
    expect((await t.models.search(ann!, { term: 'great tag' })).items.map((v) => v.id)).toEqual([versionId]);
    expect((await t.pipelines.list(ann!, { term: 'great tag' })).items.map((p) => p.id)).toEqual([pipelineId]);
    expect((await t.models.search(eve!, { term: 'great tag' })).items).toEqual([]);
  });

  test('is deleted by who made it or an administrator, off everything', async () => {
    const [first, second] = [await tags.create(ann!, 'first'), await tags.create(ann!, 'second')];
    await tags.add(ann!, first.id, { pipelineId });
    await expect(tags.delete(bob!, first.id)).rejects.toMatchObject({ code: 'forbidden' });
    await tags.delete(ann!, first.id);
    await tags.delete(t.admin, second.id);
    await expect(tags.delete(ann!, first.id)).rejects.toMatchObject({ code: 'tag_not_found' });
    expect((await tags.ofPipelines([pipelineId])).get(pipelineId)).toEqual([]);
  });

  test.each([['', 'invalid_name'], ['x'.repeat(257), 'invalid_name'], ['a\nb', 'invalid_name'], ['once', 'already_exists']])('refused: %j', async (text, code) => {
    await tags.create(ann!, 'once');
    await expect(tags.create(ann!, text)).rejects.toMatchObject({ code });
  });

  test('a tag that does not exist', async () => {
    await expect(tags.get(ann!, 7)).rejects.toMatchObject({ code: 'tag_not_found' });
    await expect(tags.add(ann!, 7, { pipelineId })).rejects.toMatchObject({ code: 'tag_not_found' });
  });

  test('newest first, by pages', async () => {
    for (const text of ['a', 'b', 'c']) await tags.create(ann!, text);
    const first = await tags.list(ann!, { limit: 2 });
    expect(first.items.map((t) => t.tag)).toEqual(['c', 'b']);
    expect((await tags.list(ann!, { limit: 2, cursor: first.cursor! })).items.map((t) => t.tag)).toEqual(['a']);
  });
});
