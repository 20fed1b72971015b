import { Agent } from 'node:http';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleModel } from '../domains/testing.ts';
import { databases, type TestDatabase } from '../storage/testing.ts';
import { adminPassword, startOps, type TestOps } from '../testing.ts';
import { ask, bytes, document, generator, headers, parameter, value, type Generator, type Question } from './fuzz-testing.ts';

/** `npm run test:fuzz` sends more. POTOROO_FUZZ_SEED repeats a run, as far as a server with many requests at once repeats itself. */
const requests = Number(process.env['POTOROO_FUZZ_REQUESTS'] ?? 1500);
const seed = Number(process.env['POTOROO_FUZZ_SEED'] ?? 20_260_101);
const atOnce = 16;

/** What no answer may hold: stacks, paths, SQL, secrets. */
const leaks = /\bat [^\n]*\.[jt]s:\d|node_modules|file:\/\/|SQLITE_|\bsqlite\b|select [^{}]* from \W?\w|insert into|SqliteError|kysely|scrypt|PRIVATE KEY|correct.horse/i;
const rows = readFileSync(new URL('../../../../examples/breast-cancer/rows.json', import.meta.url), 'utf8');

let t: TestOps;
let token: string;
let routes: string[];
let infer: () => Promise<number>;
const right: Record<string, string[]> = {};
const bodies: [RegExp, unknown][] = [
  [/POST .*\/workspaces$/, { name: 'x' }], [/\/pipelines$/, { name: 'line', steps: [{ type: 'model', model: { name: 'm', version: '1' } }] }], [/pipelines\/:pipelineId\/versions$/, { steps: [{ type: 'randomSplit', variants: [{ weight: 1, model: { name: 'm', version: '1' } }] }] }],
  [/members/, { role: 'owner' }], [/config$/, { tensorFields: ['a'], inputSchema: [{ name: 'x', type: 'float32', shape: [1] }] }], [/retention/, { days: 1, bytes: 1 }], [/\/tags$/, { tag: 'x' }], [/\/connections$/, { name: 'c', type: 'T', details: { a: 'b' } }], [/\/registries$/, { name: 'r', url: 'http://10.0.0.1' }], [/\/uploads$/, { workspaceId: 1, name: 'm', path: 'models:/m/1', framework: 'onnx' }], [/\/tokens$/, { name: 't', expiresAt: '2099-01-01T00:00:00Z' }],
  [/v2\/models/, { inputs: [{ name: 'tensor', shape: [1, 30], datatype: 'FP32', data: Array.from({ length: 30 }, () => 1) }] }], [/infer/, JSON.parse(rows)], [/graphql/, { query: '{ tag { id } }', variables: {} }],
  [/\/deployment$/, { config: { replicas: 1 } }], [/v1\/api\//, { id: 1, model_version_id: 1, workspace_id: 1, workspace_name: 'x', pipeline_id: 'p', pipeline_pk_id: 1, pipeline_version_pk_id: 1, deploy_id: 'p', deployment_id: 1, name: 'p-1', user_id: 'x', user_type: 'OWNER', email: 'a@ex.co', password: 'password', definition: { id: 'p', steps: [{ ModelInference: { models: [{ name: 'm', version: '1', sha: 'x' }] } }] }, engine_config: { engine: { replicas: 1 } } }],
];

beforeAll(async () => {
  t = await startOps(databases[0] as TestDatabase, { POTOROO_MAX_UPLOAD_BYTES: '200000' });
  routes = [...t.ops.routes].filter((route) => !/^(HEAD|OPTIONS|TRACE|CONNECT)/.test(route));
  await t.call('POST', '/api/v1/users', { email: 'mallory@ex.co', password: 'a password of mallory' });
  token = await t.signIn('mallory@ex.co', 'a password of mallory');
  const model = readFileSync(exampleModel);
  const make = async (by: string | undefined, deploy: boolean): Promise<Record<string, unknown>> => {
    const as = by === undefined ? {} : { token: by };
    const { body: workspace } = await t.call<{ id: number }>('GET', '/api/v1/workspaces/default', undefined, as);
    const { body: version } = await t.call<{ id: number; version: string }>('PUT', `/api/v1/workspaces/${workspace.id}/models/m/versions?framework=onnx`, model, as);
    const { body: pipeline } = await t.call<{ id: number }>('POST', `/api/v1/workspaces/${workspace.id}/pipelines`, { name: 'line', steps: [{ type: 'model', model: { name: 'm', version: version.version } }] }, as);
    const { body: connection } = await t.call<{ id: string }>('POST', '/api/v1/connections', { name: `source ${by === undefined}`, type: 'X', details: { password: by === undefined ? 'correct horse' : 'her own' } }, as);
    // Where it leads nobody is asked: no request for a user goes there.
    const { body: registry } = await t.call<{ id: string }>('POST', '/api/v1/registries', { name: 'lab', url: 'http://10.0.0.1', token: by === undefined ? 'correct-horse' : 'her-own' }, as);
    const { body: tag } = await t.call<{ id: number }>('POST', '/api/v1/tags', { tag: `of ${by === undefined}` }, as);
    const deployment = deploy ? (await t.call<{ id: number }>('PUT', `/api/v1/pipelines/${pipeline.id}/deployment`, {}, as)).body.id : 1;
    return { workspaceId: workspace.id, versionId: version.id, pipelineId: pipeline.id, deploymentId: deployment, modelId: version.id, connectionId: connection.id, registryId: registry.id, tagId: tag.id, name: 'line', model: 'line', version: version.version, deployment: `line-${deployment}`, pipeline: 'line', userId: (await t.call<{ id: string }>('GET', '/api/v1/me', undefined, as)).body.id, partition: 'p', code: 'internal', topic: `workspace-${workspace.id}-pipeline-line-inference` };
  };
  const example = await make(undefined, true);
  for (const things of [example, await make(token, false)]) for (const [key, id] of Object.entries(things)) (right[key] ??= []).push(String(id));
  infer = async () => (await t.call('POST', `/api/v1/deployments/${String(example['deploymentId'])}/infer`, rows, { headers: { 'content-type': 'application/json' } })).status;
  // Waits for the engine.
  if (await infer() !== 200) throw new Error('The example does not infer.');
});
afterAll(() => t.close());

function question(g: Generator): Question {
  const route = g.chance(0.25) ? 'POST /v1/graphql' : g.pick(routes);
  const [declared, pattern] = route.split(' ') as [string, string];
  const query = g.chance(0.3) ? `?${Array.from({ length: 1 + g.below(3) }, () => `${g.pick(['limit', 'cursor', 'workspaceId', 'pipelineId', 'name', 'term', 'order', 'start', 'end', 'dataset', 'dataset.exclude', 'page_size', 'framework', 'email', 'x[]'])}=${parameter(g, right['workspaceId'] ?? [])}`).join('&')}` : '';
  const path = pattern.replace(/:(\w+)/g, (_, name: string) => parameter(g, right[name] ?? right['pipelineId'] ?? [])).replace('*', () => parameter(g, ['x'])) + query;
  const method = g.chance(0.97) ? declared : g.pick(['PUT', 'PATCH', 'DELETE', 'POST', 'GET']);
  const given = headers(g, [token, t.ops.routes.size.toString(), 'potoroo_pat_x']);
  if (method === 'GET') return { method, path, headers: given, body: null };
  if (pattern === '/v1/graphql' && g.chance(0.8)) return { method, path, headers: given, body: Buffer.from(JSON.stringify({ query: document(g, roots), ...(g.chance(0.3) && { variables: value(g) }) })) };
  if (pattern.includes('upload') || g.chance(0.03)) {
    const part = `--b\r\nContent-Disposition: form-data; name="${g.pick(['metadata', 'file', 'x', '', '"'])}"; filename="${g.pick(['m.onnx', '../../x', ''])}"\r\nContent-Type: ${g.pick(['application/json', 'x'])}\r\n\r\n`;
    const whole = Buffer.concat([Buffer.from(part), bytes(g, { name: 'm', workspace_id: 1, visibility: 'private', conversion: { framework: 'onnx', arch: 'x86', accel: 'none' } }), Buffer.from('\r\n--b--\r\n')]);
    return { method, path, headers: { ...given, 'content-type': `multipart/form-data; boundary=${g.pick(['b', 'c', '', 'b'.repeat(500)])}` }, body: whole.subarray(0, g.chance(0.5) ? whole.length : g.below(whole.length)) };
  }
  const wanted = bodies.find(([shape]) => shape.test(route))?.[1];
  return { method, path, headers: given, body: bytes(g, wanted) };
}
const roots = ['workspace_by_pk', 'model_by_pk', 'model_config_by_pk', 'pipeline_by_pk', 'pipeline_version_by_pk', 'deployment_by_pk', 'tag', 'model', 'models', 'pipeline', 'search_models', 'search_pipelines', 'insert_tag', 'insert_model_config', 'delete_workspace_users', 'update_deployment_by_pk', 'delete_tag', '__schema', '__type', 'x'];

test(`of ${requests} malformed requests none breaks the server or is told what is inside`, async () => {
  const g = generator(seed);
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const wrong = new Map<string, string>();
  const statuses: Record<number, number> = {};
  let left = requests;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const q = question(g);
      const { status, text } = await ask(agent, t.url, q);
      statuses[status] = (statuses[status] ?? 0) + 1;
      const leak = leaks.exec(text)?.[0] ?? [t.dataDir, process.cwd(), adminPassword].find((secret) => text.includes(secret));
      const what = status === 0 ? text : status >= 500 ? `${status} ${text.slice(0, 200).replace(/"instance":"[^"]*"/, '')}` : leak === undefined ? undefined : `${status} told ${JSON.stringify(leak)}: ${text.slice(0, 200)}`;
      if (what !== undefined && wrong.size < 40) wrong.set(`${q.method} ${q.path.split('?', 1)[0]?.replace(/\d+/g, 'N').slice(0, 60)} ${what.slice(0, 60)}`, `${q.method} ${q.path.slice(0, 150)} ${JSON.stringify({ ...q.headers, authorization: undefined })} ${q.body?.subarray(0, 300).toString('latin1') ?? ''} -> ${what}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  agent.destroy();
  expect([...wrong.values()]).toEqual([]);
  // Not everything is refused at the door, and not everything is taken.
  expect(statuses[200] ?? 0).toBeGreaterThan(requests / 100);
  expect(statuses[400] ?? 0).toBeGreaterThan(requests / 10);
  expect(statuses[404] ?? 0).toBeGreaterThan(requests / 100);
  expect((await t.call('GET', '/readyz', undefined, { token: null })).status).toBe(200);
  expect(await infer()).toBe(200);
}, 900_000);
