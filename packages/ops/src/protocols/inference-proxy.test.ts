import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { PotorooError, type Problem } from '@potoroo/contract';
import { silent } from '../log.ts';
import { InferenceProxy } from './inference-proxy.ts';
import { createServer as createOpsServer } from './server.ts';
import { leaveBodies } from './streams.ts';

/** Small HTTP servers on Unix sockets stand where engines would, so that they can break off where no engine would on request. */
let folder: string;
let url: string;
let proxy: InferenceProxy;
let closeServer: () => Promise<unknown>;
let sockets: string[] = [];
let inFlight = 0;
const engines: Server[] = [];
let made = 0;

async function engine(serve: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const path = join(folder, `${(made += 1)}.sock`);
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  engines.push(server);
  return path;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potoroo-proxy-'));
  proxy = new InferenceProxy({
    maxBytes: 3_000_000, timeoutMs: 500, clock: Date.now,
    deployments: {
      route: async () => {
        const socketPath = sockets.length > 1 ? sockets.shift() : sockets[0];
        if (socketPath === undefined) throw new PotorooError('no_engine_ready', 'No engine is ready.');
        inFlight += 1;
        let done = false;
        return { socketPath, done: () => { if (!done) inFlight -= 1; done = true; } };
      },
    },
  });
  const app = createOpsServer(silent);
  app.decorateRequest('actor', null);
  app.addHook('onRequest', async (request) => { request.actor = { id: 'u', email: 'u@ex.co', role: 'user' }; });
  await app.register(async (scope) => {
    leaveBodies(scope);
    scope.post('/infer', (request, reply) => proxy.serve(request, reply, 1, '/pipelines/p', { defaultQuery: '?dataset=*' }));
    scope.post('/native', (request, reply) => proxy.serve(request, reply, 1, '/pipelines/p', { throwRefusals: true }));
  });
  url = await app.listen({ host: '127.0.0.1', port: 0 });
  closeServer = () => app.close();
});
afterEach(async () => {
  // Every engine that was routed to has been let go again.
  await vi.waitFor(() => { if (inFlight !== 0) throw new Error(`${inFlight} engines are still taken.`); });
  for (const server of engines.splice(0)) { server.closeAllConnections(); server.close(); }
  sockets = [];
});
afterAll(async () => {
  await closeServer();
  await proxy.close();
  await rm(folder, { recursive: true });
});

const infer = (body: BodyInit | ReadableStream, headers: Record<string, string> = {}, query = '', signal?: AbortSignal) =>
  fetch(`${url}/infer${query}`, { method: 'POST', body: body as never, headers: { 'content-type': 'application/json', ...headers }, ...(body instanceof ReadableStream && { duplex: 'half' }), ...(signal && { signal }) });
type BodyInit = string | Uint8Array<ArrayBuffer>;
const codeOf = async (response: Response): Promise<string> => ((await response.json()) as Problem).code;
async function collect(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test('passes on what matters and no more, and the answer as it is', async () => {
  let seen: IncomingMessage | undefined;
  sockets = [await engine((request, response) => {
    seen = request;
    void collect(request).then((body) => response.writeHead(418, { 'content-type': 'text/odd', 'x-of-engine': 'yes' }).end(body));
  })];
  const answer = await infer('[1]', { accept: 'text/odd', 'x-request-id': 'r-1', authorization: 'Bearer secret', cookie: 'a=b' }, '?dataset=out&dataset.exclude=x');
  expect([answer.status, await answer.text(), answer.headers.get('content-type'), answer.headers.get('x-of-engine')]).toEqual([418, '[1]', 'text/odd', 'yes']);
  expect(seen?.url).toBe('/pipelines/p?dataset=out&dataset.exclude=x');
  expect(seen?.headers).toMatchObject({ 'content-type': 'application/json', accept: 'text/odd', 'x-request-id': 'r-1', 'content-length': '3' });
  expect(seen?.headers).not.toHaveProperty('authorization');
  expect(seen?.headers).not.toHaveProperty('cookie');
  await infer('[1]');
  expect(seen?.url).toBe('/pipelines/p?dataset=*');
});

test('tells the engine what time is left, whatever a caller says of it', async () => {
  const seen: number[] = [];
  sockets = [await engine((request, response) => {
    seen.push(Number(request.headers['x-potoroo-timeout-ms']));
    request.resume().once('end', () => response.end('ok'));
  })];
  await infer('[1]', { 'x-potoroo-timeout-ms': '9999999' });
  await infer('[1]', { 'request-timeout': '60' });
  expect(await (await infer('[1]', { 'request-timeout': '1.1' })).text()).toBe('ok');
  const [usual, asked] = seen as [number, number];
  expect(usual).toBeGreaterThan(0);
  expect(usual).toBeLessThanOrEqual(500);
  expect(asked).toBeGreaterThan(500);
  expect(asked).toBeLessThanOrEqual(60_000);
});

test.each([
  ['its code and fields', 400, '{"code":400,"status":"Error","error":"Column x is missing.","source":"engine","type":"schema_mismatch","fields":[{"field":"x","message":"missing"}]}', [400, 'schema_mismatch', 'Column x is missing.', [{ field: 'x', message: 'missing' }]]],
  ['too much at once', 429, '{"error":"64 rows are waiting.","type":"overloaded"}', [429, 'overloaded', '64 rows are waiting.', undefined]],
  ['a code of another version', 422, '{"error":"New.","type":"of_tomorrow"}', [400, 'invalid_request', 'New.', undefined]],
  ['no form of an engine', 500, 'boom', [500, 'inference_failed', 'The engine answered with status 500.', undefined]],
  ['JSON, and no object', 500, 'null', [500, 'inference_failed', 'The engine answered with status 500.', undefined]],
])("where the protocol has a form of its own, an engine's refusal is told in it: %s", async (_what, status, body, expected) => {
  sockets = [await engine((request, response) => { request.resume().once('end', () => response.writeHead(status, { 'content-type': 'application/json' }).end(body)); })];
  const answer = await fetch(`${url}/native`, { method: 'POST', body: '[1]', headers: { 'content-type': 'application/json', 'x-request-id': 'r-9' } });
  const problem = (await answer.json()) as Problem;
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect([answer.status, problem.code, problem.detail, problem.errors]).toEqual(expected);
  expect(problem).toMatchObject({ status: answer.status, type: `/api/errors/${problem.code}`, instance: 'r-9' });
  // Elsewhere it is the engine's own answer.
  const raw = await infer('[1]');
  expect([raw.status, await raw.text()]).toEqual([status, body]);
});

test('large bodies and answers are streamed, announced or not', async () => {
  sockets = [await engine((request, response) => { request.pipe(response); })];
  const big = Buffer.alloc(2_500_000, 'x');
  expect(Buffer.from(await (await infer(big)).arrayBuffer()).equals(big)).toBe(true);
  const parts = new ReadableStream({ start(controller) { for (let i = 0; i < 5; i += 1) controller.enqueue(big.subarray(0, 500_000)); controller.close(); } });
  expect((await (await infer(parts)).arrayBuffer()).byteLength).toBe(2_500_000);
});

test('a body over the bound is refused, announced or not', async () => {
  sockets = [await engine((request, response) => { request.resume().once('end', () => response.end()); })];
  expect(await codeOf(await infer(Buffer.alloc(3_000_001)))).toBe('body_too_large');
  const endless = new ReadableStream({ async pull(controller) { await nextTurn(); controller.enqueue(new Uint8Array(100_000)); } });
  const enough = new AbortController();
  expect(await codeOf(await infer(endless, {}, '', enough.signal))).toBe('body_too_large');
  enough.abort();
});

test('an engine that cannot be reached is passed over; when none can, that is said', async () => {
  let served = 0;
  const good = await engine((request, response) => { served += 1; request.resume().once('end', () => response.end('ok')); });
  sockets = [join(folder, 'gone.sock'), join(folder, 'gone2.sock'), good];
  expect(await (await infer('[]')).text()).toBe('ok');
  expect(served).toBe(1);
  sockets = [join(folder, 'gone.sock')];
  const lost = await infer('[]');
  expect([lost.status, await codeOf(lost)]).toEqual([502, 'engine_lost']);
  sockets = [];
  expect(await codeOf(await infer('[]'))).toBe('no_engine_ready');
});

test('an engine that ends with a request: an error, and the request is not sent again', async () => {
  let served = 0;
  const dies = await engine((request) => { served += 1; request.socket.destroy(); });
  sockets = [dies];
  const answer = await infer('[]');
  expect([answer.status, await codeOf(answer), served]).toEqual([502, 'engine_lost', 1]);
  expect(await codeOf(await infer(Buffer.alloc(2_000_000)))).toBe('engine_lost');
});

test('an engine that ends within its answer: the connection ends, so that nobody takes half for the whole', async () => {
  sockets = [await engine((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => setImmediate(() => request.socket.destroy()));
  })];
  await expect(infer('[]').then((answer) => answer.text())).rejects.toThrow(/terminated|closed/);
});

test('an engine that does not answer in time', async () => {
  sockets = [await engine((request) => { request.resume(); })];
  const late = await infer('[]');
  expect([late.status, await codeOf(late)]).toEqual([504, 'deadline_exceeded']);
  expect(await codeOf(await infer('[]', { 'request-timeout': '0.05' }))).toBe('deadline_exceeded');
  // 1.1 seconds are no whole number of milliseconds to a computer.
  for (const seconds of ['0.0001', '0.0011']) expect(await codeOf(await infer('[]', { 'request-timeout': seconds }))).toBe('deadline_exceeded');
  expect(await codeOf(await infer('[]', { 'request-timeout': 'soon' }))).toBe('invalid_request');
});

test('a caller who goes away takes the request along', async () => {
  let closed = false;
  let arrived: () => void = () => {};
  const here = new Promise<void>((resolve) => { arrived = resolve; });
  sockets = [await engine((request) => { request.resume(); request.socket.once('close', () => { closed = true; }); arrived(); })];
  const { port } = new URL(url);
  const caller = httpRequest({ host: '127.0.0.1', port, path: '/infer', method: 'POST', headers: { 'request-timeout': '60' } });
  caller.once('error', () => {});
  caller.end('[]');
  await here;
  caller.destroy();
  await expect.poll(() => closed).toBe(true);
});

test('a caller who stops in the middle of a body is cut off in time', async () => {
  sockets = [await engine((request, response) => { request.resume().once('end', () => response.end()); })];
  const { port } = new URL(url);
  const status = await new Promise<number | string>((resolve) => {
    const caller = httpRequest({ host: '127.0.0.1', port, path: '/infer', method: 'POST', headers: { 'content-length': '100' } }, (response) => { resolve(response.statusCode ?? 0); caller.destroy(); });
    caller.once('error', (error) => resolve(String((error as NodeJS.ErrnoException).code)));
    caller.write('[');
  });
  expect(status).toBe(504);
});
