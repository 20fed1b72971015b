import { expect, test } from 'vitest';
import { FrameEncoder, logTypeOf, type LogSchema } from '@potoroo/batch/frames';
import { databases } from '../../storage/testing.ts';
import { admin, floats, logsOn, plain } from './testing.ts';

const million = 1_000_000;
const rows = 1000;
const width = 29;

test('a million rows go in and come out in memory that does not grow with them', async () => {
  const storage = await databases[0]!.open();
  const { logs, pipelineId, deploymentId } = await logsOn(storage);
  const columns = [floats('in.tensor', [width], Array.from({ length: rows * width }, (_, i) => i)), floats('out.y', [], Array.from({ length: rows }, (_, i) => i))];
  const schema: LogSchema = {
    format: 1, partition: 'e1', pipeline: { id: pipelineId, name: 'p', version: 'v1', versionId: 1, workspaceId: 1, deploymentId },
    models: [{ name: 'm', sha: 'f00' }], columns: columns.map((c) => ({ name: c.name, ...logTypeOf(c) })),
  };
  const encoder = new FrameEncoder();
  /** Most memory in use, in bytes, after a third of the rows and in the end. */
  const peaks = { ingest: { third: 0, all: 0 }, read: { third: 0, all: 0 } };
  const measure = (peak: { third: number; all: number }, done: number): void => {
    peak.all = Math.max(peak.all, process.memoryUsage().rss);
    if (done <= million / 3) peak.third = peak.all;
  };

  for (let first = 0; first < million;) {
    const frames: Uint8Array[] = [encoder.schema(schema)];
    for (const end = first + 20 * rows; first < end; first += rows) {
      frames.push(...encoder.rows({ firstRow: first, rows, requests: [{ rows, timeMs: first, requestId: `r${first}`, elapsedNs: [1] }], model: 0, columns }).map((part) => part.slice()));
    }
    expect(await logs.ingest(deploymentId, 'e1', Buffer.concat(frames))).toBe(first);
    measure(peaks.ingest, first);
  }
  let read = 0;
  for (let cursor = {}; ;) {
    const page = await logs.read(admin, { pipelineId, cursor });
    const times = plain(page.batch, 'time');
    expect([times[0], times.at(-1)]).toEqual([read - read % rows, read + page.batch.rows - 1 - (read + page.batch.rows - 1) % rows]);
    read += page.batch.rows;
    measure(peaks.read, read);
    if (page.next === null) break;
    cursor = page.next;
  }
  expect(read).toBe(million);
  // Two thirds of the rows are more than 100 MiB.
  for (const { third, all } of Object.values(peaks)) expect((all - third) / 1024 / 1024).toBeLessThan(50);
  await logs.close();
  await storage.close();
}, 120_000);
