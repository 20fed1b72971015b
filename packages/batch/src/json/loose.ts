import { PotorooError, type ElementType } from '@potoroo/contract/plain';
import { allocate, utf8From, type Batch, type Column, type TensorColumn } from '../batch.ts';
import { tensorOrList } from '../columns.ts';
import { emptyBatch } from '../conform.ts';
import { quote } from '../shapes.ts';
import { JsonReader, type Json } from './reader.ts';

/**
 * Reads records or a dictionary of columns without a schema and infers the columns: whole numbers are int64 (uint64 where
 * they need it), other numbers float64, with null as NaN; booleans, strings; lists are tensors when they are rectangular,
 * else lists; objects are structs. A key that a row lacks is null in it.
 * @throws malformed_body, schema_mismatch naming a column of mixed types, value_out_of_range, empty_batch
 */
export function decodeLoose(body: Uint8Array): Batch {
  const reader = new JsonReader(body);
  const value = reader.value();
  reader.finish();
  if (Array.isArray(value)) {
    const rows = value.map((row, i) => {
      if (!(row instanceof Map)) throw new PotorooError('malformed_body', `Row ${i} is not an object. Send a list of objects, one for each row.`);
      return row;
    });
    if (rows.length === 0) throw emptyBatch();
    return { rows: rows.length, columns: fieldsOf(rows, '') };
  }
  if (!(value instanceof Map)) throw new PotorooError('malformed_body', 'The body is neither a list of records nor an object of columns.');
  let rows = -1;
  const columns: Column[] = [];
  for (const [name, list] of value) {
    if (!Array.isArray(list)) throw new PotorooError('malformed_body', `Column ${quote(name)} is not a list. Give each column the list of its rows.`);
    if (rows === -1) rows = list.length;
    else if (list.length !== rows) throw new PotorooError('schema_mismatch', `Column ${quote(name)} has ${list.length} rows and the first column has ${rows}. Give every column the same number.`);
    columns.push(infer(name, name, list));
  }
  if (rows <= 0) throw emptyBatch();
  return { rows, columns };
}

/** Columns of objects, in the order in which keys first appear. */
function fieldsOf(rows: readonly (ReadonlyMap<string, Json> | null)[], path: string): Column[] {
  const names = new Set<string>();
  let given = 0;
  for (const row of rows) {
    if (!row) continue;
    given += row.size;
    for (const key of row.keys()) names.add(key);
  }
  // Keys of their own in every row would make a table as large as the square of the body.
  if (names.size * rows.length > 64 * given + 65536) throw new PotorooError('body_too_large', `${names.size} columns in ${rows.length} rows are too many. Give all rows the same keys.`);
  return [...names].map((name) => infer(name, path + name, rows.map((row) => row?.get(name) ?? null)));
}

type Kind = 'number' | 'boolean' | 'string' | 'list' | 'object' | 'null';

function kindOf(value: Json): Kind {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'bigint' || typeof value === 'number') return 'number';
  if (typeof value === 'object') return 'object';
  return typeof value as 'boolean' | 'string';
}

function infer(name: string, path: string, values: readonly Json[]): Column {
  let kind: Kind = 'null';
  for (const [i, v] of values.entries()) {
    const found = kindOf(v);
    if (found === 'null' || found === kind) continue;
    if (kind !== 'null') throw new PotorooError('schema_mismatch', `Column ${quote(path)} has a ${found} in row ${i} and a ${kind} before it. Give all rows one type.`, { fields: [{ field: path, message: `mixes ${kind} and ${found}` }] });
    kind = found;
  }
  if (kind === 'list') return inferList(name, path, values as readonly (Json[] | null)[]);
  const missing = values.includes(null) ? { nulls: Uint8Array.from(values, (v) => (v === null ? 1 : 0)) } : {};
  if (kind === 'object') return { kind: 'struct', name, fields: fieldsOf(values as readonly (Map<string, Json> | null)[], `${path}.`), ...missing };
  if (kind === 'string') return scalar(name, 'string', utf8From(values.map((v) => (v ?? '') as string)), missing);
  if (kind === 'boolean') return scalar(name, 'bool', Uint8Array.from(values, (v) => (v === true ? 1 : 0)), missing);
  return inferNumbers(name, path, values as readonly (number | bigint | null)[], missing);
}

function scalar(name: string, type: ElementType, values: TensorColumn['values'], missing: { nulls?: Uint8Array }): TensorColumn {
  return { kind: 'tensor', name, type, shape: [], values, ...missing };
}

function inferNumbers(name: string, path: string, values: readonly (number | bigint | null)[], missing: { nulls?: Uint8Array }): TensorColumn {
  const whole = values.some((v) => v !== null) && values.every((v) => v === null || typeof v === 'bigint');
  if (!whole) {
    const doubles = Float64Array.from(values, (v) => (v === null ? NaN : Number(v)));
    const infinite = doubles.findIndex((d, i) => (d === Infinity || d === -Infinity) && typeof values[i] === 'bigint');
    if (infinite >= 0) throw new PotorooError('value_out_of_range', `Column ${quote(path)}, row ${infinite}: the number is too large for float64.`);
    return scalar(name, 'float64', doubles, {});
  }
  let low = 0n;
  let high = 0n;
  for (const v of values as readonly (bigint | null)[]) {
    if (v === null) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  const type = high < 2n ** 63n ? 'int64' : 'uint64';
  if (type === 'int64' ? low < -(2n ** 63n) : low < 0n || high >= 2n ** 64n) throw new PotorooError('value_out_of_range', `Column ${quote(path)} has whole numbers that do not fit 64 bits.`, { fields: [{ field: path, message: 'does not fit 64 bits' }] });
  const target = allocate(type, values.length) as BigInt64Array;
  (values as readonly (bigint | null)[]).forEach((v, i) => { target[i] = v ?? 0n; });
  return scalar(name, type, target, missing);
}

/** Lists of one column are inferred together, so that all have one item type. */
function inferList(name: string, path: string, values: readonly (Json[] | null)[]): Column {
  const offsets = new Int32Array(values.length + 1);
  const items: Json[] = [];
  values.forEach((list, i) => {
    if (list) for (const v of list) items.push(v);
    offsets[i + 1] = items.length;
  });
  const nulls = values.includes(null) ? { nulls: Uint8Array.from(values, (v) => (v === null ? 1 : 0)) } : {};
  return tensorOrList({ kind: 'list', name, offsets, items: infer('item', path, items), ...nulls });
}
