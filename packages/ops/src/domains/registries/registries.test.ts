import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silent } from '../../log.ts';
import { Outgoing } from '../../outgoing/outgoing.ts';
import { openBlobFolder, type Blobs } from '../../storage/blobs.ts';
import { openSecrets } from '../../storage/secrets.ts';
import { databases } from '../../storage/testing.ts';
import type { ModelVersion, RegistryUpload } from '../domains.ts';
import { inspectInChild } from '../models/inspection.ts';
import { ModelService } from '../models/models.service.ts';
import { exampleModel, inspectProgram, openDomains, type TestDomains } from '../testing.ts';
import { RegistryService } from './registries.service.ts';
import { artifacts, catalog, dbfs, serve, type Handler, type TestRegistry } from './testing.ts';

const model = readFileSync(exampleModel);
const files = { '1/cancer/MLmodel': Buffer.from('flavors: {}'), '1/cancer/model.onnx': model, '1/cancer/data/more.txt': Buffer.from('more') };
const limits = { connectMs: 400, headMs: 400, silenceMs: 400, paceMs: 200, paceBytesPerSecond: 1000 };

describe.each(databases)('registries on $name', (database) => {
  let t: TestDomains;
  let outgoing: Outgoing;
  let blobs: Blobs;
  const opened: ModelService[] = [];
  const servers: TestRegistry[] = [];
  let registries: RegistryService;
  let models: ModelService;
  beforeAll(async () => {
    t = await openDomains(database);
    outgoing = new Outgoing('127.0.0.1', limits);
    blobs = await openBlobFolder(join(t.storage.dataDir, 'blobs'));
  });
  beforeEach(() => { ({ registries, models } = start()); });
  afterEach(async () => { for (const server of servers.splice(0)) await server.close(); });
  afterAll(async () => {
    for (const service of opened) await service.close();
    await outgoing.close();
    await t.close();
  });

  /** Both services, as a server that starts has them. */
  function start(atMost = 1_000_000) {
    const clock = () => t.time.now;
    const made = new ModelService(t.storage.db, blobs, t.access, { inspect: inspectInChild(inspectProgram, 30_000), loadsAtOnce: 1, maxBytes: atMost, clock, log: silent, open: (...given) => service.open(...given) });
    const service = new RegistryService({
      db: t.storage.db, access: t.access, secrets: openSecrets(t.storage.dataDir, undefined), outgoing, clock, workspaces: t.workspaces, models: made,
      bounds: { maxBytes: atMost, items: 50, pages: 8, depth: 4, pageBytes: 100_000, listBytes: 300_000, patienceMs: 3000, breakMs: 2 },
    });
    opened.push(made);
    return { registries: service, models: made };
  }
  async function registryOf(...handlers: Handler[]) {
    const server = await serve(...handlers);
    servers.push(server);
    return { server, registry: await registries.create(t.ann, { name: 'lab', url: server.url, token: 'correct-horse', workspaceId: t.workspaceId }) };
  }
  const good = () => registryOf(catalog({ cancer: 2, empty: 1 }), artifacts(files));
  const upload = (id: string, path: string, more: Partial<RegistryUpload> = {}) => registries.upload(t.bob, id, { workspaceId: t.workspaceId, name: 'fetched', path, framework: 'onnx', ...more });
  /** The version once what becomes of it is decided. */
  const decided = async ({ id }: ModelVersion): Promise<ModelVersion> => {
    await expect.poll(() => models.version(t.ann, id), { timeout: 20_000, interval: 20 }).toMatchObject({ status: expect.stringMatching(/ready|error/) });
    return models.version(t.ann, id);
  };

  test('made in a workspace; the token is shown nowhere and lies in the database sealed', async () => {
    const made = await registries.create(t.ann, { name: 'lab', url: 'https://mlflow.example.com/base/', token: 'correct-horse' });
    expect(made).toMatchObject({ name: 'lab', url: 'https://mlflow.example.com/base', hasToken: true, workspaces: [{ name: 'ann@ex.co - Default Workspace' }], createdBy: t.ann.id });
    expect(await registries.get(t.ann, made.id)).toEqual(made);
    const rows = await t.storage.db.selectFrom('registries').selectAll().execute();
    expect(JSON.stringify([made, rows, await registries.list(t.ann)])).not.toContain('horse');
    expect((await registries.create(t.ann, { name: 'lab', url: 'http://mlflow.example.com' })).hasToken).toBe(false);
  });

  test('seen by its maker, the members of its workspaces and administrators', async () => {
    const made = await registries.create(t.ann, { name: 'private', url: 'https://mlflow.example.com' });
    for (const ask of [(id: string) => registries.get(t.bob, id), (id: string) => registries.models(t.bob, id), (id: string) => upload(id, 'models:/a/1'), (id: string) => registries.addToWorkspace(t.bob, id, t.workspaceId)]) {
      await expect(ask(made.id)).rejects.toMatchObject({ code: 'registry_not_found' });
    }
    expect((await registries.addToWorkspace(t.ann, made.id, t.workspaceId)).workspaces).toHaveLength(2);
    expect((await registries.get(t.bob, made.id)).workspaces).toEqual([{ id: t.workspaceId, name: 'credit cards' }]);
    expect((await registries.list(t.bob, { workspaceId: t.workspaceId })).items.map((r) => r.id)).toContain(made.id);
    await expect(registries.list(t.eve, { workspaceId: t.workspaceId })).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(registries.remove(t.bob, made.id)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(registries.remove(t.ann, made.id)).rejects.toMatchObject({ code: 'in_use' });
    for (const { id } of (await registries.get(t.ann, made.id)).workspaces) await registries.removeFromWorkspace(t.ann, made.id, id);
    await registries.remove(t.admin, made.id);
    await expect(registries.get(t.ann, made.id)).rejects.toMatchObject({ code: 'registry_not_found' });
    await expect(registries.create(t.eve, { name: 'x', url: 'https://mlflow.example.com', workspaceId: t.workspaceId })).rejects.toMatchObject({ code: 'workspace_not_found' });
  });

  test.each([
    [{ name: ' ' }, 'invalid_name'], [{ url: 'mlflow' }, 'invalid_request'], [{ url: 'ftp://x.com' }, 'invalid_request'], [{ url: 'https://me:secret@x.com' }, 'invalid_request'], [{ url: 'https://x.com?o=1' }, 'invalid_request'],
    [{ url: `https://x.com/${'x'.repeat(3000)}` }, 'invalid_request'], [{ token: 'a\nb' }, 'invalid_request'], [{ token: 'Basic a b' }, 'invalid_request'], [{ token: 'x'.repeat(20_000) }, 'invalid_request'],
  ])('%j is refused, and no secret is in the message', async (change, code) => {
    await expect(registries.create(t.ann, { name: 'lab', url: 'https://x.com', ...change })).rejects.toMatchObject({ code, message: expect.not.stringMatching(/secret|a\nb/) });
  });

  test('models, versions and files are listed, with the token and page by page', async () => {
    const { server, registry } = await registryOf(catalog({ a: 1, b: 2, "c's": 3, cancer: 2 }), artifacts(files));
    const first = await registries.models(t.bob, registry.id, { limit: 3 });
    expect(first.items.map((m) => m.name)).toEqual(['a', 'b', "c's"]);
    expect(first.items[1]).toMatchObject({ userId: null, createdAt: new Date(1_700_000_000_000), latestVersions: [{ version: '2', stage: 'None' }] });
    expect((await registries.models(t.bob, registry.id, { limit: 3, cursor: first.cursor! })).items.map((m) => m.name)).toEqual(['cancer']);
    expect((await registries.versions(t.bob, registry.id, "c's")).items.map((v) => v.version)).toEqual(['1', '2', '3']);
    expect((await registries.versions(t.bob, registry.id, 'none')).items).toEqual([]);
    expect(await registries.artifacts(t.bob, registry.id, 'cancer', '2')).toEqual([
      { path: 'MLmodel', address: `${server.url}/api/2.0/mlflow-artifacts/artifacts/1/cancer/MLmodel`, directory: false, size: 11, modifiedAt: null },
      { path: 'model.onnx', address: `${server.url}/api/2.0/mlflow-artifacts/artifacts/1/cancer/model.onnx`, directory: false, size: model.length, modifiedAt: null },
      { path: 'data', address: `${server.url}/api/2.0/mlflow-artifacts/artifacts/1/cancer/data`, directory: true, size: null, modifiedAt: null },
      { path: 'data/more.txt', address: `${server.url}/api/2.0/mlflow-artifacts/artifacts/1/cancer/data/more.txt`, directory: false, size: 4, modifiedAt: null },
    ]);
    expect(new Set(server.asked.map((a) => a.authorization))).toEqual(new Set(['Bearer correct-horse']));
    await expect(registries.artifacts(t.bob, registry.id, 'nobody', '1')).rejects.toMatchObject({ code: 'artifact_not_found' });
    await expect(registries.models(t.bob, registry.id, { cursor: 'x' })).rejects.toMatchObject({ code: 'invalid_cursor' });
    await expect(registries.versions(t.bob, registry.id, `'"`)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  test('a token that names its scheme goes out as it is', async () => {
    const server = await serve(catalog({}));
    servers.push(server);
    const { id } = await registries.create(t.ann, { name: 'basic', url: server.url, token: 'Basic dXNlcjpwYXNz' });
    await registries.models(t.ann, id);
    expect(server.asked[0]?.authorization).toBe('Basic dXNlcjpwYXNz');
  });

  test('a token is renewed by who made the registry and administrators, sealed and never shown; requests go out with it at once', async () => {
    const { server, registry } = await good();
    const sealed = async () => (await t.storage.db.selectFrom('registries').select('sealedToken').where('uuid', '=', registry.id).executeTakeFirstOrThrow()).sealedToken;
    const before = await sealed();
    t.time.now += 1000;
    const renewed = await registries.setToken(t.ann, registry.id, 'battery-staple');
    expect(renewed).toEqual({ ...registry, updatedAt: new Date(t.time.now) });
    expect(await sealed()).not.toBe(before);
    expect(JSON.stringify([renewed, await sealed(), await registries.list(t.ann)])).not.toMatch(/staple|horse/);
    await registries.models(t.bob, registry.id);
    expect(server.asked.at(-1)?.authorization).toBe('Bearer battery-staple');
    await expect(registries.setToken(t.bob, registry.id, 'mine')).rejects.toMatchObject({ code: 'forbidden' });
    await expect(registries.setToken(t.eve, registry.id, 'mine')).rejects.toMatchObject({ code: 'registry_not_found' });
    await expect(registries.setToken(t.ann, '00000000-0000-4000-8000-000000000000', 'mine')).rejects.toMatchObject({ code: 'registry_not_found' });
    for (const wrong of ['', 'a\nsecret', 'Basic a secret', 'x'.repeat(20_000), ' secret']) await expect(registries.setToken(t.ann, registry.id, wrong)).rejects.toMatchObject({ code: 'invalid_request', message: expect.not.stringContaining('secret') });
    await registries.models(t.bob, registry.id);
    expect(server.asked.at(-1)?.authorization).toBe('Bearer battery-staple');
    expect(await registries.setToken(t.admin, registry.id, null)).toMatchObject({ hasToken: false });
    await registries.models(t.bob, registry.id);
    expect(server.asked.at(-1)?.authorization).toBeUndefined();
    expect((await registries.setToken(t.ann, registry.id, 'Basic dXNlcjpwYXNz')).hasToken).toBe(true);
  });

  test.each([
    ['by its address', (url: string) => `${url}/api/2.0/mlflow-artifacts/artifacts/1/cancer/model.onnx`], ['by its version', () => 'models:/cancer/2/model.onnx'], ['by an alias', () => 'models:/cancer@champion/model.onnx'],
  ])('a file is fetched %s, then loaded as any upload is', async (_, path) => {
    const { server, registry } = await good();
    const asked = await upload(registry.id, path(server.url));
    expect(asked).toMatchObject({ status: 'uploading', sha256: '', size: 0, fileName: 'model.onnx', conversion: { source: { registry: registry.id, name: 'lab' } } });
    const version = await decided(asked);
    expect(version).toMatchObject({ status: 'ready', size: model.length, fileName: 'model.onnx', inputs: [{ shape: [30] }] });
    expect(readFileSync(blobs.path(version.sha256)).equals(model)).toBe(true);
    const log = (await models.uploadLog(t.ann, version.id)).lines.join('\n');
    expect(log).toMatch(/Looking for [^]*Fetching model\.onnx[^]*Fetched \d+ bytes[^]*The model is ready/);
    expect(log).not.toContain('horse');
  });

  test('a folder is fetched as a zip; that of an MLflow model runs as one where its framework cannot be said', async () => {
    const { registry } = await good();
    // There is no Python in this test, so that the framework is refused once the folder is here.
    const version = await decided(await upload(registry.id, 'models:/cancer/1'));
    expect(version).toMatchObject({ fileName: 'cancer.zip', status: 'error' });
    const zip = readFileSync(blobs.path(version.sha256));
    for (const path of ['MLmodel', 'model.onnx', 'data/more.txt']) expect(zip.includes(path)).toBe(true);
    expect(zip.includes(model)).toBe(true);
  });

  test('on Databricks, files come from its file system, piece by piece', async () => {
    const large = Buffer.alloc((1 << 20) + 7, 'x');
    const path = 'databricks/mlflow-registry/9f/models/testmodel2';
    const { server, registry } = await registryOf(catalog({ testmodel2: 1 }, () => `dbfs:/${path}`), dbfs({ [`${path}/model.onnx`]: model, [`${path}/large.bin`]: large, [`${path}/exact.bin`]: large.subarray(0, 1 << 20) }));
    const found = await registries.artifacts(t.bob, registry.id, 'testmodel2', '1');
    expect(found.map((a) => a.address)).toContain(`${server.url}/api/2.0/dbfs/read?path=/${path}/model.onnx`);
    expect(found[0]).toMatchObject({ modifiedAt: new Date(1_700_000_000_000) });
    expect(await decided(await upload(registry.id, `${server.url}/api/2.0/dbfs/read?path=/${path}/model.onnx`))).toMatchObject({ status: 'ready', fileName: 'model.onnx' });
    ({ registries, models } = start(3_000_000));
    for (const name of ['large.bin', 'exact.bin']) {
      const { sha256, size } = await decided(await upload(registry.id, `${server.url}/api/2.0/dbfs/read?path=/${path}/${name}`));
      expect(readFileSync(blobs.path(sha256)).equals(large.subarray(0, size))).toBe(true);
      expect(size).toBe(name === 'large.bin' ? large.length : 1 << 20);
    }
  });

  test.each<[string, unknown]>([['no JSON', undefined], ['fewer bytes than it says', { bytes_read: 5, data: 'aGVs' }], ['no bytes', { bytes_read: 5 }], ['more than was asked for', { bytes_read: 1_200_000, data: Buffer.alloc(1_200_000).toString('base64') }]])('a file system that sends %s is not believed', async (_, answer) => {
    const lying: Handler = (url, __, reply) => {
      if (!url.pathname.endsWith('/dbfs/read')) return undefined;
      reply.end(answer === undefined ? '<html>' : JSON.stringify(answer));
      return null;
    };
    const { registry } = await registryOf(lying, catalog({ m: 1 }, () => 'dbfs:/m'), dbfs({ 'm/model.onnx': Buffer.from('hello') }));
    expect(await decided(await upload(registry.id, 'models:/m/1/model.onnx'))).toMatchObject({ status: 'error', reason: { code: 'registry_invalid' } });
  });

  test('a fetch that the end of the server cut short is taken up by the next', async () => {
    let hold = true;
    const { registry } = await registryOf((url, _, reply) => {
      if (!hold || !url.pathname.endsWith('/model.onnx')) return undefined;
      reply.write(model.subarray(0, 100));
      return null;
    }, catalog({ cancer: 1 }), artifacts(files));
    const { id } = await upload(registry.id, 'models:/cancer/1/model.onnx');
    await expect.poll(async () => (await models.uploadLog(t.ann, id)).lines.join()).toContain('Fetching');
    await models.close();
    expect(await t.models.version(t.ann, id)).toMatchObject({ status: 'uploading' });
    hold = false;
    ({ registries, models } = start());
    await models.resume();
    expect(await decided(await models.version(t.ann, id))).toMatchObject({ status: 'ready', size: model.length });
  });

  test.each([
    ['elsewhere', 'https://example.com/model.pkl'], ['no path', 'model.pkl'], ['upwards', 'models:/cancer/1/../../etc/passwd'], ['upwards, hidden', '<url>/get-artifact?run_id=r&path=a/../../b'], ['another call', '<url>/api/2.0/mlflow/experiments/search'],
    ['upwards in the address', '<url>/api/2.0/mlflow-artifacts/artifacts/%2e%2e/%2e%2e/x'], ['a stray %', '<url>/api/2.0/mlflow-artifacts/artifacts/%zz'], ['a name with a line break', 'models:/cancer/1/a\nb'],
  ])('a path that is %s is refused before anything is asked', async (_, path) => {
    const { server, registry } = await good();
    await expect(upload(registry.id, path.replace('<url>', server.url))).rejects.toMatchObject({ code: 'invalid_request' });
    expect(server.asked).toEqual([]);
  });

  const raw = (status: number, body: string, headers: Record<string, string> = {}): Handler => (_, __, reply) => { reply.writeHead(status, headers).end(body); return null; };
  const silence: Handler = () => null;
  const drip: Handler = (_, __, reply) => {
    reply.writeHead(200, { 'content-length': '50000' });
    const timer = setInterval(() => reply.write('{'), 20);
    reply.once('close', () => clearInterval(timer));
    return null;
  };
  test.each<[string, string, Handler[]]>([
    ['wants another token', 'registry_refused', [raw(401, '<html>')]],
    ['forbids', 'registry_refused', [raw(403, '{"error_code": "PERMISSION_DENIED", "message": "no"}')]],
    ['is no MLflow', 'registry_invalid', [raw(404, '<h1>Not found</h1>')]],
    ['answers HTML', 'registry_invalid', [raw(200, '<h1>Welcome</h1>', { 'content-type': 'text/html' })]],
    ['answers a list', 'registry_invalid', [raw(200, '[]')]],
    ['answers without end of nesting', 'registry_invalid', [raw(200, '['.repeat(90_000))]],
    ['nests deep where nobody looks', '', [raw(200, `{"registered_models": [], "x": ${'['.repeat(40_000)}${']'.repeat(40_000)}}`)]],
    ['names models by numbers in lists', 'registry_invalid', [raw(200, '{"registered_models": [[1]]}')]],
    ['leaves out names', 'registry_invalid', [raw(200, '{"registered_models": [{"creation_timestamp": 1}]}')]],
    ['has a name without end', 'registry_invalid', [raw(200, `{"registered_models": [{"name": "${'n'.repeat(2000)}"}]}`)]],
    ['sends more than a page may have', 'registry_invalid', [raw(200, `{"registered_models": [], "x": "${'x'.repeat(200_000)}"}`)]],
    ['gives the same page again', 'registry_invalid', [raw(200, '{"registered_models": [{"name": "a"}], "next_page_token": "again"}')]],
    ['gives empty pages for ever', 'registry_invalid', [(url) => ({ registered_models: [], next_page_token: `${Number(url.searchParams.get('page_token') ?? 0) + 1}` })]],
    ['is overloaded', 'registry_unreachable', [raw(503, 'busy')]],
    ['never answers', 'registry_unreachable', [silence]],
    ['drips', 'registry_unreachable', [drip]],
    ['says it sends less', '', [raw(200, '{"registered_models": []}\n\n', { 'content-length': '25' })]],
    ['says it sends more', 'registry_unreachable', [(_, request, reply) => { reply.writeHead(200, { 'content-length': '1000' }).write('{"registered_models": []}'); setImmediate(() => request.socket.destroy()); return null; }]],
    ['redirects to this machine', 'address_refused', [raw(302, '', { location: 'http://127.0.0.2:9/' })]],
    ['redirects to the metadata service', 'address_refused', [raw(307, '', { location: 'http://169.254.169.254/latest/meta-data' })]],
  ])('a registry that %s: %s', async (_, code, handlers) => {
    const { registry } = await registryOf(...handlers);
    const everything = async () => {
      let cursor: string | null = null;
      do {
        const page = await registries.models(t.bob, registry.id, cursor === null ? {} : { cursor });
        cursor = page.cursor;
      } while (cursor !== null);
      return 'listed';
    };
    if (code === '') await expect(everything()).resolves.toBe('listed');
    else await expect(everything()).rejects.toMatchObject({ name: 'PotorooError', code, message: expect.stringMatching(/^[^\n]{10,600}$/) });
  });

  test('a registry that takes its time with every single answer is not waited for without end', async () => {
    const { registry } = await registryOf(catalog({ cancer: 1 }), (url, _, reply) => {
      if (url.pathname !== '/api/2.0/mlflow-artifacts/artifacts') return undefined;
      const top = url.searchParams.get('path') === '1/cancer';
      setTimeout(() => reply.end(JSON.stringify({ files: top ? Array.from({ length: 40 }, (__, i) => ({ path: `f${i}`, is_dir: true })) : [] })), 250);
      return null;
    });
    await expect(registries.artifacts(t.bob, registry.id, 'cancer', '1')).rejects.toMatchObject({ code: 'registry_unreachable', message: expect.stringContaining('did not answer in time') });
  });

  test('nobody there, and an address that is not for users', async () => {
    const { server, registry } = await registryOf();
    await server.close();
    await expect(registries.models(t.bob, registry.id)).rejects.toMatchObject({ code: 'registry_unreachable' });
    const inward = await registries.create(t.ann, { name: 'inward', url: 'http://169.254.169.254' });
    await expect(registries.models(t.ann, inward.id)).rejects.toMatchObject({ code: 'address_refused' });
    expect(await decided(await registries.upload(t.ann, inward.id, { workspaceId: t.workspaceId, name: 'inward', path: 'models:/a/1', framework: 'onnx' }))).toMatchObject({ status: 'error', reason: { code: 'address_refused' } });
  });

  const listing = (entries: unknown): Handler => (url) => (url.pathname === '/api/2.0/mlflow-artifacts/artifacts' ? { files: entries } : undefined);
  const onFile = (handler: Handler): Handler => (url, ...rest) => (url.pathname.endsWith('/model.onnx') ? handler(url, ...rest) : undefined);
  const sending = (bytes: Uint8Array): Handler => onFile((_, __, reply) => { reply.end(bytes); return null; });
  const one = (size: unknown = 5) => listing([{ path: 'model.onnx', is_dir: false, file_size: size }]);
  test.each<[string, string, string, Handler[]]>([
    ['lists a file outside', 'models:/cancer/1', 'registry_invalid', [listing([{ path: '../../etc/passwd', is_dir: false, file_size: 5 }])]],
    ['lists an absolute file', 'models:/cancer/1', 'registry_invalid', [listing([{ path: '/etc/passwd', is_dir: false }])]],
    ['lists a file without a name', 'models:/cancer/1', 'registry_invalid', [listing([{ is_dir: false }])]],
    ['lists no objects', 'models:/cancer/1', 'registry_invalid', [listing(['model.onnx'])]],
    ['has folders in folders for ever', 'models:/cancer/1', 'registry_invalid', [listing([{ path: 'again', is_dir: true }])]],
    ['has too many files', 'models:/cancer/1', 'registry_invalid', [listing(Array.from({ length: 60 }, (_, i) => ({ path: `f${i}`, is_dir: false })))]],
    ['has an empty folder', 'models:/cancer/1', 'artifact_not_found', [listing([])]],
    ['lists more bytes than are taken', 'models:/cancer/1/model.onnx', 'body_too_large', [one(2_000_000), sending(Buffer.alloc(10))]],
    ['lists less and sends more than is taken', 'models:/cancer/1/model.onnx', 'registry_invalid', [one(5), sending(Buffer.alloc(900_000))]],
    ['does not say the size and sends more than is taken', 'models:/cancer/1/model.onnx', 'body_too_large', [one(null), sending(Buffer.alloc(2_000_000))]],
    ['sends less than it lists', 'models:/cancer/1/model.onnx', 'registry_invalid', [one(50), sending(Buffer.alloc(10))]],
    ['lists what it does not have', 'models:/cancer/1/model.onnx', 'artifact_not_found', [one()]],
    ['cuts the file off', 'models:/cancer/1/model.onnx', 'registry_unreachable', [one(1000), onFile((_, request, reply) => { reply.writeHead(200, { 'content-length': '1000' }).write('12345'); setImmediate(() => request.socket.destroy()); return null; })]],
    ['drips the file', 'models:/cancer/1/model.onnx', 'registry_unreachable', [one(50_000), onFile(drip)]],
    ['redirects the file inwards', 'models:/cancer/1/model.onnx', 'address_refused', [one(), onFile(raw(302, '', { location: 'http://10.0.0.1/model' }))]],
    ['keeps its files where nobody can get them', 'models:/cancer/1/model.onnx', 'registry_invalid', [(url) => (url.pathname.endsWith('/get-download-uri') ? { artifact_uri: 'hdfs://namenode/x' } : url.pathname.endsWith('/get') ? { model_version: { name: 'cancer', version: '1', source: 'hdfs://namenode/x' } } : undefined)]],
    ['sends an empty file', 'models:/cancer/1/model.onnx', 'model_invalid', [one(0), sending(Buffer.alloc(0))]],
    ['sends something else', 'models:/cancer/1/model.onnx', 'model_invalid', [one(5), sending(Buffer.from('hello'))]],
  ])('fetching from a registry that %s (%s): %s', async (_, path, code, handlers) => {
    const { registry } = await registryOf(...handlers, catalog({ cancer: 1 }));
    const version = await decided(await upload(registry.id, path));
    expect(version).toMatchObject({ status: 'error', reason: { code, message: expect.stringMatching(/^[^\n]{10,600}$/) } });
    expect((await models.uploadLog(t.ann, version.id)).lines.at(-1)).toContain(version.reason?.message);
  });
});
