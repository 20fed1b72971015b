import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSpool } from '../packages/engine/src/spool/spool.ts';
import { databases, type TestStorage } from '../packages/ops/src/storage/testing.ts';
import { deployed, logsOn, readAll, reopen } from '../packages/ops/src/domains/logs/testing.ts';
import { appendRows } from './support/log-rows.mjs';

const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
const upTo = (to: number): number[] => Array.from({ length: to }, (_, i) => i);
const pipelineOf = (id: number) => ({ id, name: 'p', version: 'v1', versionId: 1, workspaceId: 1, deploymentId: 1 });

let storage: TestStorage;
const children: ChildProcess[] = [];
beforeEach(async () => { storage = await databases[0]!.open(); });
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await storage.close();
});
function run(script: string): ChildProcess & { stdout: NonNullable<ChildProcess['stdout']> } {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

/** Ops' end of the way: a process that stores what is posted to it. Says its port. */
const sink = (dataDir: string, deploymentId: number, port: number): string => `
  import { createServer } from 'node:http';
  import { createDatabase } from ${url('../packages/ops/dist/storage/database.js')};
  import { reopen } from ${url('../packages/ops/dist/domains/logs/testing.js')};
  const { db } = await createDatabase({ dataDir: ${JSON.stringify(dataDir)} });
  const logs = await reopen(db, ${JSON.stringify(join(dataDir, 'logs'))});
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const partition = decodeURIComponent(request.url.split('/').at(-1));
    await logs.ingest(${deploymentId}, partition, Buffer.concat(chunks)).then((next) => response.end(JSON.stringify({ next })), (error) => response.writeHead(500).end(String(error)));
  });
  server.listen(${port}, '127.0.0.1', () => console.log(server.address().port));`;

test('ops killed at any moment of an ingest has, in the end, every row once', async () => {
  const { pipelineId, deploymentId } = await deployed(storage.db);
  let port = 0;
  const start = async (): Promise<ChildProcess> => {
    const child = run(sink(storage.dataDir, deploymentId, port));
    const [said] = await once(child.stdout, 'data') as [Buffer];
    port = Number(said.toString());
    return child;
  };
  let ops = await start();
  const spool = openSpool({ dir: join(storage.dataDir, 'spool'), partition: 'e1', pipeline: pipelineOf(pipelineId), fileBytes: 100_000, ship: { url: `http://127.0.0.1:${port}`, token: 't' } });
  let n = 0;
  let stop = false;
  const writing = (async () => {
    for (; !stop; await wait(1)) {
      appendRows(spool, n, 3);
      n += 3;
    }
  })();
  for (let kill = 0; kill < 10; kill += 1) {
    const shipped = spool.stats().shipping!.acknowledged;
    while (spool.stats().shipping!.acknowledged < shipped + 20) await wait(1);
    await wait(Math.random() * 60);
    ops.kill('SIGKILL');
    await once(ops, 'exit');
    ops = await start();
  }
  stop = true;
  await writing;
  await spool.flush(20_000);
  await spool.close();
  expect(spool.stats()).toMatchObject({ rows: n, lostRows: 0, droppedRows: 0 });
  ops.kill('SIGKILL');
  await once(ops, 'exit');
  const logs = await reopen(storage.db, join(storage.dataDir, 'logs'));
  expect(await readAll(logs, { pipelineId })).toEqual(upTo(n));
  await logs.close();
}, 60_000);

test('engines killed while they answer and ship leave every answered row in the log, once', async () => {
  const { logs, pipelineId, deploymentId } = await logsOn(storage);
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const next = await logs.ingest(deploymentId, request.url!.split('/').at(-1)!, Buffer.concat(chunks));
    response.end(JSON.stringify({ next }));
  };
  const server = createServer((request, response) => { take(request, response).catch(() => response.destroy()); });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ship = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 't' };
  for (let round = 0; round < 6; round += 1) {
    const dir = join(storage.dataDir, 'spools', String(round));
    const partition = `e${round}`;
    const child = run(`
      import { openSpool } from ${url('../packages/engine/dist/spool/spool.js')};
      import { appendRows } from ${url('./support/log-rows.mjs')};
      import { writeSync } from 'node:fs';
      const spool = openSpool(${JSON.stringify({ dir, partition, pipeline: pipelineOf(pipelineId), fileBytes: 200_000, ship })});
      let n = 0;
      const answer = () => {
        for (let i = 0; i < 20; i += 1, n += 2) { appendRows(spool, n, 2); writeSync(1, (n + 2) + '\\n'); }
        setImmediate(answer);
      };
      answer();`);
    let output = '';
    const stopAt = 2000 + Math.random() * 20_000;
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.length > stopAt) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const answered = Number(output.split('\n').at(-2));
    for (let time = 0; time < 2; time += 1) await logs.adopt(dir, { deploymentId });
    const rows = await readAll(logs, { pipelineId, partition });
    expect(rows).toEqual(upTo(rows.length));
    expect(rows.length).toBeGreaterThanOrEqual(answered);
  }
  server.closeAllConnections();
  server.close();
  await logs.close();
}, 60_000);
