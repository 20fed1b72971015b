import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Column, TensorColumn } from '@potoroo/batch';
import { decodeRows, decodeSchema, FrameReader, rowsToBatch, type LogRows, type LogSchema } from '@potoroo/batch/frames';
import { openSpool, type Spool, type SpoolGroup, type SpoolOptions } from './spool.ts';

const pipeline = { id: 1, name: 'p', version: 'b0a1', versionId: 2, workspaceId: 3, deploymentId: 4 };
let dir: string;
const opened: Spool[] = [];
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'potoroo-spool-')); });
afterEach(async () => {
  await Promise.all(opened.splice(0).map((spool) => spool.close()));
  rmSync(dir, { recursive: true, force: true });
});
function spoolOf(options: Partial<SpoolOptions> = {}): Spool {
  const spool = openSpool({ dir, partition: 'engine-a', pipeline, ...options });
  opened.push(spool);
  return spool;
}

const floats = (name: string, shape: number[], rows: number, first = 0): TensorColumn => {
  const each = shape.reduce((a, b) => a * b, 1);
  return { kind: 'tensor', name, type: 'float32', shape, values: Float32Array.from({ length: rows * each }, (_, i) => first + Math.floor(i / each)) };
};
/** Rows whose every input is the row's number, so that what is read back shows which row it is. */
function group(first: number, rows = 1, columns?: Column[]): SpoolGroup {
  return {
    rows, columns: columns ?? [floats('in.x', [4], rows, first), floats('out.y', [1], rows, first)],
    requests: Array.from({ length: rows }, (_, i) => ({ rows: 1, timeMs: 1_700_000_000_000 + first + i, requestId: `r${first + i}`, elapsedNs: [10, 20] })),
    lastModel: { name: 'm', sha: 'f00' },
  };
}

interface Seen { schema: LogSchema; rows: LogRows }
function framesIn(bytes: Uint8Array): Seen[] {
  const reader = new FrameReader(bytes);
  const seen: Seen[] = [];
  let schema: LogSchema | undefined;
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
    if (frame.kind === 'schema') schema = decodeSchema(frame.payload);
    else seen.push({ schema: schema!, rows: decodeRows(frame.payload, schema!) });
  }
  return seen;
}
const spoolFiles = (): string[] => readdirSync(dir).filter((name) => name.endsWith('.spool')).toSorted().map((name) => join(dir, name));
const onDisk = (): Seen[] => spoolFiles().flatMap((file) => framesIn(readFileSync(file)));
/** Row numbers as the requests name them; that the offset and the values say the same is checked on the way. */
function rowNumbers(seen: readonly Seen[]): number[] {
  return seen.flatMap(({ rows }) => rows.requests.map((r, i) => {
    const n = Number(r.requestId.slice(1));
    const x = rows.columns[0] as TensorColumn | undefined;
    if (rows.firstRow + i !== n || (x !== undefined && (x.values as Float32Array)[i * 4] !== n)) throw new Error(`row ${n} is at offset ${rows.firstRow + i}`);
    return n;
  }));
}
const upTo = (n: number, from = 0): number[] => Array.from({ length: n - from }, (_, i) => from + i);

/** Stands for ops: takes frames over HTTP, keeps rows it has not had, answers which it wants next. */
class Receiver {
  readonly rows = new Map<string, number[]>();
  readonly schemas = new Map<string, LogSchema>();
  readonly authorizations = new Set<string | undefined>();
  requests = 0;
  refuse: (partition: string) => number | 'hang up' | undefined = () => undefined;
  readonly server = createServer((request, response) => { void this.#take(request, response); });

  async listen(port = 0): Promise<string> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  of(partition: string): number[] {
    return this.rows.get(partition) ?? [];
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests += 1;
    this.authorizations.add(request.headers.authorization);
    const partition = decodeURIComponent(request.url!.slice('/internal/v1/logs/'.length));
    const refusal = this.refuse(partition);
    if (refusal === 'hang up') return void response.destroy();
    if (refusal !== undefined) return void response.writeHead(refusal).end('{"code":"no"}');
    const have = this.of(partition);
    for (const one of framesIn(Buffer.concat(chunks))) {
      this.schemas.set(partition, one.schema);
      const next = (have.at(-1) ?? -1) + 1;
      have.push(...rowNumbers([one]).filter((n) => n >= next));
    }
    this.rows.set(partition, have);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ next: (have.at(-1) ?? -1) + 1 }));
  }
}
const receivers: Receiver[] = [];
async function opsAt(port?: number): Promise<{ ops: Receiver; url: string }> {
  const ops = new Receiver();
  receivers.push(ops);
  return { ops, url: await ops.listen(port) };
}
afterEach(() => { for (const { server } of receivers.splice(0)) { server.closeAllConnections(); server.close(); } });

describe('append', () => {
  test('rows are in the file when it returns, with all that was known of them', () => {
    const spool = spoolOf();
    spool.append(group(0, 2));
    spool.append(group(2));
    expect(rowNumbers(onDisk())).toEqual([0, 1, 2]);
    expect(onDisk()[0]!.schema).toEqual({
      format: 1, partition: 'engine-a', pipeline, models: [{ name: 'm', sha: 'f00' }],
      columns: [{ name: 'in.x', kind: 'tensor', type: 'float32', rank: 1 }, { name: 'out.y', kind: 'tensor', type: 'float32', rank: 1 }],
    });
    expect(onDisk()[0]!.rows.columns).toEqual(group(0, 2).columns);
    expect(spool.stats()).toMatchObject({ rows: 3, files: 1, droppedRows: 0, lostRows: 0, usedBytes: statSync(spoolFiles()[0]!).size });
  });

  test('columns or a model that are new start a new schema; another shape of the same rank does not', () => {
    const spool = spoolOf();
    spool.append(group(0));
    spool.append(group(1, 1, [floats('in.x', [9], 1, 1), floats('out.y', [1], 1, 1)]));
    spool.append({ ...group(2), lastModel: { name: 'm', sha: 'ba5' } });
    spool.append(group(3));
    spool.append(group(4, 1, [floats('in.x', [4], 1, 4), floats('out.z', [], 1, 4)]));
    const seen = onDisk();
    expect(seen.map(({ schema }) => schema.columns[1]!.name)).toEqual(['out.y', 'out.y', 'out.y', 'out.y', 'out.z']);
    expect(seen.map(({ schema, rows }) => schema.models[rows.model as number]!.sha)).toEqual(['f00', 'f00', 'ba5', 'f00', 'f00']);
    const frames = new FrameReader(readFileSync(spoolFiles()[0]!));
    const kinds = Array.from({ length: 8 }, () => frames.next()!.kind);
    expect(kinds).toEqual(['schema', 'rows', 'rows', 'schema', 'rows', 'rows', 'schema', 'rows']);
  });

  test('rows that have a model each are one frame, and tell it', () => {
    const spool = spoolOf();
    const [m, other] = [{ name: 'm', sha: 'f00' }, { name: 'other', sha: 'ba5' }];
    spool.append(group(0));
    spool.append({ ...group(1, 3), rowModels: { models: [other, m], choice: Uint8Array.of(0, 1, 0) } });
    spool.append({ ...group(4, 2), rowModels: { models: [m, other], choice: Uint8Array.of(0, 1) } });
    spool.append(group(6));
    const seen = onDisk();
    expect(seen).toHaveLength(4);
    expect(seen.map(({ schema, rows }) => [...(typeof rows.model === 'number' ? [rows.model] : rows.model)].map((i) => schema.models[i]!.sha)))
      .toEqual([['f00'], ['ba5', 'f00', 'ba5'], ['f00', 'ba5'], ['f00']]);
    expect(seen.flatMap(({ schema, rows }) => [...((rowsToBatch([rows], schema).columns.find((c) => c.name === 'metadata.model') as TensorColumn).values as Int32Array)])).toEqual([0, 1, 0, 1, 0, 1, 0]);
  });

  test('a new file is begun at the bound, each readable by itself', () => {
    const spool = spoolOf({ fileBytes: 2000 });
    for (let n = 0; n < 100; n += 1) spool.append(group(n));
    expect(spool.stats().files).toBeGreaterThan(5);
    expect(spoolFiles().every((file) => statSync(file).size <= 2600)).toBe(true);
    expect(rowNumbers(onDisk())).toEqual(upTo(100));
  });

  test('without ops the spool is a ring: the oldest files go, nothing is dropped and nothing counted as lost', () => {
    const spool = spoolOf({ maxBytes: 40_000, fileBytes: 2000 });
    for (let n = 0; n < 1000; n += 1) spool.append(group(n));
    const rows = rowNumbers(onDisk());
    expect(rows).toEqual(upTo(1000, rows[0]));
    expect(rows.length).toBeGreaterThan(100);
    expect(spool.stats()).toMatchObject({ rows: 1000, droppedRows: 0, lostRows: 0 });
    expect(spoolFiles().reduce((n, file) => n + statSync(file).size, 0)).toBe(spool.stats().usedBytes);
    expect(spool.stats().usedBytes).toBeLessThanOrEqual(40_000);
  });

  test('too many rows for one frame, and columns that ops would refuse, are refused before anything is written', () => {
    const spool = spoolOf();
    expect(() => spool.append({ ...group(0), rows: 2 ** 21 })).toThrow(expect.objectContaining({ code: 'too_many_rows' }));
    expect(() => spool.append(group(0, 1, [floats('in.x', [], 1), floats('in.x', [], 1)]))).toThrow(expect.objectContaining({ code: 'malformed_body' }));
    spool.append(group(0));
    expect(rowNumbers(onDisk())).toEqual([0]);
  });

  test.each(['../up', '', 'a/b', 'x'.repeat(121), '.hidden'])('the partition name %j is refused', (partition) => {
    expect(() => spoolOf({ partition })).toThrow(expect.objectContaining({ code: 'invalid_name' }));
  });

  test('a folder that cannot be is a clear error', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => spoolOf({ dir: join(dir, 'file', 'spool') })).toThrow(expect.objectContaining({ name: 'PotorooError' }));
  });
});

describe('a spool that is nearly full', () => {
  const unreachable = { url: 'http://127.0.0.1:9', token: 't' };
  /** Two inputs and two outputs of different size; rows of about 1.3 kB. */
  const wide = (n: number): SpoolGroup => group(n, 1, [floats('in.small', [4], 1, n), floats('in.large', [200], 1, n), floats('out.large', [80], 1, n), floats('out.small', [1], 1, n), floats('anomaly.count', [], 1, 0)]);

  test('drops the largest inputs first, then outputs, never the rest; whole files go last and are counted', () => {
    const spool = spoolOf({ maxBytes: 400_000, fileBytes: 10_000, ship: unreachable });
    const orders: string[] = [];
    let n = 0;
    for (; spool.stats().lostRows === 0; n += 1) {
      spool.append(wide(n));
      const last = onDiskLast();
      const dropped = last.schema.columns.filter((_, i) => last.rows.columns[i] === undefined).map((c) => c.name).join();
      if (orders.at(-1) !== dropped) orders.push(dropped);
    }
    // In the order of the columns, not in that in which they were dropped.
    expect(orders).toEqual(['', 'in.large', 'in.small,in.large', 'in.small,in.large,out.large', 'in.small,in.large,out.large,out.small']);
    const rows = onDisk().map(({ rows: r }) => r.firstRow);
    expect(rows).toEqual(upTo(n, spool.stats().lostRows));
    expect(spool.stats().droppedRows).toBeGreaterThan(100);
    expect(spool.stats().usedBytes).toBeLessThanOrEqual(400_000);
  });
  const onDiskLast = (): Seen => framesIn(readFileSync(spoolFiles().at(-1)!)).at(-1)!;

  test('one run too large for the spool is logged without its largest columns', () => {
    const spool = spoolOf({ maxBytes: 100_000 });
    spool.append(group(0, 10, [floats('in.x', [4], 10), floats('in.image', [3, 32, 32], 10), floats('out.y', [1], 10)]));
    expect(onDisk()[0]!.rows.columns.map((c) => c?.name)).toEqual(['in.x', undefined, 'out.y']);
    expect(spool.stats().droppedRows).toBe(10);
  });

  test('rows that earlier engines left go first, and are counted', async () => {
    const first = openSpool({ dir, partition: 'engine-0', pipeline, fileBytes: 2000, ship: unreachable });
    for (let n = 0; n < 50; n += 1) first.append(group(n));
    await first.close();
    appendFileSync(spoolFiles().at(-1)!, 'torn');
    const spool = spoolOf({ maxBytes: 40_000, fileBytes: 2000, ship: unreachable });
    for (let n = 0; spoolFiles().some((f) => f.includes('engine-0')); n += 1) spool.append(group(n));
    expect(spool.stats().lostRows).toBe(50);
  });
});

const onLinuxAsUser = process.platform === 'linux' && spawnSync('sh', ['-c', 'unshare -rm mount -t tmpfs none /mnt']).status === 0;
test.skipIf(!onLinuxAsUser)('a full disk refuses the append, keeps what was there, and goes on when there is room', () => {
  const script = `
    import { openSpool } from ${JSON.stringify(new URL('../../dist/spool/spool.js', import.meta.url).href)};
    import { writeFileSync, rmSync, readdirSync, readFileSync } from 'node:fs';
    writeFileSync(${JSON.stringify(`${dir}/filler`)}, Buffer.alloc(40_000));
    const spool = openSpool({ dir: ${JSON.stringify(dir)}, partition: 'engine-a', pipeline: ${JSON.stringify(pipeline)} });
    const values = new Float32Array(1000);
    const group = { rows: 1, columns: [{ kind: 'tensor', name: 'in.x', type: 'float32', shape: [1000], values }], requests: [{ rows: 1, timeMs: 1, requestId: 'r', elapsedNs: [] }], lastModel: { name: 'm', sha: 's' } };
    const codes = [];
    let fitted = 0;
    const append = () => { try { spool.append(group); fitted += 1; codes.push('ok'); } catch (error) { codes.push(error.code); } };
    while (codes.filter((c) => c !== 'ok').length < 3) append();
    const before = fitted;
    rmSync(${JSON.stringify(`${dir}/filler`)});
    append();
    append();
    const files = readdirSync(${JSON.stringify(dir)}).filter((n) => n.endsWith('.spool')).map((n) => readFileSync(${JSON.stringify(`${dir}/`)} + n).toString('base64'));
    console.log(JSON.stringify({ codes, before, rows: spool.stats().rows, files }));`;
  const run = spawnSync('sh', ['-c', `unshare -rm sh -c 'mount -t tmpfs -o size=160k none ${dir} && exec "$0" --input-type=module -e "$1"' "$0" "$1"`, process.execPath, script], { encoding: 'utf8' });
  const { codes, before, rows, files } = JSON.parse(run.stdout) as { codes: string[]; before: number; rows: number; files: string[] };
  expect(before).toBeGreaterThan(5);
  expect(codes).toEqual([...Array.from({ length: before }, () => 'ok'), 'storage_full', 'storage_full', 'storage_full', 'ok', 'ok']);
  const seen = files.flatMap((file) => framesIn(Buffer.from(file, 'base64')));
  expect(seen.map((s) => s.rows.firstRow)).toEqual(upTo(rows));
});

describe('a process that is killed', () => {
  const writer = `
    import { openSpool } from ${JSON.stringify(new URL('../../dist/spool/spool.js', import.meta.url).href)};
    import { writeSync } from 'node:fs';
    const spool = openSpool({ dir: process.argv[1], partition: 'engine-a', pipeline: ${JSON.stringify(pipeline)}, fileBytes: 50_000 });
    for (let n = 0; ; ) {
      const rows = 1 + n % 7;
      const values = Float32Array.from({ length: rows * 400 }, (_, i) => n + Math.floor(i / 400));
      const requests = Array.from({ length: rows }, (_, i) => ({ rows: 1, timeMs: Date.now(), requestId: 'r' + (n + i), elapsedNs: [1] }));
      const first = Float32Array.from({ length: rows * 4 }, (_, i) => n + Math.floor(i / 4));
      spool.append({ rows, columns: [{ kind: 'tensor', name: 'in.x', type: 'float32', shape: [4], values: first }, { kind: 'tensor', name: 'in.big', type: 'float32', shape: [400], values }], requests, lastModel: { name: 'm', sha: 's' } });
      n += rows;
      writeSync(1, n + '\\n');
    }`;

  test('has in its files every row that an append had returned for', async () => {
    for (let round = 0; round < 8; round += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', writer, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      const stopAt = 200 + Math.random() * 6000;
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (output.length > stopAt) child.kill('SIGKILL');
      });
      await once(child, 'close');
      const answered = Number(output.split('\n').at(-2));
      const rows = rowNumbers(onDisk());
      expect(rows).toEqual(upTo(rows.length));
      expect(rows.length).toBeGreaterThanOrEqual(answered);
      for (const name of readdirSync(dir)) rmSync(join(dir, name));
    }
  });
});

describe('shipping', () => {
  test('sends all rows in order, exactly once, and removes files that ops has', async () => {
    const { ops, url } = await opsAt();
    const spool = spoolOf({ fileBytes: 3000, ship: { url, token: 'secret' } });
    for (let n = 0; n < 300; n += 1) {
      spool.append(group(n));
      if (n % 50 === 0) await vi.waitUntil(() => ops.of('engine-a').length > n);
    }
    await spool.flush(10_000);
    expect(ops.of('engine-a')).toEqual(upTo(300));
    expect([...ops.authorizations]).toEqual(['Bearer secret']);
    expect(spool.stats().shipping).toEqual({ acknowledged: 300, error: null });
    expect(spoolFiles().length).toBe(1);
    await spool.close();
    expect(spoolFiles()).toEqual([]);
  });

  test('goes on where it was when ops comes back', async () => {
    const { ops, url } = await opsAt();
    const port = Number(new URL(url).port);
    const spool = spoolOf({ fileBytes: 3000, ship: { url, token: 't' } });
    spool.append(group(0));
    await vi.waitUntil(() => ops.of('engine-a').length === 1);
    ops.server.closeAllConnections();
    ops.server.close();
    for (let n = 1; n < 100; n += 1) spool.append(group(n));
    await vi.waitUntil(() => spool.stats().shipping!.error !== null);
    const later = await opsAt(port);
    later.ops.rows.set('engine-a', [0]);
    await vi.waitUntil(() => later.ops.of('engine-a').length === 100, { timeout: 15_000 });
    expect(later.ops.of('engine-a')).toEqual(upTo(100));
    await vi.waitUntil(() => spool.stats().shipping!.error === null);
  });

  test('an answer that is lost, busy or broken is asked for again', async () => {
    const { ops, url } = await opsAt();
    const answers: (number | 'hang up')[] = ['hang up', 500, 429, 503, 'hang up'];
    ops.refuse = () => answers.shift();
    const spool = spoolOf({ ship: { url, token: 't' } });
    for (let n = 0; n < 10; n += 1) spool.append(group(n));
    await vi.waitUntil(() => ops.of('engine-a').length === 10, { timeout: 20_000 });
    expect(ops.of('engine-a')).toEqual(upTo(10));
    expect(ops.requests).toBe(6);
  });

  test('pieces begin with the schema that holds for them, and a long frame travels alone', async () => {
    const { ops, url } = await opsAt();
    const spool = spoolOf({ ship: { url, token: 't' } });
    const image = floats('in.image', [1_000_000], 1);
    for (let n = 0; n < 4; n += 1) spool.append(group(n, 1, [floats('in.x', [4], 1, n), image]));
    for (let n = 4; n < 6; n += 1) spool.append(group(n));
    await spool.flush(10_000);
    expect(ops.of('engine-a')).toEqual(upTo(6));
    expect(ops.requests).toBeGreaterThanOrEqual(5);
  });

  test('what earlier engines left is shipped too; a damaged end is skipped and what ops refuses is kept', async () => {
    for (const partition of ['engine-0', 'engine-1', 'engine-2']) {
      const before = openSpool({ dir, partition, pipeline, fileBytes: 2000 });
      for (let n = 0; n < 50; n += 1) before.append(group(n));
      await before.close();
    }
    appendFileSync(spoolFiles().findLast((f) => f.includes('engine-0'))!, 'PTF1 and then nothing');
    const { ops, url } = await opsAt();
    ops.refuse = (partition) => (partition === 'engine-1' ? 403 : undefined);
    const spool = spoolOf({ ship: { url, token: 't' } });
    spool.append(group(0));
    await spool.flush(10_000);
    expect(Object.fromEntries(ops.rows)).toEqual({ 'engine-0': upTo(50), 'engine-2': upTo(50), 'engine-a': [0] });
    expect(new Set(spoolFiles().map((file) => file.split('/').at(-1)!.split('.')[0]))).toEqual(new Set(['engine-1', 'engine-a']));
  });

  test('a name used before on this folder is not used again', async () => {
    const { ops, url } = await opsAt();
    for (let start = 1; start <= 3; start += 1) {
      const spool = openSpool({ dir, partition: 'pod', pipeline, ship: { url, token: 't' } });
      spool.append(group(0));
      spool.append(group(1));
      await spool.flush(10_000);
      await spool.close();
      expect(spool.stats().partition).toBe(start === 1 ? 'pod' : `pod.${start}`);
    }
    expect(Object.fromEntries(ops.rows)).toEqual({ 'pod': [0, 1], 'pod.2': [0, 1], 'pod.3': [0, 1] });
    expect(readdirSync(dir)).toEqual(['pod.3.incarnation']);
  });

  test('flush gives up at its deadline, and the files stay', async () => {
    const spool = spoolOf({ ship: { url: 'http://127.0.0.1:9', token: 't' } });
    spool.append(group(0));
    await spool.flush(100);
    await spool.close();
    expect(rowNumbers(onDisk())).toEqual([0]);
    expect(spool.stats().shipping!.error).toContain('ECONNREFUSED');
  });
});

test('a ring writes over its old files, and readers see the new rows only', () => {
  const fileBytes = 2 * 1024 * 1024;
  const spool = spoolOf({ maxBytes: 32 * 1024 * 1024, fileBytes });
  const wide = (first: number): SpoolGroup => group(first, 10, [floats('in.x', [4], 10, first), floats('in.image', [16 * 1024], 10, first), floats('out.y', [1], 10, first)]);
  let rows = 0;
  for (; rows < 1000; rows += 10) spool.append(wide(rows));
  const numbers = rowNumbers(onDisk());
  expect(numbers).toEqual(upTo(rows, numbers[0]));
  expect(numbers[0]).toBeGreaterThan(0);
  expect(spoolFiles().reduce((bytes, file) => bytes + statSync(file).size, 0)).toBeLessThanOrEqual(34 * 1024 * 1024);
});
