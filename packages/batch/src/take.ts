import { allocate, sizeOf, type Batch, type Column, type NumericValues, type Utf8 } from './batch.ts';

/**
 * These rows of a batch, in this order; a row may come more than once, and -1 is a row of nulls. Where rows are null, a column whose
 * rows are not scalars becomes a list: a tensor has no missing rows.
 */
export function take(batch: Batch, rows: Int32Array): Batch {
  const missing = rows.includes(-1);
  return { rows: rows.length, columns: batch.columns.map((column) => takeColumn(column, rows, missing)) };
}

function takeColumn(column: Column, rows: Int32Array, missing: boolean): Column {
  if (column.kind === 'struct') return { ...column, fields: column.fields.map((field) => takeColumn(field, rows, missing)), ...nullsOf(column.nulls, rows, missing) };
  if (column.kind === 'list') return takeList(column.name, column.offsets, column.items, rows, nullsOf(column.nulls, rows, missing));
  const [length, ...rest] = column.shape;
  if (missing && length !== undefined) {
    const count = rows.reduce((most, row) => Math.max(most, row + 1), 0);
    return takeList(column.name, Int32Array.from({ length: count + 1 }, (_, i) => i * length), { ...column, name: 'item', shape: rest }, rows, nullsOf(undefined, rows, true));
  }
  const size = sizeOf(column.shape);
  const elements = size === 1 ? rows : new Int32Array(rows.length * size);
  if (size !== 1) for (let i = 0, at = 0; i < rows.length; i++) for (let k = 0; k < size; k++) elements[at++] = rows[i]! * size + k;
  return { ...column, values: column.type === 'string' ? takeStrings(column.values as Utf8, elements) : gather(column.values as NumericValues, elements, allocate(column.type, elements.length)), ...nullsOf(column.nulls, elements, missing) };
}

function takeList(name: string, from: Int32Array, items: Column, rows: Int32Array, nulls: { nulls?: Uint8Array }): Column {
  const offsets = new Int32Array(rows.length + 1);
  for (let i = 0; i < rows.length; i++) offsets[i + 1] = offsets[i]! + (rows[i]! < 0 ? 0 : from[rows[i]! + 1]! - from[rows[i]!]!);
  const places = new Int32Array(offsets[rows.length]!);
  for (let i = 0, at = 0; i < rows.length; i++) if (rows[i]! >= 0) for (let k = from[rows[i]!]!; k < from[rows[i]! + 1]!; k++) places[at++] = k;
  return { kind: 'list', name, offsets, items: takeColumn(items, places, false), ...nulls };
}

function nullsOf(nulls: Uint8Array | undefined, places: Int32Array, missing: boolean): { nulls?: Uint8Array } {
  if (nulls === undefined && !missing) return {};
  return { nulls: Uint8Array.from(places, (place) => (place < 0 ? 1 : (nulls?.[place] ?? 0))) };
}

/** What stands at -1 is whatever the array began with: nobody may look at it. */
function gather<T extends NumericValues>(source: T, places: Int32Array, target: T): T {
  for (let i = 0; i < places.length; i++) if (places[i]! >= 0) target[i] = source[places[i]!]!;
  return target;
}

function takeStrings(source: Utf8, places: Int32Array): Utf8 {
  const offsets = new Int32Array(places.length + 1);
  for (let i = 0; i < places.length; i++) offsets[i + 1] = offsets[i]! + (places[i]! < 0 ? 0 : source.offsets[places[i]! + 1]! - source.offsets[places[i]!]!);
  const bytes = new Uint8Array(offsets[places.length]!);
  for (let i = 0; i < places.length; i++) if (places[i]! >= 0) bytes.set(source.bytes.subarray(source.offsets[places[i]!], source.offsets[places[i]! + 1]), offsets[i]);
  return { offsets, bytes };
}
