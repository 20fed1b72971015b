import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeArrow, encodeArrowFile, encodeArrowStream, encodeRecords, type Batch } from '@potoroo/batch';
import { DeploymentConfigBuilder, Potoroo, type ApiDeployment, type Pipeline } from '@potoroo/sdk';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { fixture } from '../packages/engine/src/testing/bundle.ts';
import { admin, example, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let potoroo: Potoroo;
let rows: { tensor: number[] }[];
let expected: { label: number; probabilities: number[] }[];

beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
  potoroo = new Potoroo({ url: server.url, ...admin, retries: 0 });
  rows = (JSON.parse(await readFile(join(example, 'rows.json'), 'utf8')) as typeof rows).slice(0, 3);
  expected = (JSON.parse(await readFile(join(example, 'expected.json'), 'utf8')) as typeof expected).slice(0, 3);
});
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

async function deploy(name: string, file: string): Promise<{ pipeline: Pipeline; deployment: ApiDeployment }> {
  const workspace = await potoroo.workspaces.default();
  const model = await potoroo.models.upload(workspace.id, name, file, { framework: 'onnx' });
  const pipeline = (await workspace.buildPipeline(name)).addModelStep(model);
  if (name === 'tumors') {
    await model.configure({ tensorFields: ['tensor'] });
    pipeline.addStep({ type: 'validations', validations: [{ name: 'malignant', expression: { BinaryExpr: { left: { Column: 'out.label' }, op: 'Eq', right: { Literal: { Int64: 0 } } } } }] });
  }
  const deployment = await pipeline.deploy({ config: new DeploymentConfigBuilder().replicaCount(1).cpus(1).memory('4Gi').build() });
  await deployment.waitUntilRunning();
  return { pipeline, deployment: (await potoroo.deployments.get(deployment.id)).info };
}

interface Asked { body: string | Uint8Array; type: string; accept?: string; query?: string; headers?: Record<string, string> }
async function ask(url: string, { body, type, accept, query = '', headers = {} }: Asked): Promise<{ status: number; type: string; headers: Headers; bytes: Uint8Array; text: string }> {
  const answer = await fetch(url + query, { method: 'POST', body: body as string, headers: { authorization: `Bearer ${await potoroo.token()}`, 'content-type': type, ...(accept !== undefined && { accept }), ...headers } });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return { status: answer.status, type: answer.headers.get('content-type') ?? '', headers: answer.headers, bytes, text: Buffer.from(bytes).toString('utf8') };
}

const json = 'application/json; format=pandas-records';
const file = 'application/vnd.apache.arrow.file';
const stream = 'application/vnd.apache.arrow.stream';

describe('columns of an answer', () => {
  let routes: string[];
  beforeAll(async () => {
    const { deployment: { id, port } } = await deploy('tumors', join(example, 'model.onnx'));
    const workspace = await potoroo.workspaces.default();
    routes = [`${server.url}/api/v1/deployments/${id}/infer`, `${server.url}/api/v1/workspaces/${workspace.id}/pipelines/tumors/infer`, `${server.url}/v1/api/pipelines/infer/tumors-${id}/tumors`, `http://127.0.0.1:${port}/pipelines/tumors`];
  });

  const all = ['time', 'in.tensor', 'out.label', 'out.probabilities', 'anomaly.count', 'anomaly.malignant'];
  const metadata = ['last_model', 'pipeline_version', 'elapsed', 'dropped', 'partition', 'request_id'].map((name) => `metadata.${name}`);
  const batch = (): Batch => ({ rows: rows.length, columns: [{ kind: 'tensor', name: 'tensor', type: 'float32', shape: [30], values: Float32Array.from(rows.flatMap((row) => row.tensor)) }] });
  const sent: Record<string, () => Pick<Asked, 'body' | 'type'>> = {
    'JSON records': () => ({ body: JSON.stringify(rows), type: json }), 'a JSON dictionary': () => ({ body: JSON.stringify({ tensor: rows.map((row) => row.tensor) }), type: 'application/json' }),
    'an Arrow file': () => ({ body: encodeArrowFile(batch()), type: file }), 'an Arrow stream': () => ({ body: encodeArrowStream(batch()), type: stream }),
  };

  /** Rows with flat names; the separator that was asked for, or the objects that are there without, are what makes them. */
  function flat(row: Record<string, unknown>, separator: string | null): Record<string, unknown> {
    const names = Object.entries(row).flatMap(([name, value]): [string, unknown][] => (separator === null && typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([inner, deeper]) => [`${name}.${inner}`, deeper]) : [[separator === null || separator === '.' ? name : name.replace(separator, '.'), value]]));
    return Object.fromEntries(names);
  }

  test.each<[string, string[]]>([
    ['dataset[]=*', all],
    ['dataset=*&dataset.exclude=metadata', all],
    ['dataset[]=*&dataset.exclude[]=metadata', all],
    ['dataset[]=*&dataset[]=metadata', [...all, ...metadata]],
    ['dataset[]=*&dataset[]=metadata&dataset.exclude[]=metadata', all],
    ['dataset[]=*&dataset[]=metadata.elapsed&dataset.exclude[]=metadata', [...all, 'metadata.elapsed']],
    ['dataset[]=time', ['time']],
    ['dataset[]=in', ['in.tensor']],
    ['dataset[]=out', ['out.label', 'out.probabilities']],
    ['dataset[]=out.label&dataset[]=time', ['time', 'out.label']],
    ['dataset[]=out&dataset.exclude[]=out.probabilities', ['out.label']],
    ['dataset[]=out.label&dataset.exclude[]=out', ['out.label']],
    ['dataset[]=anomaly', ['anomaly.count', 'anomaly.malignant']],
    ['dataset[]=anomaly.malignant', ['anomaly.malignant']],
    ['dataset[]=metadata', metadata],
    ['dataset[]=metadata.request_id&dataset[]=out.label', ['out.label', 'metadata.request_id']],
    ['dataset.exclude[]=in', all.filter((name) => name !== 'in.tensor')],
    ['dataset.exclude[]=in&dataset.exclude[]=anomaly&dataset.exclude=time', ['out.label', 'out.probabilities']],
    ['dataset[]=out&dataset[]=out_nobody', ['out.label', 'out.probabilities']],
  ])('%s', async (query, columns) => {
    let at = 0;
    for (const [form, of] of Object.entries(sent)) {
      for (const accept of [json, file, stream]) {
        for (const separator of [null, '.', '_']) {
          const url = routes[at++ % routes.length] as string;
          const answer = await ask(url, { ...of(), accept, query: `?${query}${separator === null ? '' : `&dataset.separator=${separator}`}` });
          const what = `${form} to ${accept} with ${separator} at ${url}: ${answer.text.slice(0, 200)}`;
          expect([answer.status, answer.type], what).toEqual([200, accept]);
          const records = JSON.parse(accept === json ? answer.text : encodeRecords(decodeArrow(answer.bytes).batch, separator)) as Record<string, unknown>[];
          const given = records.map((row) => flat(row, separator));
          expect(given, what).toHaveLength(rows.length);
          given.forEach((row, i) => {
            expect(Object.keys(row), what).toEqual(columns);
            const { label, probabilities } = expected[i] as (typeof expected)[number];
            if ('out.label' in row) expect(row['out.label'], what).toBe(label);
            if ('out.probabilities' in row) expect((row['out.probabilities'] as number[]).map((p, k) => Math.abs(p - (probabilities[k] as number)) < 1e-5), what).toEqual([true, true]);
            if ('anomaly.malignant' in row) expect(row['anomaly.malignant'], what).toBe(label === 0);
            if ('anomaly.count' in row) expect(row['anomaly.count'], what).toBe(label === 0 ? 1 : 0);
            if ('time' in row) expect(Math.abs(Number(row['time']) - Date.now()), what).toBeLessThan(60_000);
          });
        }
      }
    }
  });

  test.each([
    ['dataset.separator=.&dataset.separator=_', 'dataset.separator'], [`dataset.separator=${'x'.repeat(9)}`, 'separator'],
    ['dataset[]=out&dataset[]=nobody', "dataset 'nobody'"], ['dataset.exclude[]=in.tensr', "dataset.exclude 'in.tensr'"],
  ])('%s is refused in the form of each route', async (query, piece) => {
    for (const url of routes) {
      const { status, text } = await ask(url, { ...(sent['JSON records'] as () => Asked)(), query: `?${query}` });
      expect([status, text]).toEqual([400, expect.stringContaining(piece)]);
      expect(JSON.parse(text)).toMatchObject(url.includes('/api/v1/') ? { code: 'invalid_request', status: 400 } : { type: 'invalid_request', source: 'engine', status: 'Error', code: 400 });
    }
  });
});

describe('the id that a caller gives a request', () => {
  test('is in the answer and in the log, once; one that cannot be logged is replaced', async () => {
    const pipeline = await (await potoroo.workspaces.default()).buildPipeline('tumors');
    const { port } = (await pipeline.deployment()).info;
    const urls = [`${server.url}/api/v1/deployments/${(await pipeline.deployment()).id}/infer`, `http://127.0.0.1:${port}/pipelines/tumors`];
    const ids: string[] = [];
    for (const url of urls) {
      for (const id of [`mine-${randomUUID()}`, `a.B:c_${ids.length}`, `${ids.length}${'x'.repeat(127)}`, undefined, 'y'.repeat(129), 'two words']) {
        const answer = await ask(url, { body: JSON.stringify(rows.slice(0, 2)), type: json, query: '?dataset[]=metadata.request_id&dataset.separator=.', headers: id === undefined ? {} : { 'x-request-id': id } });
        const given = answer.headers.get('x-request-id') as string;
        expect(JSON.parse(answer.text)).toEqual([{ 'metadata.request_id': given }, { 'metadata.request_id': given }]);
        if (id !== undefined && /^\S{1,128}$/.test(id)) expect(given).toBe(id);
        else expect(given).toMatch(/^[\w-]{8,}$/);
        ids.push(given);
      }
    }
    expect(new Set(ids).size).toBe(12);
    await vi.waitFor(async () => {
      const logged: string[] = [];
      for await (const record of pipeline.logs({ limit: 100_000 })) logged.push(String(record['metadata.request_id']));
      expect(ids.filter((id) => logged.filter((other) => other === id).length !== 2)).toEqual([]);
    }, { timeout: 15_000 });
  });
});

describe('the time that a caller gives a request', () => {
  test('ends it with an error of that name, and what had not begun by then never does', async () => {
    const { pipeline, deployment } = await deploy('slow', fixture('slow'));
    const url = `${server.url}/api/v1/deployments/${deployment.id}/infer`;
    const body = (count: number): string => JSON.stringify(Array.from({ length: count }, (_, i) => ({ x: [i, i, i] })));
    // So many rows that the one engine is busy for two seconds, by the quickest of a few; each row takes its memory, too.
    const quickest: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const began = performance.now();
      await ask(url, { body: body(1), type: json });
      quickest.push(performance.now() - began);
    }
    const busyRows = Math.min(100, Math.ceil(2_000 / Math.min(...quickest)));
    const busy = ask(url, { body: body(busyRows), type: json, headers: { 'x-request-id': 'busy' } });
    const hasty = await Promise.all([0.1, 0.2].map((seconds) => ask(url, { body: body(1), type: json, headers: { 'request-timeout': String(seconds), 'x-request-id': `hasty-${seconds}` } })));
    for (const { status, text } of hasty) expect([status, JSON.parse(text)]).toMatchObject([504, { code: 'deadline_exceeded', status: 504 }]);
    const direct = await ask(`http://127.0.0.1:${deployment.port}/pipelines/slow`, { body: body(1), type: json, headers: { 'x-potoroo-timeout-ms': '100', 'x-request-id': 'hasty-direct' } });
    expect([direct.status, JSON.parse(direct.text)]).toMatchObject([504, { type: 'deadline_exceeded', source: 'engine' }]);
    expect((await busy).status).toBe(200);
    const last = await ask(url, { body: body(1), type: json, headers: { 'x-request-id': 'last', 'request-timeout': '30' } });
    expect(last.status).toBe(200);
    await vi.waitFor(async () => {
      const logged = new Set<string>();
      for await (const record of pipeline.logs({ limit: 100_000 })) logged.add(String(record['metadata.request_id']));
      expect([...logged].filter((id) => ['busy', 'last'].includes(id)).toSorted()).toEqual(['busy', 'last']);
      expect([...logged].filter((id) => id.startsWith('hasty'))).toEqual([]);
    }, { timeout: 15_000 });
    for (const wrong of ['0', '-1', 'soon', '1e999']) expect(JSON.parse((await ask(url, { body: body(1), type: json, headers: { 'request-timeout': wrong } })).text)).toMatchObject({ code: 'invalid_request', errors: [{ field: 'request-timeout' }] });
  });
});
