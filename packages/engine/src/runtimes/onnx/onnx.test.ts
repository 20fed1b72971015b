import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { utf8At, utf8From, type Batch, type Column, type TensorColumn, type Utf8, type Values } from '@potoroo/batch';
import type { ElementType } from '@potoroo/contract/plain';
import { describe, expect, test } from 'vitest';
import { fixture, temporaryFolder } from '../../testing/bundle.ts';
import { loadHere } from '../load.ts';
import { openSession } from './binding.ts';
import { readOnnxHeader } from './header.ts';
import type { Runtime } from '../runtime.ts';

const load = (name: string, tensorFields?: string[]): Promise<Runtime> => loadHere({ file: fixture(name), framework: 'onnx', ...(tensorFields && { tensorFields }) }, 1);
const tensor = (name: string, type: ElementType, shape: number[], values: Values): TensorColumn => ({ kind: 'tensor', name, type, shape, values });
const batch = (rows: number, ...columns: Column[]): Batch => ({ rows, columns });
const floats = (rows: number, width: number): Float32Array => Float32Array.from({ length: rows * width }, (_, i) => i - 2.5);

function plain(c: Column | undefined): unknown {
  if (c?.kind === 'list') return { offsets: [...c.offsets], items: plain(c.items) };
  if (c?.kind !== 'tensor') return c;
  if (c.type !== 'string') return [...(c.values as Float32Array)];
  const values = c.values as Utf8;
  return Array.from({ length: values.offsets.length - 1 }, (_, i) => utf8At(values, i));
}

const everyType: [ElementType, Values][] = [
  ['bool', Uint8Array.of(1, 0, 1, 0, 0, 1)],
  ['int8', Int8Array.of(-128, 127, 0, 1, 2, 3)],
  ['int16', Int16Array.of(-32768, 32767, 0, 1, 2, 3)],
  ['int32', Int32Array.of(-2147483648, 2147483647, 0, 1, 2, 3)],
  ['int64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, 1n, 2n, 3n)],
  ['uint8', Uint8Array.of(255, 0, 1, 2, 3, 4)],
  ['uint16', Uint16Array.of(65535, 0, 1, 2, 3, 4)],
  ['uint32', Uint32Array.of(4294967295, 0, 1, 2, 3, 4)],
  ['uint64', BigUint64Array.of(2n ** 64n - 1n, 0n, 1n, 2n, 3n, 4n)],
  ['float16', Uint16Array.of(0x3c00, 0x7e00, 0x7c00, 0xfc00, 0x8000, 0x0001)],
  ['float32', Float32Array.of(1.5, NaN, Infinity, -Infinity, -0, 1e-45)],
  ['float64', Float64Array.of(0.1, NaN, Infinity, -Infinity, -0, 5e-324)],
  ['string', utf8From(['a', '', 'Grüße', '日本語', '😀', 'z'])],
];

describe('every element type of the binding goes in and comes out as it was', () => {
  test.each(everyType)('%s', async (type, values) => {
    const runtime = await load(`identity-${type}`);
    expect(runtime.describe().inputs).toEqual([{ name: 'x', type, shape: [3] }]);
    expect(runtime.describe().mergeable).toBe(true);
    const answer = await runtime.run(batch(2, tensor('x', type, [3], values)));
    expect(answer.rows).toBe(2);
    expect(answer.columns[0]).toMatchObject({ name: 'y', type, shape: [3] });
    expect(plain(answer.columns[0])).toEqual(plain(tensor('x', type, [3], values)));
    await runtime.unload();
  });
});

test('several inputs and outputs of different types and row shapes', async () => {
  const runtime = await load('multi');
  const answer = await runtime.run(batch(2, tensor('count', 'int64', [2], BigInt64Array.of(1n, 2n, 3n, -4n)), tensor('amount', 'float32', [2], Float32Array.of(0.5, 9, 1, 1))));
  expect(answer.columns.map((c) => [c.name, plain(c)])).toEqual([['total', [1.5, 11, 4, -3]], ['label', [1n, 0n]], ['above', [0, 1, 0, 1]]]);
});

test('tensor_fields rename the inputs, in order', async () => {
  const runtime = await load('multi', ['money', 'times']);
  expect(runtime.describe().inputs.map((f) => f.name)).toEqual(['money', 'times']);
  const answer = await runtime.run(batch(1, tensor('money', 'float32', [2], Float32Array.of(1, 2)), tensor('times', 'int64', [2], BigInt64Array.of(3n, 4n))));
  expect(plain(answer.columns[0])).toEqual([4, 6]);
});

test.each([
  [['only-one'], /tensor_fields has 1 names but the model has 2 inputs \(amount, count\)/],
  [['same', 'same'], /names an input twice/],
])('tensor_fields %j is refused', async (names, message) => {
  await expect(load('multi', names)).rejects.toThrow(expect.objectContaining({ code: 'model_invalid', message: expect.stringMatching(message) }));
});

test('a fixed batch of one runs row by row', async () => {
  const runtime = await load('fixed-1');
  const x = floats(3, 3);
  expect(plain((await runtime.run(batch(3, tensor('x', 'float32', [3], x)))).columns[0])).toEqual([...x].map((v) => 2 * v));
  expect(runtime.describe().mergeable).toBe(false);
});

test('a fixed batch of four takes multiples of four and nothing else', async () => {
  const runtime = await load('fixed-4');
  const x = floats(8, 3);
  expect(plain((await runtime.run(batch(8, tensor('x', 'float32', [3], x)))).columns[0])).toEqual([...x].map((v) => 2 * v));
  expect(() => runtime.run(batch(6, tensor('x', 'float32', [3], floats(6, 3))))).toThrow(expect.objectContaining({ code: 'schema_mismatch', message: 'The request has 6 rows, but the model takes them 4 at a time. Send a multiple of 4 rows.' }));
  expect(runtime.describe().notes).toEqual(['The batch dimension is fixed: requests need a multiple of 4 rows.']);
});

test('outputs that do not follow the rows: each row has the whole output of a run of its own, and nothing is merged', async () => {
  const runtime = await load('unaligned');
  expect(runtime.describe()).toMatchObject({ mergeable: false, outputs: [{ name: 'indices', type: 'int64', shape: [-1, 2] }, { name: 'total', type: 'float32', shape: [] }] });
  const { rows, columns } = await runtime.run(batch(3, tensor('x', 'float32', [3], Float32Array.of(1, 0, 2, 0, 0, 0, -1, 5, -1))));
  expect(rows).toBe(3);
  expect(plain(columns[0])).toEqual({ offsets: [0, 2, 2, 3], items: [0n, 0n, 0n, 2n, 0n, 1n] });
  expect(plain(columns[1])).toEqual([3, 0, 3]);
});

test('a model that mixes its rows is seen through at load, though its outputs have the right shape', async () => {
  expect((await load('mixes-rows')).describe().mergeable).toBe(false);
});

test('a free dimension besides the batch', async () => {
  const runtime = await load('free-width');
  expect(runtime.describe().inputs).toEqual([{ name: 'x', type: 'float32', shape: [-1] }]);
  expect(plain((await runtime.run(batch(2, tensor('x', 'float32', [2], Float32Array.of(1, 2, 3, 4))))).columns[0])).toEqual([3, 7]);
});

test('an error of the model keeps its useful words and loses source paths', async () => {
  const runtime = await load('fails-on-data');
  let caught: Error | undefined;
  try {
    await runtime.run(batch(1, tensor('index', 'int64', [], BigInt64Array.of(99n))));
  } catch (error) {
    caught = error as Error;
  }
  expect(caught).toMatchObject({ code: 'inference_failed', message: 'The model failed on this data: Gather node: indices element out of data bounds, idx=99 must be within the inclusive range [-10,9].' });
});

describe('what cannot be loaded says why and what to do', () => {
  const folder = temporaryFolder();
  const file = (name: string, content: Uint8Array | string): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  test.each([
    ['no ONNX file', file('text.onnx', 'hello, this is not a model'), 'model_invalid', /not an ONNX model, or it is cut off/],
    ['an empty file', file('empty.onnx', ''), 'model_invalid', /is empty/],
    ['a file that is cut off', file('cut.onnx', readFileSync(fixture('ccfraud')).subarray(0, 3000)), 'model_invalid', /cut off/],
    ['no file', join(folder, 'nowhere.onnx'), 'model_invalid', /missing from the bundle/],
    ['a newer opset', fixture('bad-opset'), 'model_unsupported', /uses opset 99 of ai\.onnx; this runtime has opsets up to \d+\. Export it with opset \d+ or lower/],
    ['a newer format', fixture('bad-ir'), 'model_unsupported', /IR version 99; this runtime reads up to \d+/],
    ['an unknown operator', fixture('bad-operator'), 'model_unsupported', /operator com\.example:Frobnicate/],
    ['an element type JavaScript lacks', fixture('bad-bfloat16'), 'model_unsupported', /Input 'x' is bfloat16/],
    ['an output that is no tensor', fixture('sequence-output'), 'model_unsupported', /Output 'y' is a sequence or map.*zipmap/],
    ['a model that fails on zeros', fixture('bad-warm-up'), 'warm_up_failed', /fails on a row of zeros: Reshape node.*cannot be reshaped/],
  ])('%s', async (_, path, code, message) => {
    const error = await loadHere({ file: path, framework: 'onnx' }, 1).catch((e: unknown) => e);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect((error as Error).message).not.toMatch(/onnxruntime_src|\/tmp|::/);
  });
  test('an unknown framework', async () => {
    await expect(loadHere({ file: fixture('multi'), framework: 'cobol' }, 1)).rejects.toMatchObject({ code: 'framework_unsupported' });
  });
});

test('without the internal binding, the public API gives the same', async () => {
  const direct = await openSession(fixture('multi'), 1);
  const published = await openSession(fixture('multi'), 1, false);
  expect(published.inputs.map(({ symbols: _, ...rest }) => rest)).toEqual(direct.inputs.map(({ symbols: _, ...rest }) => rest));
  const feeds = {
    amount: { type: 'float32', dims: [1, 2], data: Float32Array.of(1, 2), location: 'cpu' as const },
    count: { type: 'int64', dims: [1, 2], data: BigInt64Array.of(3n, 1n), location: 'cpu' as const },
  };
  const [a, b] = [await direct.run(feeds), await published.run(feeds)];
  for (const name of ['total', 'label', 'above']) expect(b[name]?.data).toEqual(a[name]?.data);
});

test('the header of a model file is read without its graph', async () => {
  expect(await readOnnxHeader(fixture('bad-opset'))).toEqual({ irVersion: 8, producer: 'potoroo-fixtures', opsets: { 'ai.onnx': 99 } });
});
