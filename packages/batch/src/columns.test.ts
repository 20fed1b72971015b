import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import type { Batch } from './batch.ts';
import { batchFrom, batchOf, columnOf, failure, fixtures, tableOf } from './codecs.fixtures.ts';
import { concat, slice } from './columns.ts';
import { isWithinDataset, select } from './select.ts';

describe('slice and concat', () => {
  it.each(fixtures)('$title: pieces put together are the whole', (fixture) => {
    const batch = batchOf(fixture);
    const pieces = Array.from({ length: batch.rows }, (_, i) => slice(batch, i, i + 1));
    expect(tableOf(concat([slice(batch, 0, 0), ...pieces, slice(batch, batch.rows, batch.rows)]))).toEqual(tableOf(batch));
    for (const [i, piece] of pieces.entries()) expect(tableOf(piece)['in.x']).toEqual(tableOf(batch)['in.x']!.slice(i, i + 1));
    expect(slice(batch, 0, batch.rows)).toBe(batch);
    expect(concat([batch])).toBe(batch);
  });

  it('share memory with what they are cut from', () => {
    const whole = { rows: 3, columns: [columnOf({ name: 'x', type: 'float32', shape: [2] }, [[1, 2], [3, 4], [5, 6]])] };
    const part = slice(whole, 1, 2).columns[0] as unknown as { values: Float32Array };
    (whole.columns[0]!.values as Float32Array)[2] = 30;
    expect([...part.values]).toEqual([30, 4]);
  });

  it('join rows of differing length to lists, at any depth, and structs and nulls field by field', () => {
    const parts = [[{ a: [1, 2], m: [[1], [2]], s: { k: 1, t: 'x' }, n: 1 }], [{ a: [3], m: [[3, 4]], s: { k: null, t: 'y' }, n: null }, { a: [4], m: [[5, 6]], s: { k: 5, t: null }, n: 2 }]];
    const joined = concat(parts.map(batchFrom));
    expect(tableOf(joined)).toEqual(tableOf(batchFrom(parts.flat())));
    expect(concat([])).toEqual({ rows: 0, columns: [] });
  });

  it('refuse to join what differs, by name', () => {
    expect(failure(() => concat([batchFrom([{ a: 1 }]), batchFrom([{ b: 1 }])]))).toEqual({ code: 'schema_mismatch', message: 'The batches have different columns: "a" in one and "b" in another.' });
    expect(failure(() => concat([batchFrom([{ a: 1 }]), batchFrom([{ a: 1, b: 1 }])]))).toMatchObject({ code: 'schema_mismatch' });
    expect(failure(() => concat([batchFrom([{ a: 1 }]), batchFrom([{ a: 'x' }])])).message).toContain('Column "a" has different types: "int64" in one and "string"');
    expect(failure(() => concat([batchFrom([{ a: 1 }]), batchFrom([{ a: [1] }])]))).toMatchObject({ code: 'schema_mismatch' });
    expect(tableOf(concat([batchFrom([{ a: 1, b: 'x' }]), batchFrom([{ b: 'y', a: 2 }])]))).toEqual({ a: [1n, 2n], b: ['x', 'y'] });
  });
});

describe('select', () => {
  const names = ['time', 'in.tensor', 'in.age', 'out.y', 'out.y.z', 'out_rival.y', 'out_other.y', 'anomaly.count', 'anomaly.high', 'metadata.elapsed', 'metadata.last_model'];
  const field = (name: string): Field => ({ name, type: 'int8', shape: [] });
  const batch: Batch = { rows: 1, columns: names.map((n) => columnOf(field(n), [[1]])) };
  const all = names.slice(0, 9);

  it.each<[string, string[], string[], string[]]>([
    ['nothing said is everything but metadata', [], [], all],
    ['the star is everything but metadata', ['*'], [], all],
    ['as the Python client sends it', ['*'], ['metadata'], all],
    ['the star and metadata are all', ['*', 'metadata'], [], names],
    ['a dataset', ['out'], [], ['out.y', 'out.y.z']],
    ['time and a dataset, in the batch\'s order', ['anomaly', 'time'], [], ['time', 'anomaly.count', 'anomaly.high']],
    ['one column', ['out.y'], [], ['out.y', 'out.y.z']],
    ['one challenger', ['out_rival'], [], ['out_rival.y']],
    ['one challenger\'s column', ['out_rival.y'], [], ['out_rival.y']],
    ['all challengers', ['out_'], [], ['out_rival.y', 'out_other.y']],
    ['an excluded dataset', ['*'], ['in', 'out_'], ['time', 'out.y', 'out.y.z', 'anomaly.count', 'anomaly.high']],
    ['an excluded column', ['in', 'time'], ['in.age'], ['time', 'in.tensor']],
    ['the deeper include over the shallower exclude', ['metadata.elapsed'], ['metadata'], ['metadata.elapsed']],
    ['the deeper exclude over the shallower include', ['out.y'], ['out.y.z'], ['out.y']],
    ['the exclude of two equally deep', ['out', 'time'], ['out'], ['time']],
    ['the guide\'s other word for metadata', ['meta'], [], ['metadata.elapsed', 'metadata.last_model']],
    ['names that match nothing', ['outer', 'out.why', 'tim'], [], []],
  ])('%s', (_, include, exclude, expected) => {
    expect(select(batch, include, exclude).columns.map((c) => c.name)).toEqual(expected);
  });

  it('knows what can be a column of some version from what never is', () => {
    expect([...names, '*', 'in', 'out_', 'meta', 'out_gone', 'out.other', 'metadata.more'].filter((name) => !isWithinDataset(name))).toEqual([]);
    expect(['', 'nonsense', 'output', 'tensor', 'in.', 'time.x', 'outer.y', 'meta.elapsed', ' out'].filter(isWithinDataset)).toEqual([]);
  });
});
