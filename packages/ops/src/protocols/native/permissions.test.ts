import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exampleModel } from '../../domains/testing.ts';
import { databases, type TestDatabase } from '../../storage/testing.ts';
import { startOps, type TestOps } from '../../testing.ts';
import { isPublic } from '../authenticate.ts';

const api = '/api/v1';
const model = readFileSync(exampleModel);
const people = ['stranger', 'collaborator', 'admin', 'owner'] as const;
type Person = (typeof people)[number];

/** Who is let in by a route that is not simply for the members of the workspace that its path names. */
const rules: Readonly<Record<string, 'owners' | 'maker' | 'administrators' | 'self' | 'everybody'>> = {
  'PATCH /workspaces/:workspaceId': 'owners',
  'PUT /workspaces/:workspaceId/members/:userId': 'owners',
  'DELETE /workspaces/:workspaceId/members/:userId': 'owners',
  'DELETE /connections/:connectionId': 'maker',
  'DELETE /registries/:registryId': 'maker',
  'PATCH /registries/:registryId': 'maker',
  'DELETE /tags/:tagId': 'maker',
  'POST /users': 'administrators',
  'PATCH /users/:userId': 'administrators',
  'GET /audit': 'administrators',
  'GET /signing-keys': 'administrators',
  'POST /signing-keys': 'administrators',
  'DELETE /signing-keys/:keyId': 'administrators',
  'DELETE /tokens/:tokenId': 'self',
  ...Object.fromEntries([
    'GET /me', 'GET /frameworks', 'GET /users', 'GET /users/:userId', 'GET /workspaces', 'POST /workspaces', 'GET /workspaces/default', 'GET /models', 'GET /model-versions', 'GET /pipelines', 'GET /deployments',
    'GET /tags', 'POST /tags', 'GET /tags/:tagId', 'GET /connections', 'POST /connections', 'GET /registries', 'POST /registries', 'GET /tokens', 'POST /tokens',
  ].map((route) => [route, 'everybody'])),
};
const bodies: Readonly<Record<string, unknown>> = {
  'PATCH /workspaces/:workspaceId': { archived: false }, 'PATCH /registries/:registryId': { token: 'correct-horse' },
  'PUT /workspaces/:workspaceId/members/:userId': { role: 'collaborator' },
  'POST /workspaces/:workspaceId/pipelines': { name: 'secret-line' },
  'POST /pipelines/:pipelineId/versions': { steps: [] },
  'PUT /model-versions/:versionId/config': { tensorFields: ['tensor'] },
  'PATCH /model-versions/:versionId': { visibility: 'private' },
  'POST /users': { email: 'not an address', password: 'a password for tests' }, 'PUT /pipelines/:pipelineId/log-retention': {}, 'PATCH /users/:userId': { enabled: true }, 'POST /workspaces': { name: 'another' }, 'POST /tokens': { name: 'another' },
};
/** What is the owner's alone; nobody else's answer may have a word of it. */
const secrets = /secret-|correct.horse/;

describe('the native API, route by route', () => {
  let t: TestOps;
  const tokens = {} as Record<Person, string>;
  const ids = {} as Record<Person, string>;
  /** The owner's things, and the stranger's, by the names that paths have for them. */
  const own: Record<string, string> = {};
  const theirs: Record<string, string> = {};
  let routes: string[];
  /** Belongs to no workspace but as the questions put them into one. */
  let guest: string;
  let tags = 0;

  const as = async (who: Person | null, method: string, path: string, body?: unknown): Promise<{ status: number; text: string; code: string }> => {
    const upload = path.includes('/versions?');
    const response = await fetch(`${t.url}${api}${path}`, {
      method, headers: { ...(who && { authorization: `Bearer ${tokens[who]}` }), ...(body !== undefined && { 'content-type': upload ? 'application/octet-stream' : 'application/json' }) },
      ...(body !== undefined && { body: upload ? (body as Buffer<ArrayBuffer>) : JSON.stringify(body) }),
    });
    // A stream of events has no end.
    const text = response.headers.get('content-type') === 'text/event-stream' ? (await response.body?.cancel(), '') : await response.text();
    let code = '';
    try { code = String((JSON.parse(text) as { code?: unknown }).code); } catch { /* logs and tensors are not JSON */ }
    return { status: response.status, text, code };
  };
  const made = async (who: Person, method: string, path: string, body?: unknown): Promise<{ id: number; version: string; members: { userId: string }[] }> => {
    const answer = await as(who, method, path, body);
    expect(answer.status, `${method} ${path}: ${answer.text}`).toBeLessThan(300);
    return JSON.parse(answer.text) as Awaited<ReturnType<typeof made>>;
  };

  async function world(who: Person, into: Record<string, string>, prefix: string): Promise<void> {
    const set = (values: Record<string, unknown>): void => { for (const [key, value] of Object.entries(values)) into[key] = String(value); };
    const workspace = await made(who, 'POST', '/workspaces', { name: `${prefix}place` });
    const version = await made(who, 'PUT', `/workspaces/${workspace.id}/models/${prefix}model/versions?framework=onnx`, model);
    const pipeline = await made(who, 'POST', `/workspaces/${workspace.id}/pipelines`, { name: `${prefix}line`, steps: [{ type: 'model', model: { name: `${prefix}model`, version: version.version } }] });
    const deployment = await made(who, 'PUT', `/pipelines/${pipeline.id}/deployment`, {});
    const modelId = (JSON.parse((await as(who, 'GET', `/models?workspaceId=${workspace.id}`)).text) as { items: [{ id: number }] }).items[0].id;
    const line = JSON.parse((await as(who, 'GET', `/pipelines/${pipeline.id}`)).text) as { versions: [{ id: number }] };
    set({ workspaceId: workspace.id, name: `${prefix}line`, model: `${prefix}line`, version: 'none', versionId: version.id, pipelineId: pipeline.id, deploymentId: deployment.id, modelId, pipelineVersionId: line.versions[0].id, userId: guest });
    await fresh(who, into, prefix);
  }

  /** What one round of changes uses up. */
  async function fresh(who: Person, into: Record<string, string>, prefix: string): Promise<void> {
    const tag = await made(who, 'POST', '/tags', { tag: `tag ${(tags += 1)}` });
    const connection = await made(who, 'POST', '/connections', { name: `${prefix}source-${tags}`, type: 'X', details: { password: 'correct horse' } });
    await made(who, 'PUT', `/workspaces/${into['workspaceId']}/connections/${connection.id}`);
    for (const thing of [`/model-versions/${into['versionId']}`, `/pipelines/${into['pipelineId']}`]) expect((await as(who, 'PUT', `${thing}/tags/${tag.id}`)).status).toBe(204);
    // It leads where requests for users do not go: nothing is asked of anybody.
    const registry = await made(who, 'POST', '/registries', { name: `${prefix}registry-${tags}`, url: `http://10.0.0.1/${prefix}path`, token: 'correct-horse', workspaceId: Number(into['workspaceId']) });
    const token = await made(who, 'POST', '/tokens', { name: 'of the test' });
    Object.assign(into, { tagId: String(tag.id), connectionId: String(connection.id), registryId: String(registry.id), tokenId: String(token.id) });
  }

  const parameters = (route: string): string[] => [...route.matchAll(/:(\w+)/g)].map(([, name]) => name as string);
  function pathOf(route: string, from: Record<string, string>): string {
    const pattern = route.split(' ')[1] as string;
    const path = pattern.replace(/:(\w+)/g, (_, name: string) => (name === 'versionId' && pattern.includes('/pipeline-versions/') ? from['pipelineVersionId'] : from[name]) ?? 'none');
    const query = route.endsWith('/:registryId/versions') ? '?model=m' : route.endsWith('/artifacts') ? '?model=m&version=1' : /\/models\/[^/]+\/versions$/.test(path) && route.includes('/workspaces/') ? '?framework=onnx' : '';
    return path + query;
  }
  const bodyOf = (route: string): unknown => {
    if (route.endsWith('/models/:name/versions')) return model;
    if (route.endsWith('/infer') || route.endsWith('/index')) return [];
    if (route in bodies) return bodies[route];
    if (route === 'POST /registries/:registryId/uploads') return { workspaceId: Number(own['workspaceId']), name: 'fetched', path: 'models:/m/1', framework: 'onnx' };
    if (route.endsWith('/images')) return { image: 'registry.invalid/nothing:1' };
    if (route === 'PUT /pipelines/:pipelineId/deployment') return { pipelineVersionId: Number(own['pipelineVersionId']) };
    return /^(POST|PATCH)/.test(route) ? {} : undefined;
  };
  const ask = (who: Person | null, route: string, from = own) => as(who, route.split(' ')[0] as string, pathOf(route, from), bodyOf(route));
  const rule = (route: string) => rules[route] ?? 'members';

  /** All that the owner can read of what is theirs, times of reading aside. */
  const all = async (): Promise<string[]> => {
    const seen: string[] = [];
    for (const route of routes.filter((r) => /^GET .*:(workspace|pipeline|version|model|connection|registry|tag)Id/.test(r) && !/:deploymentId|deployment$|:registryId\//.test(r))) seen.push(`${route} ${(await ask('owner', route)).text}`);
    return seen;
  };

  beforeAll(async () => {
    t = await startOps(databases[0] as TestDatabase);
    routes = [...t.ops.routes].filter((route) => / \/api\/v1\//.test(route) && !route.startsWith('HEAD ') && !isPublic(...(route.split(' ') as [string, string]))).map((route) => route.replace(`${api}/`, '/'));
    for (const who of people) {
      const email = who === 'admin' ? 'admin@ex.co' : `${who}@ex.co`;
      if (who !== 'admin') await t.call('POST', `${api}/users`, { email, password: 'a password for tests' });
      tokens[who] = await t.signIn(email, 'a password for tests');
      ids[who] = (await t.call<{ id: string }>('GET', `${api}/me`, undefined, { token: tokens[who] })).body.id;
    }
    guest = (await t.call<{ id: string }>('POST', `${api}/users`, { email: 'guest@ex.co', password: 'a password for tests' })).body.id;
    await world('owner', own, 'secret-');
    await world('stranger', theirs, 'strange-');
    await made('owner', 'PUT', `/workspaces/${own['workspaceId']}/members/${ids['collaborator']}`, { role: 'collaborator' });
  });
  afterAll(() => t.close());

  test('has a rule for each', () => {
    expect(routes.length).toBeGreaterThan(50);
    expect(Object.keys(rules).filter((route) => !routes.includes(route))).toEqual([]);
    const unruled = routes.filter((route) => rule(route) === 'members' && !parameters(route).some((name) => ['workspaceId', 'pipelineId', 'versionId', 'deploymentId', 'modelId', 'connectionId', 'registryId'].includes(name)));
    expect(unruled, 'say in `rules` who may').toEqual([]);
  });

  test('strangers and the anonymous neither see nor change anything, and cannot tell that it is there', async () => {
    const before = await all();
    const wrong: string[] = [];
    for (const route of routes) {
      const anonymous = await ask(null, route);
      if (anonymous.status !== 401) wrong.push(`anonymous ${route}: ${anonymous.status} ${anonymous.text}`);
      const answer = await ask('stranger', route);
      const kind = rule(route);
      const nowhere = await ask('stranger', route, Object.fromEntries(Object.entries(own).map(([key, value]) => [key, /^\d+$/.test(value) && key !== 'tagId' ? '987654' : ['connectionId', 'registryId', 'tokenId'].includes(key) ? '00000000-0000-4000-8000-000000000000' : value])));
      const good = kind === 'everybody' ? answer.status < 300 || answer.status === 400
        : kind === 'administrators' || route === 'DELETE /tags/:tagId' ? answer.status === 403
          : answer.status === 404 && nowhere.status === 404 && nowhere.code === answer.code;
      if (!good) wrong.push(`stranger ${route}: ${answer.status} ${answer.text.slice(0, 200)}; nowhere: ${nowhere.status} ${nowhere.code}`);
      // What the question named may be repeated; what it did not may not be told.
      if (secrets.test(kind === 'everybody' ? answer.text : answer.text.replaceAll(own['name'] as string, ''))) wrong.push(`stranger ${route} is told: ${answer.text.slice(0, 300)}`);
    }
    expect(wrong).toEqual([]);
    expect(await all()).toEqual(before);
  });

  test('a way in by one’s own things leads to nobody else’s', async () => {
    const before = await all();
    const wrong: string[] = [];
    for (const route of routes.filter((r) => parameters(r).length === 2)) {
      for (const foreign of parameters(route).filter((name) => own[name] !== theirs[name] && name !== 'tagId' && name !== 'name')) {
        const answer = await ask('stranger', route, { ...theirs, [foreign]: own[foreign] as string });
        if (answer.status !== 404 && answer.status !== 403) wrong.push(`${route} with a foreign ${foreign}: ${answer.status} ${answer.text}`);
      }
    }
    const step = { type: 'model', model: { name: 'secret-model', version: JSON.parse((await as('owner', 'GET', `/model-versions/${own['versionId']}`)).text).version as string } };
    for (const [method, path, body] of [
      ['POST', `/workspaces/${theirs['workspaceId']}/pipelines`, { name: 'thief', steps: [step] }],
      ['POST', `/pipelines/${theirs['pipelineId']}/versions`, { steps: [step] }],
      ['PUT', `/pipelines/${theirs['pipelineId']}/deployment`, { pipelineVersionId: Number(own['pipelineVersionId']) }],
      ...['models', 'model-versions', 'pipelines', 'deployments', 'connections', 'registries', 'audit'].map((list) => ['GET', `/${list}?workspaceId=${own['workspaceId']}`, undefined] as const),
      ['GET', `/deployments?pipelineId=${own['pipelineId']}`, undefined], ['GET', `/workspaces?userId=${ids['owner']}`, undefined], ['GET', '/pipelines?name=secret-line', undefined],
      ['GET', '/models?name=secret-model', undefined], ['GET', '/model-versions?term=secret', undefined], ['GET', '/pipelines?term=secret', undefined], ['GET', `/connections?name=secret-source-1`, undefined],
    ] as const) {
      const { status, text } = await as('stranger', method, path, body);
      const empty = method === 'GET' && status === 200 && text.includes('"items":[]');
      if ((status < 400 || status >= 500) && !empty) wrong.push(`${method} ${path}: ${status} ${text}`);
    }
    expect(wrong).toEqual([]);
    expect(await all()).toEqual(before);
  });

  test.each(['collaborator', 'admin', 'owner'] as const)('lets in the %s as far as the rule says', async (who) => {
    await fresh('owner', own, 'secret-');
    await made('owner', 'PUT', `/workspaces/${own['workspaceId']}/members/${guest}`, { role: 'collaborator' });
    const order = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE'];
    // Undeploying comes last: what is deployed is in use, and so outlives the questions.
    const key = (route: string): number => order.indexOf(route.split(' ')[0] as string) * 1000 + (route.endsWith('/deployment') ? 900 : /^DELETE \/(connections|registries)\//.test(route) ? 0 : 500 - route.split('/').length);
    const wrong: string[] = [];
    for (const route of routes.toSorted((a, b) => key(a) - key(b))) {
      const kind = rule(route);
      const { status, text, code } = await ask(who, route);
      const refused = who === 'collaborator' ? kind === 'owners' || kind === 'maker' || kind === 'administrators' : who === 'owner' && kind === 'administrators';
      const allowed = kind === 'self' && who !== 'owner' ? status === 404 : refused ? status === 403 : ![401, 403].includes(status) && (status !== 404 || code === 'not_deployed' || code === 'sidekick_not_found' || pathOf(route, own).endsWith('/none') || route.includes('/versions/:version'));
      if (!allowed || status >= 500 && status !== 503) wrong.push(`${route}: ${status} ${text.slice(0, 200)}`);
    }
    expect(wrong).toEqual([]);
  });
});
