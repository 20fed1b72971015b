import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';

/** UTF-8 strings end to end: string i is `bytes[offsets[i] .. offsets[i+1]]`. */
export interface Utf8 {
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
}

/** The typed array of each element type. `bool` is one byte a value, `float16` the raw bits, `timestamp` milliseconds. */
export interface ValuesOf {
  bool: Uint8Array;
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  float16: Uint16Array;
  float32: Float32Array;
  float64: Float64Array;
  string: Utf8;
  timestamp: BigInt64Array;
}
export type Values = ValuesOf[ElementType];
export type NumericValues = Exclude<Values, Utf8>;

/**
 * Rows of equal shape: `rows * product(shape)` elements in row-major order. `shape` is the shape of one row (`[]` for a
 * scalar). `nulls`, when there are any, holds one byte per element, 1 for null; the value under a null is unspecified.
 */
export interface TensorColumn {
  readonly kind: 'tensor';
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly values: Values;
  readonly nulls?: Uint8Array;
}

/** Rows of differing length: row i is items `offsets[i] .. offsets[i+1]` of `items`, itself a column (lists nest). */
export interface ListColumn {
  readonly kind: 'list';
  readonly name: string;
  readonly offsets: Int32Array;
  readonly items: Column;
  /** One byte per row, 1 for null. */
  readonly nulls?: Uint8Array;
}

/** Rows that are records; every field column has as many rows as this one. */
export interface StructColumn {
  readonly kind: 'struct';
  readonly name: string;
  readonly fields: readonly Column[];
  readonly nulls?: Uint8Array;
}

export type Column = TensorColumn | ListColumn | StructColumn;

/** The only data shape inside the engine: named columns of `rows` rows each. */
export interface Batch {
  readonly rows: number;
  readonly columns: readonly Column[];
}

export const elementBytes: Readonly<Record<Exclude<ElementType, 'string'>, number>> = {
  bool: 1, int8: 1, int16: 2, int32: 4, int64: 8, uint8: 1, uint16: 2, uint32: 4, uint64: 8, float16: 2, float32: 4, float64: 8, timestamp: 8,
};

/** Elements in one row of this shape. */
export function sizeOf(shape: readonly number[]): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

const constructors = {
  bool: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array,
  uint32: Uint32Array, uint64: BigUint64Array, float16: Uint16Array, float32: Float32Array, float64: Float64Array, timestamp: BigInt64Array,
} as const;

/** A zeroed array for `length` elements of a type that is not a string. */
export function allocate(type: Exclude<ElementType, 'string'>, length: number): NumericValues {
  return new constructors[type](length);
}

/** `length` elements of `bytes` from byte `offset` on: a view where the alignment allows it, else a copy. Little-endian. */
export function viewOf(type: Exclude<ElementType, 'string'>, bytes: Uint8Array, offset: number, length: number): NumericValues {
  const size = elementBytes[type];
  const at = bytes.byteOffset + offset;
  if (offset < 0 || offset + length * size > bytes.byteLength) throw new PotorooError('malformed_body', `The body ends before the ${length} values of type ${type} it announces.`);
  if (at % size === 0) return new constructors[type](bytes.buffer as ArrayBuffer, at, length);
  return new constructors[type](bytes.buffer.slice(at, at + length * size) as ArrayBuffer, 0, length);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function utf8From(strings: readonly string[]): Utf8 {
  const parts = strings.map((s) => encoder.encode(s));
  const offsets = new Int32Array(strings.length + 1);
  let end = 0;
  parts.forEach((p, i) => { offsets[i + 1] = end += p.length; });
  const bytes = new Uint8Array(end);
  parts.forEach((p, i) => bytes.set(p, offsets[i]));
  return { offsets, bytes };
}

export function utf8At(values: Utf8, i: number): string {
  return decoder.decode(values.bytes.subarray(values.offsets[i], values.offsets[i + 1]));
}

export function column(batch: Batch, name: string): Column | undefined {
  return batch.columns.find((c) => c.name === name);
}

/** Field of a column, `shape` as it is in this batch. Lists and structs have no tensor field: undefined. */
export function fieldOf(c: Column): Field | undefined {
  return c.kind === 'tensor' ? { name: c.name, type: c.type, shape: [...c.shape] } : undefined;
}
