import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createRaw, type AddressInfo, type Server as RawServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { guardedLookup, mayConnect, readAllowed } from './addresses.ts';
import { Outgoing } from './outgoing.ts';

const codes = { unreachable: 'registry_unreachable', invalid: 'registry_invalid' } as const;
const closing: (() => unknown)[] = [];
afterEach(async () => { for (const close of closing.splice(0).reverse()) await close(); });

function outgoing(allowed = '127.0.0.1, ::1'): Outgoing {
  const made = new Outgoing(allowed, { connectMs: 300, headMs: 300, silenceMs: 300, paceMs: 200, paceBytesPerSecond: 1000 });
  closing.push(() => made.close());
  return made;
}
async function serve(listener: RequestListener, host = '127.0.0.1'): Promise<string> {
  const server = createServer(listener);
  return listening(server, host);
}
/** A server that is none: gets the socket of each connection. */
async function raw(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createRaw((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  const url = await listening(server, '127.0.0.1');
  closing.push(() => { for (const socket of sockets) socket.destroy(); });
  return url;
}
async function listening(server: Server | RawServer, host: string): Promise<string> {
  await new Promise<void>((resolve) => { server.listen(0, host, resolve); });
  closing.push(() => new Promise((resolve) => { server.close(resolve); if ('closeAllConnections' in server) server.closeAllConnections(); }));
  return `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
}

describe('addresses', () => {
  const none = readAllowed('');
  test.each([
    '127.0.0.1', '127.9.9.9', '0.0.0.0', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', '169.254.169.254', '100.64.0.1', '100.100.100.200', '224.0.0.1', '255.255.255.255', '198.18.0.1',
    '::1', '::', '::ffff:127.0.0.1', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '::127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', 'fe80::1', 'fe80::1%eth0', 'fd00:ec2::254', 'ff02::1', 'no address',
  ])('%s is private', (address) => expect(mayConnect('some.host', address, none)).toBe(false));
  test.each(['8.8.8.8', '172.15.0.1', '172.32.0.1', '100.63.0.1', '2606:4700::1111', '::ffff:8.8.8.8'])('%s is public', (address) => expect(mayConnect('some.host', address, none)).toBe(true));

  test('allowed: a name, an address, a net, and nothing beside', () => {
    const allowed = readAllowed(' mlflow.internal, 10.2.0.0/16 ,192.168.0.7,fd00:1::/32');
    expect(mayConnect('MLflow.internal', '10.9.0.1', allowed)).toBe(true);
    expect(mayConnect('other.internal', '10.9.0.1', allowed)).toBe(false);
    expect(mayConnect('x', '10.2.3.4', allowed)).toBe(true);
    expect(mayConnect('x', '::ffff:10.2.3.4', allowed)).toBe(true);
    expect(mayConnect('x', '192.168.0.7', allowed)).toBe(true);
    expect(mayConnect('x', '192.168.0.8', allowed)).toBe(false);
    expect(mayConnect('x', 'fd00:1:2::3', allowed)).toBe(true);
  });
  test.each(['10.0.0.0/33', '300.1.1.1', 'http://x', '10.0.0.0/8/8', '-x', '*'])('a setting with %s stops the start', (entry) => {
    expect(() => readAllowed(entry)).toThrow(/POTOROO_ALLOWED_PRIVATE_HOSTS/);
  });
  test('a name that leads inwards gives no address to connect to', async () => {
    const error = await new Promise((resolve) => { guardedLookup(none)('localhost', { all: true }, resolve); });
    expect(error).toMatchObject({ code: 'address_refused' });
  });
});

describe('requests', () => {
  test.each(['http://127.0.0.1:1/', 'http://[::1]:1/', 'http://localhost:1/', 'http://2130706433:1/', 'http://0x7f.1:1/', 'http://[::ffff:127.0.0.1]:1/', 'http://169.254.169.254/latest/meta-data', 'file:///etc/passwd', 'ftp://example.com/', 'http://user:secret@example.com/'])('%s is refused', async (url) => {
    await expect(outgoing('').request(url, { codes })).rejects.toMatchObject({ code: 'address_refused', message: expect.not.stringContaining('secret') });
  });

  test('a redirect inwards is refused, and nothing is sent there', async () => {
    let asked = 0;
    const inner = await serve((_, reply) => { asked += 1; reply.end(); }, '127.0.0.2');
    for (const to of [inner, 'http://169.254.169.254/', 'file:///etc/passwd']) {
      const outer = await serve((_, reply) => { reply.writeHead(302, { location: to }).end(); });
      await expect(outgoing().request(outer, { codes })).rejects.toMatchObject({ code: 'address_refused' });
    }
    expect(asked).toBe(0);
  });
  test('a redirect is followed, but the token stays with whom it is for', async () => {
    const seen: string[] = [];
    const note = (request: IncomingMessage) => { seen.push(`${request.headers.authorization} ${request.headers['x-key'] as string}`); };
    const other = await serve((request, reply) => { note(request); reply.end('there'); });
    const first = await serve((request, reply) => {
      note(request);
      reply.writeHead(307, { location: request.url === '/' ? '/again' : `${other}/x` }).end();
    });
    const answer = await outgoing().request(first, { codes, authorization: 'Bearer abc', headers: { 'x-key': 'k' } });
    expect(await answer.text(100)).toBe('there');
    expect(seen).toEqual(['Bearer abc k', 'Bearer abc k', 'undefined undefined']);
  });
  test('redirects end', async () => {
    const loop = await serve((_, reply) => { reply.writeHead(302, { location: '/' }).end(); });
    await expect(outgoing().request(loop, { codes })).rejects.toMatchObject({ code: 'registry_invalid', message: expect.stringContaining('redirects') });
  });
  test('the caller can stop it', async () => {
    const silent = await raw(() => {});
    await expect(outgoing().request(silent, { codes, signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow('stopped');
  });

  const head = 'HTTP/1.1 200 OK\r\n';
  test.each<[string, string, (socket: Socket) => void]>([
    ['never answers', 'registry_unreachable', () => {}],
    ['hangs up', 'registry_unreachable', (socket) => socket.destroy()],
    ['drips its head', 'registry_unreachable', (socket) => drip(socket, `${head}x: `, 'y')],
    ['drips its body', 'registry_unreachable', (socket) => drip(socket, `${head}content-length: 100000\r\n\r\n`, 'y')],
    ['drips a body without a length', 'registry_unreachable', (socket) => drip(socket, `${head}\r\n`, 'y')],
    ['stops in its body', 'registry_unreachable', (socket) => socket.write(`${head}content-length: 10\r\n\r\n12345`)],
    ['says more than it sends', 'registry_unreachable', (socket) => socket.end(`${head}content-length: 10\r\n\r\n12345`)],
    ['says more than is taken', 'body_too_large', (socket) => socket.write(`${head}content-length: 99999999\r\n\r\n`)],
    ['sends more than is taken', 'body_too_large', (socket) => socket.write(`${head}\r\n${'x'.repeat(200_000)}`)],
    ['is not HTTP', 'registry_invalid', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['packs what it was not asked to pack', 'registry_invalid', (socket) => socket.end(`${head}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b`)],
    ['has endless headers', 'registry_invalid', (socket) => drip(socket, head, `x: ${'y'.repeat(60_000)}\r\n`)],
  ])('a server that %s: %s', async (_, code, onConnection) => {
    const url = await raw(onConnection);
    const asked = outgoing().request(url, { codes }).then((answer) => answer.text(100_000));
    await expect(asked).rejects.toMatchObject({ name: 'PotorooError', code, message: expect.not.stringMatching(/\n/) });
  });
  test('nobody there, and no such name', async () => {
    const gone = await raw(() => {});
    for (const close of closing.splice(0).reverse()) await close();
    await expect(outgoing().request(gone, { codes })).rejects.toMatchObject({ code: 'registry_unreachable' });
    await expect(outgoing().request('http://no-such-host.invalid/', { codes })).rejects.toMatchObject({ code: 'registry_unreachable' });
  });
});

/** Sends `start`, then a piece every few milliseconds for as long as somebody is there. */
function drip(socket: Socket, start: string, piece: string): void {
  socket.write(start);
  const timer = setInterval(() => { if (!socket.destroyed) socket.write(piece); }, 20);
  socket.once('close', () => clearInterval(timer));
}
