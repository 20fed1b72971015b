import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { databases, type TestStorage } from '../../storage/testing.ts';
import type { LogPage, LogQuery } from '../domains.ts';
import { admin, frames, logsOn, plain, readAll, reopen, stranger, type Row, type TestLogs } from './testing.ts';

const day = 86_400_000;
const now = 20_000 * day;
const upTo = (to: number, from = 0): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe.each(databases)('log retention on $name', ({ open }) => {
  let storage: TestStorage;
  let one: TestLogs;
  let time = now;
  beforeAll(async () => { storage = await open(); });
  afterAll(() => storage.close());
  beforeEach(async () => {
    time = now;
    one = await logsOn(storage, [], { clock: () => time, retention: { days: 30, bytes: 0 } });
    return () => one.logs.close();
  });
  /** Ten rows of each day, the oldest first; each day is a segment of its own, as each comes from another pipeline version. */
  const days = async (count: number, partition = 'e1', versions = (d: number): string => `v${d}`): Promise<void> => {
    for (let d = 0; d < count; d += 1) {
      const rows: Row[] = upTo(d * 10 + 10, d * 10).map((n) => ({ n, time: now - (count - d) * day + n }));
      await one.logs.ingest(one.deploymentId, partition, frames(one.pipelineId, partition, d * 10, rows, { version: versions(d) }));
    }
  };
  const all = (query: Partial<LogQuery> = {}): Promise<number[]> => readAll(one.logs, { pipelineId: one.pipelineId, ...query });
  const page = (query: Partial<LogQuery>): Promise<LogPage> => one.logs.read(admin, { pipelineId: one.pipelineId, ...query });
  const set = (days: number | null, bytes: number | null = null) => one.logs.setRetention(admin, one.pipelineId, { days, bytes });
  /** What a run removed of this pipeline. */
  const removed = async () => (await one.logs.removeExpired()).find(({ pipelineId }) => pipelineId === one.pipelineId);
  const files = (): string[] => readdirSync(join(one.folder, String(one.pipelineId)));

  test('segments of which every record is too old go, with their files; offsets go on', async () => {
    await days(5);
    expect(await removed()).toBeUndefined();
    await set(3);
    // Of the third day, most records are a moment younger than three days.
    expect(await removed()).toEqual({ pipelineId: one.pipelineId, segments: 2, rows: 20, bytes: expect.any(Number), until: now - 4 * day + 19 });
    expect(await all()).toEqual(upTo(50, 20));
    expect(await all({ order: 'desc' })).toEqual(upTo(50, 20).toReversed());
    expect(files()).toHaveLength(3);
    expect(await one.logs.partitions(admin, one.pipelineId)).toEqual({ e1: { start: 20, end: 50 } });
    expect(await removed()).toBeUndefined();
  });

  test('the segment that an engine wrote last goes too when it is old, and new rows still come in', async () => {
    await days(2);
    time = now + 40 * day;
    expect(await removed()).toMatchObject({ segments: 2, rows: 20 });
    expect(await page({})).toMatchObject({ status: 'All', next: null, batch: { rows: 0 } });
    expect(files()).toEqual([]);
    expect(await one.logs.partitions(admin, one.pipelineId)).toEqual({ e1: { start: 20, end: 20 } });
    const rows = upTo(25, 20).map((n) => ({ n, time }));
    expect(await one.logs.ingest(one.deploymentId, 'e1', frames(one.pipelineId, 'e1', 20, rows))).toBe(25);
    expect(await all()).toEqual(upTo(25, 20));
  });

  test('over the size, the oldest of all partitions go first; what is still written to stays', async () => {
    await days(4, 'e1');
    await days(4, 'e2');
    const sizes = await storage.db.selectFrom('logSegments').innerJoin('logPartitions', 'logPartitions.id', 'partitionId').select(['bytes']).where('pipelineId', '=', one.pipelineId).execute();
    const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    await set(0, total);
    expect(await removed()).toBeUndefined();
    // One byte too many of three segments, which are all of about one size, is a fourth that goes.
    await set(0, total - 3 * Math.max(...sizes.map(({ bytes }) => bytes)) - 1);
    expect(await removed()).toMatchObject({ segments: 4, rows: 40 });
    for (const partition of ['e1', 'e2']) expect(await all({ partition })).toEqual(upTo(40, 20));
    await set(0, 1);
    expect(await removed()).toMatchObject({ segments: 2, rows: 20 });
    for (const partition of ['e1', 'e2']) expect(await all({ partition })).toEqual(upTo(40, 30));
  });

  test('a pipeline’s own bounds come before those of the settings; 0 is for ever; null is back to them', async () => {
    await days(1);
    time = now + 1000 * day;
    expect(await one.logs.retention(admin, one.pipelineId)).toEqual({ days: null, bytes: null, effective: { days: 30, bytes: 0 } });
    expect(await set(0, 5_000_000_000)).toEqual({ days: 0, bytes: 5_000_000_000, effective: { days: 0, bytes: 5_000_000_000 } });
    expect(await one.logs.retention(admin, one.pipelineId)).toEqual({ days: 0, bytes: 5_000_000_000, effective: { days: 0, bytes: 5_000_000_000 } });
    expect(await removed()).toBeUndefined();
    expect(await set(null)).toEqual({ days: null, bytes: null, effective: { days: 30, bytes: 0 } });
    expect(await removed()).toMatchObject({ rows: 10 });
  });

  test('only members set it, and only whole numbers', async () => {
    await expect(one.logs.setRetention(stranger, one.pipelineId, { days: 1, bytes: null })).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await expect(one.logs.retention(stranger, one.pipelineId)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await expect(set(99_999, -1)).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('bytes -1') });
    await expect(set(1.5)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(one.logs.setRetention(admin, 99_999, { days: 1, bytes: null })).rejects.toMatchObject({ code: 'pipeline_not_found' });
  });

  test('a reader whose next segment goes while it reads goes on with what there is', async () => {
    await days(6);
    await set(3);
    const forwards = await page({ limit: 5 });
    const backwards = await page({ limit: 25, order: 'desc' });
    const reading = all();
    expect(await removed()).toMatchObject({ rows: 30 });
    expect([upTo(60), upTo(60, 30)]).toContainEqual(await reading);
    expect(plain((await page({ cursor: forwards.next! })).batch, 'out.y')).toEqual(upTo(60, 30));
    expect(await all({ order: 'desc', cursor: backwards.next! })).toEqual(upTo(35, 30).toReversed());
    expect(one.errors).toEqual([]);
  });

  test('readers beside many removals never see an error or a row twice', async () => {
    await days(60, 'e1', (d) => `v${d % 2}`);
    let running = true;
    const readers = ['asc', 'desc'].map(async (order) => {
      do {
        const rows = await all({ order: order as 'asc' | 'desc', limit: 7 });
        expect(rows).toEqual([...new Set(rows)].toSorted((a, b) => (order === 'asc' ? a - b : b - a)));
        expect(rows).toContain(599);
      } while (running);
    });
    for (let keep = 59; keep > 1; keep -= 4) {
      await set(keep);
      await removed();
    }
    running = false;
    await Promise.all(readers);
    expect(one.errors).toEqual([]);
  });

  test('files that a crash left between manifest and disk go with the next start; a file that is gone already is no error', async () => {
    await days(4);
    const [first] = await storage.db.selectFrom('logSegments').innerJoin('logPartitions', 'logPartitions.id', 'partitionId').select(['logSegments.id', 'file']).where('pipelineId', '=', one.pipelineId).orderBy('first').execute();
    await storage.db.deleteFrom('logSegments').where('id', '=', first!.id).execute();
    await one.logs.close();
    const again = await reopen(storage.db, one.folder, one.errors, { clock: () => time, retention: { days: 2, bytes: 0 } });
    expect(files()).toHaveLength(3);
    const [next] = await storage.db.selectFrom('logSegments').innerJoin('logPartitions', 'logPartitions.id', 'partitionId').select('file').where('pipelineId', '=', one.pipelineId).orderBy('first').execute();
    await rm(join(one.folder, next!.file));
    expect((await again.removeExpired()).find(({ pipelineId }) => pipelineId === one.pipelineId)).toMatchObject({ rows: 10 });
    expect(await readAll(again, { pipelineId: one.pipelineId })).toEqual(upTo(40, 20));
    expect(one.errors).toEqual([]);
    await again.close();
  });
});
