import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AuditRecordSchema, ConnectionSchema, PageSchema, PersonalTokenSchema, TagNamesSchema, TagSchema, type ApiAuditRecord, type ApiConnection, type ApiModelVersion, type ApiPipeline, type ApiTag, type ApiWorkspace } from '@potoroo/contract';
import { exampleModel } from '../../domains/testing.ts';
import { databases, type TestDatabase } from '../../storage/testing.ts';
import { expectProblem, expectShape, startOps, type TestOps } from '../../testing.ts';

const api = '/api/v1';

describe('tags, connections, tokens and audit', () => {
  let t: TestOps;
  const tokens: Record<string, string> = {};
  let workspace: ApiWorkspace;
  let version: ApiModelVersion;
  let pipeline: ApiPipeline;
  const as = <T>(who: 'ann' | 'eve', method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => t.call<T>(method, api + path, body, { token: tokens[who] as string, headers });

  beforeAll(async () => {
    t = await startOps(databases[0] as TestDatabase);
    for (const name of ['ann', 'eve']) {
      await t.call('POST', `${api}/users`, { email: `${name}@ex.co`, password: `the password of ${name}` });
      tokens[name] = await t.signIn(`${name}@ex.co`, `the password of ${name}`);
    }
    workspace = (await as<ApiWorkspace>('ann', 'GET', '/workspaces/default')).body;
    version = (await as<ApiModelVersion>('ann', 'POST', `/workspaces/${workspace.id}/models/m/versions?framework=onnx`, readFileSync(exampleModel), { 'content-type': 'application/octet-stream' })).body;
    pipeline = (await as<ApiPipeline>('ann', 'POST', `/workspaces/${workspace.id}/pipelines`, { name: 'line' })).body;
  });
  afterAll(() => t.close());

  test('tags', async () => {
    const { status, body: tag } = await as<ApiTag>('ann', 'POST', '/tags', { tag: 'production' });
    expect(status).toBe(201);
    for (const thing of [`/model-versions/${version.id}`, `/pipelines/${pipeline.id}`]) {
      expect((await as('ann', 'PUT', `${thing}/tags/${tag.id}`)).status).toBe(204);
      const names = await as<{ items: { id: number; tag: string }[] }>('ann', 'GET', `${thing}/tags`);
      expectShape(TagNamesSchema, names.body);
      expect(names.body.items).toEqual([{ id: tag.id, tag: 'production' }]);
      for (const method of ['PUT', 'DELETE']) expect((await as('eve', method, `${thing}/tags/${tag.id}`)).status).toBe(404);
      expect((await as('eve', 'GET', `${thing}/tags`)).status).toBe(404);
    }
    const listed = await as<{ items: ApiTag[] }>('ann', 'GET', '/tags?tag=production');
    expectShape(PageSchema(TagSchema), listed.body);
    expect(listed.body.items).toMatchObject([{ modelVersionIds: [version.id], pipelineIds: [pipeline.id] }]);
    expect((await as<ApiTag>('eve', 'GET', `/tags/${tag.id}`)).body).toMatchObject({ modelVersionIds: [], pipelineIds: [] });
    expectProblem(await as('ann', 'POST', '/tags', { tag: 'production' }), 'already_exists');
    expectProblem(await as('ann', 'POST', '/tags', { tag: '' }), 'invalid_name', 'tag');
    expectProblem(await as('ann', 'GET', '/tags/12345'), 'tag_not_found');
    expectProblem(await as('eve', 'DELETE', `/tags/${tag.id}`), 'forbidden');
    expect((await as('ann', 'DELETE', `/model-versions/${version.id}/tags/${tag.id}`)).status).toBe(204);
    expectProblem(await as('ann', 'DELETE', `/model-versions/${version.id}/tags/${tag.id}`), 'tag_not_found');
    expect((await as('ann', 'DELETE', `/tags/${tag.id}`)).status).toBe(204);
  });

  test('connections', async () => {
    const details = { host: 'db', password: 'correct horse' };
    const key = { 'idempotency-key': 'sales-1' };
    const { status, body: made, text } = await as<ApiConnection>('ann', 'POST', '/connections', { name: 'sales', type: 'POSTGRES', details }, key);
    expect(status).toBe(201);
    expectShape(ConnectionSchema, made);
    expect((await as<ApiConnection>('ann', 'POST', '/connections', { name: 'sales', type: 'POSTGRES', details }, key)).body).toEqual(made);
    expect((await as('ann', 'GET', `/connections/${made.id}/details`)).body).toEqual(details);
    const listed = await as<{ items: ApiConnection[] }>('ann', 'GET', '/connections?name=sales');
    expectShape(PageSchema(ConnectionSchema), listed.body);
    expect(text + listed.text).not.toContain('horse');
    for (const [method, path] of [['GET', ''], ['GET', '/details'], ['DELETE', '']] as const) expectProblem(await as('eve', method, `/connections/${made.id}${path}`), 'connection_not_found');
    expectProblem(await as('eve', 'PUT', `/workspaces/${workspace.id}/connections/${made.id}`), 'connection_not_found');
    expect((await as<ApiConnection>('ann', 'PUT', `/workspaces/${workspace.id}/connections/${made.id}`)).body.workspaces).toEqual([{ id: workspace.id, name: workspace.name }]);
    expect((await as<{ items: unknown[] }>('ann', 'GET', `/connections?workspaceId=${workspace.id}`)).body.items).toHaveLength(1);
    expectProblem(await as('eve', 'GET', `/connections?workspaceId=${workspace.id}`), 'workspace_not_found');
    expectProblem(await as('ann', 'DELETE', `/connections/${made.id}`), 'in_use');
    expect((await as('ann', 'DELETE', `/workspaces/${workspace.id}/connections/${made.id}`)).status).toBe(204);
    expectProblem(await as('eve', 'POST', '/connections', { name: 'sales', type: 'X', details: {} }), 'already_exists');
    expectProblem(await as('ann', 'POST', '/connections', { name: 'x', type: 'X', details: 'text' }), 'invalid_request', 'details');
    expect((await as('ann', 'DELETE', `/connections/${made.id}`)).status).toBe(204);
  });

  test('tokens: what is listed is what the schema says', async () => {
    await as('ann', 'POST', '/tokens', { name: 'one', expiresAt: '2099-01-01T00:00:00Z' });
    expectShape(PageSchema(PersonalTokenSchema), (await as('ann', 'GET', '/tokens')).body);
    expect((await as<{ items: unknown[] }>('eve', 'GET', '/tokens')).body.items).toEqual([]);
    expectProblem(await as('ann', 'POST', '/tokens', { name: 'past', expiresAt: '2001-01-01T00:00:00Z' }), 'invalid_request', 'expiresAt');
    expectProblem(await as('ann', 'POST', '/tokens', { name: 'when', expiresAt: 'soon' }), 'invalid_request', 'expiresAt');
    expectProblem(await as('ann', 'DELETE', '/tokens/none'), 'token_not_found');
  });

  test('audit: all protocols record, with the id of the request', async () => {
    await as('ann', 'POST', `/workspaces/${workspace.id}/pipelines`, { name: 'native' }, { 'x-request-id': 'from-native' });
    await t.call('POST', '/v1/api/pipelines/create', { pipeline_id: 'wire', workspace_id: workspace.id, definition: {} }, { token: tokens['ann'] as string, headers: { 'x-request-id': 'from-rest' } });
    await t.call('POST', '/v1/graphql', { query: 'mutation { insert_tag(objects: {tag: "new"}) { affected_rows } }' }, { token: tokens['ann'] as string, headers: { 'x-request-id': 'from-graphql' } });
    const all = await t.call<{ items: ApiAuditRecord[] }>('GET', `${api}/audit?limit=3`);
    expectShape(PageSchema(AuditRecordSchema), all.body);
    expect(all.body.items.map((r) => [r.action, r.requestId, r.email, r.outcome])).toEqual([
      ['tags.create', 'from-graphql', 'ann@ex.co', 'done'], ['pipelines.create', 'from-rest', 'ann@ex.co', 'done'], ['pipelines.create', 'from-native', 'ann@ex.co', 'done'],
    ]);
    expectProblem(await as('ann', 'GET', '/audit'), 'forbidden');
    expect((await as<{ items: unknown[] }>('ann', 'GET', `/audit?workspaceId=${workspace.id}`)).body.items.length).toBeGreaterThan(1);
    expectProblem(await as('eve', 'GET', `/audit?workspaceId=${workspace.id}`), 'workspace_not_found');
    expect((await t.call('GET', `${api}/audit?limit=1000`)).text).not.toMatch(/horse|potoroo_pat_/);
  });
});
