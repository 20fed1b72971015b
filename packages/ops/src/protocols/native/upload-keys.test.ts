import { once } from 'node:events';
import { request as startRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ApiModel, ApiModelVersion, ApiRegistry, ApiWorkspace } from '@potoroo/contract';
import { createDatabase, type Storage } from '../../storage/database.ts';
import { databases } from '../../storage/testing.ts';
import { adminEmail, adminPassword, expectProblem, startOps, type Answer, type TestOps } from '../../testing.ts';
import { IdempotencyStore } from './idempotency.store.ts';

/** From now on no key can be answered, as if the server ended just before. Gives what ends that. */
async function breakAnswers({ db, dialect }: Storage): Promise<() => Promise<void>> {
  const before = 'trigger broken before update of answer on idempotency_keys';
  if (dialect === 'sqlite') await sql.raw(`create ${before} begin select raise(abort, 'ended here'); end`).execute(db);
  else {
    await sql.raw("create function broken() returns trigger as $$ begin raise exception 'ended here'; end $$ language plpgsql").execute(db);
    await sql.raw(`create ${before} for each row execute function broken()`).execute(db);
  }
  return async () => { await sql.raw(dialect === 'sqlite' ? 'drop trigger broken' : 'drop function broken cascade').execute(db); };
}

const day = 24 * 3_600_000;
/** No model: every upload of it is a version of its own, in error, unless a key says that it is the same. */
const file = Buffer.alloc(50_000, 'm');

describe.each(databases)('uploads under an Idempotency-Key on $name', (database) => {
  let t: TestOps;
  /** The server's database. */
  let storage: Storage;
  let now = Date.now();
  let workspace: number;
  let key: string;
  let model: string;
  let token: string;
  let count = 0;
  beforeAll(async () => {
    let databaseUrl: string | undefined;
    t = await startOps({ ...database, open: async () => { const opened = await database.open(); ({ databaseUrl } = opened); return opened; } }, { POTOROO_MAX_UPLOAD_BYTES: '100000', POTOROO_ACCESS_TOKEN_LIFETIME: '86400' }, () => now);
    storage = await createDatabase({ dataDir: t.dataDir, databaseUrl });
    workspace = (await t.call<ApiWorkspace>('GET', '/api/v1/workspaces/default')).body.id;
  });
  beforeEach(async () => {
    [key, model] = [`key-${(count += 1)}`, `m-${count}`];
    token = await t.signIn(adminEmail, adminPassword);
  });
  afterAll(async () => {
    await storage.close();
    await t.close();
  });

  const path = (query = '', name = model, of = workspace) => `/api/v1/workspaces/${of}/models/${name}/versions?framework=onnx${query}`;
  const send = (body: Uint8Array | string = file, { to = path(), headers = {}, as = key }: { to?: string; headers?: Record<string, string>; as?: string } = {}) =>
    t.call<ApiModelVersion>('POST', to, body, { token, headers: { 'idempotency-key': as, 'content-type': 'application/octet-stream', ...headers } });
  const versions = async () => (await t.call<{ items: ApiModel[] }>('GET', `/api/v1/models?name=${model}`, undefined, { token })).body.items.flatMap((found) => found.versions);
  /** An upload whose bytes the test writes itself. */
  async function slowly(as = key): Promise<{ request: ClientRequest; answer: Promise<Answer<ApiModelVersion>> }> {
    const request = startRequest(t.url + path(), { method: 'POST', headers: { authorization: `Bearer ${token}`, 'idempotency-key': as, 'content-length': file.length } });
    const answer = once(request, 'response').then(async ([given]) => {
      const response = given as IncomingMessage;
      const all = await text(response);
      return { status: response.statusCode ?? 0, headers: new Headers(response.headers as Record<string, string>), text: all, body: JSON.parse(all) as ApiModelVersion };
    });
    answer.catch(() => {});
    return { request, answer };
  }
  /** The request that holds the key was heard of at this time. */
  const heard = async (): Promise<void> => {
    await expect.poll(() => storage.db.selectFrom('idempotencyKeys').select('renewedAt').where('key', '=', key).executeTakeFirst(), { interval: 20 }).toEqual({ renewedAt: now });
  };

  test('the same upload again is answered with the version that it made, also as a form with another boundary', async () => {
    const first = await send();
    expect(first).toMatchObject({ status: 200, body: { status: 'error' } });
    expect(first.headers.has('idempotency-replayed')).toBe(false);
    const again = await send();
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body).toEqual(first.body);
    const form = (boundary: string) => send(`--${boundary}\r\ncontent-disposition: form-data; name="options"\r\n\r\n{"arch":"arm"}\r\n--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--${boundary}--\r\n`, { as: `${key}-form`, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } });
    expect((await form('one')).body).toEqual((await form('two')).body);
    expect(await versions()).toHaveLength(2);
  });

  test.each<[string, () => Promise<Answer>]>([
    ['another file of the same size', () => send(Buffer.alloc(file.length, 'n'))], ['a shorter file', () => send(file.subarray(1))], ['a longer file', () => send(Buffer.concat([file, file.subarray(0, 1)]))], ['no file', () => send('')],
    ['other options', () => send(file, { to: path('&arch=arm') })], ['another model', () => send(file, { to: path('', `${model}x`) })], ['another workspace', () => send(file, { to: path('', model, workspace + 1) })],
    ['a create', () => t.call('POST', '/api/v1/workspaces', { name: 'w' }, { token, headers: { 'idempotency-key': key } })],
  ])('%s under the same key is refused', async (_, other) => {
    await send();
    expectProblem(await other(), 'idempotency_conflict');
    expect(await versions()).toHaveLength(1);
  });

  test.each(['', ' ', 'x'.repeat(256), 'a b', 'a\tb', 'é', 'a, b'])('the key %j is refused before anything is read', async (bad) => {
    expectProblem(await send(file, { as: bad }), 'invalid_request', 'Idempotency-Key');
    expect(await versions()).toEqual([]);
  });

  test.each(['x', 'x'.repeat(255), '"8e03978e-40d5-43dd-bc93-6894a57f9324"', '~!@'])('the key %j is taken', async (good) => {
    const name = `${model}-good`;
    expect((await send(file, { as: good, to: path('', name) })).body.id).toBe((await send(file, { as: good, to: path('', name) })).body.id);
  });

  test('keys are of each user alone', async () => {
    await t.call('POST', '/api/v1/users', { email: `bob${count}@ex.co`, password: 'the password of bob' }, { token });
    const bob = await t.signIn(`bob${count}@ex.co`, 'the password of bob');
    const own = (await t.call<ApiWorkspace>('GET', '/api/v1/workspaces/default', undefined, { token: bob })).body.id;
    const mine = await send();
    const bobs = await t.call<ApiModelVersion>('POST', path('', model, own), file, { token: bob, headers: { 'idempotency-key': key } });
    expect(bobs).toMatchObject({ status: 200, body: { workspaceId: own } });
    expect(bobs.body.id).not.toBe(mine.body.id);
  });

  test('while the first is at work the same is told to wait, another is refused, and afterwards both are as ever', async () => {
    const { request, answer } = await slowly();
    request.write(file.subarray(0, 100));
    await heard();
    const waiting = await send();
    expectProblem(waiting, 'conflict');
    expect(waiting.headers.get('retry-after')).toBe('1');
    expectProblem(await send(file, { to: path('&arch=arm') }), 'idempotency_conflict');
    request.end(file.subarray(100));
    const first = await answer;
    expect(first.status).toBe(200);
    expect((await send()).body).toEqual(first.body);
  });

  test('a connection that broke in the middle leaves nothing: the same key uploads', async () => {
    const { request } = await slowly();
    request.on('error', () => {});
    request.write(file.subarray(0, 100));
    await heard();
    request.destroy();
    await expect.poll(async () => (await send()).status, { interval: 20 }).toBe(200);
    expect(await versions()).toHaveLength(1);
  });

  test('a connection that broke after the last byte: the same key gives the version that was made', async () => {
    const { request } = await slowly();
    request.on('error', () => {});
    request.end(file);
    await expect.poll(versions, { interval: 20 }).toHaveLength(1);
    request.destroy();
    await expect.poll(async () => (await send()).status, { interval: 20 }).toBe(200);
    expect(await versions()).toHaveLength(1);
  });

  test.each<[string, () => Promise<() => Promise<Answer<ApiModelVersion>>>]>([
    ['an upload', async () => () => send()],
    ['an upload from a registry', async () => {
      const { body: { id } } = await t.call<ApiRegistry>('POST', '/api/v1/registries', { name: model, url: 'http://127.0.0.1:9', workspaceId: workspace }, { token });
      return () => t.call<ApiModelVersion>('POST', `/api/v1/registries/${id}/uploads`, { workspaceId: workspace, name: model, path: 'models:/m/1', framework: 'onnx' }, { token, headers: { 'idempotency-key': key } });
    }],
  ])('%s makes its version and the answer of its key at once: where the one fails there is neither', async (_, prepare) => {
    const sending = await prepare();
    const mend = await breakAnswers(storage);
    try {
      expectProblem(await sending(), 'internal');
      expect(await versions()).toEqual([]);
    } finally {
      await mend();
    }
    const made = await sending();
    expect(await versions()).toMatchObject([{ id: made.body.id }]);
    expect((await sending()).headers.get('idempotency-replayed')).toBe('true');
  });

  test('the API document says which requests take a key', async () => {
    const { paths } = (await t.call<{ paths: Record<string, Record<string, { parameters?: { name: string; in: string }[] }>> }>('GET', '/api/v1/openapi.json')).body;
    const takes = (method: string, route: string) => paths[`/api/v1${route}`]?.[method]?.parameters?.some((given) => given.in === 'header' && given.name === 'idempotency-key') === true;
    const upload = '/workspaces/{workspaceId}/models/{name}/versions';
    expect([takes('post', upload), takes('put', upload), takes('post', '/workspaces'), takes('post', '/registries/{registryId}/uploads'), takes('post', '/workspaces/{workspaceId}/models/{name}/images')]).toEqual([true, true, true, true, true]);
    expect([takes('get', '/workspaces'), takes('patch', '/registries/{registryId}')]).toEqual([false, false]);
  });

  test('an upload that failed may be tried again under its key', async () => {
    expectProblem(await send(Buffer.alloc(100_001)), 'body_too_large');
    expect((await send()).status).toBe(200);
  });

  test('known after the server has started anew, for a day', async () => {
    const first = await send();
    await t.restart();
    now += day - 1000;
    expect((await send()).body).toEqual(first.body);
    now += 2000;
    token = await t.signIn(adminEmail, adminPassword);
    expect((await send()).body.id).not.toBe(first.body.id);
    expect(await versions()).toHaveLength(2);
  });

  test('an upload that moves keeps its key for as long as it takes; one of which nothing comes loses it and makes nothing', async () => {
    const { request, answer } = await slowly();
    for (let at = 0; at < 5; at += 1) {
      now += 40_000;
      request.write(file.subarray(at * 100, at * 100 + 100));
      await heard();
      expectProblem(await send(), 'conflict');
    }
    now += 70_000;
    const later = await send();
    expect(later.status).toBe(200);
    request.end(file.subarray(500));
    expectProblem(await answer, 'conflict');
    expect((await send()).body).toEqual(later.body);
    expect(await versions()).toHaveLength(1);
  });

  test('so many keys of a user are kept, and the newest of them', async () => {
    const { db, close } = await database.open();
    try {
      const row = (i: number) => ({ userUuid: 'u', key: `k${i}`, requestHash: 'h', content: null, status: i === 0 ? null : 200, answer: i === 0 ? null : '{}', createdAt: i, renewedAt: i });
      for (let i = 0; i < 10_050; i += 50) await db.insertInto('idempotencyKeys').values(Array.from({ length: 50 }, (_, j) => row(i + j))).execute();
      await db.insertInto('idempotencyKeys').values({ ...row(1), userUuid: 'v' }).execute();
      expect(await new IdempotencyStore(db).take({ userUuid: 'u', key: 'new', createdAt: 20_000 }, 'h', 0)).toBeUndefined();
      const left = await db.selectFrom('idempotencyKeys').select(['key', 'userUuid']).orderBy('createdAt').execute();
      // One that is at work stays.
      expect(left.map(({ userUuid, key: k }) => userUuid + k)).toEqual(['uk0', 'vk1', ...Array.from({ length: 9999 }, (_, i) => `uk${i + 51}`), 'unew']);
    } finally {
      await close();
    }
  });
});
