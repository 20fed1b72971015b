import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { databases, type TestStorage } from '../../storage/testing.ts';
import type { Actor, ModelVersion, Pipeline } from '../domains.ts';
import { notFound } from '../access.ts';
import { TagService } from './tags.service.ts';

const alice: Actor = { id: 'alice', email: 'alice@example.com', role: 'user' };
const bob: Actor = { id: 'bob', email: 'bob@example.com', role: 'user' };

describe.each(databases)('tags on $name', ({ open }) => {
  let storage: TestStorage;
  let tags: TagService;
  let versionId: number;
  let pipelineId: number;

  beforeEach(async () => {
    storage = await open();
    const now = 1_700_000_000_000;
    const { db } = storage;
    const workspace = await db.insertInto('workspaces').values({ name: 'w', archived: 0, createdAt: now, createdBy: 'alice' }).returning('id').executeTakeFirstOrThrow();
    const model = await db.insertInto('models').values({ workspaceId: workspace.id, name: 'm', ownerId: 'alice', createdAt: now, updatedAt: now }).returning('id').executeTakeFirstOrThrow();
    versionId = (await db.insertInto('modelVersions').values({
      modelId: model.id, version: 'v', sha256: '0'.repeat(64), size: 1, fileName: 'm.onnx', framework: 'onnx', runtime: 'onnx', arch: 'x86', accel: 'none', visibility: 'private',
      status: 'ready', reason: null, inputs: null, outputs: null, conversion: '{}', createdAt: now, updatedAt: now, createdBy: 'alice',
    }).returning('id').executeTakeFirstOrThrow()).id;
    pipelineId = (await db.insertInto('pipelines').values({ workspaceId: workspace.id, name: 'p', ownerId: 'alice', createdAt: now, updatedAt: now }).returning('id').executeTakeFirstOrThrow()).id;
    // Who may see what is the business of the models and pipelines domains: here only Alice may.
    const only = <T>(id: number, code: 'model_not_found' | 'pipeline_not_found') => async (actor: Actor, wanted: number): Promise<T> => {
      if (actor.id !== 'alice' || wanted !== id) throw notFound(code, wanted);
      return { id } as T;
    };
    tags = new TagService(db, { version: only<ModelVersion>(versionId, 'model_not_found') }, { get: only<Pipeline>(pipelineId, 'pipeline_not_found') }, () => now);
  });
  afterEach(() => storage.close());

  test('put on a model version and a pipeline, taken off again', async () => {
    const tag = await tags.create(alice, 'production');
    await tags.add(alice, tag.id, { modelVersionId: versionId });
    await tags.add(alice, tag.id, { modelVersionId: versionId });
    await tags.add(alice, tag.id, { pipelineId });
    expect(await tags.get(alice, tag.id)).toMatchObject({ tag: 'production', modelVersionIds: [versionId], pipelineIds: [pipelineId] });
    expect((await tags.ofModels([versionId])).get(versionId)).toMatchObject([{ id: tag.id, tag: 'production' }]);
    expect((await tags.ofPipelines([pipelineId, 999])).get(999)).toEqual([]);
    await tags.remove(alice, tag.id, { modelVersionId: versionId });
    expect(await tags.get(alice, tag.id)).toMatchObject({ modelVersionIds: [], pipelineIds: [pipelineId] });
    await expect(tags.remove(alice, tag.id, { modelVersionId: versionId })).rejects.toMatchObject({ code: 'tag_not_found' });
  });

  test('what carries a tag is hidden from those who may not see it', async () => {
    const tag = await tags.create(alice, 'secret project');
    await tags.add(alice, tag.id, { pipelineId });
    expect((await tags.list(bob)).items).toMatchObject([{ tag: 'secret project', pipelineIds: [] }]);
    await expect(tags.add(bob, tag.id, { pipelineId })).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await expect(tags.remove(bob, tag.id, { pipelineId })).rejects.toMatchObject({ code: 'pipeline_not_found' });
  });

  test.each([['', 'invalid_name'], ['x'.repeat(257), 'invalid_name'], ['a\nb', 'invalid_name'], ['once', 'already_exists']])('refused: %j', async (text, code) => {
    await tags.create(alice, 'once');
    await expect(tags.create(alice, text)).rejects.toMatchObject({ code });
  });

  test('a tag that does not exist', async () => {
    await expect(tags.get(alice, 7)).rejects.toMatchObject({ code: 'tag_not_found' });
    await expect(tags.add(alice, 7, { pipelineId })).rejects.toMatchObject({ code: 'tag_not_found' });
  });

  test('newest first, by pages', async () => {
    for (const text of ['a', 'b', 'c']) await tags.create(alice, text);
    const first = await tags.list(alice, { limit: 2 });
    expect(first.items.map((t) => t.tag)).toEqual(['c', 'b']);
    expect((await tags.list(alice, { limit: 2, cursor: first.cursor! })).items.map((t) => t.tag)).toEqual(['a']);
  });
});
