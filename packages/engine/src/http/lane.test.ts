import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Exchange } from './exchange.ts';
import { Connections } from './front.ts';
import { readHead } from './head.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => { for (const f of cleanups.splice(0)) await f(); });

interface Seen { method: string; path: string; query: string; body: string; type: string | undefined }

/** The connections over an application that says what it saw. */
async function start(serve?: (x: Exchange) => void): Promise<{ port: number; seen: Seen[]; connections: Connections; held: Exchange[] }> {
  const seen: Seen[] = [];
  const held: Exchange[] = [];
  const answer = (x: Exchange): void => {
    const one = { method: x.method, path: x.path, query: x.query, body: Buffer.from(x.body).toString('latin1'), type: x.header('content-type') };
    seen.push(one);
    if (x.path === '/hold') held.push(x);
    else x.send(200, 'application/json', JSON.stringify(one), 'X-Extra: yes\r\n');
  };
  const routes = { serve: serve ?? answer, fail: (x: Exchange, error: Error) => x.send((error as { status?: number }).status ?? 500, 'application/json', JSON.stringify({ error: error.message })) };
  const connections = new Connections(routes, { maxBodyBytes: 300_000, requestTimeoutMs: 10_000, keepAliveMs: 60_000 });
  const port = await connections.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => connections.drain(0, 0));
  return { port, seen, connections, held };
}

/** Sends bytes in pieces of the given sizes and gathers what comes until the other side closes or `until` is met. */
async function talk(port: number, bytes: Buffer | string, options: { pieces?: number[]; until: (text: string) => boolean }): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  let text = '';
  const done = new Promise<void>((resolve) => {
    socket.on('data', (d) => {
      text += d.toString('latin1');
      if (options.until(text)) resolve();
    });
    socket.on('close', () => resolve());
    socket.on('error', () => resolve());
  });
  const all = Buffer.from(bytes as string, 'latin1');
  let at = 0;
  for (const size of [...(options.pieces ?? []), all.length]) {
    if (at >= all.length) break;
    socket.write(all.subarray(at, at + size));
    at += size;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
  socket.destroy();
  return text;
}

const post = (path: string, body: string, headers = ''): string => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
const bodies = (text: string): unknown[] => [...text.matchAll(/\r\n\r\n(\{.*?\})(?=HTTP|$)/gs)].map((m) => JSON.parse(m[1] as string) as unknown);
const answers = (n: number) => (text: string): boolean => bodies(text).length >= n;

test('a plain POST is read however the network cuts it', async () => {
  const { port, seen } = await start();
  const request = post('/a?b=c', 'hello world');
  for (let cut = 1; cut < request.length; cut += 3) {
    const text = await talk(port, request, { pieces: [cut], until: answers(1) });
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toMatch(/\r\nX-Extra: yes\r\n/);
    expect(text).toMatch(/\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n/);
  }
  expect(new Set(seen.map((s) => JSON.stringify(s)))).toEqual(new Set([JSON.stringify({ method: 'POST', path: '/a', query: 'b=c', body: 'hello world', type: 'text/plain' })]));
});

test('byte by byte, two requests behind each other', async () => {
  const { port } = await start();
  const text = await talk(port, post('/1', 'x') + post('/2', 'yy'), { pieces: Array.from({ length: 300 }, () => 1), until: answers(2) });
  expect(bodies(text)).toMatchObject([{ path: '/1', body: 'x' }, { path: '/2', body: 'yy' }]);
});

test('large bodies arrive whole, and the next request after them', async () => {
  const { port } = await start();
  const large = 'abcdefghij'.repeat(20_000);
  const text = await talk(port, post('/1', large) + post('/2', 'end'), { pieces: [100, 50_000, 70_001], until: answers(2) });
  expect(bodies(text)).toMatchObject([{ path: '/1', body: large }, { path: '/2', body: 'end' }]);
});

test('pipelined answers keep the order of their requests, though later ones are ready first', async () => {
  const { port, held } = await start();
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (d) => { text += d.toString(); });
  socket.write(post('/hold', 'first') + post('/2', 'second') + post('/hold', 'third') + post('/4', 'fourth'));
  await expect.poll(() => held.length).toBe(2);
  held[1]?.send(200, 'application/json', '{"n":3}');
  await new Promise((resolve) => setImmediate(resolve));
  expect(text).toBe('');
  held[0]?.send(200, 'application/json', '{"n":1}');
  await expect.poll(() => bodies(text).length).toBe(4);
  expect(bodies(text)).toMatchObject([{ n: 1 }, { path: '/2' }, { n: 3 }, { path: '/4' }]);
  socket.destroy();
});

test('more pipelined requests than may wait are all answered', async () => {
  const { port } = await start();
  const requests = Array.from({ length: 500 }, (_, i) => post(`/${i}`, `body ${i}`)).join('');
  const text = await talk(port, requests, { until: answers(500) });
  expect(bodies(text).map((b) => (b as Seen).path)).toEqual(Array.from({ length: 500 }, (_, i) => `/${i}`));
});

test('answers that are not ASCII have the right length', async () => {
  const { port } = await start((x) => x.send(200, 'application/json', '{"a":"Grüße 😀"}'));
  const text = await talk(port, post('/', ''), { until: (t) => t.includes('}') });
  expect(Buffer.from(text.split('\r\n\r\n')[1] as string, 'latin1').toString('utf8')).toBe('{"a":"Grüße 😀"}');
  expect(text).toMatch(/Content-Length: 20\r\n/);
});

describe('what is no plain POST goes to Node with all its bytes', () => {
  test.each([
    ['GET', 'GET /g HTTP/1.1\r\nHost: x\r\n\r\n', { method: 'GET', path: '/g', body: '' }],
    ['a chunked body', 'POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', { method: 'POST', path: '/c', body: 'abcde' }],
    ['PUT', 'PUT /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi', { method: 'PUT', path: '/p', body: 'hi' }],
    ['an absolute target', 'POST http://x/abs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi', { method: 'POST', body: 'hi' }],
    ['a tab in a header', 'POST /t HTTP/1.1\r\nHost: x\r\nX-A: a\tb\r\nContent-Length: 2\r\n\r\nhi', { method: 'POST', path: '/t', body: 'hi' }],
    ['HTTP/1.0', 'POST /old HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi', { method: 'POST', path: '/old', body: 'hi' }],
  ])('%s, alone and after a plain one', async (_, request, expected) => {
    const { port } = await start();
    expect(bodies(await talk(port, request, { until: answers(1) }))).toMatchObject([expected]);
    const both = await talk(port, post('/first', '1') + request, { pieces: [20, 70, 30], until: answers(2) });
    expect(bodies(both)).toMatchObject([{ path: '/first' }, expected]);
  });

  test('a request that waits for "100 Continue"', async () => {
    const { port } = await start();
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (d) => { text += d.toString(); });
    socket.write('POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await expect.poll(() => text).toContain('100 Continue');
    socket.write('hi');
    await expect.poll(() => bodies(text)).toMatchObject([{ path: '/e', body: 'hi' }]);
    socket.destroy();
  });

  test('the connection goes on afterwards', async () => {
    const { port } = await start();
    const text = await talk(port, `GET /g HTTP/1.1\r\nHost: x\r\n\r\n${post('/after', 'abc')}GET /h HTTP/1.1\r\nHost: x\r\n\r\n`, { until: answers(3) });
    expect(bodies(text)).toMatchObject([{ path: '/g' }, { path: '/after', body: 'abc' }, { path: '/h' }]);
  });

  test.each([
    ['rubbish', '\x16\x03\x01\x02\x00\x01\x00\x01', 400],
    ['no host', 'POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 400],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
    ['length and chunks', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['a space before the colon', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n', 400],
    ['a bare line feed', 'POST / HTTP/1.1\nHost: x\r\nContent-Length: 0\r\n\r\n', 400],
    ['headers without end', `POST / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}`, 431],
    ['a body over the limit', `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300001\r\n\r\nabc`, 413],
    ['a chunked body over the limit', `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${`10000\r\n${'a'.repeat(65536)}\r\n`.repeat(6)}`, 413],
    ['an endless length', `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc`, 400],
  ])('%s is refused and the connection closed', async (_, request, status) => {
    const { port, seen } = await start();
    const text = await talk(port, request, { until: () => false });
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(text).toMatch(/\r\nConnection: close\r\n/i);
    expect(seen).toEqual([]);
  });
});

test('"Connection: close" is honoured', async () => {
  const { port } = await start();
  const text = await talk(port, post('/bye', 'x', 'Connection: close\r\n'), { until: () => false });
  expect(text).toMatch(/\r\nConnection: close\r\n/);
  expect(bodies(text)).toMatchObject([{ path: '/bye' }]);
});

test('a client that goes away is noticed for every request that waits', async () => {
  const { port, held } = await start();
  const socket = connect(port, '127.0.0.1');
  socket.write(post('/hold', 'a') + post('/hold', 'b'));
  await expect.poll(() => held.length).toBe(2);
  let gone = 0;
  for (const x of held) x.onGone = () => { gone++; };
  socket.destroy();
  await expect.poll(() => gone).toBe(2);
});

test('drain answers what is under way, says so, and closes the idle after a while', async () => {
  const { port, held, connections } = await start();
  const [idle, busy] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  let text = '';
  busy.on('data', (d) => { text += d.toString(); });
  busy.write(post('/hold', 'a'));
  await expect.poll(() => held.length).toBe(1);
  await expect.poll(() => connections.count).toBe(2);
  const [idleClosed, busyClosed] = [once(idle.resume(), 'close'), once(busy, 'close')];
  const drained = connections.drain(10, 10_000);
  await idleClosed;
  expect(text).toBe('');
  held[0]?.send(200, 'application/json', '{"last":true}');
  await busyClosed;
  await drained;
  expect(text).toMatch(/\r\nConnection: close\r\n/);
  expect(bodies(text)).toEqual([{ last: true }]);
});

/** Pieces to build odd heads from: valid ones, nearly valid ones and the tricks that smuggle requests. */
const methods = ['POST', 'POST', 'POST', 'POST', 'post', 'GET', 'POS T', 'POST\t'];
const targets = ['/', '/a/b', '/p?dataset[]=out&x=%20', '/p?q#f', '*', '/ü', '/a b', '//h/x', '/?', '/\\', '/"', '/{a}'];
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/1.1 ', 'http/1.1'];
const ends = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\n ', '\r\n\t', '\r\r\n'];
const headers = [
  'Host: x', 'Host: x', 'host:y', 'Host:', 'Host : x', 'Content-Length: 3', 'Content-Length: 3', 'content-length:3', 'Content-Length: +3', 'Content-Length: 3, 3', 'Content-Length: 0x3', 'Content-Length: 3 ', 'Content-Length:  3',
  'Content-Length: 03', 'Content-Length: ', 'Content-Length: -1', 'Content-Length: 99999999999999999999', 'Transfer-Encoding: chunked', 'transfer-encoding: Chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding : chunked', 'Expect: 100-continue',
  'Upgrade: h2c', 'Connection: close', 'Connection: keep-alive', 'Connection: upgrade', 'Connection: close, x', 'Content-Type: application/json', 'Content-Type: a\x00b', 'Accept: */*', 'X-Request-Id: 1', 'X: \x7f', 'X: é', 'X Y: 1', ': empty', 'X', 'X:1:2', '(x): 1',
  'Authorization: Bearer a.b.c', 'Inference-Header-Content-Length: 2', 'Keep-Alive: 5', 'X: a\tb', '\x0bX: 1',
];

test('fuzz: what Node refuses is never accepted, and what is accepted is what Node reads', async () => {
  let seed = 7;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648) * list.length)] as T;
  const accepted: string[] = [];
  let tried = 0;
  while (accepted.length < 400) {
    tried++;
    const count = 1 + Math.floor(Math.abs(Math.sin(tried)) * 5);
    const lines = [`${pick(methods)} ${pick(targets)} ${pick(versions)}`, ...Array.from({ length: count }, () => pick(headers))];
    // Half of them start from what is plain, so that single oddities are tried as well.
    if (tried % 2 === 0) lines.splice(0, lines.length, 'POST /p HTTP/1.1', 'Host: x', 'Content-Length: 3', pick(headers), pick(headers));
    const odd = Math.floor(Math.abs(Math.cos(tried)) * lines.length * 3);
    const text = `${lines.map((line, i) => line + (i === odd ? pick(ends) : '\r\n')).join('')}\r\nabcdefgh`;
    const head = readHead(Buffer.from(text, 'latin1'), 0);
    if (typeof head === 'object') accepted.push(text.slice(0, head.bytes.length));
  }
  expect(tried).toBeGreaterThan(1000);
  const read: (IncomingMessage & { raw?: string })[] = [];
  const server = createHttpServer((request, response) => {
    read.push(request);
    request.resume();
    request.on('end', () => response.end('ok'));
  });
  const port = await listening(server.listen(0, '127.0.0.1'));
  cleanups.push(() => { server.closeAllConnections(); server.close(); });
  for (const text of accepted) {
    const head = readHead(Buffer.from(text, 'latin1'), 0);
    if (typeof head !== 'object') throw new Error('unreachable');
    const body = 'a'.repeat(head.contentLength);
    const answer = await talk(port, text + body, { until: (t) => t.includes('\r\n\r\n') });
    expect(answer.slice(0, 15), JSON.stringify(text)).toBe('HTTP/1.1 200 OK');
    const request = read.at(-1) as IncomingMessage;
    expect(request.method).toBe('POST');
    expect(request.url).toBe(head.query === '' && !text.includes('? HTTP') ? head.path : `${head.path}?${head.query}`);
    expect(request.headers['content-length']).toBe(/^content-length: ?(\d+)/im.exec(text)?.[1]);
    expect(Number(request.headers['content-length'])).toBe(head.contentLength);
    for (const [name, value] of Object.entries(head.fields)) expect(request.headers[name]).toBe(value);
    expect(/^close$/i.test(request.headers.connection ?? '')).toBe(head.close);
  }
});

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  if (!server.listening) await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

test('a connection that another process accepted arrives paused and is served', async () => {
  const { connections, seen } = await start();
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => { sockets.push(socket); });
  const port = await listening(server.listen(0, '127.0.0.1'));
  cleanups.push(() => void server.close());
  const talking = talk(port, post('/handed', 'x'), { until: answers(1) });
  await expect.poll(() => sockets.length).toBe(1);
  connections.accept(sockets[0] as Socket, false);
  expect(bodies(await talking)).toMatchObject([{ path: '/handed' }]);
  expect(seen.length).toBe(1);
});
