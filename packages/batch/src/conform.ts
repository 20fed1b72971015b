import { PotorooError, type Field } from '@potoroo/contract/plain';
import { allocate, sizeOf, type Batch, type Column, type ListColumn, type TensorColumn } from './batch.ts';
import { cast, castable, isFloat } from './cast.ts';
import { tensorOrList } from './columns.ts';
import { fieldsText, fitShape, quote, typeText } from './shapes.ts';

/**
 * The batch as its declared schema: the fields' columns in the fields' order, types and shapes. Nothing is copied where the
 * data already is what was declared. Casts lose nothing but float precision (see `cast`); a flat list fits a shape with as
 * many elements, a lone value fits a list of one and the other way round. Null in a float column is NaN; elsewhere it needs
 * a nullable field.
 * @throws schema_mismatch, value_out_of_range, null_not_allowed, empty_batch
 */
export function conform(batch: Batch, fields: readonly Field[]): Batch {
  if (batch.rows === 0) throw emptyBatch();
  const { columns } = batch;
  let same = columns.length === fields.length;
  for (let i = 0; same && i < fields.length; i++) same = columns[i]!.name === fields[i]!.name;
  const ordered = same ? columns : matchNames(columns, fields);
  const conformed = ordered.map((c, i) => conformColumn(c, fields[i]!));
  return same && conformed.every((c, i) => c === columns[i]) ? batch : { rows: batch.rows, columns: conformed };
}

export function emptyBatch(): PotorooError {
  return new PotorooError('empty_batch', 'The request has no rows. Send at least one.');
}

/** Says both sets of names, what is missing and what is not expected. */
export function namesMismatch(got: readonly string[], fields: readonly Field[], where = 'The request'): PotorooError {
  const missing = fields.filter((f) => !got.includes(f.name)).map((f) => f.name);
  const extra = got.filter((name) => !fields.some((f) => f.name === name));
  const parts = [
    ...(missing.length ? [`${names(missing)} ${missing.length === 1 ? 'is' : 'are'} missing`] : []),
    ...(extra.length ? [`${names(extra)} ${extra.length === 1 ? 'is' : 'are'} not expected`] : []),
  ];
  return new PotorooError('schema_mismatch', `${where} has columns ${names(got)}; expected are exactly ${fieldsText(fields)}: ${parts.join(' and ')}.`, {
    fields: [...missing.map((field) => ({ field, message: 'missing' })), ...extra.map((field) => ({ field, message: 'not expected' }))],
  });
}

function names(list: readonly string[]): string {
  const shown = list.slice(0, 20).map(quote).join(', ');
  return list.length > 20 ? `${shown} and ${list.length - 20} more` : shown || 'none';
}

export function duplicateColumn(name: string): PotorooError {
  return new PotorooError('schema_mismatch', `Column ${quote(name)} is given twice. Send it once.`, { fields: [{ field: name, message: 'given twice' }] });
}

function matchNames(columns: readonly Column[], fields: readonly Field[]): Column[] {
  const byName = new Map<string, Column>();
  for (const c of columns) {
    if (byName.has(c.name)) throw duplicateColumn(c.name);
    byName.set(c.name, c);
  }
  const ordered = fields.map((f) => byName.get(f.name));
  if (columns.length !== fields.length || !ordered.every((c) => c !== undefined)) throw namesMismatch(columns.map((c) => c.name), fields);
  return ordered;
}

export function wrongShape(name: string, expected: Field, got: string, row?: number): PotorooError {
  const want = typeText(expected.type, expected.shape);
  return new PotorooError('schema_mismatch', `Column ${quote(name)}${row === undefined ? '' : `, row ${row}`}: expected ${want} in each row, got ${got}.`, { fields: [{ field: name, message: `expected ${want}, got ${got}` }] });
}

function conformColumn(given: Column, field: Field): TensorColumn {
  const column = given.kind === 'list' ? tensorOrList(given) : given;
  if (column.kind === 'list') throw listProblem(column, field);
  if (column.kind === 'struct') throw wrongShape(field.name, field, 'records');
  if (!castable(column.type, field.type)) throw wrongShape(field.name, field, typeText(column.type, column.shape));
  const shape = fitShape(field.shape, column.shape);
  if (!shape) throw wrongShape(field.name, field, typeText(column.type, column.shape));
  if (column.type === field.type && shape === column.shape && !column.nulls) return column;
  const nulls = column.nulls?.includes(1) ? column.nulls : undefined;
  const size = sizeOf(shape);
  if (nulls && !isFloat(field.type) && !field.nullable) throw nullNotAllowed(field, size === 0 ? 0 : Math.floor(nulls.indexOf(1) / size));
  let values = cast(column.values, column.type, field.type, { column: field.name, size, nulls });
  if (nulls && isFloat(field.type)) {
    values = nanAt(values as Float32Array | Float64Array | Uint16Array, field.type, nulls);
    return { kind: 'tensor', name: field.name, type: field.type, shape, values };
  }
  return { kind: 'tensor', name: field.name, type: field.type, shape, values, ...(nulls && { nulls }) };
}

export function nullNotAllowed(field: Field, row: number): PotorooError {
  return new PotorooError('null_not_allowed', `Column ${quote(field.name)}, row ${row}: null is not a value of ${typeText(field.type, field.shape)}. Give every element a value.`, { fields: [{ field: field.name, message: `null in row ${row}` }] });
}

/** A copy: the values may be a view of the request. */
function nanAt(values: Float32Array | Float64Array | Uint16Array, type: 'float16' | 'float32' | 'float64', nulls: Uint8Array): Float32Array | Float64Array | Uint16Array {
  const copy = allocate(type, values.length) as Float32Array;
  copy.set(values);
  const nan = type === 'float16' ? 0x7e00 : NaN;
  for (let i = 0; i < nulls.length; i++) if (nulls[i]) copy[i] = nan;
  return copy;
}

function listProblem(list: ListColumn, field: Field): PotorooError {
  const missing = list.nulls?.indexOf(1) ?? -1;
  if (missing >= 0) return nullNotAllowed(field, missing);
  if (list.items.kind !== 'tensor') return wrongShape(field.name, field, list.items.kind === 'struct' ? 'lists of records' : 'lists of lists of differing length');
  const { offsets } = list;
  const length = offsets[1]! - offsets[0]!;
  let row = 1;
  while (row < offsets.length - 2 && offsets[row + 1]! - offsets[row]! === length) row++;
  return wrongShape(field.name, field, `a list of ${offsets[row + 1]! - offsets[row]!} where row 0 has ${length}: all rows of a request need one length`, row);
}
