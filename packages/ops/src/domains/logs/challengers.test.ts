import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { take, type Column } from '@potoroo/batch';
import { databases, type TestStorage } from '../../storage/testing.ts';
import { admin, floats, frames, logsOn, plain, type Row, type TestLogs } from './testing.ts';

const t0 = 1_700_000_000_000;
const rowsFrom = (from: number, count: number): Row[] => Array.from({ length: count }, (_, i) => ({ n: from + i, time: t0 + from + i }));
/** A challenger's outputs for these rows: their numbers doubled, except of those that it was not shown. */
const doubled = (unseen: number[]) => (rows: readonly Row[]): Column[] => {
  const place = Int32Array.from(rows, ({ n }, i) => (unseen.includes(n) ? -1 : i));
  return take({ rows: rows.length, columns: [floats('out_b.y', [1], rows.map(({ n }) => n * 2)), floats('out_b.score', [], rows.map(({ n }) => -n))] }, place).columns as Column[];
};

describe.each(databases)('what challengers said, on $name', ({ open }) => {
  let storage: TestStorage;
  let one: TestLogs;
  beforeAll(async () => { storage = await open(); });
  afterAll(() => storage.close());
  beforeEach(async () => {
    one = await logsOn(storage);
    return () => one.logs.close();
  });
  const ingest = (partition: string, first: number, rows: Row[], columns?: (rows: readonly Row[]) => Column[]): Promise<number> =>
    one.logs.ingest(one.deploymentId, partition, frames(one.pipelineId, partition, first, rows, columns && { columns }));
  /** All rows in pages of this many: number and what the challenger said of it. */
  async function read(query: { order?: 'asc' | 'desc'; partition?: string }, limit: number): Promise<Map<number, [unknown, unknown]>> {
    const rows = new Map<number, [unknown, unknown]>();
    for (let cursor: Record<string, number> | undefined; ;) {
      const { batch, next } = await one.logs.read(admin, { pipelineId: one.pipelineId, limit, ...query, ...(cursor && { cursor }) });
      const numbers = plain(batch, 'out.y') as number[];
      const [y, score] = [plain(batch, 'out_b.y'), plain(batch, 'out_b.score')];
      numbers.forEach((n, i) => { rows.set(n, [y[i], score[i]]); });
      if (next === null) return rows;
      cursor = next;
    }
  }

  test.each([['asc', 7], ['asc', 1000], ['desc', 7], ['desc', 1000]] as const)('stands beside its rows, %s in pages of %i, and is null where it is missing', async (order, limit) => {
    const unseen = [3, 4, 17];
    // As they arrive: in pieces of their own, some before and some after the rows they belong to, and not for the last ones.
    await ingest('e1', 0, rowsFrom(0, 10));
    await ingest('e1.shadow', 0, rowsFrom(0, 6), doubled(unseen));
    await ingest('e1.shadow', 6, rowsFrom(6, 15), doubled(unseen));
    await ingest('e1.shadow', 6, rowsFrom(6, 15), doubled(unseen));
    await ingest('e1', 10, rowsFrom(10, 20));
    // A gap, and another engine that has heard nothing of its challengers yet.
    await ingest('e1.shadow', 25, rowsFrom(25, 2), doubled(unseen));
    await ingest('e2', 0, rowsFrom(100, 5));
    const rows = await read({ order }, limit);
    expect([...rows.keys()].toSorted((a, b) => a - b)).toEqual([...Array.from({ length: 30 }, (_, i) => i), 100, 101, 102, 103, 104]);
    for (const [n, said] of rows) expect(said, `row ${n}`).toEqual(unseen.includes(n) || (n >= 21 && n < 25) || n >= 27 ? [null, null] : [[n * 2], -n]);
    expect(await one.logs.partitions(admin, one.pipelineId)).toEqual({ e1: { start: 0, end: 30 }, e2: { start: 0, end: 5 } });
    expect((await read({ order, partition: 'e1' }, limit)).get(8)).toEqual([[16], -8]);
  });

  test('comes before the metadata and is no column of logs without challengers', async () => {
    await ingest('e1', 0, rowsFrom(0, 2));
    const names = async (): Promise<string[]> => (await one.logs.read(admin, { pipelineId: one.pipelineId })).batch.columns.map((c) => c.name);
    const before = await names();
    expect(before.slice(0, 4)).toEqual(['time', 'in.x', 'out.y', 'metadata.last_model']);
    await ingest('e1.shadow', 0, rowsFrom(0, 1), doubled([]));
    expect((await names()).slice(0, 6)).toEqual(['time', 'in.x', 'out.y', 'out_b.y', 'out_b.score', 'metadata.last_model']);
  });

  test('is taken in from the spool folder of an engine that is gone', async () => {
    const folder = join(storage.dataDir, `spool-${one.pipelineId}`);
    await mkdir(join(folder, 'shadow'), { recursive: true });
    await writeFile(join(folder, 'e1.0000000000000000.spool'), frames(one.pipelineId, 'e1', 0, rowsFrom(0, 4)));
    await writeFile(join(folder, 'shadow', 'e1.shadow.0000000000000000.spool'), frames(one.pipelineId, 'e1.shadow', 0, rowsFrom(0, 4), { columns: doubled([2]) }));
    await one.logs.adopt(folder, { deploymentId: one.deploymentId });
    expect([...await read({}, 10)]).toEqual([[0, [[0], -0]], [1, [[2], -1]], [2, [null, null]], [3, [[6], -3]]]);
  });
});
