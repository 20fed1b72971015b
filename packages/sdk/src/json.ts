import { PotorooError } from '@potoroo/contract';

/** One row: column name to value; a tensor is nested arrays, a whole number beyond 2^53 a bigint. */
export type Rows = readonly Readonly<Record<string, unknown>>[];

/** A text that no value of a user contains, to carry numbers that JSON.parse and JSON.stringify would round. */
const mark = '\u0000bigint:';
const markedText = /"\\u0000bigint:(-?\d+)"/g;

/**
 * Rows as JSON. Bigints keep their digits, typed arrays become arrays, dates milliseconds; NaN becomes null, which a float
 * column reads as NaN. @throws PotorooError value_out_of_range for an infinity, which JSON cannot carry
 */
export function stringifyRows(rows: Rows): string {
  let marked = false;
  // A function with `this`: a date has turned itself into a text before the replacer sees it.
  const text = JSON.stringify(rows, function replace(this: Record<string, unknown>, key: string, value: unknown): unknown {
    if (typeof value === 'bigint') { marked = true; return `${mark}${value}`; }
    if (typeof value === 'number' && Math.abs(value) === Infinity) {
      throw new PotorooError('value_out_of_range', `${key === '' ? 'A value' : `The value of ${JSON.stringify(key)}`} is ${value}, which JSON cannot carry; send an Arrow table instead.`);
    }
    if (this[key] instanceof Date) return this[key].getTime();
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as unknown as ArrayLike<number | bigint>);
    return value;
  });
  return marked ? text.replace(markedText, '$1') : text;
}

/** Texts and numbers of JSON, in the order in which they stand. */
const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** JSON whose whole numbers beyond 2^53 become bigints instead of another number. */
export function parseExact(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  let marked = false;
  const exact = text.replace(token, (found) => {
    if (!/^-?\d{16,}$/.test(found) || Number.isSafeInteger(Number(found))) return found;
    marked = true;
    return `"\\u0000bigint:${found}"`;
  });
  if (!marked) return JSON.parse(text);
  return JSON.parse(exact, (_key, value: unknown) => (typeof value === 'string' && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value));
}
