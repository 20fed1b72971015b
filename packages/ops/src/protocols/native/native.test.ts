import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  DeploymentSchema, DeploymentStatusSchema, LogPageSchema, ModelSchema, ModelVersionSchema, PageSchema, PartitionsSchema, PipelineSchema, PipelineVersionSchema,
  StoredModelConfigSchema, UploadLogSchema, UserSchema, WorkspaceSchema, type ApiDeployment, type ApiDeploymentStatus, type ApiModelVersion, type ApiPipeline, type ApiPipelineVersion,
  type ApiUploadLog, type ApiUser, type ApiWorkspace, type Problem,
} from '@potoroo/contract';
import { databases } from '../../storage/testing.ts';
import { exampleModel } from '../../domains/testing.ts';
import { expectProblem, expectShape, startOps, type TestOps } from '../../testing.ts';

const api = '/api/v1';
const model = readFileSync(exampleModel);
const example = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../../../../examples/breast-cancer/${name}`, import.meta.url), 'utf8'));

describe.each(databases)('native API on $name', (database) => {
  let t: TestOps;
  let ann: string;
  let workspace: ApiWorkspace;
  beforeAll(async () => {
    t = await startOps(database, { POTOROO_MAX_UPLOAD_BYTES: '100000', POTOROO_MAX_INFERENCE_BYTES: '5000000' });
    await t.call('POST', `${api}/users`, { email: 'ann@ex.co', password: 'the password of ann' });
    ann = await t.signIn('ann@ex.co', 'the password of ann');
    workspace = (await t.call<ApiWorkspace>('GET', `${api}/workspaces/default`, undefined, { token: ann })).body;
  });
  afterAll(() => t.close());
  const asAnn = <T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => t.call<T>(method, api + path, body, { token: ann, headers });

  test('users and workspaces: what is answered is what the schema says', async () => {
    const created = await t.call<ApiUser>('POST', `${api}/users`, { email: 'New@ex.co', username: 'newcomer', password: 'long enough', role: 'user' });
    expect(created).toMatchObject({ status: 201, body: { email: 'new@ex.co', username: 'newcomer', role: 'user', enabled: true } });
    expectShape(UserSchema, created.body);
    expect(created.text).not.toMatch(/password|scrypt/i);
    expectShape(PageSchema(UserSchema), (await asAnn('GET', '/users?email=NEW@ex.co')).body);
    expect((await asAnn<{ email: string }>('GET', '/me')).body.email).toBe('ann@ex.co');
    expectProblem(await asAnn('POST', '/users', { email: 'x@ex.co', password: 'long enough' }), 'forbidden');
    expectProblem(await asAnn('PATCH', `/users/${created.body.id}`, { enabled: false }), 'forbidden');
    const disabled = await t.call<ApiUser>('PATCH', `${api}/users/${created.body.id}`, { enabled: false });
    expect(disabled.body.enabled).toBe(false);
    expectShape(WorkspaceSchema, workspace);
    const shared = await asAnn<ApiWorkspace>('PUT', `/workspaces/${workspace.id}/members/${created.body.id}`, { role: 'collaborator' });
    expect(shared.body.members).toHaveLength(2);
    expect((await asAnn<ApiWorkspace>('DELETE', `/workspaces/${workspace.id}/members/${created.body.id}`)).body.members).toHaveLength(1);
  });

  test.each<[string, string, unknown, string, string | undefined]>([
    ['POST', '/workspaces', { name: 5 }, 'invalid_request', 'name'],
    ['POST', '/workspaces', { name: 'x', colour: 'red' }, 'invalid_request', 'colour'],
    ['POST', '/workspaces', {}, 'invalid_request', 'name'],
    ['POST', '/workspaces', [], 'invalid_request', 'the body'],
    ['POST', '/workspaces', null, 'invalid_request', 'the body'],
    ['POST', '/workspaces', { name: ' x' }, 'invalid_name', 'name'],
    ['POST', '/workspaces', { name: 'x'.repeat(5_000_000) }, 'body_too_large', undefined],
    ['GET', '/workspaces?limit=0', undefined, 'invalid_request', 'limit'],
    ['GET', '/workspaces?limit=1.5', undefined, 'invalid_request', 'limit'],
    ['GET', '/workspaces?limit=ten', undefined, 'invalid_request', 'limit'],
    ['GET', '/workspaces?limit=2&limit=3', undefined, 'invalid_request', 'limit'],
    ['GET', '/workspaces?cursor=zzz', undefined, 'invalid_cursor', 'cursor'],
    ['GET', '/workspaces/0', undefined, 'invalid_request', 'workspaceId'],
    ['GET', '/workspaces/abc', undefined, 'invalid_request', 'workspaceId'],
    ['GET', '/workspaces/99999999999', undefined, 'invalid_request', 'workspaceId'],
    ['GET', '/workspaces/123456', undefined, 'workspace_not_found', undefined],
    ['GET', '/models/123456', undefined, 'model_not_found', undefined],
    ['GET', '/model-versions/123456', undefined, 'model_not_found', undefined],
    ['GET', '/model-versions?createdAfter=yesterday', undefined, 'invalid_request', 'createdAfter'],
    ['GET', '/pipelines/123456', undefined, 'pipeline_not_found', undefined],
    ['GET', '/pipelines/123456/logs', undefined, 'pipeline_not_found', undefined],
    ['GET', '/pipelines/123456/deployment', undefined, 'pipeline_not_found', undefined],
    ['GET', '/deployments/123456', undefined, 'deployment_not_found', undefined],
    ['GET', '/deployments/123456/events', undefined, 'deployment_not_found', undefined],
    ['POST', '/deployments/123456/infer', [], 'deployment_not_found', undefined],
    ['PUT', '/pipelines/123456/deployment', { config: { engine: { replicas: -1 } } }, 'invalid_request', 'config.engine.replicas'],
    ['PATCH', '/users/nobody', { enabled: true }, 'user_not_found', undefined],
    ['GET', '/nowhere', undefined, 'route_not_found', undefined],
    ['DELETE', '/workspaces', undefined, 'method_not_allowed', undefined],
  ])('%s %s is a clear error (%#)', async (method, path, body, code, field) => {
    expectProblem(await t.call(method, api + path, body), code, field);
  });

  test.each([
    ['{"name":', 'application/json', 'malformed_body'], ['', 'application/json', 'malformed_body'], ['name=x', 'text/plain', 'unsupported_content_type'],
    ['<name/>', 'application/xml', 'unsupported_content_type'], ['{"name":"\ud800"', 'application/json', 'malformed_body'],
  ])('body %j as %s is %s', async (text, type, code) => {
    expectProblem(await t.call('POST', `${api}/workspaces`, text, { headers: { 'content-type': type } }), code);
  });

  test('a create with an Idempotency-Key is done once', async () => {
    const key = { 'idempotency-key': 'key-1' };
    const first = await asAnn<ApiWorkspace>('POST', '/workspaces', { name: 'once' }, key);
    const again = await asAnn<ApiWorkspace>('POST', '/workspaces', { name: 'once' }, key);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await asAnn('POST', '/workspaces', { name: 'another' }, key), 'idempotency_conflict');
    const admins = await t.call<ApiWorkspace>('POST', `${api}/workspaces`, { name: 'once' }, { headers: key });
    expect(admins.body.id).not.toBe(first.body.id);
    const many = await Promise.all([1, 2, 3, 4].map(() => asAnn<ApiWorkspace>('POST', '/workspaces', { name: 'at once' }, { 'idempotency-key': 'key-2' })));
    expect((await asAnn<{ items: unknown[] }>('GET', '/workspaces?name=at%20once')).body.items).toHaveLength(1);
    for (const answer of many) expect([201, 409]).toContain(answer.status);
    // What failed may be tried again with the same key.
    expectProblem(await asAnn('POST', '/workspaces', { name: ' x' }, { 'idempotency-key': 'key-3' }), 'invalid_name');
    expectProblem(await asAnn('POST', '/workspaces', { name: ' x' }, { 'idempotency-key': 'key-3' }), 'invalid_name');
    expectProblem(await asAnn('POST', '/workspaces', { name: 'x' }, { 'idempotency-key': 'x'.repeat(300) }), 'invalid_request');
  });

  test('an upload takes the file as the body, whatever it calls itself', async () => {
    for (const [method, type] of [['PUT', undefined], ['POST', 'application/x-www-form-urlencoded'], ['POST', 'application/json'], ['PUT', 'application/octet-stream']] as const) {
      const answer = await asAnn<ApiModelVersion>(method, `/workspaces/${workspace.id}/models/cancer/versions?framework=onnx&fileName=c.onnx`, model, type && { 'content-type': type });
      expect(answer).toMatchObject({ status: 200, body: { name: 'cancer', status: 'ready', fileName: 'c.onnx', size: model.length } });
      expectShape(ModelVersionSchema, answer.body);
    }
    const { body: { items: [listed] } } = await asAnn<{ items: { id: number; versions: ApiModelVersion[] }[] }>('GET', `/models?workspaceId=${workspace.id}`);
    expect(listed?.versions).toHaveLength(1);
    expectShape(ModelSchema, listed);
    const versionId = listed?.versions[0]?.id;
    const log = `/model-versions/${versionId}/upload-log`;
    const { body: said } = await asAnn<ApiUploadLog>('GET', log);
    expectShape(UploadLogSchema, said);
    const { body: begin } = await asAnn<ApiUploadLog>('GET', `${log}?limit=1`);
    expect([...begin.lines, ...(await asAnn<ApiUploadLog>('GET', `${log}?after=${begin.next}`)).body.lines]).toEqual(said.lines);
    expect((await asAnn<ApiUploadLog>('GET', `${log}?after=${said.next}`)).body).toEqual({ lines: [], next: said.next });
    for (const [query, field] of [['after=-1', 'after'], ['after=1.5', 'after'], ['after=x', 'after'], ['after=', 'after'], ['after=99999999999', 'after'], ['after=1&after=2', 'after'], ['limit=0', 'limit'], ['limit=1001', 'limit'], ['cursor=1', 'cursor']]) expectProblem(await asAnn('GET', `${log}?${query}`), 'invalid_request', field);
    expectShape(PageSchema(ModelVersionSchema), (await asAnn('GET', '/model-versions?term=CANC')).body);
    expectShape(StoredModelConfigSchema, (await asAnn('GET', `/model-versions/${versionId}/config`)).body);
    expectShape(StoredModelConfigSchema, (await asAnn('PUT', `/model-versions/${versionId}/config`, { tensorFields: ['tensor'] })).body);
    expectProblem(await asAnn('PUT', `/model-versions/${versionId}/config`, { tensorFields: ['a', 'b'] }), 'invalid_request', 'tensorFields');
  });

  test.each([
    ['no framework', '/models/m/versions', 'invalid_request'],
    ['an unknown framework', '/models/m/versions?framework=abacus', 'framework_unsupported'],
    ['a model that does not say what it takes', '/models/m/versions?framework=sklearn', 'invalid_request'],
    ['an unknown parameter', '/models/m/versions?framework=onnx&speed=high', 'invalid_request'],
    ['an unknown architecture', '/models/m/versions?framework=onnx&arch=z80', 'invalid_request'],
    ['a bad name', '/models/not_a_name/versions?framework=onnx', 'invalid_name'],
  ])('an upload with %s is refused', async (_what, path, code) => {
    expectProblem(await asAnn('PUT', `/workspaces/${workspace.id}${path}`, model), code);
  });
  test('an upload that is too large is refused', async () => {
    expectProblem(await asAnn('PUT', `/workspaces/${workspace.id}/models/m/versions?framework=onnx`, Buffer.alloc(200_000)), 'body_too_large');
  });

  test('steps of every kind are kept as they were sent, and refused by the field that is wrong', async () => {
    const { body: version } = await asAnn<ApiModelVersion>('PUT', `/workspaces/${workspace.id}/models/tried/versions?framework=onnx`, model);
    const own = { name: 'tried', version: version.version };
    const expression = { BinaryExpr: { left: { Column: 'out.label' }, op: 'Eq', right: { Literal: { Int64: 0 } } } };
    const steps = [
      { type: 'random-split', hashKey: 'patient', weights: [{ model: own, weight: 0.5 }, { model: own, weight: 2 }] },
      { type: 'validations', validations: [{ name: 'malignant', expression }, { name: 'as_text', expression: JSON.stringify(expression) }] },
    ];
    const made = await asAnn<ApiPipeline>('POST', `/workspaces/${workspace.id}/pipelines`, { name: 'experiment', steps });
    expect(made.status, made.text).toBe(201);
    expect(made.body.versions[0]?.steps).toEqual(steps);
    expect(made.body.versions[0]?.warnings).toEqual([]);
    const named = [{ type: 'model', model: own }, { type: 'validations', validations: [{ name: 'count', expression }, { name: 'malignant', expression }] }];
    const warned = await asAnn<ApiPipelineVersion>('POST', `/pipelines/${made.body.id}/versions`, { steps: named });
    expect(warned.body).toMatchObject({ steps: named, warnings: [expect.stringMatching(/'count' is ignored/)] });
    expect((await asAnn<ApiPipeline>('GET', `/pipelines/${made.body.id}`)).body.versions[0]?.warnings).toEqual(warned.body.warnings);
    const others = [[{ type: 'key-split', splitKey: 'clinic', control: own, routes: { 'clinic 7': own } }], [{ type: 'shadow', champion: own, challengers: [{ model: own, fraction: 0.25 }] }]];
    for (const other of others) expect((await asAnn<{ steps: unknown }>('POST', `/pipelines/${made.body.id}/versions`, { steps: other })).body.steps).toEqual(other);
    const refused: [object, string][] = [
      [{ type: 'random-split', weights: [{ model: own, weight: 0 }] }, 'steps[0].weights'],
      [{ type: 'shadow', champion: own, challengers: [{ model: own }, { model: own }] }, 'challengers'],
      [{ type: 'validations', validations: [] }, 'steps'],
    ];
    for (const [step, field] of refused) expectProblem(await asAnn('POST', `/pipelines/${made.body.id}/versions`, { steps: [step] }), 'pipeline_invalid', field);
    const unknown = { name: 'v', expression: { BinaryExpr: { left: { Column: 'out.nothing' }, op: 'Eq', right: { Literal: { Int64: 0 } } } } };
    expectProblem(await asAnn('POST', `/pipelines/${made.body.id}/versions`, { steps: [{ type: 'model', model: own }, { type: 'validations', validations: [unknown] }] }), 'pipeline_invalid', 'Alias(v).BinaryExpr.left.Column');
  });

  test('from a file to answers and back: deploy, follow, infer, log, undeploy', async () => {
    const { body: version } = await asAnn<ApiModelVersion>('PUT', `/workspaces/${workspace.id}/models/cancer/versions?framework=onnx`, model);
    const steps = [{ type: 'model', model: { name: 'cancer', version: version.version } }];
    const { body: pipeline, status } = await asAnn<ApiPipeline>('POST', `/workspaces/${workspace.id}/pipelines`, { name: 'screening', steps });
    expect(status).toBe(201);
    expectShape(PipelineSchema, pipeline);
    expectShape(PageSchema(PipelineSchema), (await asAnn('GET', '/pipelines?deployed=false&term=screen')).body);
    expectShape(PipelineVersionSchema, (await asAnn('GET', `/pipeline-versions/${pipeline.versions[0]?.id}`)).body);
    const rows = example('rows.json');
    const byName = `/workspaces/${workspace.id}/pipelines/screening/infer`;
    expectProblem(await asAnn('POST', byName, rows), 'not_deployed');
    expectProblem(await asAnn('GET', `/pipelines/${pipeline.id}/deployment`), 'not_deployed');

    const { body: deployment } = await asAnn<ApiDeployment>('PUT', `/pipelines/${pipeline.id}/deployment`, { config: { engine: { replicas: 1, cpu: 0.5 } } });
    expectShape(DeploymentSchema, deployment);
    const states = await follow(t, ann, deployment.id, (s) => s.state === 'running');
    expectShape(DeploymentStatusSchema, states.at(-1));
    expect(states.at(-1)).toMatchObject({ state: 'running', readyReplicas: 1, observedGeneration: deployment.generation });

    const expected = example('expected.json') as Record<string, unknown>[];
    const inferred = await asAnn<Record<string, unknown>[]>('POST', byName, rows);
    expect(inferred.status, inferred.text).toBe(200);
    expect(inferred.body).toHaveLength((rows as unknown[]).length);
    expect(JSON.stringify(expected)).toContain(JSON.stringify((inferred.body[0] as { out: { label: unknown } }).out.label));
    expect((await asAnn<unknown[]>('POST', `/deployments/${deployment.id}/infer?dataset=out`, rows)).body).toHaveLength((rows as unknown[]).length);
    for (const [body, headers, code, field] of [
      ['[', {}, 'malformed_body'], ['[]', {}, 'empty_batch'], ['x', { 'content-type': 'text/plain' }, 'unsupported_content_type'], [rows, { accept: 'image/png' }, 'not_acceptable'],
      [rows, { 'request-timeout': 'soon' }, 'invalid_request', 'request-timeout'], [Buffer.alloc(5_000_001), {}, 'body_too_large'], ['[{"tensor":[1]}]', {}, 'schema_mismatch', 'tensor'], ['[{"other":[1]}]', {}, 'schema_mismatch', 'other'],
      ['x', { 'content-type': 'application/vnd.apache.arrow.file', accept: 'application/vnd.apache.arrow.file' }, 'malformed_body'],
    ] as const) {
      const answer = await asAnn('POST', byName, body, { 'content-type': 'application/json', 'x-request-id': 'mine', ...headers });
      expectProblem(answer, code, field);
      expect([answer.headers.get('x-request-id'), (answer.body as Problem).instance]).toEqual(['mine', 'mine']);
    }
    // Clients of the other protocol read its one member, some of them of this content type only.
    for (const [path, code] of [[`/deployments/${deployment.id}/v2/models/screening/infer`, 'empty_batch'], [`/deployments/${deployment.id}/v2/models/nobody/infer`, 'model_not_found'], ['/deployments/987654/v2/models/screening/infer', 'deployment_not_found']] as const) {
      const answer = await asAnn('POST', path, { inputs: [] }, { 'content-type': 'application/json' });
      expect([answer.headers.get('content-type'), answer.body]).toEqual(['application/json', { error: expect.stringMatching(/^[^\n]{10,}$/), code }]);
    }
    const eve = await t.call<ApiUser>('POST', `${api}/users`, { email: 'eve@ex.co', password: 'the password of eve' });
    expect(eve.status).toBe(201);
    const stranger = await t.signIn('eve@ex.co', 'the password of eve');
    expectProblem(await t.call('POST', `${api}/deployments/${deployment.id}/infer`, rows, { token: stranger }), 'deployment_not_found');
    expectProblem(await t.call('GET', `${api}/pipelines/${pipeline.id}/logs`, undefined, { token: stranger }), 'pipeline_not_found');

    const logged = 2 * (rows as unknown[]).length;
    await expect.poll(async () => (await asAnn<{ items: unknown[] }>('GET', `/pipelines/${pipeline.id}/logs?limit=100000`)).body.items.length, { timeout: 15_000 }).toBe(logged);
    const log = await asAnn<{ items: Record<string, unknown>[]; cursor: string | null }>('GET', `/pipelines/${pipeline.id}/logs?limit=3`);
    expectShape(LogPageSchema, log.body);
    expect(log.body.items).toHaveLength(3);
    const lines = await asAnn('GET', `/pipelines/${pipeline.id}/logs?limit=3`, undefined, { accept: 'application/x-ndjson' });
    expect(lines.text.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual(log.body.items);
    expect(lines.headers.get('potoroo-log-cursor')).toBe(log.body.cursor);
    expect((await asAnn('GET', `/pipelines/${pipeline.id}/logs`, undefined, { accept: 'application/vnd.apache.arrow.file' })).text.slice(0, 6)).toBe('ARROW1');
    expectProblem(await asAnn('GET', `/pipelines/${pipeline.id}/logs`, undefined, { accept: 'image/png' }), 'not_acceptable');
    expectProblem(await asAnn('GET', `/pipelines/${pipeline.id}/logs?cursor=AAAA`), 'invalid_cursor');
    const retention = `/pipelines/${pipeline.id}/log-retention`;
    expect((await asAnn('PUT', retention, { days: 7 })).body).toEqual({ days: 7, bytes: null, effective: { days: 7, bytes: 68_719_476_736 } });
    expect((await asAnn('GET', retention)).body).toEqual({ days: 7, bytes: null, effective: { days: 7, bytes: 68_719_476_736 } });
    expect((await asAnn('PUT', retention, { days: null, bytes: 0 })).body).toEqual({ days: null, bytes: 0, effective: { days: 365, bytes: 0 } });
    for (const wrong of [{ days: -1 }, { days: 1.5 }, { bytes: 2 ** 54 }, { weeks: 1 }, []]) expectProblem(await asAnn('PUT', retention, wrong), 'invalid_request');
    expectProblem(await t.call('PUT', `${api}${retention}`, { days: 1 }, { token: stranger }), 'pipeline_not_found');
    expectShape(PartitionsSchema, (await asAnn('GET', `/pipelines/${pipeline.id}/logs/partitions`)).body);

    expectProblem(await asAnn('DELETE', `/pipelines/${pipeline.id}`), 'in_use');
    await t.restart();
    await follow(t, ann, deployment.id, (s) => s.state === 'running');
    expect((await asAnn('POST', byName, rows)).status).toBe(200);

    expect((await asAnn<ApiDeployment>('DELETE', `/pipelines/${pipeline.id}/deployment`)).body.wanted).toBe('stopped');
    await follow(t, ann, deployment.id, (s) => s.state === 'stopped');
    expectProblem(await asAnn('POST', byName, rows), 'not_deployed');
  }, 60_000);
});

/** Reads the events of a roll-out until one is right. */
async function follow(t: TestOps, token: string, deploymentId: number, until: (status: ApiDeploymentStatus) => boolean): Promise<ApiDeploymentStatus[]> {
  const response = await fetch(`${t.url}${api}/deployments/${deploymentId}/events`, { headers: { authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(20_000) });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const seen: ApiDeploymentStatus[] = [];
  let text = '';
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    const events = text.split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data === undefined) continue;
      if (event.startsWith('event: error')) throw new Error((JSON.parse(data) as Problem).detail);
      seen.push(JSON.parse(data) as ApiDeploymentStatus);
    }
    const last = seen.at(-1);
    if (last !== undefined && until(last)) return seen;
    if (last?.state === 'error') throw new Error(JSON.stringify(last.reason));
  }
  throw new Error(`The events ended with ${JSON.stringify(seen.at(-1))}.`);
}
