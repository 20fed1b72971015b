import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ModelVersionSchema, PageSchema, RegisteredModelSchema, RegisteredModelVersionSchema, RegistryArtifactsSchema, RegistrySchema, type ApiModelVersion, type ApiRegistry, type ApiRegistryArtifact } from '@potoroo/contract';
import { artifacts, catalog, serve, type TestRegistry } from '../../domains/registries/testing.ts';
import { exampleModel } from '../../domains/testing.ts';
import { databases } from '../../storage/testing.ts';
import { expectProblem, expectShape, startOps, type Answer, type TestOps } from '../../testing.ts';

const model = readFileSync(exampleModel);

describe.each(databases)('registries by REST on $name', (database) => {
  let t: TestOps;
  let server: TestRegistry;
  let registry: ApiRegistry;
  let made: Answer<ApiRegistry>;
  const once = { 'idempotency-key': 'of-the-test' };
  const lab = () => ({ name: 'lab', url: server.url, token: 'correct-horse' });
  const call = <T>(method: string, path: string, body?: unknown, headers?: Record<string, string>) => t.call<T>(method, `/api/v1${path}`, body, headers && { headers });
  const v1 = <T>(path: string, body: unknown) => t.call<T>('POST', `/v1/api/models/${path}`, body);
  beforeAll(async () => {
    server = await serve(catalog({ cancer: 2, other: 1 }), artifacts({ '1/cancer/MLmodel': Buffer.from('x'), '1/cancer/data/model.onnx': model }));
    t = await startOps(database, { POTOROO_ALLOWED_PRIVATE_HOSTS: '127.0.0.1' });
    made = await call<ApiRegistry>('POST', '/registries', lab(), once);
    registry = made.body;
  });
  afterAll(async () => {
    await t.close();
    await server.close();
  });

  test('are created once, however often that is asked for with one key', async () => {
    expect(made.status, made.text).toBe(201);
    expect((await call<ApiRegistry>('POST', '/registries', lab(), once)).body).toEqual(registry);
  });

  test('a token is renewed, kept out of answers, errors and the audit record', async () => {
    const { body: made2 } = await call<ApiRegistry>('POST', '/registries', { ...lab(), name: 'renewed' });
    const answer = await call<ApiRegistry>('PATCH', `/registries/${made2.id}`, { token: 'battery-staple' });
    expect(answer.status).toBe(200);
    expectShape(RegistrySchema, answer.body);
    expect((await call<ApiRegistry>('PATCH', `/registries/${made2.id}`, { token: null })).body.hasToken).toBe(false);
    for (const [wrong, field] of [[{}, 'token'], [{ token: '' }, 'token'], [{ token: 5 }, 'token'], [{ token: ['battery-staple'] }, 'token'], [{ token: 'battery-staple\n' }, 'token'], [{ token: 'x', url: 'https://x.com' }, 'url'], [[], 'the body']] as const) {
      const refused = await call('PATCH', `/registries/${made2.id}`, wrong);
      expectProblem(refused, 'invalid_request', field);
      expect(refused.text).not.toContain('staple');
    }
    expectProblem(await call('PATCH', '/registries/nobody', { token: 'x' }), 'registry_not_found');
    const audit = await call<{ items: { action: string; kind: string; objectId: string }[] }>('GET', '/audit?limit=100');
    expect(audit.body.items).toContainEqual(expect.objectContaining({ objectId: made2.id, action: expect.stringMatching(/token/i) }));
    expect(audit.text).not.toMatch(/staple|horse/);
  });

  test('are what their schemas say, without the token', async () => {
    expectShape(RegistrySchema, registry);
    const { body, text } = await call('GET', '/registries?name=lab');
    expectShape(PageSchema(RegistrySchema), body);
    expect(text).not.toContain('horse');
    expectShape(PageSchema(RegisteredModelSchema), (await call('GET', `/registries/${registry.id}/models?limit=1`)).body);
    expectShape(PageSchema(RegisteredModelVersionSchema), (await call('GET', `/registries/${registry.id}/versions?model=cancer`)).body);
    expectShape(RegistryArtifactsSchema, (await call('GET', `/registries/${registry.id}/artifacts?model=cancer&version=1`)).body);
    expectProblem(await call('GET', `/registries/${registry.id}/versions`), 'invalid_request', 'model');
    expectProblem(await call('GET', `/registries/${registry.id}/artifacts?model=none&version=1`), 'artifact_not_found');
    expectProblem(await call('POST', '/registries', { name: 'x', url: 'mlflow' }), 'invalid_request', 'url');
  });

  test('an upload, its audit and its log', async () => {
    const [file] = (await call<{ items: ApiRegistryArtifact[] }>('GET', `/registries/${registry.id}/artifacts?model=cancer&version=2`)).body.items.filter((a) => a.path === 'data/model.onnx');
    const { status, body: version } = await call<ApiModelVersion>('POST', `/registries/${registry.id}/uploads`, { workspaceId: registry.workspaces[0]?.id, name: 'cancer', path: file?.address, framework: 'onnx' });
    expect(status).toBe(201);
    expectShape(ModelVersionSchema, version);
    await expect.poll(async () => (await call<ApiModelVersion>('GET', `/model-versions/${version.id}`)).body, { timeout: 20_000 }).toMatchObject({ status: 'ready', size: model.length, conversion: { source: { registry: registry.id, path: file?.address } } });
    const { text } = await call('GET', '/audit?action=registries.upload');
    expect(text).toContain(`"objectId":"${version.id}"`);
    expect(text).not.toContain('horse');
    expectProblem(await call('POST', `/registries/${registry.id}/uploads`, { workspaceId: registry.workspaces[0]?.id, name: 'cancer', path: '/etc/passwd', framework: 'onnx' }), 'invalid_request', 'path');
    for (const [change, code, field] of [[{ framework: 'abacus' }, 'framework_unsupported', 'framework'], [{ requirements: ['six'] }, 'invalid_request', 'requirements'], [{ inputSchema: [{ name: '', type: 'int8', shape: [] }] }, 'invalid_request', 'inputSchema[0].name'], [{ fileName: 'x' }, 'invalid_request', 'fileName']] as const) {
      expectProblem(await call('POST', `/registries/${registry.id}/uploads`, { workspaceId: registry.workspaces[0]?.id, name: 'cancer', path: 'models:/cancer/1', framework: 'onnx', ...change }), code, field);
    }
  });

  test('the published client gets what it reads, and a token that is none', async () => {
    const workspace_id = registry.workspaces[0]?.id;
    const { body: made } = await v1<{ id: string }>('create_registry', { name: 'second', token: 'correct-horse', url: server.url, workspace_id: null });
    const { body: read, text } = await v1<Record<string, unknown>>('get_registry', { registry_id: made.id });
    expect(read).toMatchObject({ id: made.id, name: 'second', url: server.url, token: expect.stringMatching(/^\*+$/), workspaces: [{ id: workspace_id }], created_at: expect.stringContaining('T') });
    const listed = await v1<{ id: string }[]>('list_registries', { workspace_id });
    expect(listed.body.map((r) => r.id)).toContain(made.id);
    expect(text + listed.text).not.toContain('horse');
    expect((await v1('list_registry_models', { registry_id: made.id })).body).toMatchObject({ registered_models: [{ name: 'cancer', user_id: '', creation_timestamp: 1_700_000_000_000, latest_versions: [{ version: '2' }] }, { name: 'other' }] });
    const versions = await v1<{ model_versions: Record<string, unknown>[] }>('list_registry_model_versions', { registry_id: made.id, model_name: 'cancer' });
    expect(versions.body.model_versions.map((v) => v['version'])).toEqual(['2', '1']);
    expect(Object.keys(versions.body.model_versions[0] ?? {}).sort()).toEqual(['creation_timestamp', 'current_stage', 'description', 'last_updated_timestamp', 'name', 'run_id', 'run_link', 'source', 'status', 'user_id', 'version']);
    const files = await v1<{ path: string; full_path: string }[]>('list_registry_model_version_artifacts', { registry_id: made.id, name: 'cancer', version: '1' });
    expect(files.body).toMatchObject([{ path: '/MLmodel', is_dir: false, file_size: 1, modification_time: 0 }, { path: '/data', is_dir: true }, { path: '/data/model.onnx' }]);
    const upload = { registry_id: made.id, path: files.body[2]?.full_path, name: 'by-client', workspace_id, visibility: 'private', conversion: { framework: 'onnx', requirements: [] } };
    const { body } = await v1<{ model_id: number }>('upload_from_registry', upload);
    await expect.poll(async () => (await call<ApiModelVersion>('GET', `/model-versions/${body.model_id}`)).body.status, { timeout: 20_000 }).toBe('ready');
    for (const [change, status] of [[{ path: 'x' }, 400], [{ workspace_id: 4242 }, 404], [{ registry_id: 'x' }, 404], [{ input_schema: 'x' }, 400], [{ conversion: {} }, 400], [{ name: 'bad name' }, 400]] as const) {
      const refused = await v1<{ msg: string; code: number }>('upload_from_registry', { ...upload, ...change });
      expect(refused.status, refused.text).toBe(status);
      expect(refused.body).toMatchObject({ msg: expect.stringMatching(/^[^\n]{10,}$/), code: status });
    }
    expect((await v1('attach_registry_to_workspace', { registry_id: made.id, workspace_id })).body).toEqual({ id: made.id, workspace_id });
    expect((await v1('remove_registry_from_workspace', { registry_id: made.id, workspace_id })).body).toEqual({ id: made.id, workspace_id });
    expect((await call('DELETE', `/registries/${made.id}`)).status).toBe(204);
    expect((await v1('get_registry', { registry_id: made.id })).status).toBe(404);
  });
});
