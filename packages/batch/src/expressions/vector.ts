import { utf8At, type Column, type NumericValues, type TensorColumn, type Utf8 } from '../batch.ts';
import { dtypeOfField, type Dtype } from './dtype.ts';

/**
 * The value of an expression over a batch. Numbers are doubles whatever their type (64-bit integers are exact up to 2^53),
 * booleans are 0 and 1. A scalar has one element and stands for every row.
 */
export interface Vector {
  readonly dtype: Dtype;
  readonly length: number;
  readonly scalar: boolean;
  readonly numbers?: Float64Array;
  readonly strings?: readonly string[];
  readonly list?: { readonly offsets: Int32Array; readonly items: Vector };
  /** 1 where the value is null. */
  readonly nulls?: Uint8Array;
}

export const isNull = (v: Vector, i: number): boolean => v.nulls !== undefined && v.nulls[v.scalar ? 0 : i] === 1;
export const numberAt = (v: Vector, i: number): number => (v.numbers as Float64Array)[v.scalar ? 0 : i] as number;
export const stringAt = (v: Vector, i: number): string => (v.strings as string[])[v.scalar ? 0 : i] as string;

export function fromNumbers(dtype: Dtype, numbers: Float64Array, nulls?: Uint8Array, scalar = false): Vector {
  return { dtype, length: numbers.length, scalar, numbers, ...(nulls?.includes(1) ? { nulls } : {}) };
}
export function fromStrings(strings: string[], nulls?: Uint8Array, scalar = false): Vector {
  return { dtype: 'string', length: strings.length, scalar, strings, ...(nulls?.includes(1) ? { nulls } : {}) };
}
export const nothing = (dtype: Dtype = 'null'): Vector => ({ dtype, length: 1, scalar: true, numbers: new Float64Array(1), strings: [''], nulls: Uint8Array.of(1) });

function halfToNumber(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function leaf(c: TensorColumn): Vector {
  const dtype = dtypeOfField({ type: c.type, shape: [] });
  if (c.type === 'string') {
    const utf8 = c.values as Utf8;
    return fromStrings(Array.from({ length: utf8.offsets.length - 1 }, (_, i) => utf8At(utf8, i)), c.nulls);
  }
  const values = c.values as NumericValues;
  const numbers = new Float64Array(values.length);
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) for (let i = 0; i < values.length; i++) numbers[i] = Number(values[i]);
  else if (c.type === 'float16') for (let i = 0; i < values.length; i++) numbers[i] = halfToNumber((values as Uint16Array)[i] as number);
  else numbers.set(values as Float64Array);
  return fromNumbers(dtype, numbers, c.nulls);
}

/** A column as a vector: every dimension of a row becomes a list. */
export function fromColumn(c: Column, rows: number): Vector {
  if (c.kind === 'struct') throw new TypeError('a struct column is not a value');
  if (c.kind === 'list') {
    const items = fromColumn(c.items, c.offsets[c.offsets.length - 1] ?? 0);
    return { dtype: { list: items.dtype }, length: rows, scalar: false, list: { offsets: c.offsets, items }, ...(c.nulls ? { nulls: c.nulls } : {}) };
  }
  let vector = leaf(c);
  for (let d = c.shape.length - 1; d >= 0; d--) {
    const width = c.shape[d] as number;
    const lists = c.shape.slice(0, d).reduce((a, b) => a * b, rows);
    vector = { dtype: { list: vector.dtype }, length: lists, scalar: false, list: { offsets: Int32Array.from({ length: lists + 1 }, (_, i) => i * width), items: vector } };
  }
  return vector;
}
