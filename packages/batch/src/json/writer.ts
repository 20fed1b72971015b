import { tens } from './double.ts';

const kept = 1 << 20;
const hex = '0123456789abcdef';
const decoder = new TextDecoder();
/** Letters after a backslash, by the byte they stand for. */
const short: Readonly<Record<number, number>> = { 34: 34, 92: 92, 8: 98, 12: 102, 10: 110, 13: 114, 9: 116 };

/**
 * Bytes of a JSON text being written. Writing digits as bytes costs a third of what concatenating numbers to a string does,
 * and strings of a batch are UTF-8 already. Everything but `raw` and `text` expects that `room` was asked for.
 */
export class JsonWriter {
  #bytes = new Uint8Array(1 << 14);
  #at = 0;

  /** Makes room for `n` more bytes. */
  room(n: number): void {
    const need = this.#at + n;
    if (need <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(need, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }

  /** Starts a new text; a buffer that one large answer left behind is not kept. */
  reset(): this {
    this.#at = 0;
    if (this.#bytes.length > kept) this.#bytes = new Uint8Array(1 << 14);
    return this;
  }

  toString(): string {
    return decoder.decode(this.#bytes.subarray(0, this.#at));
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }

  byte(c: number): void {
    this.#bytes[this.#at++] = c;
  }

  raw(bytes: Uint8Array): void {
    const n = bytes.length;
    this.room(n);
    const target = this.#bytes;
    const at = this.#at;
    if (n < 48) for (let i = 0; i < n; i++) target[at + i] = bytes[i]!;
    else target.set(bytes, at);
    this.#at = at + n;
  }

  /** ASCII. */
  word(text: string): void {
    for (let i = 0; i < text.length; i++) this.#bytes[this.#at++] = text.charCodeAt(i);
  }

  /** Elements `from .. to` with commas between them, each as `float32` writes it. */
  floats32(values: Float32Array, from: number, to: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    for (let i = from; i < to; i++) {
      if (i > from) bytes[at++] = 44;
      const end = putFloat32(bytes, at, values[i]!);
      if (end > 0) at = end;
      else {
        this.#at = at;
        this.float64(values[i]!, true);
        at = this.#at;
      }
    }
    this.#at = at;
  }

  /**
   * The shortest decimal that reads back as the same float32, always with a fraction or an exponent so that it reads back as
   * a float at all; null for NaN and the infinities, which JSON lacks.
   */
  float32(value: number): void {
    const at = putFloat32(this.#bytes, this.#at, value);
    if (at > 0) this.#at = at;
    else this.float64(value, true);
  }

  /** A whole number below 2^53. */
  integer(value: number): void {
    if (value < 0) {
      this.#bytes[this.#at++] = 45;
      value = -value;
    }
    if (value > 2147483647) {
      // Nine digits at a time stay in 32 bits.
      const high = Math.floor(value / 1e9);
      this.integer(high);
      this.#at = putDigits(this.#bytes, this.#at, (value - high * 1e9) | 0, 9);
    } else this.#at = putDigits(this.#bytes, this.#at, value | 0, length(value));
  }

  /** The shortest decimal of a double, or of a float32 that is very large or small. As `float32` otherwise. */
  float64(value: number, single = false): void {
    if (value - value !== 0) return this.word('null');
    if (Number.isInteger(value) && Math.abs(value) < 1e15) {
      if (value === 0 && 1 / value < 0) this.#bytes[this.#at++] = 45;
      this.integer(value);
      this.#bytes[this.#at++] = 46;
      this.#bytes[this.#at++] = 48;
      return;
    }
    const text = String(single ? shortest(value) : value);
    this.word(text);
    if (Number.isInteger(value) && !text.includes('e')) this.word('.0');
  }

  /** 64 bits given as words. */
  pair(low: number, high: number, unsigned: boolean): void {
    if (unsigned) high >>>= 0;
    if (high >= -2097152 && high < 2097152) this.integer(high * 4294967296 + (low >>> 0));
    else {
      const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
      this.word(String(value));
    }
  }

  /** A string given as UTF-8. */
  text(bytes: Uint8Array, from: number, to: number): void {
    this.room(6 * (to - from) + 2);
    const target = this.#bytes;
    let at = this.#at;
    target[at++] = 34;
    for (let i = from; i < to; i++) {
      const c = bytes[i]!;
      if (c >= 32 && c !== 34 && c !== 92) target[at++] = c;
      else {
        target[at++] = 92;
        const letter = short[c];
        if (letter !== undefined) target[at++] = letter;
        else {
          target[at++] = 117;
          target[at++] = 48;
          target[at++] = 48;
          target[at++] = hex.charCodeAt(c >> 4);
          target[at++] = hex.charCodeAt(c & 15);
        }
      }
    }
    target[at++] = 34;
    this.#at = at;
  }
}

/** Writes the last `digits` digits of a 32-bit number, zeros in front. @returns where they end */
function putDigits(bytes: Uint8Array, at: number, value: number, digits: number): number {
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    const q = (rest / 10) | 0;
    bytes[i] = 48 + rest - q * 10;
    rest = q;
  }
  return at + digits;
}

/** @returns where the number ends; -1 for one that takes the slow way: not finite, very large or very small */
function putFloat32(bytes: Uint8Array, at: number, value: number): number {
  const size = Math.abs(value);
  if (!(size >= 1e-6 && size < 1e7)) return -1;
  // Decimals that make seven digits in all; a float32 needs six to nine.
  let decimals = size >= 1 ? (size >= 1e3 ? (size >= 1e5 ? (size >= 1e6 ? 0 : 1) : size >= 1e4 ? 2 : 3) : size >= 100 ? 4 : size >= 10 ? 5 : 6)
    : size >= 0.1 ? 7 : size >= 0.01 ? 8 : size >= 1e-3 ? 9 : size >= 1e-4 ? 10 : size >= 1e-5 ? 11 : 12;
  let whole = Math.round(size * tens[decimals]!);
  if (Math.fround(whole / tens[decimals]!) !== size) {
    whole = Math.round(size * tens[++decimals]!);
    if (Math.fround(whole / tens[decimals]!) !== size) {
      whole = Math.round(size * tens[++decimals]!);
      if (Math.fround(whole / tens[decimals]!) !== size) return -1;
    }
  }
  if (value < 0) bytes[at++] = 45;
  let digits = whole | 0;
  // Without zeros at the end, but for the one that says it is a float.
  while (decimals > 1) {
    const q = (digits / 10) | 0;
    if (q * 10 !== digits) break;
    digits = q;
    decimals--;
  }
  if (decimals === 0) {
    const end = putDigits(bytes, at, digits, length(digits));
    bytes[end] = 46;
    bytes[end + 1] = 48;
    return end + 2;
  }
  const before = Math.max(1, length(digits) - decimals);
  const end = at + before + 1 + decimals;
  const point = at + before;
  for (let i = end - 1; i >= at; i--) {
    if (i === point) bytes[i] = 46;
    else {
      const q = (digits / 10) | 0;
      bytes[i] = 48 + digits - q * 10;
      digits = q;
    }
  }
  return end;
}

/** Decimal digits of a whole number below 2^31. */
function length(n: number): number {
  return n < 1e5 ? (n < 100 ? (n < 10 ? 1 : 2) : n < 1000 ? 3 : n < 1e4 ? 4 : 5) : n < 1e7 ? (n < 1e6 ? 6 : 7) : n < 1e8 ? 8 : n < 1e9 ? 9 : 10;
}

/** The double with the fewest digits that rounds to this float32. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}
