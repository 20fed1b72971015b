import { request } from 'node:http';
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeBundle } from '../testing/bundle.ts';
import { endEngines, EngineProcess } from '../testing/process.ts';
import { preferred } from './coding.ts';

test.each([
  ['gzip', 'gzip'], ['deflate', 'deflate'], ['gzip, deflate, br', 'gzip'], ['deflate, gzip', 'gzip'], ['br, zstd', undefined], ['', undefined], ['identity', undefined],
  ['gzip;q=0', undefined], ['gzip;q=0.1, deflate;q=0.5', 'deflate'], ['GZIP; q=1.0', 'gzip'], ['*', 'gzip'], ['x-gzip', 'gzip'], ['gzip;q=x', undefined], ['gzip;q=0, deflate', 'deflate'], [';;,,=', undefined],
])('Accept-Encoding %j asks for %s', (accept, coding) => {
  expect(preferred(accept)).toBe(coding);
});

describe('an engine', () => {
  let port: number;
  const path = '/v2/models/test-pipeline/infer';
  beforeAll(async () => {
    port = await new EngineProcess(['--bundle', writeBundle(['identity-float32']).folder, '--listen', '127.0.0.1:0', '--cpus', '1', '--max-body-bytes', '4000000']).port();
  });
  afterAll(endEngines);

  /** As it comes over the wire: nothing unpacks it. */
  const ask = (body: Uint8Array | string, headers: Record<string, string>, to = path): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; bytes: Buffer }> => new Promise((resolve, reject) => {
    request({ port, path: to, method: 'POST', headers: { 'content-length': Buffer.byteLength(body), ...headers } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject).on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.concat(chunks) }));
    }).on('error', reject).end(body);
  });
  const question = (rows: number, binary: boolean): string => JSON.stringify({ id: 'q', inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, 3], data: Array.from({ length: 3 * rows }, (_, i) => i % 7) }], outputs: [{ name: 'y', parameters: { binary_data: binary } }] });

  test.each([['gzip', gunzipSync, false], ['gzip', gunzipSync, true], ['deflate', inflateSync, false], ['deflate', inflateSync, true]] as const)('packs a larger answer with %s for who asks, and it is the same answer', async (coding, unpack, binary) => {
    const body = question(400, binary);
    const plain = await ask(body, {});
    expect([plain.status, plain.headers['content-encoding']]).toEqual([200, undefined]);
    // A plain request, which the fast lane reads, and one that only Node's server does.
    for (const more of [{}, { 'content-encoding': 'identity' }]) {
      const packed = await ask(body, { 'accept-encoding': coding, ...more });
      expect([packed.status, packed.headers['content-encoding'], packed.headers['content-type'], packed.headers['inference-header-content-length']])
        .toEqual([200, coding, plain.headers['content-type'], plain.headers['inference-header-content-length']]);
      expect(packed.bytes.length).toBeLessThan(plain.bytes.length / 2);
      expect(unpack(packed.bytes).equals(plain.bytes)).toBe(true);
    }
  });

  test('does not pack a small answer, nor an error, nor for who does not unpack', async () => {
    for (const [rows, accept] of [[1, 'gzip'], [400, 'br'], [400, 'gzip;q=0']] as const) {
      const answer = await ask(question(rows, false), { 'accept-encoding': accept });
      expect([answer.status, answer.headers['content-encoding'], (JSON.parse(answer.bytes.toString()) as { id: string }).id]).toEqual([200, undefined, 'q']);
    }
    const refused = await ask('{', { 'accept-encoding': 'gzip' });
    expect([refused.status, refused.headers['content-encoding'], JSON.parse(refused.bytes.toString())]).toMatchObject([400, undefined, { code: 'malformed_body' }]);
  });

  test('refuses bombs, many at once, and goes on answering', async () => {
    const bombs = [gzipSync(Buffer.alloc(100_000_000)), deflateSync(Buffer.alloc(100_000_000))];
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(bombs[i % 2] as Buffer, { 'content-encoding': i % 2 === 0 ? 'gzip' : 'deflate' })));
    for (const answer of answers) expect([answer.status, JSON.parse(answer.bytes.toString())]).toMatchObject([413, { code: 'body_too_large' }]);
    const good = await ask(gzipSync(question(1, false)), { 'content-encoding': 'gzip' });
    expect(good.status).toBe(200);
  });

  test.each([
    ['is not packed', 'gzip', 415, Buffer.from('{}'), 'zstd'], ['is cut off', 'gzip', 400, gzipSync('{"inputs":[]}').subarray(0, 12), 'gzip'], ['is something else', 'deflate', 400, gzipSync('{}'), 'deflate'], ['is packed twice', 'both', 415, gzipSync(gzipSync('{}')), 'gzip, gzip'],
  ])('refuses a body that %s (%s)', async (_what, _as, status, body, encoding) => {
    const answer = await ask(body, { 'content-encoding': encoding });
    expect([answer.status, JSON.parse(answer.bytes.toString())]).toMatchObject([status, { error: expect.stringMatching(/./) }]);
  });
});
