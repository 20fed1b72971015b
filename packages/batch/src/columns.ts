import { PotorooError } from '@potoroo/contract/plain';
import { allocate, sizeOf, type Batch, type Column, type ListColumn, type NumericValues, type StructColumn, type TensorColumn, type Utf8, type Values } from './batch.ts';
import { equalShapes, quote, typeText } from './shapes.ts';

export function isUtf8(values: Values): values is Utf8 {
  return 'offsets' in values;
}

/** Elements `from .. to` of a column's values, as a view. Strings keep their bytes: offsets need not start at 0. */
export function sliceValues(values: Values, from: number, to: number): Values {
  return isUtf8(values) ? { offsets: values.offsets.subarray(from, to + 1), bytes: values.bytes } : values.subarray(from, to);
}

export function sliceColumn(column: Column, from: number, to: number): Column {
  if (column.kind === 'struct') {
    return { ...column, fields: column.fields.map((f) => sliceColumn(f, from, to)), ...(column.nulls && { nulls: column.nulls.subarray(from, to) }) };
  }
  if (column.kind === 'list') {
    return { ...column, offsets: column.offsets.subarray(from, to + 1), ...(column.nulls && { nulls: column.nulls.subarray(from, to) }) };
  }
  const size = sizeOf(column.shape);
  return {
    kind: 'tensor', name: column.name, type: column.type, shape: column.shape, values: sliceValues(column.values, from * size, to * size),
    ...(column.nulls && { nulls: column.nulls.subarray(from * size, to * size) }),
  };
}

/** Rows `from .. to` (exclusive) as views of the same memory. */
export function slice(batch: Batch, from: number, to: number): Batch {
  if (from === 0 && to === batch.rows) return batch;
  if (from < 0 || to > batch.rows || from > to) throw new PotorooError('internal', `Rows ${from} to ${to} are outside a batch of ${batch.rows} rows.`);
  return { rows: to - from, columns: batch.columns.map((c) => sliceColumn(c, from, to)) };
}

/**
 * Rows of all batches, in order. Columns are those of the first batch and must be in every other, with one type; rows whose
 * shapes differ from batch to batch become lists. One batch is given back as it is.
 * @throws schema_mismatch naming the column
 */
export function concat(batches: readonly Batch[]): Batch {
  const filled = batches.filter((b) => b.rows > 0);
  if (filled.length <= 1) return filled[0] ?? batches[0] ?? { rows: 0, columns: [] };
  const first = filled[0]!;
  for (const b of filled) {
    if (b.columns.length !== first.columns.length) throw mismatch('The batches have different columns', first.columns.map((c) => c.name), b.columns.map((c) => c.name));
  }
  const columns = first.columns.map((c, i) => concatColumns(filled.map((b) => {
    const same = b.columns[i]!;
    if (same.name === c.name) return same;
    const other = b.columns.find((o) => o.name === c.name);
    if (!other) throw mismatch('The batches have different columns', first.columns.map((o) => o.name), b.columns.map((o) => o.name));
    return other;
  }), filled.map((b) => b.rows)));
  return { rows: filled.reduce((n, b) => n + b.rows, 0), columns };
}

function mismatch(what: string, a: readonly string[], b: readonly string[]): PotorooError {
  return new PotorooError('schema_mismatch', `${what}: ${a.map(quote).join(', ')} in one and ${b.map(quote).join(', ')} in another.`);
}

function describe(c: Column): string {
  return c.kind === 'tensor' ? typeText(c.type, c.shape) : c.kind;
}

function concatColumns(parts: readonly Column[], rows: readonly number[]): Column {
  const first = parts[0]!;
  if (parts.every((p) => p.kind === 'tensor' && first.kind === 'tensor' && p.type === first.type && equalShapes(p.shape, first.shape))) return concatTensors(parts as readonly TensorColumn[]);
  if (parts.every((p) => p.kind === 'struct')) return concatStructs(parts, rows);
  const lists = parts.map((p, i) => (p.kind === 'list' ? p : p.kind === 'tensor' ? asList(p, rows[i]!) : undefined));
  if (lists.every((l) => l !== undefined)) return concatLists(lists);
  const other = parts.find((p) => describe(p) !== describe(first)) ?? first;
  throw mismatch(`Column ${quote(first.name)} has different types`, [describe(first)], [describe(other)]);
}

function concatTensors(parts: readonly TensorColumn[]): TensorColumn {
  const first = parts[0]!;
  const lengths = parts.map((p) => (isUtf8(p.values) ? p.values.offsets.length - 1 : p.values.length));
  const total = lengths.reduce((a, b) => a + b, 0);
  let values: Values;
  if (first.type === 'string') values = concatStrings(parts.map((p) => p.values as Utf8), total);
  else {
    values = allocate(first.type, total);
    let at = 0;
    for (const p of parts) {
      // The types agree (checked by the caller); TypeScript cannot pair the two unions.
      (values as Float64Array).set(p.values as Float64Array, at);
      at += (p.values as NumericValues).length;
    }
  }
  return { kind: 'tensor', name: first.name, type: first.type, shape: first.shape, values, ...joinNulls(parts, lengths) };
}

export function concatStrings(parts: readonly Utf8[], total: number): Utf8 {
  const ends = parts.map((p) => [p.offsets[0]!, p.offsets[p.offsets.length - 1]!] as const);
  const size = ends.reduce((n, [from, to]) => n + to - from, 0);
  if (size > 0x7fffffff) throw new PotorooError('body_too_large', 'The strings of one column take more than 2 GiB. Send fewer rows at a time.');
  const offsets = new Int32Array(total + 1);
  const bytes = new Uint8Array(size);
  let row = 0;
  let at = 0;
  for (const [i, p] of parts.entries()) {
    const [from, to] = ends[i]!;
    bytes.set(p.bytes.subarray(from, to), at);
    for (let k = 1; k < p.offsets.length; k++) offsets[++row] = p.offsets[k]! - from + at;
    at += to - from;
  }
  return { offsets, bytes };
}

function joinNulls(parts: readonly { nulls?: Uint8Array }[], lengths: readonly number[]): { nulls?: Uint8Array } {
  if (parts.every((p) => p.nulls === undefined)) return {};
  const nulls = new Uint8Array(lengths.reduce((a, b) => a + b, 0));
  let at = 0;
  for (const [i, p] of parts.entries()) {
    if (p.nulls) nulls.set(p.nulls, at);
    at += lengths[i]!;
  }
  return { nulls };
}

function concatStructs(parts: readonly StructColumn[], rows: readonly number[]): StructColumn {
  const { columns } = concat(parts.map((p, i) => ({ rows: rows[i]!, columns: p.fields })));
  return { kind: 'struct', name: parts[0]!.name, fields: columns, ...joinNulls(parts, rows) };
}

function concatLists(parts: readonly ListColumn[]): ListColumn {
  const rows = parts.map((p) => p.offsets.length - 1);
  const offsets = new Int32Array(rows.reduce((a, b) => a + b, 0) + 1);
  let row = 0;
  let at = 0;
  const items: Column[] = [];
  const counts: number[] = [];
  for (const p of parts) {
    const from = p.offsets[0]!;
    const to = p.offsets[p.offsets.length - 1]!;
    if (to > from) {
      items.push(sliceColumn(p.items, from, to));
      counts.push(to - from);
    }
    for (let k = 1; k < p.offsets.length; k++) offsets[++row] = p.offsets[k]! - from + at;
    at += to - from;
  }
  return { kind: 'list', name: parts[0]!.name, offsets, items: items.length === 0 ? parts[0]!.items : concatColumns(items, counts), ...joinNulls(parts, rows) };
}

/** A tensor's outermost row dimension as a list, so that it can stand beside rows of another length. */
function asList(t: TensorColumn, rows: number): ListColumn | undefined {
  const [length, ...rest] = t.shape;
  if (length === undefined) return undefined;
  const offsets = new Int32Array(rows + 1);
  for (let i = 1; i <= rows; i++) offsets[i] = i * length;
  return { kind: 'list', name: t.name, offsets, items: { ...t, name: 'item', shape: rest } };
}

/**
 * A list whose rows all have one length is a tensor over the same memory; any other list stays a list. Rows that are
 * missing (null) keep it a list: a tensor has no missing rows.
 */
export function tensorOrList(list: ListColumn): TensorColumn | ListColumn {
  const { offsets, items } = list;
  const rows = offsets.length - 1;
  if (items.kind !== 'tensor' || list.nulls?.includes(1)) return list;
  const start = offsets[0]!;
  const length = rows === 0 ? 0 : offsets[1]! - start;
  for (let i = 2, end = start + 2 * length; i <= rows; i++, end += length) if (offsets[i] !== end) return list;
  const size = sizeOf(items.shape);
  const from = start * size;
  const to = (start + rows * length) * size;
  return {
    kind: 'tensor', name: list.name, type: items.type, shape: [length, ...items.shape], values: sliceValues(items.values, from, to),
    ...(items.nulls && { nulls: items.nulls.subarray(from, to) }),
  };
}

/**
 * Column names as a separator asks for them. Names carry their dataset before the first dot (`in.tensor`). With a separator
 * that dot becomes the separator; with null the columns of one dataset become the fields of a struct.
 */
export function arrange(batch: Batch, separator: string | null): Batch {
  if (separator === '.') return batch;
  if (separator !== null) {
    return { rows: batch.rows, columns: batch.columns.map((c) => ({ ...c, name: c.name.replace('.', () => separator) })) };
  }
  const columns: Column[] = [];
  const groups = new Map<string, Column[]>();
  for (const c of batch.columns) {
    const dot = c.name.indexOf('.');
    if (dot < 0) { columns.push(c); continue; }
    const group = c.name.slice(0, dot);
    let fields = groups.get(group);
    if (!fields) {
      groups.set(group, fields = []);
      columns.push({ kind: 'struct', name: group, fields });
    }
    fields.push({ ...c, name: c.name.slice(dot + 1) });
  }
  return { rows: batch.rows, columns };
}
