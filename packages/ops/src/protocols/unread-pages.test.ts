import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Logger } from '../log.ts';
import { createServer } from './server.ts';
import { holdPage } from './unread-pages.ts';

test('pages that nobody reads are bounded for each user and all, and who goes away is no fault', async () => {
  const faults: string[] = [];
  const app = createServer(pino({ level: 'error' }, { write: (line: string) => { faults.push(line); } }) as unknown as Logger);
  app.addHook('onRequest', async (request) => { Object.assign(request, { actor: { id: String(request.headers['x-user']), email: 'e', role: 'user' } }); });
  app.get('/page', async (request, reply) => {
    holdPage(request, reply);
    return reply.send(Readable.from((function* () { for (;;) yield Buffer.alloc(64 * 1024, 'x'); })(), { objectMode: false }));
  });
  app.get('/small', async (request, reply) => {
    holdPage(request, reply);
    return { read: true };
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  /** Asks for a page and reads its head alone; gives the status. */
  const stall = async (user: string): Promise<{ socket: Socket; status: number }> => {
    const socket = connect(port, '127.0.0.1');
    socket.write(`GET /page HTTP/1.1\r\nHost: x\r\nx-user: ${user}\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    socket.pause();
    return { socket, status: Number(head.toString('latin1').split(' ')[1]) };
  };
  const small = async (user: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}/small`, { headers: { 'x-user': user } })).status;
  const open: Socket[] = [];
  try {
    for (const user of ['a', 'b', 'c', 'd']) {
      for (let i = 0; i < 6; i += 1) {
        const { socket, status } = await stall(user);
        open.push(socket);
        expect(status).toBe(200);
      }
      expect(await small(user)).toBe(429);
    }
    expect(await small('e')).toBe(429);
    open.shift()!.destroy();
    await expect.poll(() => small('e'), { timeout: 5000 }).toBe(200);
    // What is read is counted no longer.
    for (let i = 0; i < 20; i += 1) expect(await small('a')).toBe(200);
    for (const socket of open) socket.destroy();
    await expect.poll(async () => Promise.all(['a', 'b', 'c', 'd', 'e'].map(small)), { timeout: 5000 }).toEqual([200, 200, 200, 200, 200]);
    expect(faults).toEqual([]);
  } finally {
    for (const socket of open) socket.destroy();
    await app.close();
  }
}, 30_000);
