import type { ElementType, Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import type { Batch, Column } from './batch.ts';
import { columnOf, failure, tableOf } from './codecs.fixtures.ts';
import { conform } from './conform.ts';
import { halfToNumber, numberToHalf } from './float16.ts';

const field = (name: string, type: ElementType, shape: number[] = [], nullable = false): Field => ({ name, type, shape, ...(nullable && { nullable }) });
const batch = (...columns: Column[]): Batch => ({ rows: 2, columns });
const one = (type: ElementType, values: readonly unknown[], shape: number[] = []): Batch => batch(columnOf({ name: 'x', type, shape, nullable: true }, [values]));

describe('conform', () => {
  it('copies nothing where the data is what was declared', () => {
    const b = batch(columnOf(field('x', 'float32', [2]), [[1, 2], [3, 4]]), columnOf(field('y', 'string'), [['a'], ['b']]));
    expect(conform(b, [field('x', 'float32', [2]), field('y', 'string')])).toBe(b);
    expect(conform(b, [field('x', 'float32', [-1]), field('y', 'string')])).toBe(b);
    const swapped = conform(b, [field('y', 'string'), field('x', 'float32', [2])]);
    expect(swapped.columns).toEqual([b.columns[1], b.columns[0]]);
    expect(swapped.columns[1]).toBe(b.columns[0]);
    const reshaped = conform(b, [field('x', 'float32', [2, 1]), field('y', 'string', [1])]);
    expect((reshaped.columns[0] as { values: unknown }).values).toBe((b.columns[0] as { values: unknown }).values);
    expect(tableOf(reshaped)).toEqual({ x: [[[1], [2]], [[3], [4]]], y: [['a'], ['b']] });
  });

  it.each<[ElementType, readonly unknown[], ElementType, readonly unknown[]]>([
    ['int32', [1, -2147483648], 'int64', [1n, -2147483648n]],
    ['int64', [1n, -128n], 'int8', [1, -128]],
    ['uint64', [2n ** 63n - 1n, 0n], 'int64', [2n ** 63n - 1n, 0n]],
    ['uint8', [0, 255], 'uint64', [0n, 255n]],
    ['float64', [0.1, 1e-60], 'float32', [Math.fround(0.1), 0]],
    ['float64', [NaN, -Infinity], 'float32', [NaN, -Infinity]],
    ['float32', [Math.fround(0.1), 5], 'float64', [Math.fround(0.1), 5]],
    ['float64', [3, -0], 'int16', [3, 0]],
    ['float32', [2 ** 40, 1], 'int64', [2n ** 40n, 1n]],
    ['float16', [1.5, -2], 'float32', [1.5, -2]],
    ['float64', [2049, 1 / 3], 'float16', [2048, 0.333251953125]],
    ['int64', [2n ** 53n + 1n, 7n], 'float64', [2 ** 53, 7]],
    ['uint64', [2n ** 64n - 1n, 7n], 'float32', [2 ** 64, 7]],
    ['int64', [1700000000123n, 0n], 'timestamp', [1700000000123n, 0n]],
    ['timestamp', [5n, 6n], 'int64', [5n, 6n]],
  ])('casts %s %s to %s', (from, values, to, expected) => {
    const rows = values.map((v) => [v]);
    const result = conform(batch(columnOf(field('x', from), rows)), [field('x', to)]);
    expect(result.columns[0]).toMatchObject({ type: to, shape: [] });
    expect(tableOf(result)['x']).toEqual(expected);
  });

  const x = 'x';
  it.each<[string, Batch, Field[], string, string]>([
    ['other names', batch(columnOf(field('a', 'int8'), [[1], [2]])), [field(x, 'int8')], 'schema_mismatch', 'The request has columns "a"; expected are exactly x (int8): "x" is missing and "a" is not expected'],
    ['a missing column', batch(), [field(x, 'int8'), field('y', 'int8')], 'schema_mismatch', '"x", "y" are missing'],
    ['an extra column', batch(columnOf(field(x, 'int8'), [[1], [2]]), columnOf(field('q', 'int8'), [[1], [2]])), [field(x, 'int8')], 'schema_mismatch', '"q" is not expected'],
    ['a column twice', batch(columnOf(field(x, 'int8'), [[1], [2]]), columnOf(field(x, 'int8'), [[1], [2]])), [field(x, 'int8'), field('y', 'int8')], 'schema_mismatch', 'twice'],
    ['no rows', { rows: 0, columns: [] }, [field(x, 'int8')], 'empty_batch', 'no rows'],
    ['booleans as numbers', one('bool', [true, false]), [field(x, 'int8')], 'schema_mismatch', 'expected int8 in each row, got bool'],
    ['numbers as booleans', one('int8', [1, 0]), [field(x, 'bool')], 'schema_mismatch', 'expected bool'],
    ['strings as numbers', one('string', ['1', '2']), [field(x, 'float32')], 'schema_mismatch', 'got string'],
    ['numbers as strings', one('int8', [1, 0]), [field(x, 'string')], 'schema_mismatch', 'expected string'],
    ['times as floats', one('timestamp', [1n, 0n]), [field(x, 'float64')], 'schema_mismatch', 'got timestamp'],
    ['a wrong length', one('float32', [1, 2, 3, 4], [2]), [field(x, 'float32', [3])], 'schema_mismatch', 'expected float32[3] in each row, got float32[2]'],
    ['a wrong nesting', one('float32', [1, 2, 3, 4], [2, 1]), [field(x, 'float32', [1, 2])], 'schema_mismatch', 'got float32[2,1]'],
    ['a list of two as a scalar', one('float32', [1, 2, 3, 4], [2]), [field(x, 'float32')], 'schema_mismatch', 'expected float32 in'],
    ['a count that two free dimensions leave open', one('float32', [1, 2, 3, 4], [2]), [field(x, 'float32', [-1, -1])], 'schema_mismatch', 'float32[any,any]'],
    ['a fraction as an integer', one('float64', [1, 1.5]), [field(x, 'int32')], 'value_out_of_range', 'Column "x", row 1: 1.5 cannot be int32, the type holds whole numbers only'],
    ['NaN as an integer', one('float64', [NaN, 1]), [field(x, 'int64')], 'value_out_of_range', 'row 0: NaN'],
    ['too large an integer', one('int64', [1n, 128n]), [field(x, 'int8')], 'value_out_of_range', 'row 1: 128 cannot be int8, it is outside'],
    ['too large a vector element', one('int64', [1n, 2n, 3n, 256n], [2]), [field(x, 'uint8', [2])], 'value_out_of_range', 'row 1: 256'],
    ['a negative as unsigned', one('int64', [1n, -1n]), [field(x, 'uint64')], 'value_out_of_range', 'row 1: -1'],
    ['a float beyond 64 bits', one('float64', [2 ** 63, 1]), [field(x, 'int64')], 'value_out_of_range', 'row 0: 9223372036854775808'],
    ['a double too large for a float', one('float64', [0, 3.5e38]), [field(x, 'float32')], 'value_out_of_range', 'row 1: 3.5e+38 cannot be float32, it is too large'],
    ['a float too large for a half', one('float32', [65520, 0]), [field(x, 'float16')], 'value_out_of_range', 'row 0: 65520'],
    ['null among integers', one('int32', [1, null]), [field(x, 'int32')], 'null_not_allowed', 'Column "x", row 1: null is not a value of int32'],
    ['rows of differing length', batch({ kind: 'list', name: x, offsets: Int32Array.of(0, 2, 3), items: columnOf(field('item', 'float32'), [[1], [2], [3]]) }), [field(x, 'float32', [-1])], 'schema_mismatch', 'row 1: expected float32[any] in each row, got a list of 1 where row 0 has 2'],
    ['a missing row', batch({ kind: 'list', name: x, offsets: Int32Array.of(0, 2, 2), items: columnOf(field('item', 'float32'), [[1], [2]]), nulls: Uint8Array.of(0, 1) }), [field(x, 'float32', [2])], 'null_not_allowed', 'row 1'],
    ['records', batch({ kind: 'struct', name: x, fields: [] }), [field(x, 'float32')], 'schema_mismatch', 'got records'],
  ])('refuses %s', (_, b, fields, code, piece) => {
    const error = failure(() => conform(b, fields));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(piece);
  });

  it('turns null into NaN in a copy of a float column, keeps it where the field allows null, and ignores what lies under it', () => {
    const floats = one('float64', [1, null]);
    (floats.columns[0] as { values: Float64Array }).values[1] = 1e300;
    expect(tableOf(conform(floats, [field(x, 'float32')]))['x']).toEqual([1, NaN]);
    expect((floats.columns[0] as { values: Float64Array }).values[1]).toBe(1e300);
    const ints = one('int64', [1n, null]);
    (ints.columns[0] as { values: BigInt64Array }).values[1] = 2n ** 62n;
    expect(tableOf(conform(ints, [field(x, 'int8', [], true)]))['x']).toEqual([1, null]);
    const none = one('int64', [1n, 2n]);
    expect(conform({ rows: 2, columns: [{ ...none.columns[0]!, nulls: new Uint8Array(2) }] }, [field(x, 'int64')]).columns[0]).not.toHaveProperty('nulls');
  });

  it('takes lists that turn out to have one length, without copying', () => {
    const items = columnOf(field('item', 'float32'), [[9], [1], [2], [3], [4]]);
    const result = conform(batch({ kind: 'list', name: x, offsets: Int32Array.of(1, 3, 5), items }), [field(x, 'float32', [2])]);
    expect(tableOf(result)['x']).toEqual([[1, 2], [3, 4]]);
    expect((result.columns[0] as { values: Float32Array }).values.buffer).toBe((items.values as Float32Array).buffer);
  });
});

describe('half precision', () => {
  it('has every one of its 65,536 values come back, and rounds ties to even', () => {
    const halves = Array.from({ length: 65536 }, (_, half) => half);
    const numbers = halves.filter((half) => !Number.isNaN(halfToNumber(half)));
    expect(numbers.filter((half) => numberToHalf(halfToNumber(half)) !== half)).toEqual([]);
    expect(numbers).toHaveLength(65536 - 2 * 1023);
    expect(halfToNumber(numberToHalf(NaN))).toBeNaN();
    expect([2049, 2051, 65519.99, 65520, 2 ** -25, 1.5 * 2 ** -24, 2 ** -14 - 2 ** -26].map((v) => halfToNumber(numberToHalf(v)))).toEqual([2048, 2052, 65504, Infinity, 0, 2 ** -23, 2 ** -14]);
  });
});
