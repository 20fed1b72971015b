import { PotorooError, type Field } from '@potoroo/contract/plain';
import type { Batch } from '../batch.ts';
import { duplicateColumn, emptyBatch, namesMismatch } from '../conform.ts';
import { quote, typeText } from '../shapes.ts';
import { KeySink } from './key-sink.ts';
import { JsonReader } from './reader.ts';
import { Sink } from './sink.ts';

const encoder = new TextEncoder();
/** Names of a schema as they stand in most bodies; a schema lives as long as the model that declares it. */
const plans = new WeakMap<readonly Field[], readonly Uint8Array[]>();

function keysOf(fields: readonly Field[]): readonly Uint8Array[] {
  let keys = plans.get(fields);
  if (!keys) plans.set(fields, keys = fields.map((f) => encoder.encode(`${JSON.stringify(f.name)}:`)));
  return keys;
}

const nothing: ReadonlySet<string> = new Set();

function sinksOf(fields: readonly Field[], keys: ReadonlySet<string>): (Sink | KeySink)[] {
  return fields.map((f) => (keys.has(f.name) ? new KeySink(f) : new Sink(f)));
}

/**
 * Reads pandas records, `[{"tensor":[...]}, ...]`: one object a row, with exactly the declared columns in any order.
 *
 * Numbers are exact where the type is: 64-bit integers from their digits, floats rounded to the nearest. Null in a float
 * column is NaN (pandas writes NaN so), as are the literals `NaN`, `Infinity` and `-Infinity` what Python means by them; in
 * other columns null needs a nullable field. Rows have the declared shape, or are flat lists of as many elements; a lone
 * value and a list of one are the same. Fields that are named in `texts` are read as text, whatever they come as; a row may lack them.
 * @throws malformed_body, schema_mismatch, value_out_of_range, null_not_allowed, empty_batch
 */
export function decodeRecords(body: Uint8Array, fields: readonly Field[], texts = nothing): Batch {
  const reader = new JsonReader(body);
  const keys = keysOf(fields);
  const sinks = sinksOf(fields, texts);
  reader.expect(91, 'a list of records, one object for each row,');
  let rows = 0;
  if (reader.peek() === 93) reader.at++;
  else do {
    readRecord(reader, fields, keys, sinks, rows);
    rows++;
  } while (reader.more(93, 'a comma or the end of the list of rows'));
  reader.finish();
  if (rows === 0) throw emptyBatch();
  return { rows, columns: sinks.map((s) => s.column()) };
}

function readRecord(reader: JsonReader, fields: readonly Field[], keys: readonly Uint8Array[], sinks: readonly (Sink | KeySink)[], row: number): void {
  reader.expect(123, `an object for row ${row}`);
  let given = 0;
  if (reader.peek() === 125) reader.at++;
  else do {
    const sink = sinks[columnAt(reader, fields, keys, given)]!;
    if (sink.rows !== row) throw duplicateColumn(sink.field.name);
    sink.row(reader);
    given++;
  } while (reader.more(125, 'a comma or the end of the row'));
  if (given !== sinks.length) lacking(sinks, fields, row);
}

/** What the row did not have: texts may be missing, anything else may not. */
function lacking(sinks: readonly (Sink | KeySink)[], fields: readonly Field[], row: number): void {
  const missing = sinks.filter((s) => s.rows === row);
  if (!missing.every((s) => s instanceof KeySink)) throw namesMismatch(sinks.filter((s) => s.rows > row).map((s) => s.field.name), fields, `Row ${row}`);
  for (const sink of missing) sink.skip();
}

/** Takes a key and its colon. `next` is the column that comes next when the keys are in the schema's order. */
function columnAt(reader: JsonReader, fields: readonly Field[], keys: readonly Uint8Array[], next: number): number {
  const key = keys[next];
  if (reader.peek() === 34 && key) {
    const { bytes, at } = reader;
    let i = 0;
    while (i < key.length && bytes[at + i] === key[i]) i++;
    if (i === key.length) {
      reader.at = at + i;
      return next;
    }
  }
  const name = reader.key();
  const index = fields.findIndex((f) => f.name === name);
  if (index >= 0) return index;
  const expected = fields.map((f) => `${quote(f.name)} (${typeText(f.type, f.shape)})`).join(', ');
  throw new PotorooError('schema_mismatch', `Column ${quote(name)} is not expected; the columns are ${expected || 'none'}.`, { fields: [{ field: name, message: 'not expected' }] });
}

/**
 * Reads a dictionary of columns, `{"tensor":[[...],[...]]}`: for each declared column the list of its rows, all of one length.
 * Values follow the rules of `decodeRecords`.
 */
export function decodeDictionary(body: Uint8Array, fields: readonly Field[], texts = nothing): Batch {
  const reader = new JsonReader(body);
  const keys = keysOf(fields);
  const sinks = sinksOf(fields, texts);
  const given = new Set<Sink | KeySink>();
  reader.expect(123, 'an object with a list of rows for each column');
  if (reader.peek() === 125) reader.at++;
  else do {
    const sink = sinks[columnAt(reader, fields, keys, given.size)]!;
    if (given.has(sink)) throw duplicateColumn(sink.field.name);
    given.add(sink);
    reader.expect(91, `a list of rows for column ${quote(sink.field.name)}`);
    if (reader.peek() === 93) reader.at++;
    else do sink.row(reader); while (reader.more(93, 'a comma or the end of the rows'));
  } while (reader.more(125, 'a comma or the end of the columns'));
  reader.finish();
  const missing = sinks.filter((s) => !given.has(s));
  if (!missing.every((s) => s instanceof KeySink)) throw namesMismatch([...given].map((s) => s.field.name), fields);
  const rows = sinks[0]?.rows ?? 0;
  for (const sink of missing) while (sink.rows < rows) sink.skip();
  const other = sinks.find((s) => s.rows !== rows);
  if (other) throw new PotorooError('schema_mismatch', `Column ${quote(other.field.name)} has ${other.rows} rows and column ${quote(sinks[0]!.field.name)} has ${rows}. Give every column the same number.`, { fields: [{ field: other.field.name, message: `${other.rows} rows instead of ${rows}` }] });
  if (rows === 0) throw emptyBatch();
  return { rows, columns: sinks.map((s) => s.column()) };
}
