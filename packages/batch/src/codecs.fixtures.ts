import { PotorooError, type Field } from '@potoroo/contract/plain';
import { allocate, sizeOf, utf8At, utf8From, type Batch, type Column, type NumericValues, type TensorColumn, type Utf8, type Values } from './batch.ts';
import { halfToNumber, numberToHalf } from './float16.ts';
import { tensorOrList } from './columns.ts';

/** What every codec is held to: the declared field and the values of its rows, flat in each row; null where nothing is. */
export interface Fixture { readonly title: string; readonly field: Field; readonly rows: readonly (readonly unknown[])[] }

const column = (type: Field['type'], rows: readonly (readonly unknown[])[], shape: number[] = [], nullable = false): Omit<Fixture, 'title'> => ({ field: { name: 'in.x', type, shape, ...(nullable && { nullable }) }, rows });
const scalars = (type: Field['type'], values: readonly unknown[], nullable = false): Omit<Fixture, 'title'> => column(type, values.map((v) => [v]), [], nullable);
const f = Math.fround;

export const fixtures: readonly Fixture[] = Object.entries({
  'bool': scalars('bool', [true, false, true]),
  'bool with null': scalars('bool', [true, null, false], true),
  'int8 extremes': scalars('int8', [-128, 127, 0]),
  'int16 extremes': scalars('int16', [-32768, 32767]),
  'int32 extremes': scalars('int32', [-2147483648, 2147483647, 0]),
  'int64 extremes': scalars('int64', [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 0n]),
  'int64 vector with null': column('int64', [[1n, null], [2n ** 60n + 1n, -1n]], [2], true),
  'uint8 extremes': scalars('uint8', [0, 255]),
  'uint16 extremes': scalars('uint16', [0, 65535]),
  'uint32 extremes': scalars('uint32', [0, 4294967295]),
  'uint64 extremes': scalars('uint64', [0n, 2n ** 64n - 1n, 2n ** 63n, 2n ** 53n + 1n]),
  'float16 extremes': scalars('float16', [65504, -65504, 2 ** -24, 2 ** -14, -0, 0.0999755859375, NaN, 2048]),
  'float32 extremes': scalars('float32', [f(3.4028235e38), f(1.4e-45), f(1.17549435e-38), -0, f(0.1), f(1 / 3), 16777216, f(1e21), f(1e-7), f(0.99300325), NaN]),
  'float32 vector': column('float32', [[1, 2, 3], [f(-1.0603298), NaN, 0]], [3]),
  'float32 image': column('float32', [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14, 15, 16]], [2, 2, 2]),
  'float64 extremes': scalars('float64', [Number.MAX_VALUE, 5e-324, -0, 0.1, 1 / 3, 123456789012345680000, 9007199254740994, 1e300, NaN]),
  'float64 matrix': column('float64', [[0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]], [2, 2]),
  'string': scalars('string', ['', 'plain', 'é漢😀', '"\\/\b\f\n\r\t\u0001', 'null']),
  'string with null': scalars('string', ['a', null, ''], true),
  'string vector': column('string', [['a', 'bb'], ['', 'ccc']], [2]),
  'timestamp': scalars('timestamp', [0n, -1n, 1700000000123n, 253402300799999n]),
  'timestamp with null': scalars('timestamp', [null, 1n], true),
  'no elements': column('float32', [[], []], [0]),
  'one row of one': column('float32', [[0.5]], [1]),
}).map(([title, rest]) => ({ title, ...rest }));

/** The column that a fixture's rows are. */
export function columnOf(field: Field, rows: Fixture['rows']): TensorColumn {
  const flat = rows.flat();
  const nulls = field.nullable && flat.includes(null) ? { nulls: Uint8Array.from(flat, (v) => (v === null ? 1 : 0)) } : {};
  let values: Values;
  if (field.type === 'string') values = utf8From(flat.map((v) => (v ?? '') as string));
  else {
    values = allocate(field.type, flat.length);
    for (const [i, v] of flat.entries()) {
      const at = values as unknown as unknown[];
      if (v === null) continue;
      at[i] = field.type === 'bool' ? Number(v) : field.type === 'float16' ? numberToHalf(v as number) : v;
    }
  }
  return { kind: 'tensor', name: field.name, type: field.type, shape: field.shape, values, ...nulls };
}

export function batchOf(fixture: Pick<Fixture, 'field' | 'rows'>): Batch {
  return { rows: fixture.rows.length, columns: [columnOf(fixture.field, fixture.rows)] };
}

/** One element as an ordinary value. */
function elementAt(t: TensorColumn, i: number): unknown {
  if (t.nulls?.[i]) return null;
  if (t.type === 'string') return utf8At(t.values as Utf8, i);
  const v = (t.values as NumericValues)[i]!;
  return t.type === 'bool' ? v === 1 : t.type === 'float16' ? halfToNumber(v as number) : v;
}

/** The rows of a column as plain values: nested arrays, objects, null. */
export function valuesOf(c: Column, rows: number): unknown[] {
  return Array.from({ length: rows }, (_, row): unknown => {
    if (c.kind === 'tensor') return nest(c, row * sizeOf(c.shape), 0);
    if (c.nulls?.[row]) return null;
    if (c.kind === 'struct') return Object.fromEntries(c.fields.map((field) => [field.name, valuesOf(field, rows)[row]]));
    return valuesOf(c.items, c.offsets[row + 1]!).slice(c.offsets[row]);
  });
}

function nest(t: TensorColumn, from: number, depth: number): unknown {
  const length = t.shape[depth];
  if (length === undefined) return elementAt(t, from);
  const inner = sizeOf(t.shape.slice(depth + 1));
  return Array.from({ length }, (_, i) => nest(t, from + i * inner, depth + 1));
}

export function tableOf(batch: Batch): Record<string, unknown[]> {
  return Object.fromEntries(batch.columns.map((c) => [c.name, valuesOf(c, batch.rows)]));
}

/** Small, seeded, good enough to try many inputs the same way every time. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** What `action` gives, or the code and sentence of the error that it throws. Anything but our own error goes through. */
export function attempt<T>(action: () => T): { value: T } | { code: string; message: string } {
  try {
    return { value: action() };
  } catch (error) {
    if (error instanceof PotorooError) return { code: error.code, message: error.message };
    throw error;
  }
}

/** The error that `action` throws, as its code and sentence. */
export function failure(action: () => unknown): { code: string; message: string } {
  const outcome = attempt(action);
  if ('value' in outcome) throw new Error('nothing was thrown');
  return outcome;
}

/** Rows of plain values as a batch: whole numbers are int64, other numbers float64, lists tensors where they are rectangular, objects structs. */
export function batchFrom(rows: readonly Record<string, unknown>[]): Batch {
  return { rows: rows.length, columns: fieldsFrom(rows) };
}

function fieldsFrom(rows: readonly (Record<string, unknown> | null)[]): Column[] {
  const names = new Set(rows.flatMap((row) => Object.keys(row ?? {})));
  return [...names].map((name) => columnFrom(name, rows.map((row) => row?.[name] ?? null)));
}

function columnFrom(name: string, values: readonly unknown[]): Column {
  const nulls = values.includes(null) ? { nulls: Uint8Array.from(values, (v) => (v === null ? 1 : 0)) } : {};
  const some = values.find((v) => v !== null);
  const tensor = (type: 'string' | 'bool' | 'float64' | 'int64', of: TensorColumn['values']): Column => ({ kind: 'tensor', name, type, shape: [], values: of, ...nulls });
  if (values.some((v) => Array.isArray(v))) {
    const lists = values as (unknown[] | null)[];
    const offsets = Int32Array.from([0, ...lists.map((_, i) => lists.slice(0, i + 1).reduce((n, list) => n + (list?.length ?? 0), 0))]);
    return tensorOrList({ kind: 'list', name, offsets, items: columnFrom('item', lists.flatMap((list) => list ?? [])), ...nulls });
  }
  if (typeof some === 'object') return { kind: 'struct', name, fields: fieldsFrom(values as (Record<string, unknown> | null)[]), ...nulls };
  if (typeof some === 'string') return tensor('string', utf8From(values.map((v) => (v ?? '') as string)));
  if (typeof some === 'boolean') return tensor('bool', Uint8Array.from(values, (v) => (v === true ? 1 : 0)));
  if (some !== undefined && values.every((v) => v === null || Number.isInteger(v))) return tensor('int64', BigInt64Array.from(values, (v) => BigInt((v ?? 0) as number)));
  return { kind: 'tensor', name, type: 'float64', shape: [], values: Float64Array.from(values, (v) => (v === null ? NaN : (v as number))) };
}
