import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { Outgoing } from '../../outgoing/outgoing.ts';
import { defaultBounds, RegistryApi } from './api.ts';
import { download } from './download.ts';
import { read } from './places.ts';
import { dbfs, serve, type Handler, type TestRegistry } from './testing.ts';

const file = randomBytes(300_000);
const other = randomBytes(file.length);
const digest = (bytes: Uint8Array) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
const limits = { connectMs: 400, headMs: 400, silenceMs: 400 };
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => { for (const close of closing.splice(0)) await close(); });

/** Answers with its head and these bytes, then cuts the connection where `cut` says so. */
type Answer = (reply: ServerResponse, request: IncomingMessage, from: number) => void;
function send(status: number, headers: OutgoingHttpHeaders, bytes: Uint8Array, cut = false): Answer {
  return (reply, request) => {
    reply.writeHead(status, headers);
    reply.flushHeaders();
    // Ended, not destroyed: what is on its way arrives first.
    if (cut) reply.write(bytes, () => request.socket.end());
    else reply.end(bytes);
  };
}
/** The first bytes of the whole, of what it says is longer. */
const begin = (bytes: number, headers: OutgoingHttpHeaders = {}): Answer => send(200, { 'content-length': file.length, ...headers }, file.subarray(0, bytes), true);
/** The part that was asked for, up to this byte; broken there when the head says more. */
const part = (to = file.length, headers: OutgoingHttpHeaders = {}, said = file.length): Answer => (reply, request, from) =>
  send(206, { 'content-length': said - from, 'content-range': `bytes ${from}-${said - 1}/${file.length}`, ...headers }, file.subarray(from, to), to < said)(reply, request, from);

interface Asked { readonly range: string | undefined; readonly ifRange: string | undefined; readonly authorization: string | undefined }
const tellsOf = ({ headers }: IncomingMessage): Asked => ({ range: headers.range, ifRange: headers['if-range'] as string | undefined, authorization: headers.authorization });

async function fetching(answers: readonly Answer[], { breaks = 5, maxBytes = 20_000_000 } = {}) {
  const asked: Asked[] = [];
  const server = await serve((_, request, reply) => {
    asked.push(tellsOf(request));
    const answer = answers[Math.min(asked.length, answers.length) - 1] as Answer;
    answer(reply, request, Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0));
    return null;
  });
  const { api, said } = apiOf(server, { breaks, maxBytes });
  const pieces: Uint8Array[] = [];
  const end = (async () => {
    for await (const piece of download(api, { path: '/file', query: {} }, maxBytes, (text) => said.push(text))) pieces.push(piece);
    return Buffer.concat(pieces);
  })();
  return { asked, said, end };
}
function apiOf(server: TestRegistry, bounds: { breaks?: number; maxBytes?: number } = {}) {
  const outgoing = new Outgoing('127.0.0.1', limits);
  closing.push(() => outgoing.close(), () => server.close());
  const said: string[] = [];
  return { said, api: new RegistryApi({ outgoing, url: server.url, token: 'correct-horse', name: 'lab' }, { ...defaultBounds, maxBytes: 20_000_000, breakMs: 2, ...bounds }) };
}

const tag = { etag: '"a"' };
const date = { 'last-modified': 'Sat, 01 Jan 2022 00:00:00 GMT' };
const rest = (from: number, ifRange?: string) => [`bytes=${from}-`, ifRange];
const whole = [undefined, undefined];
test.each<[string, Answer[], (string | undefined)[][]]>([
  ['by parts of the version that its tag names', [begin(100_000, tag), part(200_000, tag), part(file.length, tag)], [whole, rest(100_000, '"a"'), rest(200_000, '"a"')]],
  ['by its time, where it has no tag', [begin(100_000, date), part()], [whole, rest(100_000, date['last-modified'])]],
  ['without a condition, where its tag is weak', [begin(100_000, { etag: 'W/"a"', ...date }), part(file.length, { etag: 'W/"a"' })], [whole, rest(100_000)]],
  ['without a condition, where it has neither', [begin(100_000), part()], [whole, rest(100_000)]],
  ['from a server that gives smaller parts than are asked for', [begin(100_000), part(200_000, {}, 200_000), part()], [whole, rest(100_000), rest(200_000)]],
  ['from a server that knows of no parts', [begin(100_000), begin(250_000), begin(50_000), send(200, {}, file)], [whole, rest(100_000), rest(250_000), rest(250_000)]],
  ['from a server that has a new tag for the same bytes', [begin(100_000, tag), send(200, { etag: '"b"', 'content-length': file.length }, file)], [whole, rest(100_000, '"a"')]],
  ['after answers of no use', [begin(100_000), send(503, {}, Buffer.from('busy')), send(500, {}, Buffer.alloc(0)), part()], [whole, rest(100_000), rest(100_000), rest(100_000)]],
  ['from its beginning, where nothing had come', [begin(0, tag), send(200, tag, file)], [whole, whole]],
  ['of a size that nobody says', [send(200, {}, file.subarray(0, 100_000), true), part(file.length, { 'content-range': `bytes 100000-${file.length - 1}/*` })], [whole, rest(100_000)]],
  ['from a server that closes after each answer', [begin(10, { connection: 'close' }), part(50_000, { connection: 'close' }), send(200, { connection: 'close' }, file.subarray(0, 60_000), true), part()], [whole, rest(10), rest(50_000), rest(60_000)]],
  ['of which little had come, in chunks', [send(200, {}, file.subarray(0, 10), true), send(200, {}, file.subarray(0, 300), true), send(200, {}, file)], [whole, rest(10), rest(300)]],
  ['that was here already, but for its end', [send(200, {}, file, true), send(416, { 'content-range': `bytes */${file.length}` }, Buffer.alloc(0))], [whole, rest(file.length)]],
  ['with the digest that it should have', [begin(100_000, { 'repr-digest': `sha-512=:x:, ${digest(file)}` }), part(file.length, { 'repr-digest': digest(file) })], [whole, rest(100_000)]],
])('a file whose transfer breaks is fetched on %s', async (_, answers, requests) => {
  const { asked, said, end } = await fetching(answers);
  expect((await end).equals(file)).toBe(true);
  expect(asked.map(({ range, ifRange }) => [range, ifRange])).toEqual(requests);
  expect(new Set(asked.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer correct-horse']));
  expect(said).toHaveLength(requests.length - 1);
  for (const line of said) expect(line).toMatch(/Going on after \d+ bytes\.$/);
});

const rangeOf = (range: string, bytes = 200_000): Answer => send(206, { 'content-range': range, 'content-length': bytes }, file.subarray(100_000, 100_000 + bytes));
const json = (status: number, body: unknown): Answer => send(status, { 'content-type': 'application/json' }, Buffer.from(JSON.stringify(body)));
test.each<[string, string, Answer, OutgoingHttpHeaders?]>([
  ['a part without saying which', 'registry_invalid', send(206, {}, file.subarray(100_000))],
  ['an earlier part', 'registry_invalid', rangeOf('bytes 0-199999/300000')],
  ['a later part', 'registry_invalid', rangeOf('bytes 100001-300000/300001')],
  ['a part of another size', 'registry_invalid', rangeOf('bytes 100000-299999/400000')],
  ['a part beyond the end', 'registry_invalid', rangeOf('bytes 100000-300000/300000', 200_001)],
  ['a part that ends before it begins', 'registry_invalid', rangeOf('bytes 100000-99999/300000', 0)],
  ['a part in other units', 'registry_invalid', rangeOf('rows 100000-299999/300000')],
  ['a part with a number without end', 'registry_invalid', rangeOf(`bytes 100000-${'9'.repeat(400)}/300000`)],
  ['several parts', 'registry_invalid', send(206, { 'content-type': 'multipart/byteranges; boundary=x' }, file.subarray(100_000))],
  ['more than the part that it says', 'registry_invalid', send(206, { 'content-range': 'bytes 100000-199999/300000' }, file.subarray(100_000))],
  ['a part of another version', 'registry_invalid', part(file.length, { etag: '"b"' }), tag],
  ['a part with another digest', 'registry_invalid', part(file.length, { 'repr-digest': digest(other) }), { 'repr-digest': digest(file) }],
  ['a part that is compressed', 'registry_invalid', part(file.length, { 'content-encoding': 'gzip' })],
  ['other bytes than the digest says', 'registry_invalid', part(), { 'repr-digest': digest(other) }],
  ['another file, whole', 'registry_invalid', send(200, {}, other)],
  ['another file that differs in the last byte that was here', 'registry_invalid', send(200, {}, Buffer.concat([file.subarray(0, 99_999), Buffer.of(file[99_999]! ^ 1), file.subarray(100_000)]))],
  ['a shorter file', 'registry_invalid', send(200, {}, file.subarray(0, 99_999))],
  ['no file at all', 'registry_invalid', send(200, {}, Buffer.alloc(0))],
  ['that there is nothing left', 'registry_invalid', send(416, { 'content-range': 'bytes */100000' }, Buffer.alloc(0))],
  ['that there is less', 'registry_invalid', send(416, { 'content-range': 'bytes */50000' }, Buffer.alloc(0))],
  ['that there is no such part, and no more', 'registry_invalid', send(416, {}, Buffer.alloc(0))],
  ['another way, inwards', 'address_refused', send(302, { location: 'http://10.0.0.1/file' }, Buffer.alloc(0))],
  ['that the token has ended', 'registry_refused', json(401, {})],
  ['that the file is gone', 'artifact_not_found', json(404, { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'gone' })],
  ['what is no HTTP', 'registry_invalid', (_, { socket }) => { socket.end('hello\r\n\r\n'); }],
])('a registry that goes on with %s is not believed: %s', async (_, code, answer, headers = {}) => {
  const { asked, end } = await fetching([begin(100_000, headers), answer]);
  await expect(end).rejects.toMatchObject({ code, message: expect.stringMatching(/^[^\n]{10,400}$/) });
  expect(asked).toHaveLength(2);
});

test.each<[string, Answer[]]>([
  ['never gets on', [begin(100_000), part(100_000)]], ['gets on by a byte at a time', [begin(1), (reply, request, from) => part(from + 1)(reply, request, from)]],
  ['hands out parts of a byte', [begin(1), (reply, request, from) => part(from + 1, {}, from + 1)(reply, request, from)]],
  ['is silent in the middle', [(reply) => { reply.writeHead(200, { 'content-length': file.length }).write(file.subarray(0, 10)); }]],
])('a registry that %s is given up after so many breaks', async (_, answers) => {
  const { asked, said, end } = await fetching(answers, { breaks: 2 });
  await expect(end).rejects.toMatchObject({ code: 'registry_unreachable' });
  expect([asked.length, said.length]).toEqual([3, 2]);
});

test('a registry that does not answer at all is not asked again', async () => {
  const { asked, end } = await fetching([(_, request) => { request.socket.destroy(); }]);
  await expect(end).rejects.toMatchObject({ code: 'registry_unreachable' });
  expect(asked).toHaveLength(1);
});

test('breaks with enough in between are none in a row', async () => {
  const large = randomBytes(6 << 20);
  const step = (1 << 20) + 10_000;
  const { asked, end } = await fetching([(reply, request, from) => {
    const to = Math.min(large.length, from + step);
    send(from === 0 ? 200 : 206, { 'content-length': large.length - from, 'content-range': `bytes ${from}-${large.length - 1}/${large.length}` }, large.subarray(from, to), to < large.length)(reply, request, from);
  }], { breaks: 1 });
  expect((await end).equals(large)).toBe(true);
  expect(asked).toHaveLength(6);
});

test('what is too large is refused, however it comes', async () => {
  for (const answers of [[begin(100_000), part()], [send(200, {}, file.subarray(0, 100_000), true), send(200, {}, file)], [send(200, {}, file)]]) {
    await expect((await fetching(answers, { maxBytes: 200_000 })).end).rejects.toMatchObject({ code: 'body_too_large' });
  }
});

test('where a file lies elsewhere, that server is asked for the part, and never gets the token', async () => {
  const asked: Asked[] = [];
  const store = await serve((_, request, reply) => {
    asked.push(tellsOf(request));
    const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    (asked.length === 1 ? begin(100_000, tag) : part(file.length, tag))(reply, request, from);
    return null;
  });
  closing.push(() => store.close());
  const { end } = await fetching([send(302, { location: `${store.url}/there` }, Buffer.alloc(0))]);
  expect((await end).equals(file)).toBe(true);
  expect(asked).toEqual([{ range: undefined, ifRange: undefined, authorization: undefined }, { range: 'bytes=100000-', ifRange: '"a"', authorization: undefined }]);
});

test('on Databricks a piece that breaks is asked for again, and the others are not', async () => {
  const large = randomBytes((2 << 20) + 5);
  const offsets: number[] = [];
  const flaky: Handler = (url, request) => {
    offsets.push(Number(url.searchParams.get('offset')));
    if (offsets.length !== 2) return undefined;
    request.socket.destroy();
    return null;
  };
  const { api, said } = apiOf(await serve(flaky, dbfs({ 'm/model.bin': large })));
  const pieces: Uint8Array[] = [];
  for await (const piece of read(api, { store: 'dbfs', of: '', path: '/m/model.bin' }, 20_000_000, (text) => said.push(text))) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(large)).toBe(true);
  expect(offsets).toEqual([0, 1 << 20, 1 << 20, 2 << 20]);
  expect(said).toHaveLength(1);
});
