import { decimal, readDouble, slack, tens } from './double.ts';
import { readPlain } from './plain.ts';
import { ascii, type JsonReader } from './reader.ts';
import type { Sink } from './sink.ts';

/** What a double must stay below not to become infinite as a float32. */
const float32Limit = 2 ** 128 - 2 ** 103;

/**
 * Reads list elements into the sink for as long as they are numbers. The hot loop of the JSON codec: one pass, no strings,
 * no allocation. A mantissa of up to 15 digits and a power of ten up to 22 are exact doubles, so that one division rounds
 * correctly (Clinger's fast path); what is longer is left to `readDouble`, and for float32 the error is mostly shown not to matter.
 * @returns true after the closing bracket (after one number where `single`); false in front of an element that is no number
 */
export function readNumbers(reader: JsonReader, sink: Sink, single: boolean): boolean {
  if (!single && readPlain(reader, sink)) return true;
  const { bytes } = reader;
  let { at } = reader;
  let n = sink.count;
  let room = sink.capacity;
  let { f32, f64 } = sink;
  for (;;) {
    let c = bytes[at]!;
    while (c <= 32 && (c === 32 || c === 10 || c === 13 || c === 9)) c = bytes[++at]!;
    const start = at;
    if (c === 45) c = bytes[++at]!;
    const from = at;
    let v = 0;
    while (c >= 48 && c <= 57) {
      v = v * 10 + (c - 48);
      c = bytes[++at]!;
    }
    let digits = at - from;
    if (digits === 0 || (digits > 1 && bytes[from] === 48)) {
      reader.at = start;
      sink.count = n;
      return false;
    }
    let fraction = 0;
    if (c === 46) {
      const point = at;
      c = bytes[++at]!;
      while (c >= 48 && c <= 57) {
        v = v * 10 + (c - 48);
        c = bytes[++at]!;
      }
      fraction = at - point - 1;
      digits += fraction;
    }
    if (n === room) {
      reader.at = start;
      sink.count = n;
      sink.grow(reader);
      room = sink.capacity;
      f32 = sink.f32;
      f64 = sink.f64;
    }
    const long = digits > 15 || c === 101 || c === 69 || bytes[at - 1] === 46;
    if (!long && fraction > 0) v /= tens[fraction]!;
    if (f32 !== null) {
      if (long) {
        const quick = v / tens[fraction]!;
        if (digits <= 22 && isPlain(c, bytes[at - 1]!) && Math.fround(quick - quick * slack) === Math.fround(quick + quick * slack)) v = quick;
        else {
          reader.at = start;
          v = readDouble(reader);
          if (!(v < float32Limit)) throw sink.outOfRange(ascii(bytes, start, reader.at));
          at = reader.at;
        }
      }
      f32[n++] = start === from ? v : -v;
    } else if (f64 !== null) {
      if (long && digits <= 30 && isPlain(c, bytes[at - 1]!)) v = decimal(bytes, from, at, 0);
      else if (long) {
        reader.at = start;
        v = readDouble(reader);
        if (v === Infinity) throw sink.outOfRange(ascii(bytes, start, reader.at));
        at = reader.at;
      }
      f64[n++] = start === from ? v : -v;
    } else {
      sink.count = n++;
      if (long || fraction > 0) {
        reader.at = start;
        sink.exactInteger(reader);
        at = reader.at;
      } else sink.whole(start === from ? v : -v);
    }
    if (single) break;
    c = bytes[at]!;
    while (c <= 32 && (c === 32 || c === 10 || c === 13 || c === 9)) c = bytes[++at]!;
    if (c === 44) {
      at++;
      if (!long || f32 === null) continue;
      // One that was not plain is read: those after it may be.
      reader.at = at;
      sink.count = n;
      if (readPlain(reader, sink)) return true;
      at = reader.at;
      n = sink.count;
      room = sink.capacity;
      f32 = sink.f32;
      continue;
    }
    reader.at = at;
    sink.count = n;
    if (c !== 93) throw reader.unexpected('a comma or the end of the list');
    at++;
    break;
  }
  reader.at = at;
  sink.count = n;
  return true;
}

/** Whether a number ends here, after a digit and before anything but an exponent. */
function isPlain(next: number, last: number): boolean {
  return next !== 101 && next !== 69 && last !== 46;
}
