import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databases } from '../../storage/testing.ts';
import type { TestOps } from '../../testing.ts';
import { boundary, exampleModel, formBody, formType, metadataOf, startWithUsers, uploadParts, type Caller } from './testing.ts';

describe.each(databases)('the Python client\'s protocol on $name', ({ name, open }) => {
  let server: TestOps;
  let model: Buffer;
  let admin: Caller;
  let ana: Caller;
  let eve: Caller;
  /** What is Ana's, and nobody else's but the administrator's. */
  const own = { workspace: 0, model: 0, version: 0, versionUuid: '', config: 0, pipeline: 0, pipelineVersion: 0, pipelineUuid: '', deployment: 0 };

  /** Waits for what is about to be true; fails after half a minute. */
  async function until(what: string, check: () => Promise<boolean>): Promise<void> {
    for (const started = Date.now(); Date.now() - started < 30_000;) {
      if (await check()) return;
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    throw new Error(`${what} did not come true.`);
  }

  beforeAll(async () => {
    ({ server, admin, ana, eve } = await startWithUsers({ name, open }, { POTOROO_MAX_UPLOAD_BYTES: '2000000' }));
    model = await exampleModel();
    own.workspace = (await ana.post('/v1/api/workspaces/create', { workspace_name: 'ana-only' })).body['workspace_id'] as number;
    const uploaded = await ana.form('/v1/api/models/upload', uploadParts(metadataOf('ccfraud', own.workspace), model));
    own.version = (uploaded.body as { insert_models: { returning: [{ models: [{ id: number }] }] } }).insert_models.returning[0].models[0].id;
    const known = (await ana.post('/v1/api/models/get_version_by_id', { model_version_id: own.version })).body as { model_version: { model_version: { file_info: { version: string; sha: string } }; config: { id: number } } };
    own.versionUuid = known.model_version.model_version.file_info.version;
    own.config = known.model_version.config.id;
    own.model = ((await ana.post('/v1/api/models/list', { workspace_id: own.workspace })).body['models'] as [{ model: { id: number } }])[0].model.id;
    const step = { ModelInference: { models: [{ name: 'ccfraud', version: own.versionUuid, sha: known.model_version.model_version.file_info.sha }] } };
    const pipeline = (await ana.post('/v1/api/pipelines/create', { pipeline_id: 'ana-line', workspace_id: own.workspace, definition: { id: 'ana-line', steps: [step] } })).body;
    Object.assign(own, { pipeline: pipeline['pipeline_pk_id'], pipelineVersion: pipeline['pipeline_variant_pk_id'], pipelineUuid: pipeline['pipeline_variant_version'] });
    own.deployment = (await ana.post('/v1/api/pipelines/deploy', { deploy_id: 'ana-line', pipeline_version_pk_id: own.pipelineVersion, engine_config: { engine: { replicas: 1, cpu: 0.5 }, enginelb: {}, engineAux: { images: {} } } })).body['id'] as number;
    await until('running', async () => (await ana.post('/v1/api/status/get_deployment', { name: `ana-line-${own.deployment}` })).body['status'] === 'Running');
  });
  afterAll(() => server.close());

  describe('what is in a workspace', () => {
    const topic = () => `workspace-${own.workspace}-pipeline-ana-line-inference`;
    const calls: [string, () => [string, string, unknown?]][] = [
      ['workspaces/add_user', () => ['POST', '/v1/api/workspaces/add_user', { workspace_id: own.workspace, user_id: eve.id, user_type: 'owner' }]],
      ['workspaces/remove_user', () => ['POST', '/v1/api/workspaces/remove_user', { workspace_id: own.workspace, user_id: ana.id }]],
      ['workspaces/list_users', () => ['POST', '/v1/api/workspaces/list_users', { workspace_id: own.workspace }]],
      ['models/get_version_by_id', () => ['POST', '/v1/api/models/get_version_by_id', { model_version_id: own.version }]],
      ['models/insert_model_config', () => ['POST', '/v1/api/models/insert_model_config', { model_version_id: own.version, tensor_fields: ['x'] }]],
      ['models/get_config_by_id', () => ['POST', '/v1/api/models/get_config_by_id', { model_id: own.version }]],
      ['models/get_upload_logs', () => ['POST', '/v1/api/models/get_upload_logs', { model_version_id: own.version }]],
      ['models/get', () => ['POST', '/v1/api/models/get', { id: own.model }]],
      ['pipelines/create', () => ['POST', '/v1/api/pipelines/create', { pipeline_id: 'ana-line', workspace_id: own.workspace, definition: {} }]],
      ['pipelines/get_pipeline_by_name', () => ['POST', '/v1/api/pipelines/get_pipeline_by_name', { pipeline_name: 'ana-line', workspace_id: own.workspace }]],
      ['pipelines/get_version', () => ['POST', '/v1/api/pipelines/get_version', { version: own.pipelineUuid }]],
      ['pipelines/deploy', () => ['POST', '/v1/api/pipelines/deploy', { deploy_id: 'ana-line', pipeline_version_pk_id: own.pipelineVersion }]],
      ['pipelines/undeploy', () => ['POST', '/v1/api/pipelines/undeploy', { deployment_id: own.deployment }]],
      ['status/get_deployment', () => ['POST', '/v1/api/status/get_deployment', { name: `ana-line-${own.deployment}` }]],
      ['admin/get_pipeline_external_url', () => ['POST', '/v1/api/admin/get_pipeline_external_url', { workspace_id: own.workspace, pipeline_name: 'ana-line' }]],
      ['plateau/get_topic_name', () => ['POST', '/v1/api/plateau/get_topic_name', { pipeline_pk_id: own.pipeline }]],
      ['logs', () => ['GET', `/v1/logs/topic/${topic()}`]],
      ['logs/records', () => ['POST', `/v1/logs/topic/${topic()}/records`, {}]],
      ['inference', () => ['POST', `/v1/api/pipelines/infer/ana-line-${own.deployment}/ana-line`, []]],
    ];

    it.each(calls)('%s: a stranger is told that it does not exist', async (_, call) => {
      const foreign = await eve.send(...call());
      expect([400, 404]).toContain(foreign.status);
      expect(foreign.text).toMatch(/does not exist|was not found|has no version/);
      expect(foreign.body['type']).toMatch(/_not_found$/);
      const [method, path, body] = call();
      const unknown = JSON.stringify(body ?? {}).replace(/:(\d+)/g, ':987654').replaceAll(own.pipelineUuid, '00000000-0000-4000-8000-000000000000').replaceAll(`-${own.deployment}"`, '-987654"');
      const missing = await eve.send(method, path.replace(`workspace-${own.workspace}`, 'workspace-987654').replace(`-${own.deployment}/`, '-987654/'), body === undefined ? undefined : unknown);
      expect({ status: missing.status, type: missing.body['type'] }).toEqual({ status: foreign.status, type: foreign.body['type'] });
    });

    it('is in nobody else\'s lists', async () => {
      const lists = await Promise.all([
        eve.post('/v1/api/workspaces/list'), eve.post('/v1/api/models/list', { workspace_id: own.workspace, workspace_name: null }), eve.post('/v1/api/models/list'),
        eve.post('/v1/api/pipelines/list_pipelines', { workspace_id: own.workspace }), eve.post('/v1/api/pipelines/list_pipelines'), eve.post('/v1/api/workspaces/list', { user_id: ana.id }),
      ]);
      for (const list of lists) {
        expect(list.status).toBe(200);
        expect(list.text).not.toMatch(/ana-only|ana-line|ccfraud/);
      }
    });

    it('cannot be uploaded to by a stranger', async () => {
      const answer = await eve.form('/v1/api/models/upload', uploadParts(metadataOf('intruder', own.workspace), model));
      expect(answer).toMatchObject({ status: 404, body: { code: 404, type: 'workspace_not_found' } });
    });

    const fields = (id: (name: keyof typeof own) => number | string) => `{
      workspace_by_pk(id: ${id('workspace')}) { name users { user_id } }
      model_by_pk(id: ${id('version')}) { sha model { workspace { name } } }
      model_config_by_pk(id: ${id('config')}) { tensor_fields }
      pipeline_by_pk(id: ${id('pipeline')}) { pipeline_id deployment { engine_config } }
      pipeline_version_by_pk(id: ${id('pipelineVersion')}) { definition deployment_model_configs { model_config { model { sha } } } }
      deployment_by_pk(id: ${id('deployment')}) { deploy_id engine_config }
    }`;
    it('is null by its id in GraphQL for a stranger, and there for its owner and an administrator', async () => {
      const query = fields((name) => own[name]);
      const { data } = await eve.graphql(query);
      expect(Object.values(data ?? {})).toEqual([null, null, null, null, null, null]);
      expect(Object.values((await eve.graphql(fields(() => 987_654))).data ?? {})).toEqual([null, null, null, null, null, null]);
      for (const caller of [ana, admin]) {
        const seen = await caller.graphql(query);
        expect(seen.errors).toBeUndefined();
        expect(seen.data).toMatchObject({
          workspace_by_pk: { name: 'ana-only' }, model_by_pk: { model: { workspace: { name: 'ana-only' } } }, pipeline_by_pk: { pipeline_id: 'ana-line' },
          pipeline_version_by_pk: { definition: { id: 'ana-line', steps: [{ ModelInference: {} }] } },
          deployment_by_pk: { engine_config: { engine: { replicas: 1, cpu: 0.5 }, enginelb: {}, engineAux: { images: {} } } },
        });
      }
    });

    it.each([
      ['search_models(args: {search: ""}) { id }'],
      ['search_pipelines(args: {search: ""}) { id pipeline { workspace { name } } }'],
      ['model { id }'], ['pipeline { id }'], ['deployment { id }'],
      ['model(where: {model_id: {_eq: "ccfraud"}}) { id }'],
      ['pipeline(where: {pipeline_id: {_eq: "ana-line"}}) { id }'],
      ['deployment(where: {deploy_id: {_eq: "ana-line"}}) { id }'],
    ])('{ %s } finds nothing for a stranger', async (field) => {
      expect(Object.values((await eve.graphql(`{ ${field} }`)).data ?? {})).toEqual([[]]);
      expect(Object.values((await ana.graphql(`{ ${field} }`)).data ?? {})[0]).toHaveLength(1);
    });

    it.each([
      [() => `update_deployment_by_pk(pk_columns: {id: ${own.deployment}}, _set: {deployed: false}) { id }`],
      [() => `delete_workspace_users(where: {user_id: {_eq: "${ana.id}"}, workspace_id: {_eq: ${own.workspace}}}) { affected_rows }`],
      [() => `insert_deployment_model_configs(objects: {deployment_id: ${own.deployment}, model_config_id: ${own.config}}) { affected_rows }`],
    ])('cannot be changed by a stranger through GraphQL (%#)', async (field) => {
      const { errors } = await eve.graphql(`mutation { ${field()} }`);
      expect(errors?.[0]?.extensions.code).toMatch(/_not_found$/);
      expect((await ana.post('/v1/api/status/get_deployment', { name: `ana-line-${own.deployment}` })).body['status']).toBe('Running');
    });

    it('may be seen and used by whom its owner takes in, until they are taken out', async () => {
      const read = () => eve.post('/v1/api/models/get_version_by_id', { model_version_id: own.version });
      expect((await ana.post('/v1/api/workspaces/add_user', { workspace_id: own.workspace, user_id: eve.id, user_type: 'collaborator', email: 'eve@example.com', url: 'http://localhost:3000' })).status).toBe(200);
      expect((await read()).status).toBe(200);
      expect((await eve.post('/v1/api/workspaces/add_user', { workspace_id: own.workspace, user_id: admin.id, user_type: 'owner' })).body).toMatchObject({ type: 'forbidden' });
      const out = await ana.graphql(`mutation { delete_workspace_users(where: {user_id: {_eq: "${eve.id}"}, _and: {workspace_id: {_eq: ${own.workspace}}}}) { affected_rows } }`);
      expect(out.data).toEqual({ delete_workspace_users: { affected_rows: 1 } });
      expect((await read()).status).toBe(404);
    });
  });

  it('a public model of another workspace runs in a pipeline, whose status and definition are whole', async () => {
    await server.ops.domains.models.setVisibility(await server.ops.domains.identity.actorOf(ana.token), own.version, 'public');
    const workspace = (await eve.post('/v1/api/workspaces/create', { workspace_name: 'borrowers' })).body['workspace_id'] as number;
    const sha = ((await eve.post('/v1/api/models/get_version_by_id', { model_version_id: own.version })).body as { model_version: { model_version: { file_info: { sha: string } } } }).model_version.model_version.file_info.sha;
    const model = { name: 'ccfraud', version: own.versionUuid, sha };
    const made = (await eve.post('/v1/api/pipelines/create', { pipeline_id: 'borrowed', workspace_id: workspace, definition: { id: 'borrowed', steps: [{ ModelInference: { models: [model] } }] } })).body;
    const { id } = (await eve.post('/v1/api/pipelines/deploy', { deploy_id: 'borrowed', pipeline_version_pk_id: made['pipeline_variant_pk_id'], engine_config: { engine: { replicas: 1, cpu: 0.5 }, enginelb: {}, engineAux: { images: {} } } })).body;
    const status = () => eve.post('/v1/api/status/get_deployment', { name: `borrowed-${String(id)}` });
    await until('running', async () => (await status()).body['status'] === 'Running');
    expect((await status()).body['engines']).toMatchObject([{ model_statuses: { models: [{ ...model, model_version: { name: 'ccfraud' } }] } }]);
    expect((await eve.post('/v1/api/pipelines/get_version', { version: made['pipeline_variant_version'] })).body).toMatchObject({ definition: { steps: [{ ModelInference: { models: [model] } }] } });
    expect((await eve.graphql(`{ deployment_by_pk(id: ${String(id)}) { deployment_model_configs { model_config { model { model { name } } } } } }`)).data).toMatchObject({ deployment_by_pk: { deployment_model_configs: [{}] } });
    // Taken back, it runs on as it is; that it is not to be seen any more is no reason to hide how the pipeline is.
    await server.ops.domains.models.setVisibility(await server.ops.domains.identity.actorOf(ana.token), own.version, 'private');
    expect((await status()).body).toMatchObject({ status: 'Running', engines: [{ model_statuses: { models: [model] } }] });
    await eve.post('/v1/api/pipelines/undeploy', { deployment_id: id });
    await until('stopped', async () => (await status()).status === 404);
  });

  describe('a GraphQL document', () => {
    const wrong: [string, string, RegExp][] = [
      ['that does not parse', '{ workspace_by_pk(id: 1) {', /Syntax Error/],
      ['with an unknown field', '{ users { id password } }', /users/],
      ['with an unknown argument', '{ tag(limit: 1) { id } }', /limit/],
      ['with a value of the wrong type', '{ workspace_by_pk(id: "one") { id } }', /bigint/],
      ['with an id beyond what JSON keeps', '{ workspace_by_pk(id: 9223372036854775807) { id } }', /bigint/],
      ['that nests without end', `{ workspace_by_pk(id: 1) ${'{ pipelines { workspace '.repeat(20)} { id } ${'} } '.repeat(20)} }`, /deeper than/],
      ['whose brackets would use up the stack', '{ a '.repeat(3_000), /deeper than 64 brackets/],
      ['whose values would', `{ tag(where: ${'['.repeat(3_500)}) { id } }`, /deeper than 64 brackets/],
      ['that asks for everything at once', `{ ${Array.from({ length: 2000 }, (_, i) => `a${i}: workspace_by_pk(id: 1) { id }`).join(' ')} }`, /fields|tokens/],
      ['that names one field over and over', `{ workspace_by_pk(id: 1) { ${'id '.repeat(990)} } }`, /aborted/],
      ['that introspects in circles', `{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }`, /introspection depth/i],
      ['with two operations', 'query a { tag { id } } query b { tag { id } }', /one at a time/],
      ['with a subscription', 'subscription { tag { id } }', /subscription/i],
      ['that filters by null', '{ model(where: {id: {_eq: null}}) { id } }', /_eq is null/],
    ];
    it.each(wrong)('%s is refused at once', async (_, query, message) => {
      const started = performance.now();
      const { errors, status } = await ana.graphql(query);
      expect(errors?.[0]?.message).toMatch(message);
      expect(JSON.stringify(errors)).not.toMatch(/\.[jt]s:\d/);
      expect(status).toBe(200);
      expect(performance.now() - started).toBeLessThan(5_000);
    });

    it('whose lists multiply ends when it has read enough', async () => {
      const pipelines = 'pipelines { workspace { '.repeat(6);
      for (let i = 0; i < 9; i += 1) await ana.post('/v1/api/pipelines/create', { pipeline_id: `more-${i}`, workspace_id: own.workspace, definition: {} });
      const { errors } = await ana.graphql(`{ workspace_by_pk(id: ${own.workspace}) { ${pipelines} id ${'} } '.repeat(6)} } }`);
      expect(errors?.[0]?.message).toMatch(/more than 20000 rows/);
    });

    it.each<[string, unknown, RegExp]>([
      ['of a number', { query: 5 }, /query/], ['of nothing', {}, /query is missing/], ['of a list', [], /body/], ['with variables that are a text', { query: '{ tag { id } }', variables: 'x' }, /variables/],
      ['that is not JSON', 'not json', /JSON/], ['that is empty', '', /empty/], ['that is too large', { query: `{ tag { id } } #${'x'.repeat(300_000)}` }, /larger/],
    ])('in a body %s is refused', async (_, body, message) => {
      const answer = await ana.send('POST', '/v1/graphql', body);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect((answer.body['errors'] as [{ message: string }])[0].message).toMatch(message);
    });

    it('needs a token, and says so as GraphQL does', async () => {
      const answer = await fetch(`${server.url}/v1/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"query":"{ tag { id } }"}' });
      expect(answer.status).toBe(401);
      expect(await answer.json()).toMatchObject({ errors: [{ extensions: { code: 'unauthenticated' } }] });
    });

    it('reads one value out of a conversion by its path', async () => {
      const { data } = await ana.graphql(`{ model_by_pk(id: ${own.version}) { all: conversion arch: conversion(path: "arch") root: conversion(path: "$.framework") none: conversion(path: "constructor.name") list: conversion(path: "requirements[0]") } }`);
      expect(data).toMatchObject({ model_by_pk: { all: { arch: 'x86', framework: 'onnx' }, arch: 'x86', root: 'onnx', none: null, list: null } });
    });
  });

  describe('an upload', () => {
    const upload = (parts: Parameters<Caller['form']>[1]) => ana.form('/v1/api/models/upload', parts);
    const metadata = (change: Record<string, unknown> = {}) => ({ ...metadataOf('refused', own.workspace), ...change });
    const file = { name: 'file', content: 'x', type: 'application/octet-stream', fileName: 'model.onnx' };

    it.each<[string, () => Parameters<Caller['form']>[1], number, RegExp]>([
      ['without parts', () => [], 400, /metadata is missing/],
      ['without a file', () => uploadParts(metadata(), '').slice(0, 1), 400, /file is missing/],
      ['without metadata', () => [file], 400, /metadata/],
      ['with the metadata last', () => uploadParts(metadata(), 'x').toReversed(), 400, /before the file/],
      ['with metadata that is not JSON', () => uploadParts('{"name":', 'x'), 400, /not JSON/],
      ['with metadata that is a list', () => uploadParts([], 'x'), 400, /metadata/],
      ['without a name', () => uploadParts({ ...metadata(), name: undefined }, 'x'), 400, /metadata\.name/],
      ['with an id that is a text', () => uploadParts(metadata({ workspace_id: '1' }), 'x'), 400, /metadata\.workspace_id/],
      ['with a name that is not allowed', () => uploadParts(metadata({ name: '../etc' }), 'x'), 400, /model name "\.\.\/etc"/],
      ['with an unknown architecture', () => uploadParts(metadata({ conversion: { framework: 'onnx', arch: 'pdp11' } }), 'x'), 400, /conversion\.arch "pdp11".*x86/],
      ['with an unknown accelerator', () => uploadParts(metadata({ conversion: { framework: 'onnx', accel: { warp: {} } } }), 'x'), 400, /conversion\.accel/],
      ['of an unknown framework', () => uploadParts(metadata({ conversion: { framework: 'abacus' } }), 'x'), 422, /abacus/],
      ['of a framework whose files have no schema, without one', () => uploadParts(metadata({ conversion: { framework: 'sklearn', arch: 'x86', accel: 'none' } }), 'x'), 400, /inputSchema is missing.*framework sklearn/],
      ['with a schema that is none', () => uploadParts(metadata({ input_schema: 'AAAA' }), 'x'), 400, /input_schema/],
      ['of an image that is none', () => uploadParts(metadata({ image_path: 'GHCR.io/a b' }), '').slice(0, 1), 400, /image is "GHCR.io\/a b"/],
      ['of a file that is no model', () => uploadParts(metadata(), 'not a model'), 422, /not an ONNX model/],
      ['of an empty file', () => uploadParts(metadata(), ''), 422, /empty/],
      ['larger than allowed', () => uploadParts(metadata(), Buffer.alloc(2_000_001)), 413, /larger/],
    ])('%s is refused by name', async (_, parts, status, message) => {
      const answer = await upload(parts());
      expect({ status: answer.status, msg: answer.body['msg'] }).toEqual({ status, msg: expect.stringMatching(message) as string });
      expect(answer.body['code']).toBe(status);
    });

    it.each([
      ['application/json', '{}'],
      ['text/plain', 'hello'],
      ['multipart/form-data', 'no boundary'],
      ['application/x-www-form-urlencoded', 'a=b'],
      ['multipart/mixed; boundary=x', '--x--'],
    ])('as %s is refused', async (type, body) => {
      const answer = await ana.send('POST', '/v1/api/models/upload', body, { 'content-type': type });
      expect([400, 415]).toContain(answer.status);
      expect(answer.body['msg']).toMatch(/multipart|form/i);
    });

    it('whose form ends early stores nothing', async () => {
      const whole = formBody(uploadParts(metadata({ name: 'cut' }), model));
      for (const end of [whole.length - boundary.length - 8, whole.length - 5, Math.floor(whole.length / 2), 40]) {
        const answer = await ana.send('POST', '/v1/api/models/upload', whole.subarray(0, end), { 'content-type': formType });
        expect(answer.status).toBe(400);
        expect(answer.body['msg']).toMatch(/ends before its last boundary/);
      }
      expect((await ana.graphql('{ search_models(args: {search: "cut"}) { id } }')).data).toEqual({ search_models: [] });
    });

    it('whose connection breaks stores nothing and leaves the server well', async () => {
      const whole = formBody(uploadParts(metadata({ name: 'broken-off' }), model));
      const { hostname, port } = new URL(server.url);
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      socket.write(`POST /v1/api/models/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ana.token}\r\ncontent-type: ${formType}\r\ncontent-length: ${whole.length}\r\n\r\n`);
      socket.write(whole.subarray(0, whole.length - 200));
      socket.end();
      await once(socket.resume(), 'close');
      expect((await ana.graphql('{ search_models(args: {search: "broken-off"}) { id } }')).data).toEqual({ search_models: [] });
      expect((await upload(uploadParts(metadata({ name: 'whole' }), model))).status).toBe(200);
    });
  });

  describe('a request', () => {
    it.each<[string, unknown, RegExp]>([
      ['/v1/api/models/get', { id: 'one' }, /^id "one"/],
      ['/v1/api/models/get', { id: 1.5 }, /^id 1\.5/],
      ['/v1/api/models/get', { id: -1 }, /^id -1/],
      ['/v1/api/models/get', { id: 2 ** 60 }, /^id /],
      ['/v1/api/models/get', {}, /id is missing/],
      ['/v1/api/models/get', [], /body/],
      ['/v1/api/models/get', null, /body/],
      ['/v1/api/models/get', '{', /JSON/],
      ['/v1/api/models/get', '', /empty/],
      ['/v1/api/pipelines/create', { pipeline_id: 'x', workspace_id: 1, definition: 'steps' }, /definition/],
      ['/v1/api/models/insert_model_config', { model_version_id: 1, batch_config: 'double' }, /batch_config/],
      ['/v1/api/models/insert_model_config', { model_version_id: 1, tensor_fields: 'tensor' }, /tensor_fields/],
      ['/v1/api/status/get_deployment', { name: 7 }, /^name 7/],
    ])('%s with %j names what is wrong', async (path, body, message) => {
      const answer = await ana.send('POST', path, body === null ? 'null' : body, { 'content-type': 'application/json' });
      expect({ status: answer.status, msg: answer.body['msg'] }).toEqual({ status: 400, msg: expect.stringMatching(message) as string });
    });

    it('of another content type is refused', async () => {
      const answer = await ana.send('POST', '/v1/api/models/get', 'id=1', { 'content-type': 'application/x-www-form-urlencoded' });
      expect([400, 415]).toContain(answer.status);
      expect(answer.body['type']).toBe('unsupported_content_type');
    });

    it('to deploy that is refused is answered so at once, and the Python client is told why by GraphQL, where its user sees it', async () => {
      const deploy = (config: unknown, headers: Record<string, string> = {}, caller = ana) =>
        caller.send('POST', '/v1/api/pipelines/deploy', { deploy_id: 'ana-line', pipeline_version_pk_id: own.pipelineVersion, engine_config: config }, headers);
      const [agent, banana] = [{ 'user-agent': 'WallarooSDK/2026.1.3' }, { engine: { resources: { limits: { memory: 'banana' } } } }];
      for (const [config, message] of [[banana, /memory is "banana"/], [{ engine: { replicas: 'two' } }, /engine\.replicas is "two"/], [[], /config/]] as const) {
        const plain = await deploy(config);
        expect({ status: plain.status, msg: plain.body['msg'] }).toEqual({ status: 400, msg: expect.stringMatching(message) as string });
        const told = await deploy(config, agent);
        expect(told.status).toBe(200);
        const query = `{ deployment_by_pk(id: ${told.body['id'] as number}) { id } }`;
        expect((await ana.graphql(query)).errors?.[0]).toMatchObject({ message: expect.stringMatching(message) as string, extensions: { code: 'invalid_request' } });
        expect(await eve.graphql(query)).toMatchObject({ data: { deployment_by_pk: null } });
      }
      // What may not be seen is not told of either.
      const foreign = await deploy({}, agent, eve);
      expect((await eve.graphql(`{ deployment_by_pk(id: ${foreign.body['id'] as number}) { id } }`)).errors?.[0]?.extensions.code).toBe('pipeline_not_found');
    });

    it('for a completion of text is a conflict that says what the pipeline is', async () => {
      for (const call of ['completions', 'chat/completions']) {
        const path = `/v1/api/pipelines/infer/ana-line-${own.deployment}/ana-line/openai/v1/${call}`;
        const answer = await ana.send('POST', path, { model: '', prompt: 'x' });
        expect(answer).toMatchObject({ status: 409, body: { code: 409, source: 'ops', error: expect.stringContaining('ana-line has no language model') as string } });
        expect(answer.headers.get('x-should-retry')).toBe('false');
        expect((await eve.send('POST', path, {})).status).toBe(404);
      }
    });

    it('for a deployment by another name finds none', async () => {
      for (const name of [`other-${own.deployment}`, 'ana-line', `ana-line-${own.deployment}-1`, '', '-', `ana-line-${'9'.repeat(30)}`]) {
        expect(await ana.post('/v1/api/status/get_deployment', { name })).toMatchObject({ status: 404, body: { type: 'deployment_not_found' } });
      }
    });

  });

  describe('logs', () => {
    const records = (query: string, body: unknown = {}) => ana.send('POST', `/v1/logs/topic/workspace-${own.workspace}-pipeline-ana-line-inference/records${query}`, body);

    it.each<[string, unknown, RegExp]>([
      ['?page_size=many', {}, /page_size "many"/],
      ['?page_size=-1', {}, /page_size/],
      ['?order=up', {}, /order "up".*asc or desc/],
      ['?time.start=yesterday', {}, /time\.start "yesterday"/],
      ['?time.end=1e99', {}, /time\.end/],
      ['?dataset[]=out&dataset[]=nonsense', {}, /^dataset "nonsense".*time, in, out, anomaly, metadata/],
      ['?dataset.exclude[]=tensor', {}, /^dataset\.exclude "tensor".*out\.variable/],
      ['', { partition: -1 }, /offsets/],
      ['', { partition: 'x' }, /offsets/],
      ['', [], /offsets/],
    ])('asked for with %s and %j are refused by name', async (query, body, message) => {
      const answer = await records(query, body);
      expect({ status: answer.status, msg: answer.body['msg'] }).toEqual({ status: 400, msg: expect.stringMatching(message) as string });
    });

    it.each(['nonsense', 'workspace-1-pipeline-', 'workspace-x-pipeline-y-inference', '%00'])('of the topic %s are not there', async (topic) => {
      expect(await ana.post(`/v1/logs/topic/${topic}/records`, {})).toMatchObject({ status: 404, body: { type: 'log_topic_not_found' } });
    });

    it('of a model that is not there, or not to be seen, are not there', async () => {
      for (const topic of ['model-no-such-model-inference', 'model-no-such-model-inference-failures']) expect(await ana.post(`/v1/logs/topic/${topic}/records`, {})).toMatchObject({ status: 404, body: { type: 'model_not_found' } });
    });

    it('of which there are none come as an Arrow file without columns that says it is all', async () => {
      const answer = await records('?page_size=10&order=desc&dataset[]=*&dataset[]=out.of_another_version&dataset[]=out_gone&dataset.exclude[]=meta&dataset.separator=.');
      expect(answer.headers.get('content-type')).toBe('application/vnd.apache.arrow.file');
      expect(answer.text.startsWith('ARROW1')).toBe(true);
      expect(answer.text).toContain('{"status":"All","next":null}');
    });
  });

  describe('users by the administration paths', () => {
    const path = '/auth/admin/realms/master/users';
    it('are found by e-mail and id, and changed by administrators only', async () => {
      const [found] = (await ana.send('GET', `${path}?email=${encodeURIComponent('eve@example.com')}`)).body as unknown as [Record<string, unknown>];
      expect(found).toMatchObject({ id: eve.id, username: 'eve@example.com', enabled: true, createdTimestamp: expect.any(Number) as number });
      expect((await ana.send('GET', `${path}?email=nobody`)).body).toEqual([]);
      expect((await ana.send('GET', `${path}/${eve.id}`)).body).toEqual(found);
      expect(await ana.send('GET', `${path}/nobody`)).toMatchObject({ status: 404, body: { type: 'user_not_found' } });
      expect(await ana.send('PUT', `${path}/${eve.id}`, { ...found, enabled: false })).toMatchObject({ status: 403 });
      expect((await admin.send('PUT', `${path}/${eve.id}`, { ...found, enabled: false })).status).toBe(204);
      expect(await eve.post('/v1/api/workspaces/list')).toMatchObject({ status: 401, body: { code: 401, type: 'unauthenticated' } });
      expect((await admin.send('PUT', `${path}/${eve.id}`, { ...found, enabled: true })).status).toBe(204);
      expect((await eve.post('/v1/api/workspaces/list')).status).toBe(200);
    });
  });
});
