import { allocate, sizeOf, type Batch, type Column, type NumericValues, type Utf8 } from '@potoroo/batch';

/** Rows `from .. to` of a batch, last row first. */
export function reversed(batch: Batch, from: number, to: number): Batch {
  const rows = Int32Array.from({ length: to - from }, (_, i) => to - 1 - i);
  return { rows: rows.length, columns: batch.columns.map((column) => pick(column, rows)) };
}

function pick(column: Column, rows: Int32Array): Column {
  const nulls = column.nulls;
  if (column.kind === 'struct') return { ...column, fields: column.fields.map((field) => pick(field, rows)), ...(nulls && { nulls: gather(nulls, rows, new Uint8Array(rows.length)) }) };
  if (column.kind === 'list') {
    const offsets = new Int32Array(rows.length + 1);
    rows.forEach((row, i) => { offsets[i + 1] = offsets[i]! + column.offsets[row + 1]! - column.offsets[row]!; });
    const items = new Int32Array(offsets[rows.length]!);
    rows.forEach((row, i) => { for (let k = offsets[i]!, item = column.offsets[row]!; k < offsets[i + 1]!; k += 1, item += 1) items[k] = item; });
    return { ...column, offsets, items: pick(column.items, items), ...(nulls && { nulls: gather(nulls, rows, new Uint8Array(rows.length)) }) };
  }
  const size = sizeOf(column.shape);
  const elements = size === 1 ? rows : Int32Array.from({ length: rows.length * size }, (_, i) => rows[Math.floor(i / size)]! * size + i % size);
  const values = column.type === 'string' ? strings(column.values as Utf8, elements) : gather(column.values as Float64Array, elements, allocate(column.type, elements.length) as Float64Array) as NumericValues;
  return { ...column, values, ...(nulls && { nulls: gather(nulls, elements, new Uint8Array(elements.length)) }) };
}

function gather<T extends Uint8Array | Float64Array>(source: T, places: Int32Array, target: T): T {
  for (let i = 0; i < places.length; i += 1) target[i] = source[places[i]!]!;
  return target;
}

function strings(source: Utf8, places: Int32Array): Utf8 {
  const offsets = new Int32Array(places.length + 1);
  for (let i = 0; i < places.length; i += 1) offsets[i + 1] = offsets[i]! + source.offsets[places[i]! + 1]! - source.offsets[places[i]!]!;
  const bytes = new Uint8Array(offsets[places.length]!);
  for (let i = 0; i < places.length; i += 1) bytes.set(source.bytes.subarray(source.offsets[places[i]!], source.offsets[places[i]! + 1]), offsets[i]);
  return { offsets, bytes };
}
