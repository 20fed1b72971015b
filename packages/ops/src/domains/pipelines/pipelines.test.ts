import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Step } from '@potoroo/contract';
import { databases } from '../../storage/testing.ts';
import type { ModelVersion } from '../domains.ts';
import { openDomains, type TestDomains } from '../testing.ts';

const step = ({ name, version }: Pick<ModelVersion, 'name' | 'version'>): Step => ({ type: 'model', model: { name, version } });

describe.each(databases)('pipelines on $name', (database) => {
  let t: TestDomains;
  let model: ModelVersion;
  beforeAll(async () => {
    t = await openDomains(database);
    model = await t.upload(t.ann, 'cancer');
  });
  afterAll(() => t.close());
  const create = (name: string, steps?: Step[]) => t.pipelines.create(t.ann, { workspaceId: t.workspaceId, name, ...(steps && { steps }) });

  test('one name is one pipeline, also when two create it at once', async () => {
    const all = await Promise.all([1, 2, 3].map(() => create('p-one')));
    expect(new Set(all.map((p) => p.id)).size).toBe(1);
    expect((await t.pipelines.get(t.ann, all[0]?.id as number)).versions).toHaveLength(1);
  });

  test('new steps make a new version; the same or none do not', async () => {
    const empty = await create('p-two');
    expect(empty.versions.map((v) => v.steps)).toEqual([[]]);
    const first = await create('p-two', [step(model)]);
    expect(first.versions.map((v) => v.steps)).toEqual([[step(model)], []]);
    expect((await create('p-two', [step(model)])).versions).toEqual(first.versions);
    expect((await create('p-two')).versions).toEqual(first.versions);
    const added = await t.pipelines.addVersion(t.bob, first.id, [step(model)]);
    expect(added.id).not.toBe(first.versions[0]?.id);
    expect(await t.pipelines.versionByUuid(t.ann, added.version)).toEqual(added);
  });

  test.each([
    ['name', 'Upper', undefined, 'invalid_name'],
    ['name', '-dash', undefined, 'invalid_name'],
    ['steps', 'p-bad', [{ type: 'magic' }], 'pipeline_invalid'],
    ['steps', 'p-bad', [{ type: 'model' }], 'pipeline_invalid'],
    ['steps', 'p-bad', Array.from({ length: 65 }, () => ({ type: 'model', model: { name: 'm', version: 'v' } })), 'pipeline_invalid'],
    ['model', 'p-bad', [{ type: 'model', model: { name: 'nothing', version: 'v' } }], 'model_not_found'],
  ])('a wrong %s is refused and leaves no pipeline', async (_what, name, steps, code) => {
    await expect(create(name, steps as Step[])).rejects.toMatchObject({ code });
    expect((await t.pipelines.list(t.ann, { name })).items).toEqual([]);
  });

  test('a model that did not load cannot be a step', async () => {
    async function* nothing() { yield Buffer.from('no model'); }
    const bad = await t.upload(t.ann, 'bad', nothing());
    await expect(create('p-bad', [step(bad)])).rejects.toMatchObject({ code: 'model_not_ready', message: expect.stringContaining(bad.reason?.message ?? '?') });
  });

  test('a version that is a step cannot be removed', async () => {
    const pipeline = await create('p-three', [step(model)]);
    await expect(t.models.remove(t.ann, model.id)).rejects.toMatchObject({ code: 'in_use' });
    await t.pipelines.remove(t.ann, pipeline.id);
    await expect(t.pipelines.get(t.ann, pipeline.id)).rejects.toMatchObject({ code: 'pipeline_not_found' });
  });

  test('an old version is removed, and its models with it; the only one and a deployed one stay', async () => {
    const { id, versions: [first] } = await create('p-versions', [step(model)]);
    await expect(t.pipelines.removeVersion(t.ann, first!.id)).rejects.toMatchObject({ code: 'in_use' });
    const second = await t.pipelines.addVersion(t.ann, id, []);
    await t.storage.db.insertInto('deployments').values({
      pipelineId: id, workspaceId: t.workspaceId, pipelineVersionId: second.id, wanted: 'stopped', generation: 1, config: '{}', spec: '{}', provenSpec: null, provenGeneration: null, port: null, createdAt: 1, updatedAt: 1,
    }).execute();
    await expect(t.pipelines.removeVersion(t.ann, second.id)).rejects.toMatchObject({ code: 'in_use', message: expect.stringContaining('p-versions') as string });
    await expect(t.pipelines.removeVersion(t.eve, first!.id)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await t.pipelines.removeVersion(t.bob, first!.id);
    expect((await t.pipelines.get(t.ann, id)).versions.map((v) => v.id)).toEqual([second.id]);
    await expect(t.pipelines.version(t.ann, first!.id)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await t.pipelines.remove(t.ann, id);
  });

  test('strangers see nothing of it', async () => {
    const { id, versions: [version] } = await create('p-four', [step(model)]);
    const asked = [
      t.pipelines.get(t.eve, id), t.pipelines.addVersion(t.eve, id, []), t.pipelines.remove(t.eve, id), t.pipelines.version(t.eve, version?.id as number),
      t.pipelines.versionByUuid(t.eve, version?.version as string), t.pipelines.create(t.eve, { workspaceId: t.workspaceId, name: 'mine' }),
    ];
    for (const result of await Promise.allSettled(asked)) expect(result).toMatchObject({ status: 'rejected', reason: { code: expect.stringMatching(/^(pipeline|workspace)_not_found$/) } });
    const { id: own } = await t.workspaces.create(t.eve, { name: 'own' });
    await expect(t.pipelines.create(t.eve, { workspaceId: own, name: 'theft', steps: [step(model)] })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(t.pipelines.create(t.admin, { workspaceId: 987_654, name: 'nowhere' })).rejects.toMatchObject({ code: 'workspace_not_found' });
  });

  test('lists narrow by name, term and whether deployed', async () => {
    const { id, versions } = await create('p-five', [step(model)]);
    const ids = async (query: Parameters<typeof t.pipelines.list>[1]) => (await t.pipelines.list(t.ann, query)).items.map((p) => p.id);
    expect(await ids({ name: 'p-five' })).toEqual([id]);
    expect(await ids({ term: 'FIVE' })).toEqual([id]);
    expect(await ids({ term: versions[0]?.version.slice(0, 18) as string })).toEqual([id]);
    expect(await ids({ deployed: true })).toEqual([]);
    expect(await ids({ deployed: false })).toContain(id);
  });
});
