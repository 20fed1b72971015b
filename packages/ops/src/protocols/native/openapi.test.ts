import { afterAll, beforeAll, expect, test } from 'vitest';
import { databases } from '../../storage/testing.ts';
import { startOps, type TestOps } from '../../testing.ts';

interface Schema { readonly $ref?: string; readonly writeOnly?: boolean; readonly format?: string; readonly type?: string; readonly properties?: Record<string, Schema>; readonly [key: string]: unknown }
interface Body { readonly content?: Record<string, { readonly schema: Schema }> }
interface Document { readonly paths: Record<string, Record<string, { readonly requestBody?: Body; readonly responses: Record<string, Body> }>>; readonly components: { readonly schemas: Record<string, Schema> } }

let t: TestOps;
let document: Document;
beforeAll(async () => {
  t = await startOps(databases[0]!);
  document = (await t.call<Document>('GET', '/api/v1/openapi.json')).body;
});
afterAll(() => t.close());

/** Every property with the path that leads to it, in whatever a schema holds. */
function* properties(schema: unknown, at: string): Generator<[path: string, name: string, schema: Schema]> {
  if (typeof schema !== 'object' || schema === null) return;
  const { $ref, properties: own = {}, ...rest } = schema as Schema;
  if ($ref !== undefined) yield* properties(document.components.schemas[$ref.split('/').at(-1) as string], at);
  for (const [name, property] of Object.entries(own)) {
    yield [`${at}.${name}`, name, property];
    yield* properties(property, `${at}.${name}`);
  }
  for (const inner of Object.values(rest)) yield* properties(inner, at);
}

const bodies = (of: 'requests' | 'answers') => Object.entries(document.paths).flatMap(([path, operations]) => Object.entries(operations).flatMap(([method, { requestBody, responses }]) =>
  (of === 'requests' ? [requestBody] : Object.values(responses)).flatMap((body) => Object.values(body?.content ?? {}).flatMap(({ schema }) => [...properties(schema, `${method} ${path}`)]))));
const secret = /password|token|secret|credentials|^details$/i;

test('every password and token of a request is write-only, and passwords say that they are', () => {
  const given = bodies('requests').filter(([, name, { type }]) => secret.test(name) && type !== 'boolean');
  expect(given.map(([path]) => path).toSorted()).toEqual([
    'patch /api/v1/registries/{registryId}.token', 'post /api/v1/connections.details', 'post /api/v1/registries.token', 'post /api/v1/users.password',
    'post /api/v1/workspaces/{workspaceId}/models/{name}/images.credentials', 'post /api/v1/workspaces/{workspaceId}/models/{name}/images.credentials.password',
  ]);
  for (const [path, name, schema] of given) expect([path, schema]).toEqual([path, expect.objectContaining({ writeOnly: true, ...(name === 'password' && { format: 'password' }) })]);
});

test('an answer has no password, and a token only where it is given once', () => {
  const given = bodies('answers');
  expect(given.length).toBeGreaterThan(100);
  expect(given.filter(([, , { writeOnly }]) => writeOnly === true)).toEqual([]);
  expect(given.filter(([, name, { type }]) => secret.test(name) && type !== 'boolean').map(([path]) => path)).toEqual(['post /api/v1/tokens.token']);
});

test('a password of any text is taken by the check of requests', async () => {
  expect((await t.call('POST', '/api/v1/users', { email: 'pass@ex.co', password: 'pässwörd "of" 7 words \u{1F998}' })).status).toBe(201);
});
