import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { deployed, floats, frames, reopen, type Row } from '../packages/ops/src/domains/logs/testing.ts';
import { createDatabase } from '../packages/ops/src/storage/database.ts';
import { commandIn } from './support/command.ts';
import { admin, root, startServer, temporaryFolder, type Server } from './support/server.ts';

const rows = 150_000;
const width = 50;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let name: string;
let workspace: string;
let potoroo: ReturnType<typeof commandIn>['potoroo'];

beforeAll(async () => {
  folder = await temporaryFolder();
  const dataDir = join(folder.path, 'data');
  const { db, close } = await createDatabase({ dataDir });
  const { pipelineId, deploymentId } = await deployed(db);
  ({ name } = await db.selectFrom('pipelines').select('name').executeTakeFirstOrThrow());
  workspace = String((await db.selectFrom('workspaces').select('id').executeTakeFirstOrThrow()).id);
  const logs = await reopen(db, join(dataDir, 'logs'));
  const columns = (some: readonly Row[]) => [floats('in.x', [width], some.flatMap(({ n }) => Array.from({ length: width }, () => n))), floats('out.y', [], some.map(({ n }) => n))];
  for (let n = 0; n < rows; n += 1000) {
    await logs.ingest(deploymentId, 'e1', frames(pipelineId, 'e1', n, Array.from({ length: 1000 }, (_, i) => ({ n: n + i, time: 1_700_000_000_000 + n + i })), { columns }));
  }
  // Another model, another column.
  await logs.ingest(deploymentId, 'e1', frames(pipelineId, 'e1', rows, [{ n: rows, time: 1_700_000_999_999 }], { version: 'v2', columns: (some) => [floats('in.z', [], some.map(({ n }) => n)), floats('out.y', [], some.map(({ n }) => n))] }));
  await logs.close();
  // Never deployed: there is nothing to bring back.
  await db.deleteFrom('deployments').execute();
  await close();
  server = await startServer(dataDir, { POTOROO_LOG_RETENTION_DAYS: '0' });
  ({ potoroo } = commandIn(folder.path, server.url));
  await potoroo(['login', '-u', admin.username, '--password-stdin'], admin.password);
}, 120_000);
afterEach(async () => {
  for (const file of await readdir(folder.path)) if (file.startsWith('out')) await rm(join(folder.path, file));
});
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

const command = (...more: string[]): string[] => ['pipeline', 'logs', name, '-w', workspace, '--oldest-first', ...more];
const written = async (): Promise<string[]> => (await readdir(folder.path)).filter((file) => file.startsWith('out')).toSorted((a, b) => numberOf(a) - numberOf(b));
const numberOf = (file: string): number => Number(/-(\d+)\./.exec(file)?.[1] ?? 0);
const path = (file: string): string => join(folder.path, file);
async function* numbers(file: string): AsyncGenerator<number> {
  for await (const line of createInterface({ input: createReadStream(path(file)) })) yield Number((JSON.parse(line) as { 'out.y': number })['out.y']);
}

it('a long log goes into Arrow files page by page, another for other columns, in little memory', async () => {
  const child = spawn(process.execPath, ['--max-old-space-size=64', join(root, 'packages/cli/bin/potoroo.mjs'), ...command('-o', 'out.arrow')], { cwd: folder.path, env: { PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_URL: server.url } });
  let peak = 0;
  const watch = setInterval(() => {
    readFile(`/proc/${child.pid}/status`, 'utf8').then((status) => { peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0)); }, () => undefined);
  }, 20);
  let out = '';
  child.stdout.on('data', (text: Buffer) => { out += text.toString(); });
  await once(child, 'exit');
  clearInterval(watch);
  expect(out).toBe(`Wrote ${rows} records to out.arrow.\nWrote 1 records to out-1.arrow.\n`);
  const bytes = await readFile(path('out.arrow'));
  expect(bytes.length).toBeGreaterThan(30_000_000);
  const table = tableFromIPC(bytes);
  expect([table.numRows, table.get(0)?.['out.y'], table.get(rows - 1)?.['out.y']]).toEqual([rows, 0, rows - 1]);
  expect(tableFromIPC(await readFile(path('out-1.arrow'))).schema.fields.map((f) => f.name)).toContain('in.z');
  expect(await written()).toEqual(['out.arrow', 'out-1.arrow']);
  // All of it, as text or as columns, would be more than twice that.
  if (process.platform === 'linux') expect(peak / 1024).toBeLessThan(220);
}, 60_000);

it('lines go on into the next file at the size that was asked for, and every record is in one of them', async () => {
  expect((await potoroo(command('-o', 'out.ndjson', '--max-size', '10MB'))).code).toBe(0);
  const files = await written();
  expect(files.length).toBeGreaterThan(3);
  let next = 0;
  for (const file of files) {
    if (file !== files.at(-1)) expect((await stat(path(file))).size).toBeGreaterThan(10_000_000);
    for await (const n of numbers(file)) expect(n).toBe(next++);
  }
  expect(next).toBe(rows + 1);
}, 60_000);

it('a JSON array is one, also of one record and of none', async () => {
  await potoroo(command('-o', 'out.json', '-n', '30000'));
  expect((JSON.parse(await readFile(path('out.json'), 'utf8')) as { 'out.y': number }[]).map((r) => r['out.y'])).toEqual(Array.from({ length: 30_000 }, (_, i) => i));
  await potoroo(command('-o', 'out.json', '-n', '1'));
  expect(JSON.parse(await readFile(path('out.json'), 'utf8'))).toHaveLength(1);
  expect((await potoroo(command('-o', 'out-none.json', '--end', '2000-01-01'))).out).toBe('No records: no file was written.\n');
  expect(await written()).toEqual(['out.json']);
}, 60_000);

it.each(['out.arrow', 'out.ndjson'])('one that is interrupted leaves whole files and goes on where it stopped: %s', async (file) => {
  const child = spawn(process.execPath, [join(root, 'packages/cli/bin/potoroo.mjs'), ...command('-o', file, '--max-size', '5MB')], { cwd: folder.path, env: { PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_URL: server.url } });
  let err = '';
  child.stderr.on('data', (text: Buffer) => { err += text.toString(); });
  await expect.poll(async () => (await written()).length, { interval: 5, timeout: 20_000 }).toBeGreaterThan(1);
  child.kill('SIGINT');
  const [code] = await once(child, 'exit') as [number];
  expect(code).toBe(130);
  const cursor = /--continue (\S+)/.exec(err)?.[1];
  expect(err).toMatch(/^Stopped after \d+ records; .* whole\. To go on/m);
  expect((await written()).filter((f) => f.endsWith('.part'))).toEqual([]);
  expect((await potoroo(command('-o', file, '--continue', cursor!))).code).toBe(0);
  let next = 0;
  for (const part of await written()) {
    if (file.endsWith('.ndjson')) for await (const n of numbers(part)) expect(n).toBe(next++);
    else for (const n of tableFromIPC(await readFile(path(part))).getChild('out.y')!) expect(n).toBe(next++);
  }
  expect(next).toBe(rows + 1);
}, 60_000);

it.each<[string, string[], number, RegExp]>([
  ['a file in a form that is none', ['-o', 'out.parquet'], 2, /none of the endings \.arrow, \.ndjson, \.jsonl, \.json/],
  ['a folder that is not there', ['-o', 'nowhere/out.arrow'], 1, /nowhere\/out\.arrow cannot be written \(ENOENT/],
  ['a place that is none', ['-o', 'out.arrow', '--continue', 'AAAA'], 2, /cursor/],
  ['a size without a file', ['--max-size', '5MB'], 2, /need --output/],
  ['a size that is none', ['-o', 'out.arrow', '--max-size', 'large'], 2, /such as 100MB/],
])('refuses %s', async (_, args, code, message) => {
  const answer = await potoroo(command(...args));
  expect(answer.err).toMatch(message);
  expect(answer.code).toBe(code);
});
