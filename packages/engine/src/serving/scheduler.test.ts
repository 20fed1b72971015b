import { isDeepStrictEqual } from 'node:util';
import { slice, utf8From, type Batch, type Column, type TensorColumn, type Utf8 } from '@potoroo/batch';
import type { PotorooError } from '@potoroo/contract/plain';
import { describe, expect, test } from 'vitest';
import type { PipelineRun } from '../pipeline.ts';
import { loadHere } from '../runtimes/load.ts';
import { agree } from '../runtimes/sample.ts';
import { fixture } from '../testing/bundle.ts';
import { Scheduler, type SchedulerOptions, type Work } from './scheduler.ts';

interface Asked extends Work {
  got?: Batch;
  error?: PotorooError;
}

function ask(batch: Batch, deadline = Infinity): Asked {
  const work: Asked = { batch, bytes: 100, deadline, gone: false, fail: (error) => { work.error = error; } };
  return work;
}

type Overrides = Partial<SchedulerOptions<Asked>> & Pick<SchedulerOptions<Asked>, 'run'>;

function scheduler(options: Overrides): { scheduler: Scheduler<Asked>; runs: number[] } {
  const runs: number[] = [];
  const made = new Scheduler<Asked>({
    atOnce: () => Infinity,
    slots: 0,
    flushed: () => undefined,
    maxRows: 1000,
    maxBytes: 1e6,
    settle(works, _input, { outputs }) {
      runs.push(works.length);
      let from = 0;
      for (const work of works) {
        work.got = slice(outputs, from, from + work.batch.rows);
        from += work.batch.rows;
      }
    },
    ...options,
  });
  return { scheduler: made, runs };
}

const column = (values: number[]): Batch => ({ rows: values.length, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.from(values) }] });
const echo = (batch: Batch): PipelineRun => ({ outputs: batch, stepNs: [1] });
const values = (batch: Batch | undefined): number[] => [...((batch as Batch).columns[0] as TensorColumn).values as Float64Array];

let seed = 42;
const random = (below: number): number => Math.floor(((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648) * below);

/** Rows for one request: any values, any number of rows, and where a dimension is free any width. */
function rowsFor(name: string, type: string, shape: readonly number[], rows: number, width: number): Column {
  const actual = shape.map((d) => (d === -1 ? width : d));
  const n = rows * actual.reduce((a, b) => a * b, 1);
  const any = (): number => random(2000) / 100 - 10;
  const array = type === 'int64' ? BigInt64Array.from({ length: n }, () => BigInt(random(10)))
    : type === 'bool' ? Uint8Array.from({ length: n }, () => random(2))
    : type === 'string' ? utf8From(Array.from({ length: n }, () => ['', 'a', 'ü', 'long text'][random(4)] as string))
    : Float32Array.from({ length: n }, any);
  return { kind: 'tensor', name, type, shape: actual, values: array } as TensorColumn;
}

describe('merged equals unmerged', () => {
  test.each(['ccfraud', 'multi', 'identity-string', 'identity-bool', 'identity-int64', 'free-width', 'fixed-1', 'unaligned', 'mixes-rows', 'chain-second'])('%s', async (name) => {
    const runtime = await loadHere({ file: fixture(name), framework: 'onnx' }, 1);
    const { inputs, mergeable } = runtime.describe();
    const { scheduler: queue, runs } = scheduler({ run: (batch) => ({ outputs: runtime.run(batch) as Batch, stepNs: [1] }), atOnce: () => (runtime.describe().mergeable ? Infinity : 1) });
    for (let round = 0; round < 40; round++) {
      const asked = Array.from({ length: 1 + random(12) }, () => {
        const [rows, width] = [1 + random(5), 1 + random(3)];
        return ask({ rows, columns: inputs.map((f) => rowsFor(f.name, f.type, f.shape, rows, width)) });
      });
      for (const work of asked) queue.submit(work);
      await queue.idle();
      for (const work of asked) {
        const alone = runtime.run(work.batch) as Batch;
        expect(work.got?.rows).toBe(alone.rows);
        work.got?.columns.forEach((c, i) => {
          const other = alone.columns[i];
          const same = c.kind === 'tensor' && other?.kind === 'tensor' ? agree(c, other) : isDeepStrictEqual(c, other);
          expect(same).toBe(true);
        });
      }
    }
    expect(Math.max(...runs) > 1).toBe(mergeable);
  });
});

test('what arrives in one turn shares a run, in order', async () => {
  const { scheduler: queue, runs } = scheduler({ run: echo });
  const asked = [[1], [2, 3], [4]].map((v) => ask(column(v)));
  for (const work of asked) queue.submit(work);
  await queue.idle();
  expect(runs).toEqual([3]);
  expect(asked.map((w) => values(w.got))).toEqual([[1], [2, 3], [4]]);
});

test('different row shapes never share a run', async () => {
  const seen: string[] = [];
  const { scheduler: queue } = scheduler({ run: (b) => { seen.push((b.columns[0] as TensorColumn).shape.join()); return echo(b); } });
  const wide = (width: number): Batch => ({ rows: 1, columns: [{ kind: 'tensor', name: 'x', type: 'float32', shape: [width], values: new Float32Array(width) }] });
  const asked = [1, 2, 1, 2].map((w) => ask(wide(w)));
  for (const work of asked) queue.submit(work);
  await queue.idle();
  expect(seen.sort()).toEqual(['1', '2']);
  expect(asked.every((w) => w.got?.rows === 1)).toBe(true);
});

test('one bad request does not fail its neighbours', async () => {
  const runtime = await loadHere({ file: fixture('fails-on-data'), framework: 'onnx' }, 1);
  const { scheduler: queue } = scheduler({ run: (batch) => ({ outputs: runtime.run(batch) as Batch, stepNs: [1] }) });
  const asked = [3n, 99n, 5n].map((i) => ask({ rows: 1, columns: [{ kind: 'tensor', name: 'index', type: 'int64', shape: [], values: BigInt64Array.of(i) }] }));
  for (const work of asked) queue.submit(work);
  await queue.idle();
  expect(values(asked[0]?.got)).toEqual([3]);
  expect(asked[1]).toMatchObject({ error: { code: 'inference_failed' } });
  expect(asked[1]?.got).toBeUndefined();
  expect(values(asked[2]?.got)).toEqual([5]);
});

test('nothing is answered when the log refuses it', async () => {
  const { scheduler: queue } = scheduler({ run: echo, settle: () => { throw Object.assign(new Error('full'), { name: 'PotorooError', code: 'storage_full' }); } });
  const work = ask(column([1]));
  queue.submit(work);
  await queue.idle();
  expect(work.error?.code).toBe('storage_full');
  expect(work.got).toBeUndefined();
});

test('expired and abandoned work never starts', async () => {
  let ran = 0;
  const { scheduler: queue } = scheduler({ run: (b) => { ran += b.rows; return echo(b); } });
  const [late, gone, good] = [ask(column([1]), performance.now() - 1), ask(column([2])), ask(column([3]))];
  for (const work of [late, gone, good]) queue.submit(work);
  gone.gone = true;
  await queue.idle();
  expect(ran).toBe(1);
  expect(late.error?.code).toBe('deadline_exceeded');
  expect([gone.got, gone.error]).toEqual([undefined, undefined]);
  expect(values(good.got)).toEqual([3]);
  expect([queue.waitingRows, queue.waitingBytes]).toEqual([0, 0]);
});

describe('runs that happen elsewhere', () => {
  function elsewhere(slots: number): ReturnType<typeof scheduler> & { finish: (() => void)[]; peak: () => number } {
    const finish: (() => void)[] = [];
    let [now, peak] = [0, 0];
    const made = scheduler({ slots, run: (batch) => new Promise((resolve) => {
      peak = Math.max(peak, ++now);
      finish.push(() => { now--; resolve(echo(batch)); });
    }) });
    return { ...made, finish, peak: () => peak };
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('what arrives during a run shares the next one, and no more run at once than there are slots', async () => {
    const { scheduler: queue, finish, runs, peak } = elsewhere(2);
    const asked = [1, 2, 3, 4, 5, 6].map((v) => ask(column([v])));
    for (const work of asked) {
      queue.submit(work);
      await turn();
    }
    expect(finish.length).toBe(2);
    for (let i = 0; i < finish.length; i++) {
      finish[i]?.();
      await turn();
      await turn();
    }
    await queue.idle();
    expect(asked.map((w) => values(w.got))).toEqual([[1], [2], [3], [4], [5], [6]]);
    expect(runs).toEqual([1, 1, 4]);
    expect(peak()).toBe(2);
  });

  test('waiting work is told of its deadline when it passes, not when the run before it ends', async () => {
    const { scheduler: queue, finish } = elsewhere(1);
    const first = ask(column([1]));
    queue.submit(first);
    await turn();
    const late = ask(column([2]), performance.now() + 20);
    queue.submit(late);
    await expect.poll(() => late.error?.code, { interval: 5 }).toBe('deadline_exceeded');
    expect(first.got).toBeUndefined();
    finish[0]?.();
    await queue.idle();
    expect(values(first.got)).toEqual([1]);
  });

  test.each([
    ['rows', { maxRows: 3 }, /2 rows are waiting and the queue holds 3/],
    ['bytes', { maxBytes: 250 }, /200 bytes of requests are waiting and the queue holds 250/],
  ])('over the bound in %s a request is refused at once', async (_, bound, message) => {
    let release = (): void => undefined;
    const { scheduler: queue } = scheduler({ slots: 1, ...bound, run: (batch) => new Promise((resolve) => { release = () => resolve(echo(batch)); }) });
    const running = ask(column([0]));
    queue.submit(running);
    await turn();
    const waiting = [ask(column([1])), ask(column([2]))];
    for (const work of waiting) queue.submit(work);
    expect(() => queue.submit(ask(column([3, 4])))).toThrow(expect.objectContaining({ code: 'overloaded', message: expect.stringMatching(message) }));
    release();
    await turn();
    await turn();
    release();
    await queue.idle();
    expect(waiting.map((w) => values(w.got))).toEqual([[1], [2]]);
  });
});

test('text survives merging byte for byte', async () => {
  const runtime = await loadHere({ file: fixture('identity-string'), framework: 'onnx' }, 1);
  const { scheduler: queue, runs } = scheduler({ run: (batch) => ({ outputs: runtime.run(batch) as Batch, stepNs: [1] }) });
  const text = (words: string[]): Batch => ({ rows: 1, columns: [{ kind: 'tensor', name: 'x', type: 'string', shape: [3], values: utf8From(words) }] });
  const asked = [['a', '', 'ß'], ['', '', ''], ['日本', '😀', 'x']].map((w) => ask(text(w)));
  for (const work of asked) queue.submit(work);
  await queue.idle();
  expect(runs).toEqual([3]);
  for (const work of asked) {
    const [got, sent] = [work.got?.columns[0] as TensorColumn, work.batch.columns[0] as TensorColumn];
    expect(agree({ ...got, name: 'x' }, sent)).toBe(true);
    expect((got.values as Utf8).offsets.length).toBe(4);
  }
});
