import { slice, utf8From, type Batch, type TensorColumn, type Utf8 } from '@potoroo/batch';
import type { Field, Step } from '@potoroo/contract/plain';
import { afterAll, describe, expect, test } from 'vitest';
import { readBundle } from '../bundle.ts';
import { loadPipeline, type Pipeline, type PipelineRun } from '../pipeline.ts';
import { writeBundle, type BundleOptions } from '../testing/bundle.ts';
import { pick } from './split.ts';
import { placeOf, conformWithKeys } from './keys.ts';
import { connect, type RunContext, type StepRunner } from './step.ts';

const opened: Pipeline[] = [];
afterAll(() => Promise.all(opened.map((p) => p.unload())));
async function load(models: string[], steps: BundleOptions['steps'], random?: () => number, options: BundleOptions = {}): Promise<Pipeline> {
  const { folder } = writeBundle(models, { ...options, ...(steps && { steps }) });
  const pipeline = await loadPipeline(await readBundle(folder), folder, 1, random);
  opened.push(pipeline);
  return pipeline;
}

const x = (rows: number[]): Batch => ({ rows: rows.length, columns: [{ kind: 'tensor', name: 'x', type: 'float32', shape: [3], values: Float32Array.from(rows.flatMap((r) => [r, r, r])) }] });
const keyed = (pipeline: Pipeline, rows: number[], name: string, keys: (string | null)[]): Batch => conformWithKeys({
  rows: rows.length,
  columns: [...x(rows).columns, { kind: 'tensor', name, type: 'string', shape: [], values: utf8From(keys.map((k) => k ?? '')), nulls: Uint8Array.from(keys, (k) => (k === null ? 1 : 0)) }],
}, pipeline.modelInputs, pipeline.keys);
const requests = (sizes: number[]): { batch: { rows: number }; requestId: string }[] => sizes.map((rows, i) => ({ batch: { rows }, requestId: `r${i}` }));
const y = ({ outputs }: PipelineRun): number[] => Array.from({ length: outputs.rows }, (_, i) => ((outputs.columns[0] as TensorColumn).values as Float32Array)[i * 3] as number);
const run = async (pipeline: Pipeline, batch: Batch, sizes = [batch.rows]): Promise<PipelineRun> => pipeline.run(batch, requests(sizes));

let seed = 7;
const next = (below: number): number => Math.floor(((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648) * below);

describe('a random split', () => {
  const two = (weights: number[], hashKey?: string): BundleOptions['steps'] => (models) => [{ type: 'random-split', ...(hashKey !== undefined && { hashKey }), weights: models.map((model, i) => ({ model, weight: weights[i] as number })) }];

  test.each<[number[], number, number]>([
    [[1, 1], 0.4, 0], [[1, 1], 0.6, 1], [[1, 1], 0.5, 1], [[2, 1], 0.66, 0], [[2, 1], 0.67, 1], [[0, 1], 0, 1], [[1, 0], 1, 0], [[1, 0, 0], 0.9999, 0], [[0, 3, 1], 0, 1], [[1, 1], 1, 1],
  ])('with weights %j sends %d to model %i', (weights, place, model) => {
    expect(pick(weights, place)).toBe(model);
  });

  test('sends whole requests to one model, and every row comes back to its place', async () => {
    const draws = [0.9, 0.1, 0.5, 0.7];
    const pipeline = await load(['times-2', 'times-3'], two([1, 1]), () => draws.shift() as number);
    const got = await run(pipeline, x([1, 2, 3, 4, 5, 6]), [2, 1, 1, 2]);
    expect(y(got)).toEqual([3, 6, 6, 12, 15, 18]);
    expect([...got.splits![0]!.choice]).toEqual([1, 1, 0, 1, 1, 1]);
    expect(pipeline).toMatchObject({ lastIsSplit: true, atOnce: Infinity, keys: [] });
  });

  test('of 20,000 inferences gives each model its share', async () => {
    const pipeline = await load(['times-2', 'times-3', 'identity-float32'], two([2, 1, 1]));
    const counts = [0, 0, 0];
    for (let i = 0; i < 200; i++) {
      const got = await run(pipeline, x(Array.from({ length: 100 }, () => 1)), new Array<number>(100).fill(1));
      got.splits![0]!.choice.forEach((c, row) => {
        counts[c]! += 1;
        expect(y(got)[row]).toBe([2, 3, 1][c]);
      });
    }
    // Five standard deviations: by chance that fails once in millions of runs.
    [0.5, 0.25, 0.25].forEach((p, i) => { expect(Math.abs(counts[i]! - 20_000 * p)).toBeLessThan(5 * Math.sqrt(20_000 * p * (1 - p))); });
  });

  test('by a key meets one model with each key, in every engine and after every start', async () => {
    const assignments = async (): Promise<number[]> => {
      const pipeline = await load(['times-2', 'times-3'], two([1, 1], 'customer'), () => { throw new Error('nothing is random here'); });
      const keys = Array.from({ length: 500 }, (_, i) => `customer-${i}`);
      return [...(await run(pipeline, keyed(pipeline, keys.map(() => 1), 'customer', keys), [200, 300])).splits![0]!.choice];
    };
    const first = await assignments();
    expect(await assignments()).toEqual(first);
    // Written down: another value here would move everybody's customers.
    expect(first.slice(0, 24).join('')).toMatchInlineSnapshot(`"100110001011100010010110"`);
    const share = first.filter((c) => c === 1).length;
    expect(Math.abs(share - 250)).toBeLessThan(60);
  });

  test.each<[string, number | null]>([['0', 0], ['1', 1], ['0.4', 0.4], ['1e-7', 1e-7], ['.5', 0.5], ['1.5', null], ['-0.5', null], ['', 0], ['0x1', null], ['1e', null], ['abc', null], [' 0.5', null], ['Infinity', null]])('the key %j', (key, place) => {
    if (place !== null) expect(placeOf(key)).toBe(place);
    else expect(placeOf(key)).not.toBe(Number(key));
    expect(placeOf(key)).toBeGreaterThanOrEqual(0);
    expect(placeOf(key)).toBeLessThanOrEqual(1);
  });

  test('takes numbers as they are, whatever their type', async () => {
    const pipeline = await load(['times-2', 'times-3'], two([1, 1], 'k'));
    expect(pipeline.inputs).toEqual([{ name: 'x', type: 'float32', shape: [3] }, { name: 'k', type: 'string', shape: [], nullable: true }]);
    const key = (column: Partial<TensorColumn>): Batch => conformWithKeys({ rows: 2, columns: [...x([1, 1]).columns, { kind: 'tensor', name: 'k', shape: [], ...column } as TensorColumn] }, pipeline.modelInputs, pipeline.keys);
    for (const column of [{ type: 'float64', values: Float64Array.of(0.4, 0.6) }, { type: 'float32', shape: [1], values: Float32Array.of(0.4, 0.6) }, { type: 'int64', values: BigInt64Array.of(0n, 1n) }, { type: 'uint8', values: Uint8Array.of(0, 1) }] as const) {
      expect(y(await run(pipeline, key(column)))).toEqual([2, 3]);
    }
  });

  test('by one of the models inputs adds no column', async () => {
    const pipeline = await load(['free-width', 'free-width'], two([1, 1]));
    expect(pipeline.inputs).toHaveLength(1);
    const chain = await load(['fails-on-data', 'fails-on-data'], two([1, 1], 'index'));
    expect(chain.inputs.map((f) => f.name)).toEqual(['index']);
    const got = await run(chain, { rows: 2, columns: [{ kind: 'tensor', name: 'index', type: 'int64', shape: [], values: BigInt64Array.of(0n, 1n) }] });
    expect([...got.splits![0]!.choice]).toEqual([0, 1]);
  });

  test.each([['no column', undefined], ['a null', [null, 'a']]])('with %s for a key is refused, naming it', async (_, keys) => {
    const pipeline = await load(['times-2', 'times-3'], two([1, 1], 'customer'));
    expect(() => (keys === undefined ? conformWithKeys(x([1]), pipeline.modelInputs, pipeline.keys) : keyed(pipeline, [1, 2], 'customer', keys)))
      .toThrow(expect.objectContaining({ code: 'schema_mismatch', message: expect.stringContaining("'customer'") }));
  });

  test('merged runs are the runs of each request', async () => {
    const pipeline = await load(['times-2', 'identity-float32', 'times-3'], (m) => [
      { type: 'model', model: m[0]! },
      { type: 'random-split', hashKey: 'who', weights: [{ model: m[1]!, weight: 1 }, { model: m[2]!, weight: 2 }] },
      { type: 'key-split', splitKey: 'tier', control: m[1]!, routes: { gold: m[0]!, silver: m[2]! } },
      { type: 'validations', validations: [{ name: 'above_mean', expression: aboveMean }, { name: 'large', expression: above('out.y', 20) }] },
    ]);
    const tiers = ['gold', 'silver', 'lead', null];
    for (let round = 0; round < 40; round++) {
      const sizes = Array.from({ length: 1 + next(6) }, () => 1 + next(5));
      const rows = sizes.reduce((a, b) => a + b, 0);
      const raw: Batch = { rows, columns: [...x(Array.from({ length: rows }, () => next(10))).columns,
        { kind: 'tensor', name: 'tier', type: 'string', shape: [], ...texts(Array.from({ length: rows }, () => tiers[next(4)] as string | null)) },
        { kind: 'tensor', name: 'who', type: 'int64', shape: [], values: BigInt64Array.from({ length: rows }, () => BigInt(next(1000))) }] };
      const batch = conformWithKeys(raw, pipeline.modelInputs, pipeline.keys);
      const together = await run(pipeline, batch, sizes);
      const anomalies = pipeline.checks!.run(named(batch, together.outputs), requests(sizes));
      let from = 0;
      for (const size of sizes) {
        const own = slice(batch, from, from + size);
        const alone = await run(pipeline, own);
        expect(y(alone)).toEqual(y(together).slice(from, from + size));
        together.splits!.forEach((split, i) => { expect([...split.choice.subarray(from, from + size)]).toEqual([...alone.splits![i]!.choice]); });
        const checked = pipeline.checks!.run(named(own, alone.outputs), requests([size]));
        expect([...checked.count]).toEqual([...anomalies.count.subarray(from, from + size)]);
        from += size;
      }
    }
  });
});

const texts = (values: (string | null)[]): { values: Utf8; nulls: Uint8Array } => ({ values: utf8From(values.map((v) => v ?? '')), nulls: Uint8Array.from(values, (v) => (v === null ? 1 : 0)) });
const named = (inputs: Batch, outputs: Batch): Batch => ({ rows: inputs.rows, columns: [...inputs.columns.map((c) => ({ ...c, name: `in.${c.name}` })), ...outputs.columns.map((c) => ({ ...c, name: `out.${c.name}` }))] });
const get0 = (name: string): object => ({ Function: { input: [{ Column: name }, { Literal: { Int32: 0 } }], function: { ListExpr: 'Get' }, options: {} } });
const above = (name: string, than: number): object => ({ Alias: [{ BinaryExpr: { left: get0(name), op: 'Gt', right: { Literal: { Float64: than } } } }, 'whatever'] });
const aboveMean = { BinaryExpr: { left: get0('in.x'), op: 'Gt', right: { Agg: { Mean: get0('in.x') } } } };

describe('a key split', () => {
  const steps: BundleOptions['steps'] = (m) => [{ type: 'key-split', splitKey: 'tier', control: m[0]!, routes: { gold: m[1]!, constructor: m[2]! } }];
  test('sends known values to their models and everything else to control', async () => {
    const pipeline = await load(['identity-float32', 'times-2', 'times-3'], steps);
    expect(y(await run(pipeline, keyed(pipeline, [1, 2, 3, 4, 5, 6], 'tier', ['gold', null, 'constructor', 'Gold', '', 'toString'])))).toEqual([2, 2, 9, 4, 5, 6]);
  });
  test('needs no key at all', async () => {
    const pipeline = await load(['identity-float32', 'times-2', 'times-3'], steps);
    expect(y(await run(pipeline, conformWithKeys(x([7]), pipeline.modelInputs, pipeline.keys)))).toEqual([7]);
  });
});

describe('what does not go together is refused when it is loaded, naming both', () => {
  test.each<[string, string[], BundleOptions['steps'], RegExp]>([
    ['other outputs', ['chain-first', 'chain-second'], (m) => [{ type: 'random-split', weights: m.map((model) => ({ model, weight: 1 })) }], /'chain-first'.*'embedding'.*'chain-second'.*'score'/],
    ['other output types', ['identity-float32', 'identity-float64'], (m) => [{ type: 'random-split', weights: m.map((model) => ({ model, weight: 1 })) }], /float32.*float64/],
    ['weights of nothing', ['times-2'], (m) => [{ type: 'random-split', weights: [{ model: m[0]!, weight: 0 }] }], /one weight at least must be above 0/],
    ['a key of many values', ['times-2', 'times-3'], (m) => [{ type: 'random-split', hashKey: 'x', weights: m.map((model) => ({ model, weight: 1 })) }], /input 'x'.*shape \[3\]/],
    ['a validation of a column that is not there', ['times-2'], (m) => [{ type: 'model', model: m[0]! }, { type: 'validations', validations: [{ name: 'v', expression: above('out.z', 1) }] }], /no column "out\.z".*Alias\(v\)/],
    ['validations alone', ['times-2'], () => [{ type: 'validations', validations: [] }], /only validations/],
    ['two validations of one name', ['times-2'], (m) => [{ type: 'model', model: m[0]! }, ...[1, 2].map((): Step => ({ type: 'validations', validations: [{ name: 'v', expression: above('out.y', 1) }] }))], /two of the name 'v'/],
  ])('%s', async (_, models, steps, message) => {
    await expect(load(models, steps)).rejects.toMatchObject({ code: 'pipeline_invalid', message: expect.stringMatching(message) });
  });
});

test('a validation of the name count is ignored, and said', async () => {
  const pipeline = await load(['times-2'], (m) => [{ type: 'validations', validations: [{ name: 'count', expression: '{' }, { name: 'v', expression: JSON.stringify(above('out.y', 1)) }] }, { type: 'model', model: m[0]! }]);
  expect(pipeline.checks?.names).toEqual(['v']);
  expect(pipeline.notes.join()).toMatch(/'count' is ignored/);
});

describe('rows of requests that were handed over together', () => {
  const ragged: Field = { name: 'x', type: 'float64', shape: [-1] };
  /** Lists of these lengths. */
  const lists = (...lengths: number[]): Batch => {
    const offsets = Int32Array.from([0, ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b, 0))]);
    return { rows: lengths.length, columns: [{ kind: 'list', name: 'x', offsets, items: { kind: 'tensor', name: 'item', type: 'float64', shape: [], values: Float64Array.from({ length: offsets.at(-1)! }, (_, i) => i) } }] };
  };
  const seen: Batch[] = [];
  const step = (shape: number[]): StepRunner => ({ inputs: [{ ...ragged, shape }], outputs: [ragged], run(batch) { seen.push(batch); return batch; } });
  const handed = (rows: number[], batch: Batch): RunContext => ({ input: batch, requests: [], splits: undefined, shadows: undefined, rows });
  const through = (shape: number[], batch: Batch, context: RunContext): Batch => {
    seen.length = 0;
    return connect(step([-1]), step(shape), 2).run(batch, context) as Batch;
  };

  test('fail alone where the next step does not take them, and the others go on', () => {
    const batch = lists(2, 2, 3, 2);
    const context = handed([1, 0, 2, 1], batch);
    const answer = through([2], batch, context);
    expect(context.rows).toEqual([1, 0, 0, 1]);
    expect([...context.failed ?? []].map(([request, error]) => [request, (error as { code?: string }).code])).toEqual([[2, 'schema_mismatch']]);
    expect([...((answer.columns[0] as TensorColumn).values as Float64Array)]).toEqual([0, 1, 7, 8]);
  });

  test('that all fail, there or before, leave none for the next step, and no error of all', () => {
    const batch = lists(3, 4);
    const context = handed([1, 1], batch);
    expect(through([2], batch, context).rows).toBe(0);
    expect([...context.failed?.keys() ?? []]).toEqual([0, 1]);
    expect(through([2], lists(), handed([0, 0], lists())).rows).toBe(0);
  });

  test('of differing shape are no run of one batch, each being well by itself', () => {
    const batch = lists(2, 3);
    const context = handed([1, 1], batch);
    expect(() => through([-1], batch, context)).toThrow(/all rows of a request need one length/);
    expect([context.rows, context.failed, seen]).toEqual([[1, 1], undefined, []]);
  });
});
