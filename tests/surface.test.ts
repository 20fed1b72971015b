import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import * as sdk from '@potoroo/sdk';
import { run } from '../packages/cli/src/run.ts';
import { admin, example, startServer, temporaryFolder, type Server } from './support/server.ts';

/**
 * That the command line reaches all of the SDK, and both all of the native API: a scenario of command lines is run against a real server,
 * and what is not reached by it has its reason here.
 */
const images = 'needs an image registry and a container tool: tests/containers';
const byId = 'for who has an id; commands find things by name';
const registries = 'needs a model registry: tests/registries';
const sidekicks = 'needs a model with a process of its own: tests/python-pipeline.test.ts';
/** What nothing reaches, or no command, and why. */
const routesWithout: readonly (readonly [RegExp, string])[] = [
  [/\/deployments\/\{deploymentId\}\/v2/, 'for clients of the Open Inference Protocol: tests/v2-clients'],
  [/^POST .*\/pipelines\/\{name\}\/infer$/, 'for curl: the SDK knows the deployment'],
  [/^PUT .*\/models\/\{name\}\/versions$/, 'for curl -T: the same as POST'],
  [/^GET .*\/pipelines\/\{pipelineId\}\/deployment$/, 'the same as GET /deployments/{deploymentId}'],
  [/\/registries/, registries], [/\/images$/, images], [/\/sidekicks\/\{sidekick\}\/log/, sidekicks],
];
const methodsWithout: readonly (readonly [RegExp, string])[] = [
  [/^Registr/, registries], [/^(Models|Workspace)\.registerImage$/, images], [/^Deployment\.(sidekickLog|followSidekickLog)$/, sidekicks],
  [/^(Connections|Models|Tags|Users)\.get$|^Pipelines\.version$/, byId],
  [/^Logs\.(page|tables|tablePage)$|^Pages\.page$/, 'for programs that page themselves; commands read all, or export'],
  [/\.refresh$|^Pipeline\.(replaceWithModelStep|addValidations)$/, 'for programs that keep an object; commands read it anew and change steps of every kind in one way'],
  [/^Potoroo\.renew$/, 'for programs that hand tokens on'],
  [/^(DeploymentConfigBuilder|Expression|ListFunctions|StringFunctions)\./, 'builders: their own tests'],
];
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let env: Record<string, string>;
const reachedRoutes = new Set<string>();
const reachedMethods = new Set<string>();
let operations: { key: string; pattern: RegExp; method: string }[];
let output = '';

/** Every public method of the SDK's classes, by `Class.method`; recorded when it is called. */
function recordMethods(): string[] {
  const names: string[] = [];
  for (const [className, value] of Object.entries(sdk)) {
    if (typeof value !== 'function' || !/^class\s/.test(Function.prototype.toString.call(value))) continue;
    for (const [name, { value: method }] of Object.entries(Object.getOwnPropertyDescriptors(value.prototype as object))) {
      if (name === 'constructor' || typeof method !== 'function') continue;
      names.push(`${className}.${name}`);
      Object.defineProperty(value.prototype, name, { configurable: true, writable: true, value(this: unknown, ...args: unknown[]) {
        reachedMethods.add(`${className}.${name}`);
        return (method as (...given: unknown[]) => unknown).apply(this, args);
      } });
    }
  }
  return names;
}

beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
  env = { HOME: folder.path, POTOROO_CONFIG_DIR: join(folder.path, 'config'), POTOROO_URL: server.url, PATH: process.env['PATH'] ?? '' };
  const document = (await (await fetch(`${server.url}/api/v1/openapi.json`)).json()) as { paths: Record<string, Record<string, unknown>> };
  operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => ({
    key: `${method.toUpperCase()} ${path}`, method: method.toUpperCase(), pattern: new RegExp(`^${path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '[^/]+')}$`),
  })));
  const plainFetch = globalThis.fetch;
  vi.stubGlobal('fetch', (input: URL, init?: RequestInit) => {
    const { pathname } = input;
    // `/workspaces/default` has the form of `/workspaces/{workspaceId}` too: the one with fewer parameters is meant.
    const [best] = operations.filter((o) => o.method === (init?.method ?? 'GET') && o.pattern.test(pathname)).toSorted((a, b) => a.key.split('{').length - b.key.split('{').length);
    if (best !== undefined) reachedRoutes.add(best.key);
    return plainFetch(input, init);
  });
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => { output += String(text); return true; });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => { output += String(text); return true; });
}, 60_000);
afterAll(async () => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  await server.stop();
  await folder.remove();
});

it('the command line reaches the SDK, and both reach the native API', async () => {
  const methods = recordMethods();
  const file = async (name: string, content: unknown): Promise<string> => {
    const path = join(folder.path, name);
    await mkdir(folder.path, { recursive: true });
    await writeFile(path, JSON.stringify(content));
    return path;
  };
  const potoroo = async (...args: string[]): Promise<string> => {
    output = '';
    const code = await run(args, env);
    expect(code, `${args.join(' ')}: ${output}`).toBe(0);
    return output;
  };
  const rows = join(example, 'rows.json');
  await potoroo('login', '--admin-file', await file('admin.json', { email: admin.username, password: admin.password }));
  await potoroo('token');
  const { id } = JSON.parse(await potoroo('token', 'create', 'script', '--json')) as { id: string };
  await potoroo('token', 'list');
  await potoroo('token', 'revoke', id);
  const { id: key } = JSON.parse(await potoroo('key', 'rotate', '--json')) as { id: string };
  await potoroo('key', 'revoke', key);
  for (const line of [
    'user invite maria@ex.co', 'user list', 'user show', 'user show maria@ex.co', 'user disable maria@ex.co', 'user enable maria@ex.co',
    'workspace show', 'workspace create fraud --use', 'workspace list', 'workspace show', 'workspace use fraud', 'workspace members', 'workspace add maria@ex.co --owner', 'workspace remove maria@ex.co',
    'model frameworks', `model upload m ${join(example, 'model.onnx')} -t tensor`, `model upload spare ${join(example, 'model.onnx')}`, 'model list', 'model show m', 'model config m', 'model configure m --batch many', 'model search m', 'model upload-log m', 'model delete spare',
    'model share m', 'model unshare m', 'model logs m',
    'pipeline create p -m m', 'pipeline list', 'pipeline show p', 'pipeline versions p', 'pipeline step add p --validate one=out.label==1', 'pipeline step list p', 'pipeline step replace p 0 -m m', 'pipeline step remove p 1', 'pipeline step clear p', 'pipeline step undo p',
    'pipeline deploy p', 'pipeline status p', `pipeline infer p ${rows}`, 'pipeline logs p', `pipeline logs p -o ${join(folder.path, 'x.arrow')}`, `pipeline logs p -o ${join(folder.path, 'x.ndjson')}`, 'pipeline partitions p', 'pipeline retention p --days 3', 'deployment list --everywhere', 'deployment status p', 'deployment openapi p', 'deployment sidekicks p',
    'tag create t', 'tag list', 'tag add t -p p', 'tag add t -m m', 'tag show t', 'tag list -p p', 'tag list -m m', 'tag remove t -p p', 'tag remove t -m m', 'tag delete t',
    `connection create c X ${await file('details.json', { a: 1 })}`, 'connection list', 'connection show c', 'connection details c', 'connection add c', 'connection remove c', 'connection delete c',
    'audit --all', 'key list', 'registry list', 'pipeline undeploy p', 'pipeline delete p', 'workspace archive fraud', 'workspace unarchive 2',
  ]) await potoroo(...line.split(' '));
  await potoroo('workspace', 'use', 'fraud');
  await potoroo('pipeline', 'create', 'q', '-m', 'm');
  await potoroo('pipeline', 'step', 'clear', 'q');
  const [, first] = JSON.parse(await potoroo('pipeline', 'versions', 'q', '--json')) as { version: string }[];
  await potoroo('pipeline', 'delete', 'q', '--pipeline-version', first!.version);
  await potoroo('logout');

  const commands = new Set(reachedMethods);

  const potorooSdk = new sdk.Potoroo({ url: server.url, ...admin });
  for (const call of [() => potorooSdk.connections.get('x'), () => potorooSdk.models.get(9), () => potorooSdk.tags.get(9), () => potorooSdk.pipelines.version(9)]) {
    await expect(call()).rejects.toMatchObject({ code: expect.stringMatching(/^(connection|model|tag|pipeline)_not_found$/) });
  }

  const unexplained = (all: readonly string[], reached: ReadonlySet<string>, reasons: typeof routesWithout) => {
    const missing = all.filter((one) => !reached.has(one));
    return { unexplained: missing.filter((one) => !reasons.some(([which]) => which.test(one))), outdated: reasons.filter(([which]) => !missing.some((one) => which.test(one))).map(([which]) => String(which)) };
  };
  const none = { unexplained: [], outdated: [] };
  expect(unexplained(operations.map(({ key }) => key).filter((key) => key.includes('/api/v1/')), reachedRoutes, routesWithout), 'routes that nothing reaches').toEqual(none);
  expect(unexplained(methods, commands, methodsWithout), 'methods that no command reaches').toEqual(none);
}, 180_000);
