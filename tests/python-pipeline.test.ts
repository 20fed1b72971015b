import type { Batch, Column } from '@potoroo/batch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBundle } from '../packages/engine/src/bundle.ts';
import { loadPipeline, type Pipeline } from '../packages/engine/src/pipeline.ts';
import { temporary } from './frameworks/support.ts';
import { expected, mixedBundle } from './support/mixed-pipeline.ts';

const { folder, remove } = temporary();
let pipeline: Pipeline;
beforeAll(async () => {
  const bundled = await mixedBundle(folder);
  pipeline = await loadPipeline(await readBundle(bundled), bundled, 1);
}, 600_000);
afterAll(async () => {
  await pipeline?.unload();
  remove();
});

const rows = (...pairs: [number, number][]): Batch => ({ rows: pairs.length, columns: ['a', 'b'].map((name, i) => ({ kind: 'tensor', name, type: 'float64', shape: [], values: Float64Array.from(pairs.map((p) => p[i] ?? 0)) })) });
const answers = async (batch: Batch): Promise<number[]> => [...((await pipeline.run(batch, [])).outputs.columns[0] as Column & { values: Float64Array }).values];

describe('a pipeline of Python, ONNX, own code and Python', () => {
  it('says what it takes and gives, and does not merge what may not be merged', () => {
    expect(pipeline).toMatchObject({ inputs: [{ name: 'a' }, { name: 'b' }], outputs: [{ name: 'answer' }], single: false });
    // More than one request may be under way, so that each process finds its next one lying ready.
    expect(pipeline.slots).toBeGreaterThan(1);
    expect(pipeline.slots).toBeLessThan(10);
  });
  it('answers many requests at once, each with its own rows', async () => {
    const requests = Array.from({ length: 60 }, (_, i) => Array.from({ length: 1 + (i % 5) }, (__, k): [number, number] => [i, k]));
    const given = await Promise.all(requests.map((pairs) => answers(rows(...pairs))));
    given.forEach((values, i) => (requests[i] ?? []).forEach(([a, b], k) => { expect(values[k]).toBeCloseTo(expected(a, b), 6); }));
  });
  it('refuses an answer that has not one row for each row of the request', async () => {
    await expect(answers(rows([-1000, 0], [1, 1]))).rejects.toMatchObject({ code: 'inference_failed', message: expect.stringContaining('gave 1 rows for the 2 rows') as string });
    expect((await answers(rows([1, 1])))[0]).toBeCloseTo(expected(1, 1), 6);
  });
  it('loses only what is in flight in a process that dies', async () => {
    const before = Array.from({ length: 5 }, (_, i) => answers(rows([i, 1])));
    await Promise.all(before);
    await expect(answers(rows([1e6, 1e6]))).rejects.toMatchObject({ code: 'model_process_lost' });
    const after = await Promise.all(Array.from({ length: 20 }, (_, i) => answers(rows([i, 1]))));
    after.forEach((values, i) => { expect(values[0]).toBeCloseTo(expected(i, 1), 6); });
  });
});
