import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { Potoroo, type PotorooOptions } from './client.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, seen: number) => void;

const tokenPath = '/auth/realms/master/protocol/openid-connect/token';
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

/** A server on loopback that misbehaves as the test says; `calls` counts the requests beside those for tokens. */
async function misbehaving(handler: Handler, tokens: (response: ServerResponse, number: number, form: string) => void = tokenAnswer) {
  const state = { calls: 0, tokens: 0, bodies: [] as string[], keys: [] as (string | undefined)[] };
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      if (request.url === tokenPath) return tokens(response, state.tokens++, body);
      state.bodies.push(body);
      state.keys.push(request.headers['idempotency-key'] as string | undefined);
      handler(request, response, state.calls++);
    })();
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = (options: Partial<PotorooOptions> = {}) => new Potoroo({ url, username: 'ada', password: 'secret', ...options });
  return { state, url, client };
}

function tokenAnswer(response: ServerResponse, number: number): void {
  json(response, 200, { access_token: `token-${number}`, expires_in: 900, refresh_token: `refresh-${number}`, refresh_expires_in: 3600 });
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json', ...headers }).end(JSON.stringify(body));
}

const workspace = { id: 1, name: 'w', archived: false, createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'x', members: [] };

describe('calls', () => {
  it('repeat what the server did not start on, and send a create under one idempotency key', async () => {
    const { state, client } = await misbehaving((_request, response, seen) => {
      if (seen === 0) return json(response, 503, { code: 'draining', detail: 'Shutting down.' }, { 'retry-after': '0' });
      if (seen === 1) return response.destroy();
      return json(response, 201, workspace);
    });
    expect((await client().workspaces.create('w')).id).toBe(1);
    expect(state.calls).toBe(3);
    expect(new Set(state.keys).size).toBe(1);
    expect(state.keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('wait for a create whose connection broke and which the server is still at, whatever the retries', async () => {
    const { state, client } = await misbehaving((_request, response, seen) => {
      if (seen === 0) return response.destroy();
      if (seen < 4) return json(response, 409, { code: 'conflict', detail: 'Still at work.' }, { 'retry-after': '0' });
      return json(response, 201, workspace);
    });
    expect((await client({ retries: 1 }).workspaces.create('w')).id).toBe(1);
    expect([state.calls, new Set(state.keys).size]).toEqual([5, 1]);
  });

  it('do not repeat an inference whose connection broke: it may have been answered and logged', async () => {
    const { state, client } = await misbehaving((_request, response, seen) => (seen === 0
      ? json(response, 200, { id: 1, pipelineId: 1, generation: 1 })
      : void response.destroy()));
    const deployment = await client().deployments.get(1);
    await expect(deployment.infer([{ x: 1 }])).rejects.toMatchObject({ code: 'unreachable' });
    expect(state.calls).toBe(2);
  });

  it('stop after the retries, with the error of the server', async () => {
    const { state, client } = await misbehaving((_request, response) => json(response, 503, { code: 'no_engine_ready', detail: 'No engine is ready.' }, { 'retry-after': '0' }));
    await expect(client({ retries: 2 }).workspaces.get(1)).rejects.toMatchObject({ code: 'no_engine_ready', message: 'No engine is ready.' });
    expect(state.calls).toBe(3);
  });

  it('give up at the time limit, also while the body is on its way', async () => {
    const { client } = await misbehaving((_request, response) => { response.writeHead(200, { 'content-type': 'application/json' }); response.write('{"id":'); });
    await expect(client().workspaces.get(1, { timeoutMs: 80 })).rejects.toMatchObject({ code: 'deadline_exceeded' });
  });

  it('end with the reason of the caller who gave up', async () => {
    const { client, state } = await misbehaving(() => undefined);
    const stop = new AbortController();
    const call = client().workspaces.get(1, { signal: stop.signal });
    await expect.poll(() => state.calls).toBe(1);
    stop.abort(new Error('changed my mind'));
    await expect(call).rejects.toThrow('changed my mind');
  });

  it.each([
    ['before the head of the answer', (_response: ServerResponse): void => undefined],
    ['in its body', (response: ServerResponse): void => { response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': here\n\n'); }],
  ])('end at once when they are given up %s, however long they have waited', async (_where, answer) => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    let connection: 'none' | 'open' | 'closed' = 'none';
    const { client } = await misbehaving((request, response) => {
      if (request.url === '/api/v1/deployments/1') return json(response, 200, { id: 1, pipelineName: 'p', generation: 1 });
      connection = 'open';
      response.once('close', () => { connection = 'closed'; });
      answer(response);
    });
    const deployment = await client().deployments.get(1);
    const stop = new AbortController();
    const waiting = deployment.waitUntilRunning({ signal: stop.signal });
    await expect.poll(() => connection).toBe('open');
    // What a long wait does sooner or later: nothing else may be what ties the signal to the connection.
    for (let i = 0; i < 10; i += 1) { await new Promise(setImmediate); collectGarbage(); }
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect.poll(() => connection).toBe('closed');
  });

  it('say what is wrong when nobody listens', async () => {
    const { url } = await misbehaving(() => undefined);
    const server = servers.pop();
    server?.close();
    await expect(new Potoroo({ url, token: 't', retries: 0 }).workspaces.get(1)).rejects.toMatchObject({ code: 'unreachable', message: expect.stringContaining(url) });
    await expect(new Potoroo({ url, username: 'a', password: 'b', retries: 0 }).workspaces.get(1)).rejects.toMatchObject({ code: 'unreachable' });
  });

  it.each<[string, number, unknown, Record<string, unknown>]>([
    ['a problem with fields', 400, { code: 'schema_mismatch', detail: 'Column tensor is missing.', errors: [{ field: 'tensor', message: 'missing' }] }, { code: 'schema_mismatch', message: 'Column tensor is missing.', fields: [{ field: 'tensor', message: 'missing' }] }],
    ['an engine', 400, { code: 400, status: 'Error', error: 'Column tensor is missing.', source: 'engine', type: 'schema_mismatch', fields: [{ field: 'tensor', message: 'missing' }] }, { code: 'schema_mismatch', message: 'Column tensor is missing.', fields: [{ field: 'tensor', message: 'missing' }] }],
    ['a code of a newer server', 409, { code: 'not_invented_yet', detail: 'No.' }, { code: 'invalid_request', message: 'No.' }],
    ['no problem body at all', 502, 'Bad gateway', { code: 'unreachable' }],
    ['an empty object', 404, {}, { code: 'route_not_found' }],
  ])('rebuild the error of %s', async (_name, status, body, expected) => {
    const { client } = await misbehaving((_request, response) => json(response, status, body));
    const error: unknown = await client({ retries: 0 }).workspaces.get(1).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'PotorooError', ...expected });
  });

  it('refuse an answer that is not JSON', async () => {
    const { client } = await misbehaving((_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'));
    await expect(client().workspaces.get(1)).rejects.toMatchObject({ code: 'unreachable' });
  });
});

describe('the session', () => {
  it('logs in once for calls made at the same time, and renews with the refresh token when the token is refused', async () => {
    const { state, client } = await misbehaving((request, response) => (request.headers.authorization === 'Bearer token-0'
      ? json(response, 401, { code: 'unauthenticated', detail: 'Expired.' })
      : json(response, 200, workspace)));
    const potoroo = client();
    await Promise.all([potoroo.token(), potoroo.token(), potoroo.token()]);
    expect(state.tokens).toBe(1);
    expect((await potoroo.workspaces.get(1)).name).toBe('w');
    expect(state.tokens).toBe(2);
  });

  it('renews before the token ends, by its clock', async () => {
    let now = 0;
    const { state, client } = await misbehaving((_request, response) => json(response, 200, workspace));
    const potoroo = client({ clock: () => now });
    await potoroo.workspaces.get(1);
    now = 880_000;
    await potoroo.workspaces.get(1);
    expect(state.tokens).toBe(1);
    now = 891_000;
    await potoroo.workspaces.get(1);
    expect(state.tokens).toBe(2);
  });

  it('falls back to the password when the refresh token is refused', async () => {
    let now = 0;
    const grants: string[] = [];
    const { client } = await misbehaving((_request, response) => json(response, 200, workspace), (response, number, form) => {
      grants.push(new URLSearchParams(form).get('grant_type') ?? '');
      if (grants.at(-1) === 'refresh_token') return json(response, 400, { error: 'invalid_grant', error_description: 'Signed out.' });
      return tokenAnswer(response, number);
    });
    const potoroo = client({ clock: () => now });
    await potoroo.workspaces.get(1);
    now = 1_000_000;
    await potoroo.workspaces.get(1);
    expect(grants).toEqual(['password', 'refresh_token', 'password']);
  });

  it('reports wrong credentials once, without trying again', async () => {
    const { state, client } = await misbehaving(() => undefined, (response) => json(response, 401, { error: 'invalid_grant', error_description: 'Wrong e-mail or password.' }));
    await expect(client().workspaces.get(1)).rejects.toMatchObject({ code: 'invalid_credentials', message: 'Wrong e-mail or password.' });
    expect(state.tokens).toBe(1);
  });

  it('does not take another server for a Potoroo', async () => {
    const { client } = await misbehaving(() => undefined, (response) => json(response, 200, { hello: 'world' }));
    await expect(client().token()).rejects.toMatchObject({ code: 'unreachable', message: expect.stringContaining('not a Potoroo') });
  });
});

describe('the log of an upload', () => {
  const version = { id: 7, name: 'm', version: 'v', status: 'pending_load_native', reason: null };
  it('is told line by line as it grows, each once and without reading it anew', async () => {
    const said = Array.from({ length: 2500 }, (_, i) => `line ${i}`);
    const asked: number[] = [];
    let looks = 0;
    const { client } = await misbehaving((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
      if (!pathname.endsWith('/upload-log')) return json(response, 200, { ...version, status: (looks += 1) < 3 ? 'attempting_load_native' : 'ready' });
      const after = Number(searchParams.get('after') ?? 0);
      asked.push(after);
      // More of it is there at each look.
      const lines = said.slice(0, [900, 2400][looks - 1] ?? said.length).slice(after, after + Number(searchParams.get('limit') ?? 1000));
      json(response, 200, { lines, next: after + lines.length });
    });
    const potoroo = client();
    const told: string[] = [];
    await (await potoroo.models.version(7)).waitUntilReady({ onLog: (line) => told.push(line) });
    expect(told).toEqual(said);
    expect(asked).toEqual([0, 900, 1900, 2400]);
    asked.length = 0;
    expect(await (await potoroo.models.version(7)).uploadLog()).toEqual(said);
    expect(asked).toEqual([0, 1000, 2000]);
  });
});

describe('lists', () => {
  it('go on page after page and stop where the reader stops', async () => {
    const { state, client } = await misbehaving((request, response) => {
      const cursor = Number(new URL(request.url ?? '', 'http://x').searchParams.get('cursor') ?? '0');
      json(response, 200, { items: [{ ...workspace, id: cursor * 2 + 1 }, { ...workspace, id: cursor * 2 + 2 }], cursor: cursor < 2 ? String(cursor + 1) : null });
    });
    const ids: number[] = [];
    for await (const found of client().workspaces.list()) ids.push(found.id);
    expect(ids).toEqual([1, 2, 3, 4, 5, 6]);
    expect(state.calls).toBe(3);
    expect(await client().workspaces.list().toArray(3)).toHaveLength(3);
    expect(state.calls).toBe(5);
  });
});

it.each(['not an address', 'ftp://host', ''])('an address such as %j is refused at once', (url) => {
  expect(() => new Potoroo({ url, token: 't' })).toThrow(expect.objectContaining({ code: 'invalid_request' }));
});
