import { connect, type AddressInfo, type Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isPotorooError, PotorooError } from '@potoroo/contract';
import type { Domains, LogPage, LogQuery } from '../domains/domains.ts';
import { admin, frames, logsOn, type TestLogs } from '../domains/logs/testing.ts';
import { SegmentReader } from '../domains/logs/segment.ts';
import type { Logger } from '../log.ts';
import { databases, type TestStorage } from '../storage/testing.ts';
import { sendEvents } from './native/events.ts';
import { logRoutes } from './native/logs.ts';
import type { NativeContext } from './native/route.ts';
import { createServer } from './server.ts';
import { compileValidator } from './validation.ts';

let storage: TestStorage;
let one: TestLogs;
let app: FastifyInstance;
const faults: string[] = [];
const sockets: Socket[] = [];
beforeEach(async () => {
  faults.length = 0;
  storage = await databases[0]!.open();
  one = await logsOn(storage);
  await one.logs.ingest(one.deploymentId, 'e1', frames(one.pipelineId, 'e1', 0, Array.from({ length: 50 }, (_, n) => ({ n, time: n }))));
  app = createServer(pino({ level: 'error' }, { write: (line: string) => { faults.push(line); } }) as unknown as Logger);
  app.setValidatorCompiler(compileValidator);
  app.addHook('onRequest', async (request) => { Object.assign(request, { actor: admin }); });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await app.close();
  await one.logs.close();
  await storage.close();
});

/** A request whose answer the test reads or not. */
async function ask(path: string): Promise<Socket> {
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' });
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  sockets.push(socket);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return socket;
}

/** The log, whose reads begin when the test says so or their callers are gone; and what became of each. */
function held() {
  const open: (() => void)[] = [];
  const ended: (number | string)[] = [];
  const hold = async (signal: AbortSignal | undefined, read: () => Promise<LogPage>): Promise<LogPage> => {
    await new Promise<void>((resolve) => { open.push(resolve); signal?.addEventListener('abort', () => resolve(), { once: true }); });
    const page = read();
    page.then(({ batch }) => ended.push(batch.rows), (error: unknown) => ended.push(isPotorooError(error) ? error.code : String(error)));
    return page;
  };
  const logs = Object.assign(Object.create(one.logs) as TestLogs['logs'], { read: (actor: typeof admin, query: LogQuery) => hold(query.signal, () => one.logs.read(actor, query)) });
  return { logs, open, ended };
}

test('a log read whose caller goes away while it waits reads nothing, and is no fault', async () => {
  const { logs, open, ended } = held();
  logRoutes(app, { domains: { logs } as Partial<Domains> as Domains } as NativeContext);
  const path = `/api/v1/pipelines/${one.pipelineId}/logs`;
  const staying = await ask(path);
  const leaving = await ask(path);
  await expect.poll(() => open.length).toBe(2);
  leaving.destroy();
  await expect.poll(() => ended).toEqual(['deadline_exceeded']);
  for (const go of open) go();
  let text = '';
  staying.on('data', (piece) => { text += piece.toString(); });
  await expect.poll(() => text).toContain('"status":"All"');
  expect(ended).toEqual(['deadline_exceeded', 50]);
  expect(faults).toEqual([]);
});

test('a log read whose caller goes away while it is at work stops', async () => {
  for (const partition of ['e2', 'e3']) await one.logs.ingest(one.deploymentId, partition, frames(one.pipelineId, partition, 0, [{ n: 1, time: 1 }]));
  const gone = new AbortController();
  const { read } = SegmentReader.prototype;
  const reading = vi.spyOn(SegmentReader.prototype, 'read');
  reading.mockImplementation(function (this: SegmentReader, ...given) {
    gone.abort(new PotorooError('deadline_exceeded', 'The caller went away before the answer.'));
    return read.apply(this, given);
  });
  try {
    await expect(one.logs.read(admin, { pipelineId: one.pipelineId, signal: gone.signal })).rejects.toMatchObject({ code: 'deadline_exceeded' });
    expect(reading).toHaveBeenCalledTimes(1);
  } finally {
    reading.mockRestore();
  }
  expect((await one.logs.read(admin, { pipelineId: one.pipelineId, signal: new AbortController().signal })).batch.rows).toBe(52);
  expect(one.errors).toEqual([]);
});

test.each(['while it is followed', 'before the first event'])('a stream of events whose reader goes away %s ends', async (when) => {
  let ended = false;
  let asked = false;
  let seen = '';
  app.get('/events', async (request, reply) => {
    asked = true;
    if (when === 'before the first event') await new Promise<void>((resolve) => { reply.raw.once('close', resolve); });
    return sendEvents(request, reply, 'lines', new AbortController().signal, async function* (signal) {
      try {
        yield ['first'];
        await new Promise<void>((resolve) => { if (signal.aborted) resolve(); else signal.addEventListener('abort', () => resolve(), { once: true }); });
      } finally {
        ended = true;
      }
    });
  });
  const socket = await ask('/events');
  socket.on('data', (piece) => { seen += piece.toString(); });
  await expect.poll(() => (when === 'while it is followed' ? seen.includes('first') : asked)).toBe(true);
  expect(ended).toBe(false);
  socket.destroy();
  await expect.poll(() => ended).toBe(true);
  expect(faults).toEqual([]);
});
