import { expect, test } from 'vitest';
import { utf8At, utf8From, type ListColumn, type TensorColumn, type Utf8 } from './batch.ts';
import { hash32, unitHash } from './hash.ts';
import { take } from './take.ts';

const rows = Int32Array.of(2, 0, 2);

test('rows in another order, of every kind of column', () => {
  const batch = take({ rows: 3, columns: [
    { kind: 'tensor', name: 'a', type: 'float32', shape: [2], values: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { kind: 'tensor', name: 's', type: 'string', shape: [], values: utf8From(['x', 'yy', 'zé']), nulls: Uint8Array.of(0, 0, 1) },
    { kind: 'list', name: 'l', offsets: Int32Array.of(1, 2, 2, 4), items: { kind: 'tensor', name: 'item', type: 'int64', shape: [], values: BigInt64Array.of(9n, 8n, 7n, 6n) } },
    { kind: 'struct', name: 'r', fields: [{ kind: 'tensor', name: 'b', type: 'bool', shape: [], values: Uint8Array.of(1, 0, 0) }] },
  ] }, rows);
  const [a, s, l, r] = batch.columns as [TensorColumn, TensorColumn, ListColumn, { fields: TensorColumn[] }];
  expect([...(a.values as Float32Array)]).toEqual([5, 6, 1, 2, 5, 6]);
  expect([0, 1, 2].map((i) => utf8At(s.values as Utf8, i))).toEqual(['zé', 'x', 'zé']);
  expect([...s.nulls!]).toEqual([1, 0, 1]);
  expect([...l.offsets]).toEqual([0, 2, 3, 5]);
  expect([...((l.items as TensorColumn).values as BigInt64Array)]).toEqual([7n, 6n, 8n, 7n, 6n]);
  expect([...(r.fields[0]!.values as Uint8Array)]).toEqual([0, 1, 0]);
});

test('-1 is a null row', () => {
  const batch = take({ rows: 2, columns: [
    { kind: 'tensor', name: 'a', type: 'float32', shape: [2], values: Float32Array.of(1, 2, 3, 4) },
    { kind: 'tensor', name: 'n', type: 'int32', shape: [], values: Int32Array.of(7, 8) },
  ] }, Int32Array.of(-1, 1, -1));
  const [a, n] = batch.columns as [ListColumn, TensorColumn];
  expect([a.kind, [...a.offsets], [...a.nulls!], [...((a.items as TensorColumn).values as Float32Array)]]).toEqual(['list', [0, 0, 2, 2], [1, 0, 1], [3, 4]]);
  expect([[...n.nulls!], (n.values as Int32Array)[1]]).toEqual([[1, 0, 1], 8]);
});

test.each([['', 0], ['hello', 0x248bfa47], ['hello, world', 0x149bbb7f], ['The quick brown fox jumps over the lazy dog', 0x2e4ff723]])('the hash of %j is the published one', (text, hash) => {
  expect(hash32(text)).toBe(hash);
  expect(unitHash(text)).toBe(hash / 2 ** 32);
});

test('hashes of consecutive keys spread evenly', () => {
  const buckets = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) buckets[Math.floor(unitHash(`customer-${i}`) * 10)]! += 1;
  for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150);
});
