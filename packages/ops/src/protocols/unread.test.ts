import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createLog } from '../log.ts';
import { createServer } from './server.ts';

test('an answer that nobody reads is given up, with what it holds; a slow reader gets all of his', async () => {
  const app = createServer(createLog('silent', false), { unreadMs: 300 });
  const ended: Record<string, boolean> = {};
  const piece = Buffer.alloc(64 * 1024, 'x');
  const pieces = 200;
  app.get('/large/:who', async (request, reply) => {
    async function* body(): AsyncGenerator<Buffer> {
      try {
        for (let i = 0; i < pieces; i += 1) yield piece;
      } finally {
        ended[(request.params as { who: string }).who] = true;
      }
    }
    return reply.send(Readable.from(body(), { objectMode: false }));
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  try {
    const stalled = connect(port, '127.0.0.1').pause();
    stalled.write('GET /large/stalled HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(() => ended['stalled'], { timeout: 10_000 }).toBe(true);

    const slow = connect(port, '127.0.0.1');
    slow.write('GET /large/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    let bytes = 0;
    slow.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      slow.pause();
      setTimeout(() => slow.resume(), 3);
    });
    await once(slow, 'close');
    expect(bytes).toBeGreaterThan(pieces * piece.length);
    stalled.destroy();
  } finally {
    await app.close();
  }
}, 20_000);

test('an answer that takes its time to come is waited for, also on a connection that had one before', async () => {
  const app = createServer(createLog('silent', false), { unreadMs: 100 });
  app.get('/quick', async () => ({ quick: true }));
  // Longer than an unread answer may take.
  app.get('/long', async () => { await wait(400); return { long: true }; });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let sockets = 0;
  app.server.on('connection', () => { sockets += 1; });
  const ask = (path: string) => new Promise<string>((resolve, reject) => { get({ port, path, agent }, (response) => { text(response).then(resolve, reject); }).on('error', reject); });
  try {
    expect([await ask('/quick'), await ask('/long'), await ask('/quick'), sockets]).toEqual(['{"quick":true}', '{"long":true}', '{"quick":true}', 1]);
  } finally {
    agent.destroy();
    await app.close();
  }
});
