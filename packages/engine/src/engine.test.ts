// Longer than most: these tests look at one built engine from outside, and most of them share a running one.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync, gzipSync } from 'node:zlib';
import { decodeArrow, encodeArrowFile, encodeArrowStream, utf8At, type Batch, type TensorColumn, type Utf8 } from '@potoroo/batch';
import { engineExit } from '@potoroo/contract/plain';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fixture, temporaryFolder, writeBundle, type BundleOptions } from './testing/bundle.ts';
import { endEngines, EngineProcess } from './testing/process.ts';

interface Answer { status: number; type: string; headers: Headers; text: string; json: unknown; bytes: Uint8Array }
interface Ask { method?: string; path?: string; body?: string | Uint8Array; headers?: Record<string, string> }

async function ask(base: string, { method = 'POST', path = '', body, headers = {} }: Ask): Promise<Answer> {
  const response = await fetch(base + path, { method, headers, ...(body !== undefined && { body: body as string }) });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const text = Buffer.from(bytes).toString('utf8');
  let json: unknown;
  try { json = JSON.parse(text); } catch { /* not JSON, which a test will see */ }
  return { status: response.status, type: response.headers.get('content-type') ?? '', headers: response.headers, text, json, bytes };
}

function engine(models: string[], options: BundleOptions = {}, args: string[] = []): EngineProcess {
  return new EngineProcess(['--bundle', writeBundle(models, options).folder, '--listen', '127.0.0.1:0', '--cpus', '1', ...args]);
}
const base = async (e: EngineProcess): Promise<string> => `http://127.0.0.1:${await e.port()}`;
const json = { 'content-type': 'application/json' };
const row29 = Array.from({ length: 29 }, (_, i) => i / 10);
const fraud = JSON.stringify([{ dense_input: row29 }]);
const flat = '?dataset[]=*&dataset.separator=.';

afterAll(endEngines);

describe('one model', () => {
  let url: string;
  let infer: string;
  beforeAll(async () => {
    url = await base(engine(['ccfraud'], { pipeline: 'fraud' }));
    infer = `${url}/pipelines/fraud`;
  });

  test('the edge-style result, when no dataset is asked for', async () => {
    const before = Date.now();
    const { status, type, json: got } = await ask(infer, { body: fraud, headers: json });
    expect([status, type]).toEqual([200, 'application/json; format=pandas-records']);
    expect(got).toEqual([{
      check_failures: [], elapsed: [expect.any(Number), expect.any(Number)], model_name: 'ccfraud', model_version: '00000000-0000-4000-8000-000000000000',
      original_data: { dense_input: [expect.arrayContaining([expect.closeTo(2.8, 5)])] }, outputs: [{ Float: { data: [expect.any(Number)], dim: [1, 1], v: 1 } }],
      pipeline_name: 'fraud', shadow_data: {}, time: expect.any(Number),
    }]);
    const { time, outputs } = (got as { time: number; outputs: { Float: { data: number[] } }[] }[])[0] as never as { time: number; outputs: [{ Float: { data: [number] } }] };
    expect(time).toBeGreaterThanOrEqual(before);
    const [direct] = (await ask(infer + flat, { body: fraud, headers: json })).json as [{ 'out.dense_1': [number] }];
    expect(direct['out.dense_1'][0]).toBeCloseTo(outputs[0].Float.data[0], 7);
  });

  test('rows with every column, flat and nested', async () => {
    const headers = { 'content-type': 'application/json; format=pandas-records' };
    const two = JSON.stringify([{ dense_input: row29 }, { dense_input: row29.map((v) => -v) }]);
    const rows = (await ask(infer + flat, { body: two, headers })).json as Record<string, unknown>[];
    expect(rows).toHaveLength(2);
    expect(Object.keys(rows[0] ?? {})).toEqual(['time', 'in.dense_input', 'out.dense_1', 'anomaly.count']);
    expect(rows[1]).toMatchObject({ time: expect.any(Number), 'out.dense_1': [expect.any(Number)], 'anomaly.count': 0 });
    expect((rows[1] as { 'in.dense_input': number[] })['in.dense_input'][10]).toBeCloseTo(-1, 6);
    const nested = (await ask(`${infer}?dataset%5B%5D=out&dataset%5B%5D=anomaly`, { body: two, headers })).json;
    expect(nested).toEqual([1, 2].map(() => ({ out: { dense_1: [expect.any(Number)] }, anomaly: { count: 0 } })));
    expect((await ask(`${infer}?dataset=out&dataset.separator=_`, { body: fraud, headers })).json).toEqual([{ out_dense_1: [expect.any(Number)] }]);
  });

  test('names that some versions of a pipeline have are nothing to refuse', async () => {
    const columns = async (query: string): Promise<string[]> => Object.keys(((await ask(`${infer}?${query}&dataset.separator=.`, { body: fraud, headers: json })).json as [object])[0]);
    expect(await columns('dataset[]=out&dataset[]=out_&dataset[]=out_gone.y&dataset[]=anomaly.gone&dataset[]=out._model_split')).toEqual(['out.dense_1']);
    expect(await columns('dataset[]=*&dataset.exclude[]=out_gone&dataset.exclude[]=anomaly.gone&dataset.exclude[]=in')).toEqual(['time', 'out.dense_1', 'anomaly.count']);
    expect(await columns('dataset[]=meta')).toContain('metadata.elapsed');
    expect(await columns('dataset[]=out_')).toEqual([]);
  });

  test('exclusion, and metadata where it is asked for', async () => {
    const [row] = (await ask(`${infer}?dataset[]=*&dataset[]=metadata&dataset.exclude[]=in&dataset.separator=.`, { body: fraud, headers: { ...json, 'x-request-id': 'abc-1' } })).json as [Record<string, unknown>];
    expect(Object.keys(row)).toEqual(['time', 'out.dense_1', 'anomaly.count', 'metadata.last_model', 'metadata.pipeline_version', 'metadata.elapsed', 'metadata.dropped', 'metadata.partition', 'metadata.request_id']);
    expect(JSON.parse(row['metadata.last_model'] as string)).toEqual({ model_name: 'ccfraud', model_sha: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(row).toMatchObject({ 'metadata.pipeline_version': '11111111-0000-4000-8000-000000000000', 'metadata.elapsed': [expect.any(Number), expect.any(Number)], 'metadata.dropped': [], 'metadata.partition': 'engine', 'metadata.request_id': 'abc-1' });
  });

  test('Arrow in, Arrow or JSON out, file and stream', async () => {
    const batch: Batch = { rows: 2, columns: [{ kind: 'tensor', name: 'dense_input', type: 'float32', shape: [29], values: Float32Array.from([...row29, ...row29]) }] };
    const arrow = 'application/vnd.apache.arrow.file';
    const out = await ask(infer + flat, { body: encodeArrowFile(batch), headers: { 'content-type': arrow, accept: arrow } });
    expect([out.status, out.type, Buffer.from(out.bytes.subarray(0, 6)).toString()]).toEqual([200, arrow, 'ARROW1']);
    const read = decodeArrow(out.bytes).batch;
    expect(read.rows).toBe(2);
    expect(read.columns.map((c) => c.name)).toEqual(['time', 'in.dense_input', 'out.dense_1', 'anomaly.count']);
    expect(read.columns[3]).toMatchObject({ type: 'int8', shape: [] });
    const stream = 'application/vnd.apache.arrow.stream';
    const streamed = await ask(infer + flat, { body: encodeArrowStream(batch), headers: { 'content-type': stream, accept: stream } });
    expect(streamed.type).toBe(stream);
    expect(decodeArrow(streamed.bytes).batch.columns.map((c) => c.name)).toEqual(read.columns.map((c) => c.name));
    const edge = await ask(infer, { body: encodeArrowFile(batch), headers: { 'content-type': arrow, accept: 'application/json; format=pandas-records' } });
    expect(edge.json).toMatchObject([{ original_data: null, outputs: [{ Float: { dim: [2, 1] } }] }]);
  });

  test('a dictionary in the form of old clients', async () => {
    const type = 'application/json; format=wallaroo';
    const answer = await ask(infer, { body: JSON.stringify({ dense_input: [row29, row29] }), headers: { 'content-type': type, accept: type } });
    expect(answer.type).toBe(type);
    expect(answer.json).toMatchObject([{ outputs: [{ Float: { dim: [2, 1] } }], original_data: { dense_input: [expect.any(Array), expect.any(Array)] } }]);
  });

  test.each([['gzip', gzipSync], ['deflate', deflateSync]])('a body compressed with %s', async (encoding, compress) => {
    const { status, json: got } = await ask(`${infer}?dataset[]=out`, { body: compress(fraud), headers: { ...json, 'content-encoding': encoding } });
    expect([status, got]).toEqual([200, [{ out: { dense_1: [expect.any(Number)] } }]]);
  });

  test('what it serves', async () => {
    expect((await ask(url, { method: 'GET', path: '/pipelines' })).json).toEqual({ pipelines: [{ id: 'fraud', status: 'Running' }] });
    expect((await ask(url, { method: 'GET', path: '/models' })).json).toEqual({ models: [{ name: 'ccfraud', sha: expect.stringMatching(/^[0-9a-f]{64}$/), status: 'Running', version: '00000000-0000-4000-8000-000000000000' }] });
    expect((await ask(url, { method: 'GET', path: '/healthz' })).status).toBe(200);
    expect((await ask(url, { method: 'GET', path: '/readyz' })).json).toEqual({ ready: true });
    expect((await ask(url, { method: 'GET', path: '/status' })).json).toMatchObject({ state: 'running', queue: { rows: 0 }, limits: { cpus: { value: 1 } } });
    expect((await ask(url, { method: 'HEAD', path: '/healthz' })).status).toBe(200);
  });

  test('metrics have the names that dashboards query, and count rows and requests apart', async () => {
    const read = async (name: string): Promise<number> => {
      const { text } = await ask(url, { method: 'GET', path: '/metrics' });
      return Number(new RegExp(`^${name}\\{pipeline_name="fraud",deploy_id="10"\\} (\\S+)$`, 'm').exec(text)?.[1]);
    };
    const [requests, rows] = [await read('latency_histogram_ns_count'), await read('tensor_throughput_batch_count')];
    await ask(infer, { body: JSON.stringify([1, 2, 3].map(() => ({ dense_input: row29 }))), headers: json });
    expect(await read('latency_histogram_ns_count')).toBe(requests + 1);
    expect(await read('tensor_throughput_batch_count')).toBe(rows + 3);
    expect((await ask(url, { method: 'GET', path: '/metrics' })).text).toMatch(/^latency_histogram_ns_bucket\{pipeline_name="fraud",deploy_id="10",le="\+Inf"\} \d+$/m);
  });

  test('a request id is echoed, and made when there is none fit to echo', async () => {
    expect((await ask(infer, { body: fraud, headers: { ...json, 'x-request-id': 'mine-42' } })).headers.get('x-request-id')).toBe('mine-42');
    const made = [await ask(infer, { body: fraud, headers: json }), await ask(infer, { body: fraud, headers: { ...json, 'x-request-id': 'x'.repeat(200) } })].map((a) => a.headers.get('x-request-id'));
    expect(new Set(made).size).toBe(2);
    for (const id of made) expect(id).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/);
    expect((await ask(infer, { body: '[]', headers: { ...json, 'x-request-id': 'mine-43' } })).headers.get('x-request-id')).toBe('mine-43');
  });

  const wide = (values: unknown): string => JSON.stringify([{ dense_input: values }]);
  test.each<[string, Ask, number, string, RegExp]>([
    ['a body that is cut off', { body: fraud.slice(0, -20) }, 400, 'malformed_body', /./],
    ['no JSON', { body: 'hello' }, 400, 'malformed_body', /./],
    ['an empty body', { body: '' }, 400, 'malformed_body', /./],
    ['no rows', { body: '[]' }, 400, 'empty_batch', /no rows/],
    ['another column', { body: JSON.stringify([{ tensor: row29 }]) }, 400, 'schema_mismatch', /tensor.*dense_input/],
    ['a missing column', { body: '[{}]' }, 400, 'schema_mismatch', /dense_input/],
    ['an additional column', { body: JSON.stringify([{ dense_input: row29, more: 1 }]) }, 400, 'schema_mismatch', /more/],
    ['too few values', { body: wide(row29.slice(1)) }, 400, 'schema_mismatch', /dense_input.*float32\[29\]/],
    ['ragged rows', { body: JSON.stringify([{ dense_input: row29 }, { dense_input: [1, 2] }]) }, 400, 'schema_mismatch', /dense_input/],
    ['text for a number', { body: wide(row29.map(String)) }, 400, 'schema_mismatch', /dense_input/],
    ['a boolean for a number', { body: wide(row29.map(() => true)) }, 400, 'schema_mismatch', /dense_input/],
    ['nesting without end', { body: wide(JSON.parse('['.repeat(60) + ']'.repeat(60))) }, 400, 'malformed_body', /./],
    ['no content type', { body: Buffer.from(fraud), headers: {} }, 415, 'unsupported_content_type', /no Content-Type.*format=pandas-records/],
    ['a form', { body: fraud, headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 415, 'unsupported_content_type', /x-www-form-urlencoded/],
    ['an unknown encoding', { body: fraud, headers: { ...json, 'content-encoding': 'zstd' } }, 415, 'unsupported_content_type', /zstd/],
    ['gzip that is none', { body: fraud, headers: { ...json, 'content-encoding': 'gzip' } }, 400, 'malformed_body', /not gzip/],
    ['an answer nobody can give', { body: fraud, headers: { ...json, accept: 'image/png' } }, 406, 'not_acceptable', /image\/png/],
    ['Arrow that is none', { body: fraud, headers: { 'content-type': 'application/vnd.apache.arrow.file' } }, 400, 'malformed_body', /./],
    ['a deadline that is none', { body: fraud, headers: { ...json, 'x-potoroo-timeout-ms': 'soon' } }, 400, 'invalid_request', /x-potoroo-timeout-ms.*soon/],
    ['a separator given twice', { path: '?dataset.separator=.&dataset.separator=_', body: fraud }, 400, 'invalid_request', /dataset\.separator/],
    ['a dataset that is none', { path: '?dataset[]=out&dataset[]=nonsense', body: fraud }, 400, 'invalid_request', /^dataset 'nonsense' .*time, in, out.*in\.dense_input, out\.dense_1/],
    ['a misspelt column', { path: '?dataset=out.dense1', body: fraud }, 400, 'invalid_request', /^dataset 'out\.dense1' .*out\.dense_1/],
    ['an empty dataset', { path: '?dataset=', body: fraud }, 400, 'invalid_request', /^dataset '' /],
    ['metadata that there is not', { path: '?dataset[]=metadata.elasped', body: fraud }, 400, 'invalid_request', /metadata\.elapsed/],
    ['only a challenger that is gone', { path: '?dataset[]=out_gone&dataset[]=anomaly.gone', body: fraud }, 400, 'invalid_request', /^dataset 'out_gone' /],
    ['a column to leave out that is none', { path: '?dataset[]=*&dataset.exclude[]=in.dense', body: fraud }, 400, 'invalid_request', /^dataset\.exclude 'in\.dense' /],
    ['GET for an inference', { method: 'GET' }, 405, 'method_not_allowed', /POST/],
    ['the access list from outside', { method: 'PUT', path: '/../../access', body: '{}' }, 404, 'route_not_found', /access/],
  ])('bad input: %s', async (_, request, status, code, message) => {
    const answer = await ask(infer, { headers: json, ...request });
    expect(answer.json).toMatchObject({ code: status, status: 'Error', error: expect.stringMatching(message), source: 'engine', type: code });
    expect(answer.status).toBe(status);
    expect(answer.type).toBe('application/json');
    expect(answer.text).not.toMatch(/\n\s+at |node_modules|\/src\//);
    expect((await ask(`${infer}?dataset[]=out`, { body: fraud, headers: json })).status).toBe(200);
  });

  test('null and NaN are NaN in a float column', async () => {
    const [row] = (await ask(`${infer}${flat}`, { body: fraud.replace('0.1,', 'null,').replace('0.2,', 'NaN,'), headers: json })).json as [Record<string, (number | null)[]>];
    expect(row['in.dense_input']?.slice(0, 4)).toEqual([0, null, null, expect.closeTo(0.3, 6)]);
    expect(row['out.dense_1']).toEqual([null]);
  });

  test('unknown names', async () => {
    expect((await ask(url, { path: '/pipelines/other', body: fraud, headers: json })).json).toMatchObject({ code: 404, type: 'pipeline_not_found', error: expect.stringMatching(/'other'.*'fraud'/) });
    expect((await ask(url, { method: 'GET', path: '/nowhere' })).json).toMatchObject({ code: 404, type: 'route_not_found' });
  });

  describe('Open Inference Protocol v2', () => {
    const v2 = (body: unknown, headers: Record<string, string> = json, path = '/v2/models/fraud/infer'): Promise<Answer> => ask(url, { path, body: JSON.stringify(body), headers });
    const input = { name: 'dense_input', shape: [1, 29], datatype: 'FP32', data: row29 };

    test('metadata and health', async () => {
      const get = async (path: string): Promise<unknown> => (await ask(url, { method: 'GET', path })).json;
      expect(await get('/v2')).toMatchObject({ name: 'potoroo', extensions: ['binary_tensor_data'] });
      expect(await get('/v2/health/live')).toEqual({ live: true });
      expect(await get('/v2/health/ready')).toEqual({ ready: true });
      expect(await get('/v2/models/ccfraud/ready')).toMatchObject({ ready: true });
      expect(await get('/v2/models/fraud')).toEqual({ name: 'fraud', versions: ['11111111-0000-4000-8000-000000000000'], platform: 'potoroo', inputs: [{ name: 'dense_input', datatype: 'FP32', shape: [-1, 29] }], outputs: [{ name: 'dense_1', datatype: 'FP32', shape: [-1, 1] }] });
      expect((await ask(url, { path: '/v2/repository/index', body: '' })).json).toMatchObject([{ name: 'fraud', state: 'READY' }]);
    });

    test('JSON, flat and nested, by pipeline and by version', async () => {
      const first = await v2({ id: 'q1', inputs: [input] });
      expect([first.status, first.type]).toEqual([200, 'application/json']);
      expect(first.json).toMatchObject({ model_name: 'fraud', id: 'q1', outputs: [{ name: 'dense_1', datatype: 'FP32', shape: [1, 1], data: [expect.any(Number)] }] });
      const nested = await v2({ inputs: [{ ...input, data: [row29] }], outputs: [{ name: 'dense_1' }] }, json, '/v2/models/ccfraud/versions/00000000-0000-4000-8000-000000000000/infer');
      expect((nested.json as { outputs: unknown }).outputs).toEqual((first.json as { outputs: unknown }).outputs);
      expect((nested.json as { id: string }).id).toMatch(/./);
    });

    test('binary in and out', async () => {
      const tensors = Float32Array.from([...row29, ...row29]);
      const head = JSON.stringify({ inputs: [{ name: 'dense_input', shape: [2, 29], datatype: 'FP32', parameters: { binary_data_size: tensors.byteLength } }], outputs: [{ name: 'dense_1', parameters: { binary_data: true } }] });
      const body = Buffer.concat([Buffer.from(head), Buffer.from(tensors.buffer)]);
      for (const encode of [undefined, gzipSync]) {
        const answer = await ask(url, { path: '/v2/models/fraud/infer', body: encode ? encode(body) : body, headers: { 'inference-header-content-length': String(head.length), ...(encode && { 'content-encoding': 'gzip' }) } });
        expect(answer.status).toBe(200);
        const length = Number(answer.headers.get('inference-header-content-length'));
        expect(JSON.parse(answer.text.slice(0, length))).toMatchObject({ outputs: [{ name: 'dense_1', shape: [2, 1], parameters: { binary_data_size: 8 } }] });
        const out = new Float32Array(answer.bytes.slice(length).buffer);
        expect(out).toHaveLength(2);
        expect(out[0]).toBe(out[1]);
      }
    });

    test.each<[string, unknown, Record<string, string>, string, number, RegExp]>([
      ['an unknown model', { inputs: [input] }, json, '/v2/models/other/infer', 404, /no model 'other'.*'fraud'/],
      ['an unknown version', { inputs: [input] }, json, '/v2/models/fraud/versions/7/infer', 404, /no version '7'/],
      ['no inputs', {}, json, '/v2/models/fraud/infer', 400, /inputs/],
      ['a wrong element count', { inputs: [{ ...input, data: [1, 2] }] }, json, '/v2/models/fraud/infer', 400, /dense_input/],
      ['a wrong shape', { inputs: [{ ...input, shape: [1, 28], data: row29.slice(1) }] }, json, '/v2/models/fraud/infer', 400, /dense_input/],
      ['an unknown output', { inputs: [input], outputs: [{ name: 'nope' }] }, json, '/v2/models/fraud/infer', 400, /'nope'.*'dense_1'/],
      ['a header length beyond the body', { inputs: [input] }, { 'inference-header-content-length': '99999' }, '/v2/models/fraud/infer', 400, /./],
      ['a header length that is none', { inputs: [input] }, { 'inference-header-content-length': 'x' }, '/v2/models/fraud/infer', 400, /Inference-Header-Content-Length/],
      ['an unknown route', {}, json, '/v2/models/fraud/dance', 404, /./],
    ])('%s is an error in its form', async (_, body, headers, path, status, message) => {
      const answer = await v2(body, headers, path);
      expect([answer.status, answer.type]).toEqual([path.endsWith('dance') ? 405 : status, 'application/json']);
      expect(answer.json).toEqual({ error: expect.stringMatching(message), code: expect.stringMatching(/^[a-z_]+$/) });
    });
  });
});

test('64-bit integers beyond 2^53 and text pass through unharmed', async () => {
  const integers = await base(engine(['identity-int64']));
  const text = (await ask(`${integers}/pipelines/test-pipeline?dataset[]=out`, { body: '[{"x":[9007199254740993,-9223372036854775808,9223372036854775807]}]', headers: json })).text;
  expect(text).toBe('[{"out":{"y":[9007199254740993,-9223372036854775808,9223372036854775807]}}]');
  const tooLarge = await ask(`${integers}/pipelines/test-pipeline`, { body: '[{"x":[9223372036854775808,0,0]}]', headers: json });
  expect(tooLarge.json).toMatchObject({ type: 'value_out_of_range', error: expect.stringMatching(/9223372036854775808/) });
  const strings = await base(engine(['identity-string']));
  const words = ['Grüße', '日本 😀', '"\\\n'];
  expect((await ask(`${strings}/pipelines/test-pipeline?dataset[]=out`, { body: JSON.stringify([{ x: words }]), headers: json })).json).toEqual([{ out: { y: words } }]);
});

test('every caller gets its own rows, however many ask at once and in whatever form', async () => {
  const e = engine(['identity-float32']);
  const url = await base(e);
  const arrow = 'application/vnd.apache.arrow.file';
  type Form = (rows: number[][]) => Promise<number[]>;
  const forms: Form[] = [
    async (rows) => ((await ask(`${url}/pipelines/test-pipeline?dataset[]=out`, { body: JSON.stringify(rows.map((x) => ({ x }))), headers: json })).json as { out: { y: number[] } }[]).flatMap((r) => r.out.y),
    async (rows) => ((await ask(`${url}/v2/models/test-pipeline/infer`, { body: JSON.stringify({ inputs: [{ name: 'x', shape: [rows.length, 3], datatype: 'FP32', data: rows }] }), headers: json })).json as { outputs: [{ data: number[] }] }).outputs[0].data,
    async (rows) => {
      const body = encodeArrowFile({ rows: rows.length, columns: [{ kind: 'tensor', name: 'x', type: 'float32', shape: [3], values: Float32Array.from(rows.flat()) }] });
      const { bytes } = await ask(`${url}/pipelines/test-pipeline?dataset[]=out&dataset.separator=.`, { body, headers: { 'content-type': arrow, accept: arrow } });
      return [...((decodeArrow(bytes).batch.columns[0] as TensorColumn).values as Float32Array)];
    },
  ];
  const caller = async (c: number): Promise<void> => {
    for (let i = 0; i < 40; i++) {
      const rows = Array.from({ length: 1 + ((c + i) % 3) }, (_, r) => [c, i, r]);
      expect(await (forms[c % 3] as Form)(rows)).toEqual(rows.flat());
    }
  };
  await Promise.all(Array.from({ length: 24 }, (_, c) => caller(c)));
  const { text } = await ask(url, { method: 'GET', path: '/metrics' });
  const runs = Number(/^potoroo_run_requests_count\{[^}]*\} (\d+)$/m.exec(text)?.[1]);
  expect(runs).toBeLessThan(24 * 40); // some were merged, or this shows nothing
});

test('outputs that do not follow the rows reach the client whole', async () => {
  const url = `${await base(engine(['unaligned']))}/pipelines/test-pipeline`;
  const body = JSON.stringify([{ x: [1, 0, 2] }, { x: [0, 0, 0] }]);
  expect((await ask(`${url}?dataset[]=out`, { body, headers: json })).json).toEqual([{ out: { indices: [[0, 0], [0, 2]], total: 3 } }, { out: { indices: [], total: 0 } }]);
  expect((await ask(url, { body, headers: json })).json).toMatchObject([{ outputs: [{ Int64: { data: [0, 0, 0, 2], dim: [1, 2, 2] } }, { Int64: { data: [], dim: [1, 0, 2] } }, { Float: { data: [3, 0], dim: [2] } }] }]);
});

test('batch_config single takes one row a request', async () => {
  const url = `${await base(engine(['ccfraud'], { configs: [{ batchConfig: 'single' }] }))}/pipelines/test-pipeline`;
  expect((await ask(url, { body: fraud, headers: json })).status).toBe(200);
  expect((await ask(url, { body: JSON.stringify([{ dense_input: row29 }, { dense_input: row29 }]), headers: json })).json).toMatchObject({ code: 400, type: 'too_many_rows', error: expect.stringMatching(/2 rows.*single/) });
});

test('a body over the bound is refused at once, in either reader', async () => {
  const url = `${await base(engine(['ccfraud'], {}, ['--max-body-bytes', '1000']))}/pipelines/test-pipeline`;
  for (const headers of [json, { ...json, 'content-encoding': 'gzip' }] as Record<string, string>[]) {
    const body = 'content-encoding' in headers ? gzipSync(`${fraud}${' '.repeat(5000)}`) : `${fraud}${' '.repeat(5000)}`;
    expect((await ask(url, { body, headers })).json).toMatchObject({ code: 413, type: 'body_too_large', error: expect.stringMatching(/1000 bytes/) });
  }
});

describe('a slow model runs in worker threads', () => {
  const body = JSON.stringify([{ x: [1, 2, 3] }]);

  test('probes are answered meanwhile, merged answers are right, late and surplus requests are told', async () => {
    const e = engine(['slow'], {}, ['--queue-rows', '60']);
    const url = await base(e);
    const infer = (ms?: number, row = body): Promise<Answer> => ask(`${url}/pipelines/test-pipeline?dataset[]=out`, { body: row, headers: { ...json, ...(ms !== undefined && { 'x-potoroo-timeout-ms': String(ms) }) } });
    const many = Array.from({ length: 20 }, (_, i) => infer(undefined, JSON.stringify([{ x: [i, -i, 0.5] }])));
    const probe = await ask(url, { method: 'GET', path: '/healthz' });
    expect(probe.status).toBe(200);
    (await Promise.all(many)).forEach((a, i) => expect(a.json).toEqual([{ out: { y: [i, i === 0 ? 0 : -i, 0.5] } }]));

    const long = infer(undefined, JSON.stringify(Array.from({ length: 50 }, () => ({ x: [1, 1, 1] }))));
    const status = async (): Promise<number> => ((await ask(url, { method: 'GET', path: '/status' })).json as { inFlight: number }).inFlight;
    await expect.poll(status).toBe(1);
    const late = infer(10);
    const waiting = infer(undefined, JSON.stringify(Array.from({ length: 50 }, () => ({ x: [2, 2, 2] }))));
    await expect.poll(status).toBeGreaterThanOrEqual(2);
    const surplus = await infer(undefined, JSON.stringify(Array.from({ length: 40 }, () => ({ x: [3, 3, 3] }))));
    expect(surplus.json).toMatchObject({ code: 429, type: 'overloaded', error: expect.stringMatching(/queue holds 60/) });
    expect(surplus.headers.get('retry-after')).toBe('1');
    expect((await late).json).toMatchObject({ code: 504, type: 'deadline_exceeded' });
    expect((await long).status).toBe(200);
    expect((await waiting).status).toBe(200);
  });

  test('a client that goes away leaves nothing behind', async () => {
    const e = engine(['slow']);
    const port = await e.port();
    const url = `http://127.0.0.1:${port}`;
    const rows = JSON.stringify(Array.from({ length: 20 }, () => ({ x: [1, 1, 1] })));
    const sockets = Array.from({ length: 5 }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.write(`POST /pipelines/test-pipeline HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${rows.length}\r\n\r\n${rows}`);
      return socket;
    });
    const status = async (): Promise<{ inFlight: number; queue: { rows: number } }> => (await ask(url, { method: 'GET', path: '/status' })).json as never;
    await expect.poll(async () => (await status()).inFlight).toBe(5);
    for (const socket of sockets) socket.destroy();
    await expect.poll(status).toMatchObject({ inFlight: 0, queue: { rows: 0 } });
    const { text } = await ask(url, { method: 'GET', path: '/metrics' });
    const done = Number(/^tensor_throughput_batch_count\{[^}]*\} (\d+)$/m.exec(text)?.[1]);
    expect(done).toBeLessThan(100);
    expect((await ask(`${url}/pipelines/test-pipeline?dataset[]=out`, { body, headers: json })).status).toBe(200);
  });
});

describe('a host', () => {
  test('is told when it is ready, hands over connections, and ends it', async () => {
    const socket = join(temporaryFolder(), 'engine.sock');
    const e = new EngineProcess(['--bundle', writeBundle(['ccfraud']).folder, '--socket', socket, '--cpus', '1']);
    expect(await e.said).toMatchObject({ type: 'ready', pid: e.child.pid, models: [{ name: 'ccfraud', status: 'Running' }], inputs: [{ name: 'dense_input', type: 'float32', shape: [29] }], outputs: [{ name: 'dense_1' }] });
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const server = createServer({ pauseOnConnect: true }, (connection) => e.child.send({ type: 'connection' }, connection));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const answer = await ask(`http://127.0.0.1:${(server.address() as AddressInfo).port}/pipelines/test-pipeline?dataset[]=out`, { body: fraud, headers: { ...json, connection: 'close' } });
    expect(answer.status).toBe(200);
    server.close();
    e.child.send({ type: 'drain' });
    expect(await e.exited).toBe(0);
  });

  test('that goes away takes its engine with it', async () => {
    const e = engine(['ccfraud']);
    await e.port();
    e.child.disconnect();
    expect(await e.exited).toBe(0);
  });

  test('that goes away before its engine is ready takes it with it', async () => {
    const e = engine(['slow']);
    e.child.disconnect();
    expect(await e.exited).toBe(0);
    expect(e.output).not.toContain('"message":"ready"');
  });

  test('a socket left by an engine that was killed is taken over', async () => {
    const socket = join(temporaryFolder(), 'engine.sock');
    const { folder } = writeBundle(['ccfraud']);
    const first = new EngineProcess(['--bundle', folder, '--socket', socket]);
    await first.said;
    first.child.kill('SIGKILL');
    await first.exited;
    const second = new EngineProcess(['--bundle', folder, '--socket', socket]);
    expect(await second.said).toMatchObject({ type: 'ready' });
    const third = new EngineProcess(['--bundle', folder, '--socket', socket]);
    expect(await third.said).toMatchObject({ type: 'failed', code: 'port_in_use' });
  });

  test('tokens guard the public side and not the socket; the list can be replaced there only', async () => {
    const folder = temporaryFolder();
    const socket = join(folder, 'engine.sock');
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const list = { issuer: 'https://ops.test', jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'a', alg: 'ES256' }] }, subjects: ['alice'] };
    const access = join(folder, 'access.json');
    writeFileSync(access, JSON.stringify(list));
    const token = async (sub: string): Promise<string> => `Bearer ${await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'a' }).setSubject(sub).setIssuer(list.issuer).setExpirationTime('1h').sign(privateKey)}`;
    const e = engine(['ccfraud'], {}, ['--socket', socket, '--access', access]);
    const url = await base(e);
    const infer = async (authorization?: string): Promise<Answer> => ask(`${url}/pipelines/test-pipeline?dataset[]=out`, { body: fraud, headers: { ...json, ...(authorization && { authorization }) } });
    expect((await infer()).json).toMatchObject({ code: 401, type: 'unauthenticated' });
    expect((await infer()).headers.get('www-authenticate')).toBe('Bearer');
    expect((await infer(await token('bob'))).json).toMatchObject({ code: 403, type: 'forbidden' });
    const alice = await token('alice');
    expect([(await infer(alice)).status, (await infer(alice)).status]).toEqual([200, 200]);
    expect((await ask(url, { method: 'GET', path: '/metrics' })).status).toBe(401);
    expect((await ask(url, { method: 'GET', path: '/v2/models/ccfraud' })).json).toEqual({ error: expect.stringMatching(/bearer token/), code: 'unauthenticated' });
    expect((await ask(url, { method: 'GET', path: '/readyz' })).status).toBe(200);
    expect((await ask(url, { method: 'PUT', path: '/access', body: JSON.stringify(list), headers: { authorization: alice } })).status).toBe(404);

    const local = (method: string, path: string, body: string): Promise<number> => new Promise((resolve, reject) => {
      const request = httpRequest({ socketPath: socket, method, path, headers: { ...json, 'content-length': body.length } }, (r) => { r.resume(); resolve(r.statusCode ?? 0); });
      request.on('error', reject);
      request.end(body);
    });
    expect(await local('POST', '/pipelines/test-pipeline', fraud)).toBe(200);
    expect(await local('PUT', '/access', '{"issuer":1}')).toBe(400);
    expect(await local('PUT', '/access', JSON.stringify({ ...list, subjects: ['bob'] }))).toBe(200);
    expect((await infer(alice)).status).toBe(403);
    expect((await infer(await token('bob'))).status).toBe(200);
  });
});

test('draining under keep-alive load fails no request', async () => {
  const e = engine(['ccfraud'], {}, ['--linger-ms', '100']);
  const port = await e.port();
  const idle = connect(port, '127.0.0.1');
  const idleEnd = once(idle.resume(), 'close');
  let [answered, closed] = [0, 0];
  const failures: string[] = [];
  let loads = 0;
  /** One client on one connection: sends the next request when the last is answered, until it is told to close. */
  const client = (): Promise<void> => new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1');
    let text = '';
    const send = (): void => { socket.write(`POST /pipelines/test-pipeline?dataset[]=out HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${fraud.length}\r\n\r\n${fraud}`); };
    socket.on('connect', send);
    socket.on('data', (d) => {
      text += d.toString();
      const match = /^HTTP\/1\.1 (\d+) [^]*?\r\nContent-Length: (\d+)\r\n\r\n/.exec(text);
      if (match === null || text.length < match[0].length + Number(match[2])) return;
      if (match[1] !== '200') failures.push(text);
      answered++;
      const last = match[0].includes('Connection: close');
      text = '';
      loads++;
      if (last) closed++;
      else send();
    });
    socket.on('error', (error) => failures.push(error.message));
    socket.on('close', () => {
      if (text !== '') failures.push(`cut off: ${text}`);
      resolve();
    });
  });
  const clients = Array.from({ length: 16 }, client);
  await expect.poll(() => loads).toBeGreaterThan(200);
  e.child.kill('SIGTERM');
  await Promise.all(clients);
  await idleEnd;
  expect(failures).toEqual([]);
  expect(closed).toBe(16);
  expect(answered).toBeGreaterThan(200);
  expect(await e.exited).toBe(0);
});

test('what was answered before a kill is in the log', async () => {
  const spool = join(temporaryFolder(), 'spool');
  const e = engine(['ccfraud'], {}, ['--spool', spool, '--partition', 'p1']);
  const url = await base(e);
  for (let i = 0; i < 3; i++) expect((await ask(`${url}/pipelines/test-pipeline`, { body: fraud, headers: json })).status).toBe(200);
  expect((await ask(url, { method: 'GET', path: '/status' })).json).toMatchObject({ spool: { partition: 'p1', rows: 3 } });
  const [row] = (await ask(`${url}/pipelines/test-pipeline?dataset[]=metadata.partition&dataset.separator=.`, { body: fraud, headers: json })).json as [object];
  expect(row).toEqual({ 'metadata.partition': 'p1' });
});

describe('an engine that cannot serve says why and exits with its code', () => {
  const failing = async (args: string[]): Promise<{ said: unknown; code: number | null; output: string }> => {
    const e = new EngineProcess(args);
    const said = await e.said;
    return { said, code: await e.exited, output: e.output };
  };
  const listen = ['--listen', '127.0.0.1:0'];
  test.each<[string, () => string[] | Promise<string[]>, string, number, RegExp]>([
    ['no bundle', () => listen, 'settings_invalid', engineExit.badSettings, /--bundle is missing/],
    ['an unknown option', () => ['--bundle', 'x', '--colour', 'red'], 'settings_invalid', engineExit.badSettings, /--colour.*Known options: --bundle/],
    ['a bad address', () => ['--bundle', 'x', '--listen', 'nowhere'], 'settings_invalid', engineExit.badSettings, /--listen must be HOST:PORT/],
    ['cpus that are none', () => ['--bundle', 'x', ...listen, '--cpus=-1'], 'settings_invalid', engineExit.badSettings, /--cpus must be a number above 0/],
    ['no access list', () => ['--bundle', 'x', ...listen, '--access', '/nowhere.json'], 'settings_invalid', engineExit.badSettings, /--access: \/nowhere\.json cannot be read/],
    ['a missing folder', () => ['--bundle', '/nowhere', ...listen], 'pipeline_invalid', engineExit.badBundle, /pipeline\.json: the file does not exist/],
    ['a model that does not load', () => ['--bundle', writeBundle(['bad-operator']).folder, ...listen], 'model_unsupported', engineExit.loadFailed, /Frobnicate/],
    ['a model that fails its warm-up', () => ['--bundle', writeBundle(['bad-warm-up']).folder, ...listen], 'warm_up_failed', engineExit.loadFailed, /row of zeros/],
    ['a port in use', async () => ['--bundle', writeBundle(['ccfraud']).folder, '--listen', `127.0.0.1:${await engine(['ccfraud']).port()}`], 'port_in_use', engineExit.portTaken, /is taken/],
    ['a spool where no folder can be made', () => ['--bundle', writeBundle(['ccfraud']).folder, ...listen, '--spool', '/proc/potoroo/spool'], 'storage_read_only', engineExit.storage, /takes no new folders|cannot be written/],
    ['a spool that cannot be written', () => ['--bundle', writeBundle(['ccfraud']).folder, ...listen, '--spool', join(fixture('ccfraud'), 'spool')], 'storage_read_only', engineExit.storage, /./],
  ])('%s', async (_, args, code, exit, message) => {
    const { said, code: got, output } = await failing(await args());
    expect(said).toMatchObject({ type: 'failed', code, message: expect.stringMatching(message) });
    expect(got).toBe(exit);
    expect(output).not.toMatch(/\n\s+at /);
  });
});

test('an engine over its memory limit says so and stops, rather than be killed without a word', async () => {
  const e = engine(['ccfraud'], {}, ['--memory', '1000000']);
  expect(await e.said).toMatchObject({ type: 'ready' });
  expect(await e.exited).toBe(engineExit.outOfMemory);
  expect(e.output).toMatch(/"message":"The engine uses \d+ MiB, over its limit of 1 MiB\..*"code":"engine_out_of_memory"/);
});

test('inspect loads a file in a process of its own and says what it is', () => {
  const inspect = (...args: string[]): unknown => {
    const { stdout, status } = spawnSync(process.execPath, [fileURLToPath(new URL('../dist/inspect.js', import.meta.url)), ...args], { encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    return JSON.parse(stdout) as unknown;
  };
  expect(inspect('--file', fixture('multi'), '--framework', 'onnx', '--tensor-fields', 'a,b')).toEqual({
    ok: true, inputs: [{ name: 'a', type: 'float32', shape: [2] }, { name: 'b', type: 'int64', shape: [2] }],
    outputs: [{ name: 'total', type: 'float32', shape: [2] }, { name: 'label', type: 'int64', shape: [] }, { name: 'above', type: 'bool', shape: [2] }],
    warmUpMs: expect.any(Number), mergeable: true, notes: [], format: { irVersion: 8, opsets: { 'ai.onnx': 17 }, producer: 'potoroo-fixtures' },
  });
  expect(inspect('--file', fixture('bad-opset'), '--framework', 'onnx')).toMatchObject({ ok: false, code: 'model_unsupported' });
  expect(inspect('--file', '/nowhere', '--framework', 'onnx')).toMatchObject({ ok: false, code: 'model_invalid' });
  expect(inspect('--framework', 'onnx')).toMatchObject({ ok: false, code: 'invalid_request' });
});

test('the text of an Arrow answer is UTF-8', async () => {
  const url = `${await base(engine(['identity-string']))}/pipelines/test-pipeline`;
  const arrow = 'application/vnd.apache.arrow.file';
  const { bytes } = await ask(`${url}?dataset[]=out&dataset.separator=.`, { body: JSON.stringify([{ x: ['ä', '', '😀'] }]), headers: { ...json, accept: arrow } });
  const column = decodeArrow(bytes).batch.columns[0] as TensorColumn;
  expect([0, 1, 2].map((i) => utf8At(column.values as Utf8, i))).toEqual(['ä', '', '😀']);
});
