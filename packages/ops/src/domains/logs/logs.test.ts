import { readdir, readFile, rm, writeFile, appendFile, mkdir, stat, truncate } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Column } from '@potoroo/batch';
import { databases, type TestStorage } from '../../storage/testing.ts';
import type { Actor, LogPage, LogQuery, ModelKey } from '../domains.ts';
import { admin, deployed, floats, frames, logsOn, numbered, plain, readAll, reopen, stranger, type Row, type TestLogs } from './testing.ts';

const t0 = 1_700_000_000_000;
const rowsFrom = (from: number, count: number, step = 1): Row[] => Array.from({ length: count }, (_, i) => ({ n: from + i, time: t0 + (from + i) * step }));
const upTo = (to: number, from = 0): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe.each(databases)('logs on $name', ({ open }) => {
  let storage: TestStorage;
  let one: TestLogs;
  beforeAll(async () => { storage = await open(); });
  afterAll(() => storage.close());
  beforeEach(async () => {
    one = await logsOn(storage);
    return () => one.logs.close();
  });
  const ingest = (partition: string, first: number, rows: Row[], options?: Parameters<typeof frames>[4]): Promise<number> =>
    one.logs.ingest(one.deploymentId, partition, frames(one.pipelineId, partition, first, rows, options));
  const read = (query: Partial<LogQuery> = {}): Promise<LogPage> => one.logs.read(admin, { pipelineId: one.pipelineId, ...query });
  const all = (query: Partial<LogQuery> = {}): Promise<number[]> => readAll(one.logs, { pipelineId: one.pipelineId, ...query });
  const segmentFiles = (): string[] => readdirSync(one.folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile() && e.parentPath.endsWith(`/${one.pipelineId}`)).map((e) => join(e.parentPath, e.name));

  test('what was ingested is read back with everything known of it', async () => {
    expect(await ingest('e1', 0, rowsFrom(0, 3), { version: 'a-b-c', model: 'ccfraud' })).toBe(3);
    const { batch, status, next } = await read();
    expect({ status, next, rows: batch.rows }).toEqual({ status: 'All', next: null, rows: 3 });
    expect(batch.columns.map((c) => c.name)).toEqual(['time', 'in.x', 'out.y', 'metadata.last_model', 'metadata.pipeline_version', 'metadata.elapsed', 'metadata.dropped', 'metadata.partition', 'metadata.request_id']);
    expect(Object.fromEntries(batch.columns.map((c) => [c.name, plain(batch, c.name)[1]]))).toEqual({
      'time': t0 + 1, 'in.x': [1, 1, 1], 'out.y': 1, 'metadata.last_model': '{"model_name":"ccfraud","model_sha":"f00"}', 'metadata.pipeline_version': 'a-b-c',
      'metadata.elapsed': [1, 2], 'metadata.dropped': [], 'metadata.partition': 'e1', 'metadata.request_id': 'r1',
    });
    expect(await one.logs.partitions(admin, one.pipelineId)).toEqual({ e1: { start: 0, end: 3 } });
  });

  test('rows that failed a validation alone, in both directions and page by page, of versions that have validations', async () => {
    const version = async (pipelineId: number, uuid: string, steps: unknown[]) => storage.db.insertInto('pipelineVersions').values({ pipelineId, version: uuid, steps: JSON.stringify(steps), createdAt: 1, createdBy: 'u1' }).execute();
    const [plainOne, checked] = [`plain-${one.pipelineId}`, `checked-${one.pipelineId}`];
    await version(one.pipelineId, plainOne, []);
    await version(one.pipelineId, checked, [{ type: 'validations', validations: [{ name: 'v', expression: '{}' }] }]);
    const counted = (rows: readonly Row[]): Column[] => [...numbered(rows), { kind: 'tensor', name: 'anomaly.count', type: 'int8', shape: [], values: Int8Array.from(rows, ({ n }) => (n % 3 === 0 ? 2 : 0)) }];
    await ingest('e1', 0, rowsFrom(0, 50), { version: plainOne, columns: counted });
    await ingest('e1', 50, rowsFrom(50, 100), { version: checked, columns: counted });
    await ingest('e2', 0, rowsFrom(150, 100), { version: checked, columns: counted });
    const failed = upTo(250, 50).filter((n) => n % 3 === 0);
    expect(await all({ anomalies: true })).toEqual(failed);
    expect(await all({ anomalies: true, order: 'desc', limit: 7 })).toEqual(failed.toReversed());
    expect(await all({ anomalies: true, partition: 'e2', limit: 1 })).toEqual(failed.filter((n) => n >= 150));
    expect(await all({ anomalies: true, pipelineVersion: plainOne })).toEqual([]);
    expect(await all({ anomalies: true, start: new Date(t0 + 60), end: new Date(t0 + 69) })).toEqual([60, 63, 66, 69]);
  });

  test('a search for rare rows ends its page when it has looked at enough, and goes on from there', async () => {
    const checked = `rare-${one.pipelineId}`;
    await storage.db.insertInto('pipelineVersions').values({ pipelineId: one.pipelineId, version: checked, steps: JSON.stringify([{ type: 'validations', validations: [{ name: 'v', expression: '{}' }] }]), createdAt: 1, createdBy: 'u1' }).execute();
    const rare = (rows: readonly Row[]): Column[] => [floats('out.y', [], rows.map(({ n }) => n)), { kind: 'tensor', name: 'anomaly.count', type: 'int8', shape: [], values: Int8Array.from(rows, ({ n }) => (n === 7 || n === 410_000 ? 1 : 0)) }];
    const [piece, pieces] = [20_000, 21];
    for (let n = 0; n < pieces; n += 1) await ingest('e1', n * piece, rowsFrom(n * piece, piece), { version: checked, columns: rare, requests: 'one' });
    for (const order of ['asc', 'desc'] as const) {
      const found: unknown[] = [];
      const sizes: number[] = [];
      let cursor: LogPage['next'] | undefined;
      while (cursor !== null) {
        const page = await read({ anomalies: true, order, ...(cursor && { cursor }) });
        sizes.push(page.batch.rows);
        if (page.batch.rows > 0) found.push(...plain(page.batch, 'out.y'));
        expect(page.status).toBe(page.next === null ? 'All' : 'ByteLimited');
        cursor = page.next;
      }
      expect(found).toEqual(order === 'asc' ? [7, 410_000] : [410_000, 7]);
      expect(sizes.length).toBeGreaterThan(2);
      expect(sizes.length).toBeLessThan(6);
    }
  });

  test('rows of a model come from every pipeline that has it in a step and may be seen', async () => {
    const other = await deployed(storage.db);
    const { workspaceId } = await storage.db.selectFrom('pipelines').select('workspaceId').where('id', '=', one.pipelineId).executeTakeFirstOrThrow();
    const name = `shared-${one.pipelineId}`;
    const model = await storage.db.insertInto('models').values({ workspaceId, name, ownerId: 'u1', createdAt: 1, updatedAt: 1 }).returning('id').executeTakeFirstOrThrow();
    const { id } = await storage.db.insertInto('modelVersions').values({
      modelId: model.id, version: name, sha256: 'f00', size: 1, fileName: 'm', framework: 'onnx', runtime: 'onnx', arch: 'x86', accel: 'none', visibility: 'private', status: 'ready',
      reason: null, inputs: null, outputs: null, convertedSha256: null, environment: null, conversion: '{}', createdAt: 1, updatedAt: 1, createdBy: 'u1',
    }).returning('id').executeTakeFirstOrThrow();
    for (const { pipelineId } of [one, other]) {
      for (const [uuid, has] of [[`with-${pipelineId}`, true], [`without-${pipelineId}`, false]] as const) {
        const made = await storage.db.insertInto('pipelineVersions').values({ pipelineId, version: uuid, steps: '[]', createdAt: 1, createdBy: 'u1' }).returning('id').executeTakeFirstOrThrow();
        if (has) await storage.db.insertInto('pipelineVersionModels').values({ pipelineVersionId: made.id, modelVersionId: id }).execute();
      }
    }
    await ingest('e1', 0, rowsFrom(0, 10), { version: `with-${one.pipelineId}` });
    await ingest('e1', 10, rowsFrom(10, 10), { version: `without-${one.pipelineId}` });
    await one.logs.ingest(other.deploymentId, 'o1', frames(other.pipelineId, 'o1', 0, rowsFrom(20, 10), { version: `with-${other.pipelineId}` }));
    const read = async (actor: Actor, key: ModelKey, limit = 100): Promise<unknown[]> => {
      const rows: unknown[] = [];
      for (let cursor: LogPage['next'] | undefined; cursor !== null;) {
        const page = await one.logs.readModel(actor, key, { limit, ...(cursor && { cursor }) });
        if (page.batch.rows > 0) rows.push(...plain(page.batch, 'out.y'));
        cursor = page.next;
      }
      return rows;
    };
    expect(await read(admin, { id: model.id })).toEqual([...upTo(10), ...upTo(30, 20)]);
    expect(await read(admin, { name }, 3)).toEqual([...upTo(10), ...upTo(30, 20)]);
    expect(Object.keys(await one.logs.modelPartitions(admin, { name }))).toEqual(['e1', 'o1']);
    const member: Actor = { id: `m${one.pipelineId}`, email: 'm@ex.co', role: 'user' };
    await storage.db.insertInto('users').values({ uuid: member.id, email: `${member.id}@ex.co`, username: member.id, passwordHash: '', role: 'user', enabled: 1, createdAt: 1 }).execute();
    await storage.db.insertInto('workspaceMembers').values({ workspaceId, userUuid: member.id, role: 'collaborator' }).execute();
    expect(await read(member, { name })).toEqual(upTo(10));
    for (const key of [{ name }, { id: model.id }, { name: 'none of that name' }]) await expect(one.logs.readModel(stranger, key, {})).rejects.toMatchObject({ code: 'model_not_found' });
  });

  test('an empty log is an empty page without columns', async () => {
    expect(await read({ order: 'desc', limit: 5 })).toEqual({ batch: { rows: 0, columns: [] }, status: 'All', next: null });
    expect(await one.logs.partitions(admin, one.pipelineId)).toEqual({});
  });

  test('rows that come twice, overlap or leave a gap are each in the log once', async () => {
    expect(await ingest('e1', 0, rowsFrom(0, 4))).toBe(4);
    expect(await ingest('e1', 0, rowsFrom(0, 4))).toBe(4);
    expect(await ingest('e1', 2, rowsFrom(2, 4))).toBe(6);
    expect(await ingest('e1', 3, rowsFrom(3, 2))).toBe(6);
    expect(await ingest('e1', 10, rowsFrom(10, 2))).toBe(12);
    expect(await ingest('e1', 6, rowsFrom(6, 4))).toBe(12);
    expect(await all()).toEqual([...upTo(6), 10, 11]);
    expect(await all({ order: 'desc', limit: 3 })).toEqual([...upTo(6), 10, 11].toReversed());
    const row = await storage.db.selectFrom('logPartitions').selectAll().where('pipelineId', '=', one.pipelineId).executeTakeFirstOrThrow();
    expect(row).toMatchObject({ name: 'e1', next: 12, missing: 4 });
  });

  test('partitions at once, and every piece twice at the same time', async () => {
    await Promise.all(['e1', 'e2', 'e3'].map(async (partition) => {
      for (let n = 0; n < 300; n += 10) expect(await Promise.all([1, 2].map(() => ingest(partition, n, rowsFrom(n, 10))))).toEqual([n + 10, n + 10]);
    }));
    for (const partition of ['e1', 'e2', 'e3']) expect(await all({ partition })).toEqual(upTo(300));
  });

  test('bad frames: what came before them counts, they are refused when they come first', async () => {
    const good = frames(one.pipelineId, 'e1', 0, rowsFrom(0, 2));
    const bad = Buffer.from(frames(one.pipelineId, 'e1', 2, rowsFrom(2, 2)));
    bad[bad.length - 20]! ^= 1;
    expect(await one.logs.ingest(one.deploymentId, 'e1', Buffer.concat([good, bad]))).toBe(2);
    await expect(one.logs.ingest(one.deploymentId, 'e1', bad)).rejects.toMatchObject({ code: 'malformed_body' });
    await expect(one.logs.ingest(one.deploymentId, 'e1', Buffer.from('hello, this is no frame at all'))).rejects.toMatchObject({ code: 'malformed_body' });
    expect(await one.logs.ingest(one.deploymentId, 'e1', Buffer.alloc(0))).toBe(2);
    await expect(one.logs.ingest(one.deploymentId, 'e2', good)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(one.logs.ingest(one.deploymentId, 'e1', frames(one.pipelineId + 1000, 'e1', 2, rowsFrom(2, 1)))).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(one.logs.ingest(99_999, 'e1', good)).rejects.toMatchObject({ code: 'deployment_not_found' });
    await expect(one.logs.ingest(one.deploymentId, 'a\nb', good)).rejects.toMatchObject({ code: 'invalid_name' });
    expect(await ingest('e1', 2, rowsFrom(2, 2))).toBe(4);
    expect(await all()).toEqual(upTo(4));
  });

  test('only who may see the pipeline reads its log; questions that make no sense are refused', async () => {
    await ingest('e1', 0, rowsFrom(0, 1));
    const query = { pipelineId: one.pipelineId };
    await expect(one.logs.read(stranger, query)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await expect(one.logs.partitions(stranger, one.pipelineId)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await expect(read({ limit: 0 })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(read({ limit: 1.5 })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(read({ start: new Date('never') })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(read({ cursor: { e1: -1 } })).rejects.toMatchObject({ code: 'invalid_cursor' });
    await expect(read({ cursor: { e1: 'x' as unknown as number } })).rejects.toMatchObject({ code: 'invalid_cursor' });
  });

  describe('reading', () => {
    /** Three partitions whose rows interleave, one of them with gaps and rows that are older than those before them. */
    const parts: Record<string, { row: Row; offset: number; version: string }[]> = {
      'a': upTo(40).map((i) => ({ row: { n: i, time: t0 + i * 10 }, offset: i, version: i < 20 ? 'v1' : 'v2' })),
      'b': upTo(40).map((i) => ({ row: { n: 100 + i, time: t0 + 55 + i * 7 }, offset: i < 10 ? i : i + 5, version: 'v1' })),
      'c': upTo(25).map((i) => ({ row: { n: 200 + i, time: t0 + 100 + (i ^ 3) * 10 }, offset: i, version: 'v2' })),
    };
    beforeEach(async () => {
      for (const [partition, rows] of Object.entries(parts)) {
        for (let at = 0; at < rows.length; at += 5) {
          const piece = rows.slice(at, at + 5);
          await ingest(partition, piece[0]!.offset, piece.map(({ row }) => row), { version: piece[0]!.version });
        }
      }
    });
    /** The definition: heads of the partitions' lists, the earliest first, by name where that is the same; or all that backwards. */
    function reference(keep: (row: Row, partition: string, version: string) => boolean, backwards: boolean): number[] {
      const lists = Object.entries(parts).map(([partition, rows]) => ({ partition, rows: rows.filter(({ row, version }) => keep(row, partition, version)).map(({ row }) => row) }));
      if (backwards) for (const list of lists) list.rows.reverse();
      const sign = backwards ? -1 : 1;
      const merged: number[] = [];
      for (;;) {
        const heads = lists.filter((list) => list.rows.length > 0).toSorted((a, b) => sign * (a.rows[0]!.time - b.rows[0]!.time || (a.partition < b.partition ? -1 : 1)));
        if (heads.length === 0) return merged;
        merged.push(heads[0]!.rows.shift()!.n);
      }
    }

    test.each([1, 3, 7, 50, 1000])('pages of %i give every row once, in both directions, with and without filters', async (limit) => {
      for (const order of ['asc', 'desc'] as const) {
        const backwards = order === 'desc';
        expect(await all({ order, limit })).toEqual(reference(() => true, backwards));
        const [start, end] = [t0 + 120, t0 + 260];
        expect(await all({ order, limit, start: new Date(start), end: new Date(end) })).toEqual(reference(({ time }) => time >= start && time <= end, backwards));
        expect(await all({ order, limit, pipelineVersion: 'v1' })).toEqual(reference((_, __, version) => version === 'v1', backwards));
        expect(await all({ order, limit, partition: 'b', start: new Date(start) })).toEqual(reference(({ time }, partition) => partition === 'b' && time >= start, backwards));
      }
    });

    test('the status says whether there is more', async () => {
      expect(await read({ limit: 105 })).toMatchObject({ status: 'All', next: null, batch: { rows: 105 } });
      expect(await read({ limit: 104 })).toMatchObject({ status: 'RecordLimited', batch: { rows: 104 } });
      expect(await read({ start: new Date(t0 + 10_000) })).toEqual({ batch: { rows: 0, columns: [] }, status: 'All', next: null });
    });

    test('offsets of a caller’s own making are continued from, whatever they are', async () => {
      const rows = (await read({ cursor: { a: 38, b: 12, c: 1000, gone: 7 } })).batch;
      expect(plain(rows, 'out.y')).toEqual(reference(({ n }) => n === 38 || n === 39 || (n >= 110 && n < 200), false));
      expect((await read({ cursor: { a: 40, b: 45, c: 25 } })).batch.rows).toBe(0);
      expect((await read({ order: 'desc', cursor: { a: 2 } })).batch.rows).toBe(2);
    });

    test('rows that come between two pages do not move what is read', async () => {
      const first = await read({ order: 'desc', limit: 10 });
      await ingest('a', 40, [{ n: 40, time: t0 + 5000 }]);
      await ingest('d', 0, [{ n: 300, time: t0 + 5001 }]);
      const rest = await all({ order: 'desc', limit: 10, cursor: first.next! });
      expect([...plain(first.batch, 'out.y'), ...rest]).toEqual(reference(() => true, true));
    });
  });

  test('a page ends where the columns change, and only there: another shape, dropped columns or another version are no change', async () => {
    const wide = (rows: readonly Row[]): Column[] => [floats('in.x', [5], rows.flatMap(({ n }) => [n, n, n, n, n])), floats('out.y', [], rows.map(({ n }) => n))];
    const dropped = (rows: readonly Row[]): (Column | undefined)[] => [undefined, floats('out.y', [], rows.map(({ n }) => n))];
    const other = (rows: readonly Row[]): Column[] => [floats('in.z', [3], rows.flatMap(({ n }) => [n, n, n])), floats('out.y', [], rows.map(({ n }) => n))];
    await ingest('e1', 0, rowsFrom(0, 2));
    await ingest('e1', 2, rowsFrom(2, 2), { columns: wide });
    await ingest('e1', 4, rowsFrom(4, 2), { columns: dropped, names: numbered([]) });
    await ingest('e1', 6, rowsFrom(6, 2), { version: 'v2' });
    await ingest('e1', 8, rowsFrom(8, 2), { columns: other });
    await ingest('e1', 10, rowsFrom(10, 2));
    const pages: LogPage[] = [];
    expect(await readAll(one.logs, { pipelineId: one.pipelineId }, (page) => { pages.push(page); })).toEqual(upTo(12));
    expect(pages.map(({ status, batch }) => [status, batch.rows])).toEqual([['SchemaChange', 8], ['SchemaChange', 2], ['All', 2]]);
    expect(plain(pages[0]!.batch, 'in.x').map((x) => (x as number[] | null)?.length)).toEqual([3, 3, 5, 5, undefined, undefined, 3, 3]);
    expect(plain(pages[0]!.batch, 'metadata.dropped')).toEqual([[], [], [], [], ['in.x'], ['in.x'], [], []]);
    expect(await readAll(one.logs, { pipelineId: one.pipelineId, order: 'desc' })).toEqual(upTo(12).toReversed());
  });

  test('a page holds a few MiB, and at least one row', async () => {
    const image = (rows: readonly Row[]): Column[] => [floats('in.image', [700_000], rows.flatMap(({ n }) => Array.from({ length: 700_000 }, () => n))), floats('out.y', [], rows.map(({ n }) => n))];
    await ingest('e1', 0, rowsFrom(0, 5), { columns: image });
    await ingest('e1', 5, rowsFrom(5, 1), { columns: (rows) => [floats('in.image', [1_500_000], Array.from({ length: 1_500_000 }, () => rows[0]!.n)), floats('out.y', [], [5])] });
    const pages: LogPage[] = [];
    expect(await readAll(one.logs, { pipelineId: one.pipelineId }, (page) => { pages.push(page); })).toEqual(upTo(6));
    expect(pages.map(({ status, batch }) => [status, batch.rows])).toEqual([['ByteLimited', 2], ['ByteLimited', 2], ['All', 2]]);
  });

  test('small pieces are merged into large record batches, unnoticed by readers', async () => {
    const seen = new Set<string>();
    for (let n = 0; n < 600; n += 50) {
      for (let i = n; i < n + 50; i += 1) await ingest('e1', i, rowsFrom(i, 1));
      for (const file of segmentFiles()) seen.add(file);
      expect(await all({ limit: 1000 })).toEqual(upTo(n + 50));
    }
    expect(seen.size).toBeGreaterThan(2);
    await one.logs.close();
    expect(await all()).toEqual(upTo(600));
    expect(segmentFiles().length).toBe(1);
    // One row alone in its record batch takes a kilobyte.
    expect((await stat(segmentFiles()[0]!)).size).toBeLessThan(150_000);
  });

  test('between two times come exactly their rows in their order, over many segments, times that go back and restarts', async () => {
    const random = (n: number): number => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed % n; };
    let seed = 7;
    const rows: Row[] = [];
    // Another version begins another segment.
    for (let segment = 0; segment < 50; segment += 1) {
      const some = Array.from({ length: 1 + random(6) }, (_, i) => ({ n: rows.length + i, time: t0 + segment * 10 + random(10) - (segment % 9 === 8 ? 200 : 0) }));
      await ingest('e1', rows.length, some, { version: `v${segment}` });
      rows.push(...some);
    }
    await one.logs.close();
    one = { ...one, logs: await reopen(storage.db, one.folder, one.errors) };
    // What was finished says of itself where its rows lie.
    expect((await Promise.all(segmentFiles().map((file) => readFile(file, 'latin1')))).filter((text) => text.includes('POTOROO1')).length).toBe(49);
    for (let i = 0; i < 60; i += 1) {
      const from = t0 - 210 + random(700);
      const to = from + random(300);
      const expected = rows.filter(({ time }) => time >= from && time <= to).map(({ n }) => n);
      const order = i % 2 === 0 ? 'asc' as const : 'desc' as const;
      expect(await all({ start: new Date(from), end: new Date(to), limit: 1 + random(40), order })).toEqual(order === 'asc' ? expected : expected.toReversed());
    }
    expect(await all({ pipelineVersion: 'v30' })).toEqual(await all({ pipelineVersion: 'v30', partition: 'e1' }));
    // One that was cut short is as none.
    for (const file of segmentFiles()) {
      const { length } = await readFile(file);
      await truncate(file, (await readFile(file, 'latin1')).includes('POTOROO1') ? length - 3 : length);
    }
    await one.logs.close();
    one = { ...one, logs: await reopen(storage.db, one.folder, one.errors) };
    expect(await all({ limit: 30 })).toEqual(rows.map(({ n }) => n));
  });

  test('readers and a writer side by side never see a hole, a double or a missing file', async () => {
    let done = false;
    const write = async (): Promise<void> => {
      for (let n = 2; n < 800; n += 2) await ingest('e1', n, rowsFrom(n, 2));
    };
    // Looking into an empty log takes no reading of files, and would leave the writer no turn.
    await ingest('e1', 0, rowsFrom(0, 2));
    const writing = write().finally(() => { done = true; });
    let most = 0;
    while (!done) {
      const rows = await all({ limit: 300 });
      expect(rows).toEqual(upTo(rows.length));
      expect(rows.length).toBeGreaterThanOrEqual(most);
      most = rows.length;
      const newest = await read({ order: 'desc', limit: 3 });
      expect(plain(newest.batch, 'out.y')[0]).toBeGreaterThanOrEqual(most - 1);
    }
    await writing;
    expect(one.errors).toEqual([]);
  });

  test('after a restart it goes on where the manifest says, whatever lies behind that', async () => {
    await ingest('e1', 0, rowsFrom(0, 5));
    await one.logs.close();
    await appendFile(segmentFiles()[0]!, Buffer.alloc(1000, 7));
    await writeFile(join(one.folder, String(one.pipelineId), 'nobody-knows-it.arrow'), 'x');
    const again = await reopen(storage.db, one.folder);
    expect(segmentFiles().length).toBe(1);
    expect(await readAll(again, { pipelineId: one.pipelineId })).toEqual(upTo(5));
    expect(await again.ingest(one.deploymentId, 'e1', frames(one.pipelineId, 'e1', 5, rowsFrom(5, 5)))).toBe(10);
    expect(await readAll(again, { pipelineId: one.pipelineId })).toEqual(upTo(10));
    expect(segmentFiles().length).toBe(1);
    await again.close();
  });

  test('a segment that somebody removed or cut is an error that says so; new rows still come in', async () => {
    await ingest('e1', 0, rowsFrom(0, 5));
    await one.logs.close();
    await truncate(segmentFiles()[0]!, 100);
    const errors: unknown[] = [];
    const again = await reopen(storage.db, one.folder, errors);
    expect(await again.ingest(one.deploymentId, 'e1', frames(one.pipelineId, 'e1', 5, rowsFrom(5, 5)))).toBe(10);
    await expect(again.read(admin, { pipelineId: one.pipelineId })).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('damaged or missing') });
    expect(errors.length).toBe(1);
    expect(await readAll(again, { pipelineId: one.pipelineId, cursor: { e1: 5 } })).toEqual(upTo(10, 5));
    await again.close();
  });

  test('spool files that dead engines left are taken in once, up to a damaged end', async () => {
    const folder = join(storage.dataDir, `spool-${one.pipelineId}`);
    await mkdir(folder);
    const file = (partition: string, first: number): string => join(folder, `${partition}.${String(first).padStart(16, '0')}.spool`);
    await ingest('e1', 0, rowsFrom(0, 3));
    await writeFile(file('e1', 0), Buffer.concat([frames(one.pipelineId, 'e1', 0, rowsFrom(0, 5)), frames(one.pipelineId, 'e1', 5, rowsFrom(5, 3))]));
    await writeFile(file('e1', 8), Buffer.concat([frames(one.pipelineId, 'e1', 8, rowsFrom(8, 2)), frames(one.pipelineId, 'e1', 10, rowsFrom(10, 2)).subarray(0, -30)]));
    await writeFile(file('e0', 0), frames(one.pipelineId, 'e0', 0, rowsFrom(1000, 4)));
    await writeFile(join(folder, 'e1.incarnation'), '');
    const large = (rows: readonly Row[]): Column[] => [floats('in.x', [3_000_000], Array.from({ length: 3_000_000 }, () => 1)), floats('out.y', [], rows.map(({ n }) => n))];
    await writeFile(file('e2', 0), Buffer.concat(upTo(3).map((i) => frames(one.pipelineId, 'e2', i, rowsFrom(2000 + i, 1), { columns: large }))));
    for (let round = 0; round < 2; round += 1) {
      await one.logs.adopt(folder, { deploymentId: one.deploymentId });
      expect(await all({ partition: 'e1' })).toEqual(upTo(10));
      expect(await all({ partition: 'e0' })).toEqual(upTo(1004, 1000));
      expect(await all({ partition: 'e2' })).toEqual(upTo(2003, 2000));
      expect(one.errors.splice(0)).toEqual([expect.objectContaining({ code: 'malformed_body', message: expect.stringContaining('damaged end') })]);
    }
    await one.logs.adopt(join(folder, 'not-there'), { deploymentId: one.deploymentId });
    await expect(one.logs.adopt(folder, { deploymentId: 99_999 })).rejects.toMatchObject({ code: 'deployment_not_found' });
  });

  test('the log of a removed pipeline is gone, and its files with the next start', async () => {
    const other = await deployed(storage.db);
    await one.logs.ingest(other.deploymentId, 'e1', frames(other.pipelineId, 'e1', 0, rowsFrom(0, 5)));
    await storage.db.deleteFrom('deployments').where('id', '=', other.deploymentId).execute();
    await storage.db.deleteFrom('pipelines').where('id', '=', other.pipelineId).execute();
    await expect(one.logs.read(admin, { pipelineId: other.pipelineId })).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await one.logs.close();
    await (await reopen(storage.db, one.folder)).close();
    expect(await readdir(join(one.folder, String(other.pipelineId)))).toEqual([]);
  });

  test('a folder that cannot be written refuses rows with a clear error and takes them later', async () => {
    await writeFile(join(one.folder, String(one.pipelineId)), 'a file where a folder should be');
    await expect(ingest('e1', 0, rowsFrom(0, 2))).rejects.toMatchObject({ name: 'PotorooError' });
    await rm(join(one.folder, String(one.pipelineId)));
    expect(await ingest('e1', 0, rowsFrom(0, 2))).toBe(2);
    expect(await all()).toEqual([0, 1]);
  });
});
