import { ascii, type JsonReader } from './reader.ts';

/** The powers of ten that a double holds exactly. */
export const tens = Float64Array.from({ length: 23 }, (_, i) => 10 ** i);

/** More than the relative error of a mantissa of 22 digits read into a double one digit at a time, then divided. */
export const slack = 2 ** -48;

/** Takes a number. @returns the nearest double to its size; the sign is left to the caller */
export function readDouble(reader: JsonReader): number {
  const { bytes } = reader;
  const from = bytes[reader.at] === 45 ? reader.at + 1 : reader.at;
  reader.scanNumber();
  let to = from;
  while (to < reader.at && bytes[to] !== 101 && bytes[to] !== 69) to++;
  const sign = bytes[to + 1];
  let exponent = 0;
  // Beyond this nothing changes, and a number still prints without an exponent of its own.
  for (let at = to + (sign === 43 || sign === 45 ? 2 : 1); at < reader.at; at++) exponent = Math.min(1e15, exponent * 10 + (bytes[at]! - 48));
  if (sign === 45) exponent = -exponent;
  return decimal(bytes, from, to, exponent);
}

/** The nearest double to the digits `from .. to`, a point among them or not, times ten to the `exponent`. */
export function decimal(bytes: Uint8Array, from: number, to: number, exponent: number): number {
  // Significant digits in two exact halves: the first 15, the next 15.
  let head = 0;
  let tail = 0;
  let digits = 0;
  let point = to;
  for (let at = from; at < to; at++) {
    const c = bytes[at]!;
    if (c === 46) point = at + 1;
    else if (digits < 15) {
      head = head * 10 + (c - 48);
      if (head > 0) digits++;
    } else {
      tail = tail * 10 + (c - 48);
      digits++;
    }
  }
  const scale = exponent - (to - point);
  if (digits <= 15) {
    if (head === 0) return 0;
    if (scale >= -22 && scale <= 22) return scale < 0 ? head / tens[-scale]! : head * tens[scale]!;
  } else if (digits <= 30 && scale >= -22 && scale <= 0) {
    const value = divide(head, tens[digits - 15]!, tail, tens[-scale]!);
    if (value === value) return value;
  }
  return Number(`${ascii(bytes, from, to)}e${exponent}`);
}

/**
 * (a * b + c) / d to the nearest double, where a, b, c and d are exact; NaN where a hundred bits or so do not decide it.
 * Products are split into a double and its rounding error (Dekker), so is the quotient.
 */
function divide(a: number, b: number, c: number, d: number): number {
  const product = a * b;
  const high = product + c;
  const rest = (product - high) + c + productError(a, b, product);
  const quotient = high / d;
  const back = quotient * d;
  const correction = (high - back - productError(quotient, d, back) + rest) / d;
  const low = quotient + correction * (1 - 2 ** -40);
  return low === quotient + correction * (1 + 2 ** -40) ? low : NaN;
}

/** a * b minus its rounded value, exactly, as long as nothing overflows. */
function productError(a: number, b: number, rounded: number): number {
  const a1 = 134217729 * a;
  const aHigh = a1 - (a1 - a);
  const aLow = a - aHigh;
  const b1 = 134217729 * b;
  const bHigh = b1 - (b1 - b);
  const bLow = b - bHigh;
  return aLow * bLow - (rounded - aHigh * bHigh - aLow * bHigh - aHigh * bLow);
}
