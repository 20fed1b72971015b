import { conform, halfToNumber, utf8At, utf8From, unitHash, type Batch, type Column, type Utf8 } from '@potoroo/batch';
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

export function missingKey(name: string): PotorooError {
  return new PotorooError('schema_mismatch', `Column '${name}' is missing: the pipeline sends each row to a model by its value. Send it beside the model's inputs, a text or a number in each row.`, { fields: [{ field: name, message: 'missing' }] });
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
