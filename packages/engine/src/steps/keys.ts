import { conform, halfToNumber, utf8At, utf8From, unitHash, unitHashOf, type Batch, type Column, type Utf8 } from '@potoroo/batch';
import { PotorooError, type Field } from '@potoroo/contract/plain';

/** An input column that decides where rows go, beyond what the models take. */
export interface KeyColumn {
  readonly name: string;
  /** A row without it cannot be served. */
  readonly required: boolean;
}

export const keyField = (key: KeyColumn): Field => ({ name: key.name, type: 'string', shape: [], nullable: true });

/** The text of each row's key; null where there is none. */
export function keyTexts(column: Column, rows: number): (string | null)[] {
  if (column.kind !== 'tensor' || column.shape.some((d) => d !== 1)) throw new PotorooError('schema_mismatch', `Column '${column.name}' decides which model a row goes to and needs one value in each row: a text or a number.`, { fields: [{ field: column.name, message: 'one value a row' }] });
  const { type, values, nulls } = column;
  return Array.from({ length: rows }, (_, i) => {
    if (nulls?.[i] === 1) return null;
    if (type === 'string') return utf8At(values as Utf8, i);
    const value = (values as Float64Array | BigInt64Array)[i] as number | bigint;
    if (type === 'bool') return value === 1 ? 'true' : 'false';
    const number = type === 'float16' ? halfToNumber(value as number) : value;
    return Number.isNaN(number) ? null : String(number);
  });
}

const numeric = /^[0-9]*\.?[0-9]+(e-?[0-9]+)?$/i;

/** A key's place in [0, 1]: a number of that range is its own, anything else is hashed. */
export function placeOf(key: string): number {
  const number = numeric.test(key) ? Number(key) : Number.NaN;
  return number >= 0 && number <= 1 ? number : unitHash(key);
}

/** Whether a text may be a number from 0 to 1, by its first byte: a digit or a dot. */
const mayBeNumber = (byte: number | undefined): boolean => byte !== undefined && (byte === 0x2e || (byte >= 0x30 && byte <= 0x39));

/**
 * The place of each row's key in [0, 1].
 * @throws PotorooError `schema_mismatch` where a row has none
 */
export function placesOf(column: Column, rows: number): Float64Array {
  const places = new Float64Array(rows);
  if (column.kind === 'tensor' && column.type === 'string' && column.shape.every((d) => d === 1) && column.nulls?.includes(1) !== true) {
    // Most keys are no numbers: those are hashed where they lie.
    const values = column.values as Utf8;
    const { bytes, offsets } = values;
    for (let i = 0; i < rows; i++) {
      const from = offsets[i] as number;
      places[i] = mayBeNumber(bytes[from]) ? placeOf(utf8At(values, i)) : unitHashOf(bytes, from, offsets[i + 1] as number);
    }
    return places;
  }
  keyTexts(column, rows).forEach((text, i) => {
    if (text === null) throw missingKey(column.name);
    places[i] = placeOf(text);
  });
  return places;
}

export function missingKey(name: string): PotorooError {
  return new PotorooError('schema_mismatch', `Column '${name}' is missing: the pipeline sends each row to a model by its value. Send it beside the model's inputs, a text or a number in each row.`, { fields: [{ field: name, message: 'missing' }] });
}

/** The batch, unless a row lacks a key that it needs. */
export function withKeys(batch: Batch, keys: readonly KeyColumn[]): Batch {
  for (const { name, required } of keys) {
    const column = required ? batch.columns.find((c) => c.name === name) : undefined;
    if (column?.nulls?.includes(1) === true) throw missingKey(name);
  }
  return batch;
}

/**
 * A batch read without a schema, as the pipeline's inputs with its keys behind them: those as texts, whatever they came as.
 * @throws PotorooError `schema_mismatch`, and what `conform` throws
 */
export function conformWithKeys(batch: Batch, inputs: readonly Field[], keys: readonly KeyColumn[]): Batch {
  const isKey = new Set(keys.map((k) => k.name));
  const rest = conform({ rows: batch.rows, columns: batch.columns.filter((c) => !isKey.has(c.name)) }, inputs);
  const columns = keys.map(({ name, required }): Column => {
    const given = batch.columns.find((c) => c.name === name);
    const texts = given === undefined ? new Array<null>(batch.rows).fill(null) : keyTexts(given, batch.rows);
    if (required && texts.includes(null)) throw missingKey(name);
    const nulls = Uint8Array.from(texts, (t) => (t === null ? 1 : 0));
    return { kind: 'tensor', name, type: 'string', shape: [], values: utf8From(texts.map((t) => t ?? '')), ...(nulls.includes(1) && { nulls }) };
  });
  return { rows: rest.rows, columns: [...rest.columns, ...columns] };
}
