import { PotorooError } from '@potoroo/contract/plain';
import { quote } from '../shapes.ts';

/** Lists and objects nest at most this deep. */
export const maxDepth = 32;

/** What a JSON text is made of when no schema says more; integers are exact. */
export type Json = null | boolean | number | bigint | string | Json[] | Map<string, Json>;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

let readers = 0;

/** Bytes of a JSON text and a place in it. `at` is public because the loops that read numbers keep it in a local. */
export class JsonReader {
  readonly id = ++readers;
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  #high = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.end = bytes.length;
    // A byte order mark is not JSON, but some editors and shells write one.
    this.at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  }

  /** The next byte that is not white space, which stays unread; -1 at the end. */
  peek(): number {
    const { bytes, end } = this;
    let { at } = this;
    while (at < end) {
      const c = bytes[at]!;
      if (c > 32 || !isSpace(c)) {
        this.at = at;
        return c;
      }
      at++;
    }
    this.at = at;
    return -1;
  }

  /** Takes `c`, white space before it aside. */
  expect(c: number, what: string): void {
    if (this.peek() !== c) throw this.unexpected(what);
    this.at++;
  }

  /** After an element: true when a comma follows, false when `close` does. */
  more(close: number, what: string): boolean {
    const c = this.peek();
    if (c === 44) {
      this.at++;
      return true;
    }
    if (c !== close) throw this.unexpected(what);
    this.at++;
    return false;
  }

  /** Nothing but white space may be left; then the text as a whole is checked to be UTF-8 where that has not been seen yet. */
  finish(): void {
    if (this.peek() !== -1) throw new PotorooError('malformed_body', `The JSON ends at byte ${this.at}, but more follows: ${this.#here()}. Send one JSON value.`);
    if (!this.#high) return;
    try {
      strict.decode(this.bytes);
    } catch {
      throw new PotorooError('malformed_body', 'The body is not valid UTF-8. Encode JSON as UTF-8.');
    }
  }

  unexpected(what: string): PotorooError {
    if (this.at >= this.end) return new PotorooError('malformed_body', `The body ends at byte ${this.end} where ${what} should follow; it may be truncated.`);
    return new PotorooError('malformed_body', `Byte ${this.at} of the body is ${this.#here()} where ${what} should be.`);
  }

  #here(): string {
    return quote(lenient.decode(this.bytes.subarray(this.at, Math.min(this.end, this.at + 12))));
  }

  /** Takes `word` if it stands here. */
  literal(word: string): boolean {
    const { bytes, at } = this;
    if (at + word.length > this.end) return false;
    for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word.charCodeAt(i)) return false;
    this.at = at + word.length;
    return true;
  }

  /**
   * Takes a string whose opening quote is next; white space before it must be read.
   * @returns true where the bytes between the quotes (`from .. this.at - 1`) are the string; false where they hold escapes
   */
  scanString(): boolean {
    const { bytes, end } = this;
    let at = this.at + 1;
    let plain = true;
    let high = 0;
    while (at < end) {
      const c = bytes[at]!;
      if (c === 34) {
        if (high >= 128) this.#high = true;
        this.at = at + 1;
        return plain;
      }
      if (c < 32) {
        this.at = at;
        throw this.unexpected('a string without raw control characters');
      }
      if (c === 92) {
        plain = false;
        at++;
      }
      high |= c;
      at++;
    }
    this.at = end;
    throw this.unexpected('the end of a string');
  }

  string(): string {
    const from = this.at + 1;
    const plain = this.scanString();
    if (plain && this.at - from < 33) return recall(this.bytes, from, this.at - 1);
    const text = lenient.decode(this.bytes.subarray(from, this.at - 1));
    return plain ? text : this.#unescape(text, from);
  }

  #unescape(text: string, from: number): string {
    const result = text.replace(/\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt])|(.|$))/gs, (_, hex: string | undefined, short: string | undefined, wrong: string | undefined) => {
      if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
      if (short !== undefined) return escapes[short]!;
      throw new PotorooError('malformed_body', `The string at byte ${from - 1} of the body has the escape ${quote(`\\${wrong ?? ''}`)}, which JSON does not know.`);
    });
    // With the u flag this matches halves of pairs only.
    if (/[\ud800-\udfff]/u.test(result)) throw new PotorooError('malformed_body', `The string at byte ${from - 1} of the body has half of a surrogate pair, which is no character.`);
    return result;
  }

  /** Takes a number and checks its grammar. @returns its text */
  number(): string {
    const from = this.at;
    this.scanNumber();
    return ascii(this.bytes, from, this.at);
  }

  scanNumber(): void {
    const { bytes } = this;
    const start = this.at;
    if (bytes[this.at] === 45) this.at++;
    const from = this.at;
    this.#digits();
    if (bytes[from] === 48 && this.at > from + 1) {
      this.at = start;
      throw this.unexpected('a number without leading zeros');
    }
    if (bytes[this.at] === 46) {
      this.at++;
      this.#digits();
    }
    if (bytes[this.at] === 101 || bytes[this.at] === 69) {
      this.at++;
      if (bytes[this.at] === 43 || bytes[this.at] === 45) this.at++;
      this.#digits();
    }
  }

  #digits(): void {
    const { bytes, end } = this;
    const start = this.at;
    let at = start;
    while (at < end && bytes[at]! >= 48 && bytes[at]! <= 57) at++;
    this.at = at;
    if (at === start) throw this.unexpected('a digit');
  }

  /** Any value, without a schema. Keys may not repeat. `NaN` and the infinities are read as Python writes them. */
  value(depth = 0): Json {
    const c = this.peek();
    if (c === 34) return this.string();
    if (c === 91) {
      const list: Json[] = [];
      this.#enter(depth);
      if (this.peek() === 93) this.at++;
      else do list.push(this.value(depth + 1)); while (this.more(93, 'a comma or the end of the list'));
      return list;
    }
    if (c === 123) {
      const object = new Map<string, Json>();
      this.#enter(depth);
      if (this.peek() === 125) {
        this.at++;
        return object;
      }
      do {
        const key = this.key();
        if (object.has(key)) throw new PotorooError('malformed_body', `The key ${quote(key)} is given twice in one object.`);
        object.set(key, this.value(depth + 1));
      } while (this.more(125, 'a comma or the end of the object'));
      return object;
    }
    if ((c >= 48 && c <= 57) || (c === 45 && this.bytes[this.at + 1] !== 73)) {
      const text = this.number();
      // Whole numbers beyond every type are not worth their digits.
      if (text.length < 400 && text !== '-0' && !/[.eE]/.test(text)) return BigInt(text);
      const value = Number(text);
      if (!Number.isFinite(value)) throw new PotorooError('value_out_of_range', `The number ${text.slice(0, 60)} at byte ${this.at - text.length} of the body is too large for float64.`);
      return value;
    }
    if (this.literal('true')) return true;
    if (this.literal('false')) return false;
    if (this.literal('null')) return null;
    const special = this.special();
    if (special !== undefined) return special;
    throw this.unexpected('a JSON value');
  }

  #enter(depth: number): void {
    if (depth >= maxDepth) throw new PotorooError('malformed_body', `The JSON nests deeper than ${maxDepth} at byte ${this.at}.`);
    this.at++;
  }

  /** `NaN`, `Infinity` and `-Infinity`, which are not JSON but what Python's `json` writes. */
  special(): number | undefined {
    if (this.literal('NaN')) return NaN;
    if (this.literal('Infinity')) return Infinity;
    if (this.literal('-Infinity')) return -Infinity;
    return undefined;
  }

  /** A key and its colon. */
  key(): string {
    if (this.peek() !== 34) throw this.unexpected('a key in quotes');
    const key = this.string();
    this.expect(58, 'a colon');
    return key;
  }
}

const escapes: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

function isSpace(c: number): boolean {
  return c === 32 || c === 10 || c === 13 || c === 9;
}

/** Short strings seen lately: keys and names repeat, and making a string out of bytes costs more than finding it. */
const recent: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = Array.from({ length: 512 });

function recall(bytes: Uint8Array, from: number, to: number): string {
  let hash = to - from;
  for (let i = from; i < to; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
  const slot = (hash ^ (hash >>> 9)) & 511;
  const known = recent[slot];
  if (known && known.bytes.length === to - from) {
    let i = 0;
    while (i < known.bytes.length && known.bytes[i] === bytes[from + i]) i++;
    if (i === known.bytes.length) return known.text;
  }
  const own = bytes.slice(from, to);
  const text = lenient.decode(own);
  recent[slot] = { bytes: own, text };
  return text;
}

/** Bytes that are known to be ASCII, as a string. */
export function ascii(bytes: Uint8Array, from: number, to: number): string {
  if (to - from > 1000) return lenient.decode(bytes.subarray(from, to));
  return String.fromCharCode.apply(null, bytes.subarray(from, to) as unknown as number[]);
}
