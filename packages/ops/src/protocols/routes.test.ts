import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Validator } from '@seriousme/openapi-schema-validator';
import { databases, type TestDatabase } from '../storage/testing.ts';
import { startOps, type TestOps } from '../testing.ts';
import { engineRoutes, publicRoutes } from './authenticate.ts';

describe('every route', () => {
  let t: TestOps;
  beforeAll(async () => { t = await startOps(databases[0] as TestDatabase, { POTOROO_METRICS_TOKEN: 'token-for-prometheus' }); });
  afterAll(() => t.close());

  const request = (route: string, headers: Record<string, string>) => {
    const [method, pattern] = route.split(' ') as [string, string];
    return fetch(t.url + pattern.replace(/:\w+/g, '1').replace('*', 'x'), { method, headers, redirect: 'manual', ...(['POST', 'PUT', 'PATCH'].includes(method) && { body: '{}' }) });
  };

  test('is refused without a token and with a wrong one, unless it is on the public list', async () => {
    const routes = [...t.ops.routes].filter((route) => !route.startsWith('HEAD '));
    expect(routes.length).toBeGreaterThan(50);
    const open: string[] = [];
    for (const route of routes) {
      const answers = await Promise.all([{}, { authorization: 'Bearer wrong' }, { authorization: 'wrong' }].map((headers) => request(route, { 'content-type': 'application/json', ...headers } as Record<string, string>)));
      for (const answer of answers) await answer.arrayBuffer();
      const refused = answers.every((answer) => answer.status === 401);
      if (!refused) open.push(route);
    }
    expect(open.filter((route) => !publicRoutes.has(route))).toEqual([]);
  });

  test('that is on a list exists', () => {
    for (const route of [...publicRoutes, ...engineRoutes]) expect(t.ops.routes).toContain(route);
  });

  test('for engines takes no user’s token, and those for users no engine’s', async () => {
    const engine = await t.ops.domains.identity.engineToken(1);
    expect((await t.call('GET', '/api/v1/me', undefined, { token: engine })).status).toBe(401);
    expect((await t.call('POST', '/internal/v1/logs/p', Buffer.alloc(0))).status).toBe(401);
    expect((await t.call('POST', '/internal/v1/logs/p', Buffer.alloc(0), { token: engine })).status).toBe(404);
  });

  test('/metrics is for its own token and for users; its labels are patterns', async () => {
    await t.call('GET', '/api/v1/workspaces/123456');
    const { status, text } = await t.call('GET', '/metrics', undefined, { token: 'token-for-prometheus' });
    expect(status).toBe(200);
    expect(text).toContain('route="/api/v1/workspaces/:workspaceId",status="404"');
    expect((await t.call('GET', '/metrics')).status).toBe(200);
    expect((await t.call('GET', '/api/v1/me', undefined, { token: 'token-for-prometheus' })).status).toBe(401);
  });

  test('has a request id and keeps browsers from guessing', async () => {
    const given = await t.call('GET', '/healthz', undefined, { token: null, headers: { 'x-request-id': 'my-id' } });
    expect(given).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(given.headers.get('x-request-id')).toBe('my-id');
    expect(given.headers.get('x-content-type-options')).toBe('nosniff');
    const odd = await t.call('GET', '/readyz', undefined, { token: null, headers: { 'x-request-id': 'a b<script>' } });
    expect(odd.body).toEqual({ status: 'ready' });
    expect(odd.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('of the native API is in the OpenAPI document, which is valid', async () => {
    const { body } = await t.call<{ paths: Record<string, Record<string, { operationId: string; security?: unknown[]; responses: Record<string, unknown> }>>; components: { schemas: object } }>('GET', '/api/v1/openapi.json', undefined, { token: null });
    const result = await new Validator().validate(structuredClone(body));
    expect(result.valid, JSON.stringify(result.errors)).toBe(true);
    const described = Object.entries(body.paths).flatMap(([path, operations]) => Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`));
    const native = [...t.ops.routes].filter((route) => /^[A-Z]+ \/api\/v1\//.test(route) && !route.startsWith('HEAD ') && !/^GET \/api\/v1\/(openapi\.json|docs)$/.test(route));
    expect(described.filter((route) => route.includes('/api/v1/')).sort()).toEqual(native.sort());
    const operations = Object.values(body.paths).flatMap((o) => Object.values(o));
    expect(new Set(operations.map((o) => o.operationId)).size).toBe(operations.length);
    for (const operation of operations) expect(operation.responses).toHaveProperty('default');
    expect(Object.keys(body.components.schemas)).toEqual(expect.arrayContaining(['Problem', 'User', 'Workspace', 'Model', 'ModelVersion', 'Pipeline', 'Deployment', 'DeploymentStatus', 'LogPage']));
  });

  test('is rendered for people, with nothing from elsewhere', async () => {
    const page = await fetch(`${t.url}/api/docs`);
    const html = await page.text();
    expect(page.status).toBe(200);
    expect(html).toContain('swagger-ui');
    expect(html).toContain('<title>Potoroo API</title>');
    expect(html).not.toMatch(/(src|href)="https?:/);
    for (const [, path] of html.matchAll(/(?:src|href)="([^"]+\.(?:js|css))"/g)) expect((await fetch(new URL(path as string, `${t.url}/api/docs/`))).status, path).toBe(200);
  });

  test('of OpenID answers in OpenID’s forms', async () => {
    const token = '/auth/realms/master/protocol/openid-connect/token';
    const form = (fields: Record<string, string>) => t.call<Record<string, unknown>>('POST', token, new URLSearchParams(fields).toString(), { token: null, headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    const good = await form({ grant_type: 'password', client_id: 'sdk-client', username: 'admin@ex.co', password: 'a password for tests' });
    expect(good.body).toMatchObject({ access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/), expires_in: 900, refresh_token: expect.any(String), refresh_expires_in: expect.any(Number), token_type: 'Bearer' });
    const refreshed = await form({ grant_type: 'refresh_token', client_id: 'sdk-client', refresh_token: good.body['refresh_token'] as string });
    expect(refreshed.status).toBe(200);
    for (const [fields, status, error] of [
      [{ grant_type: 'password', username: 'admin@ex.co', password: 'wrong' }, 401, 'invalid_grant'],
      [{ grant_type: 'password', username: 'admin@ex.co' }, 400, 'invalid_request'],
      [{ grant_type: 'refresh_token', refresh_token: 'unknown' }, 401, 'invalid_grant'],
      [{ grant_type: 'client_credentials' }, 400, 'unsupported_grant_type'],
      [{}, 400, 'invalid_request'],
    ] as const) expect(await form(fields as Record<string, string>)).toMatchObject({ status, body: { error, error_description: expect.any(String) } });
    expect((await t.call('POST', token, { grant_type: 'password' }, { token: null })).status).toBe(400);
    expect((await t.call('POST', token, 'x', { token: null, headers: { 'content-type': 'text/csv' } })).status).toBe(415);
    const discovery = await t.call<{ issuer: string; jwks_uri: string }>('GET', '/auth/realms/master/.well-known/openid-configuration', undefined, { token: null });
    expect(discovery.body.jwks_uri).toBe(`${t.url}/auth/realms/master/protocol/openid-connect/certs`);
    expect((await t.call<{ keys: object[] }>('GET', new URL(discovery.body.jwks_uri).pathname, undefined, { token: null })).body.keys).toMatchObject([{ kty: 'EC', crv: 'P-256', alg: 'ES256' }]);
  });
});
