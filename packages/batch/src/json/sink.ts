import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';
import { sizeOf, type TensorColumn, type Utf8, type Values } from '../batch.ts';
import { cast, isFloat } from '../cast.ts';
import { nullNotAllowed, wrongShape } from '../conform.ts';
import { equalShapes, fitShape, quote } from '../shapes.ts';
import { readNumbers } from './numbers.ts';
import { maxDepth, type JsonReader } from './reader.ts';

const encoder = new TextEncoder();
/** Of the row being read, in whichever sink: list lengths by depth, -1 where no list has ended yet; and how deep they go. */
const dims = new Int32Array(maxDepth).fill(-1);
let touched = 0;

function isWide(type: ElementType): type is 'int64' | 'uint64' | 'timestamp' {
  return type === 'int64' || type === 'uint64' || type === 'timestamp';
}

/**
 * Where one column's values go while a JSON text is read. `f32` and `f64` serve `readNumbers`: float32 goes straight to its
 * type, other floats and small integers to doubles that are cast at the end. 64-bit integers go to their own type, booleans
 * and the bytes of strings to bytes.
 */
export class Sink {
  readonly field: Field;
  f32: Float32Array | null = null;
  f64: Float64Array | null = null;
  /** Whether `readPlain` is of use: elements go to one of those, and are not all too long for it. */
  plain: boolean;
  #wide: BigInt64Array | BigUint64Array | null = null;
  #bytes: Uint8Array | null = null;
  /** Ends of strings in `#bytes`, and how many of its bytes are used. */
  #ends: Int32Array | null = null;
  #used = 0;
  /** Elements so far, and how many there is room for. */
  count = 0;
  capacity = 0;
  rows = 0;
  /** The row shape that was written and what it means under the declared one; null before the first row. */
  #written: readonly number[] | null = null;
  #shape: readonly number[] = [];
  /** How deep the elements of the row being read lie; -1 where none has been seen. */
  #rank = -1;
  #nulls: number[] | null = null;

  readonly #rowSize: number;

  /** @param rowSize elements in a row where several rows are read as one value; 0 where each is read by itself */
  constructor(field: Field, rowSize = 0) {
    this.field = field;
    this.plain = field.type !== 'bool' && field.type !== 'string' && !isWide(field.type);
    this.#rowSize = rowSize;
  }

  /** The row being read, for messages. */
  get #place(): number {
    return this.#rowSize > 0 ? Math.floor(this.count / this.#rowSize) : this.rows;
  }

  /** Makes room for so many more elements at least, guessing from the share of the text that is read. */
  grow(reader: JsonReader, more = 1): void {
    const { shape, type } = this.field;
    const guess = this.count === 0 ? (shape.includes(-1) ? 16 : sizeOf(shape)) : Math.max(2 * this.capacity, Math.ceil((1.03 * this.count * reader.end) / reader.at) + 16);
    // No element takes less than two bytes of the text: neither a schema nor a first row can make this run away.
    this.capacity = Math.max(this.count + more, Math.min(guess, (reader.end >> 1) + 1));
    if (type === 'float32') {
      const grown = new Float32Array(this.capacity);
      if (this.f32) grown.set(this.f32);
      this.f32 = grown;
    } else if (type === 'bool') {
      const grown = new Uint8Array(this.capacity);
      if (this.#bytes) grown.set(this.#bytes);
      this.#bytes = grown;
    } else if (type === 'string') {
      const grown = new Int32Array(this.capacity + 1);
      if (this.#ends) grown.set(this.#ends);
      this.#ends = grown;
    } else if (isWide(type)) {
      const grown = type === 'uint64' ? new BigUint64Array(this.capacity) : new BigInt64Array(this.capacity);
      if (this.#wide) grown.set(this.#wide);
      this.#wide = grown;
    } else {
      const grown = new Float64Array(this.capacity);
      if (this.f64) grown.set(this.f64);
      this.f64 = grown;
    }
  }

  /** Reads the value of one row. */
  row(reader: JsonReader): void {
    this.#rank = -1;
    // What the row before left behind, which may have ended in an error.
    while (touched > 0) dims[--touched] = -1;
    if (reader.peek() === 91) {
      reader.at++;
      this.#list(reader, 0);
    } else {
      this.#rank = 0;
      this.#element(reader);
    }
    if (!this.#asBefore()) this.#settle();
    this.rows++;
  }

  /** Whether the row just read is written as the one before it was, which is all that most rows need to be checked for. */
  #asBefore(): boolean {
    const written = this.#written;
    if (written === null || written.length !== this.#rank) return false;
    for (let i = 0; i < written.length; i++) if (written[i] !== dims[i]) return false;
    return true;
  }

  /** The rest of a list whose bracket is read. */
  #list(reader: JsonReader, depth: number): void {
    if (depth >= maxDepth) throw new PotorooError('malformed_body', `The JSON nests deeper than ${maxDepth} at byte ${reader.at}.`);
    if (depth >= touched) touched = depth + 1;
    const c = reader.peek();
    let length = 0;
    if (c === 91) {
      do {
        if (reader.peek() !== 91) throw this.#uneven(reader);
        reader.at++;
        this.#list(reader, depth + 1);
        length++;
      } while (reader.more(93, 'a comma or the end of the list'));
    } else {
      if (this.#rank === -1) this.#rank = depth + 1;
      else if (this.#rank !== depth + 1) throw this.#uneven(reader);
      const before = this.count;
      if (c === 93) reader.at++;
      else this.#elements(reader);
      length = this.count - before;
    }
    const known = dims[depth]!;
    if (known === -1) dims[depth] = length;
    else if (known !== length) throw wrongShape(this.field.name, this.field, `lists of ${known} and of ${length} beside each other`, this.#place);
  }

  /** An element where a list should be, or the other way round; unless it is not JSON at all. */
  #uneven(reader: JsonReader): PotorooError {
    reader.value();
    return wrongShape(this.field.name, this.field, 'lists and values beside each other', this.#place);
  }

  #elements(reader: JsonReader): void {
    const { type } = this.field;
    const numeric = type !== 'bool' && type !== 'string';
    for (;;) {
      if (numeric && readNumbers(reader, this, false)) return;
      this.#odd(reader);
      if (!reader.more(93, 'a comma or the end of the list')) return;
    }
  }

  /** One element that stands alone. */
  #element(reader: JsonReader): void {
    const { type } = this.field;
    if (type === 'bool' || type === 'string' || !readNumbers(reader, this, true)) this.#odd(reader);
  }

  /** One element that `readNumbers` does not take: booleans, strings, null, the floats that are not numbers, and what is wrong. */
  #odd(reader: JsonReader): void {
    const { type } = this.field;
    const c = reader.peek();
    if (this.count === this.capacity) this.grow(reader);
    if (c === 110 && reader.literal('null')) return this.#null();
    if (type === 'string' && c === 34) return this.#string(reader);
    if (type === 'bool') {
      const value = c === 116 && reader.literal('true');
      if (value || (c === 102 && reader.literal('false'))) {
        this.#bytes![this.count++] = value ? 1 : 0;
        return;
      }
    }
    if (isFloat(type)) {
      const value = reader.special();
      if (value !== undefined) return this.#push(value);
    }
    const found = reader.value();
    const kind = found === null || typeof found === 'boolean' ? String(found) : typeof found === 'string' ? `the string ${quote(found)}`
      : Array.isArray(found) ? 'a list beside a value' : found instanceof Map ? 'an object' : `the number ${String(found)}`;
    throw wrongShape(this.field.name, this.field, kind, this.#place);
  }

  /** Appends the first `n` of these, for which there is room: float32s where `f32` is, otherwise doubles. */
  take(values: Float32Array | Float64Array, n: number): void {
    const target = this.f32 ?? this.f64!;
    const { count } = this;
    if (n > 64) target.set(values.subarray(0, n), count);
    else for (let i = 0; i < n; i++) target[count + i] = values[i]!;
    this.count = count + n;
  }

  #push(value: number): void {
    if (this.f32) this.f32[this.count++] = value;
    else this.f64![this.count++] = value;
  }

  #null(): void {
    const { type, nullable } = this.field;
    // pandas writes NaN as null: in a float column null is NaN.
    if (isFloat(type)) return this.#push(NaN);
    if (!nullable || this.#rank === 0 && this.field.shape.length > 0) throw nullNotAllowed(this.field, this.#place);
    (this.#nulls ??= []).push(this.count);
    if (type === 'string') this.#ends![this.count + 1] = this.#used;
    this.count++;
  }

  #string(reader: JsonReader): void {
    const start = reader.at;
    let source = reader.bytes;
    let from = start + 1;
    let to: number;
    if (reader.scanString()) to = reader.at - 1;
    else {
      reader.at = start;
      source = encoder.encode(reader.string());
      from = 0;
      to = source.length;
    }
    const used = this.#used;
    const end = used + to - from;
    if (this.#bytes === null || end > this.#bytes.length) {
      // All strings together are no longer than the text.
      const grown = new Uint8Array(Math.max(end, Math.min(reader.end, 2 * end), 64));
      if (this.#bytes) grown.set(this.#bytes);
      this.#bytes = grown;
    }
    const target = this.#bytes;
    if (to - from < 64) for (let i = from, k = used; i < to; i++, k++) target[k] = source[i]!;
    else target.set(source.subarray(from, to), used);
    this.#ends![++this.count] = this.#used = end;
  }

  /** A whole number below 2^53, already read. The optimizer makes no BigInt of it. */
  whole(value: number): void {
    if (value < 0 && this.field.type === 'uint64') throw this.outOfRange(String(value));
    this.#wide![this.count++] = BigInt(value);
  }

  /** A 64-bit integer in full: of any length, or written with a fraction or an exponent that leave it whole. */
  exactInteger(reader: JsonReader): void {
    const text = reader.number();
    const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)!;
    const shift = Number(exponent) - fraction.length;
    const digits = whole + fraction;
    const zero = /^0*$/.test(digits);
    if (!zero && (Math.abs(shift) > 400 || digits.length > 800)) throw this.outOfRange(text);
    let value = zero ? 0n : BigInt(digits);
    if (shift > 0) value *= 10n ** BigInt(shift);
    else if (shift < 0 && !zero) {
      const divisor = 10n ** BigInt(-shift);
      if (value % divisor !== 0n) throw this.outOfRange(text);
      value /= divisor;
    }
    if (sign) value = -value;
    const [low, high] = this.field.type === 'uint64' ? [0n, 2n ** 64n - 1n] : [-(2n ** 63n), 2n ** 63n - 1n];
    if (value < low || value > high) throw this.outOfRange(text);
    this.#wide![this.count++] = value;
  }

  outOfRange(text: string): PotorooError {
    const { name, type } = this.field;
    const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
    return new PotorooError('value_out_of_range', `Column ${quote(name)}, row ${this.#place}: ${shown} is not a value of ${type}.`, { fields: [{ field: name, message: `${shown} is not a value of ${type}` }] });
  }

  /** Fits the shape of the row just read to the declared one, and to the rows before it. */
  #settle(): void {
    const written: number[] = [];
    for (let i = 0; i < this.#rank; i++) written.push(dims[i]!);
    const shape = fitShape(this.field.shape, written);
    if (!shape) throw wrongShape(this.field.name, this.field, shapeText(written), this.#place);
    if (this.#written && !equalShapes(shape, this.#shape)) throw wrongShape(this.field.name, this.field, `${shapeText(written)} where the rows before have ${shapeText(this.#written)}: all rows of a request need one length`, this.#place);
    this.#written = written;
    this.#shape = shape;
  }

  /** What was read as a column. */
  column(): TensorColumn {
    const { name, type } = this.field;
    const size = this.#rowSize || sizeOf(this.#shape);
    let nulls: Uint8Array | undefined;
    if (this.#nulls) {
      nulls = new Uint8Array(this.count);
      for (const i of this.#nulls) nulls[i] = 1;
    }
    return { kind: 'tensor', name, type, shape: this.#shape, values: this.#values(size, nulls), ...(nulls && { nulls }) };
  }

  #values(size: number, nulls: Uint8Array | undefined): Values {
    const { name, type } = this.field;
    const n = this.count;
    if (type === 'string') return { offsets: (this.#ends ?? new Int32Array(1)).subarray(0, n + 1), bytes: (this.#bytes ?? new Uint8Array(0)).subarray(0, this.#used) } satisfies Utf8;
    if (type === 'float32') return trim(this.f32, Float32Array, n);
    if (type === 'bool') return trim(this.#bytes, Uint8Array, n);
    if (type === 'uint64') return trim(this.#wide as BigUint64Array | null, BigUint64Array, n);
    if (isWide(type)) return trim(this.#wide as BigInt64Array | null, BigInt64Array, n);
    return cast(trim(this.f64, Float64Array, n), 'float64', type, { column: name, size, nulls });
  }
}

function trim<T extends Float32Array | Float64Array | Uint8Array | BigInt64Array | BigUint64Array>(values: T | null, Type: new (length: number) => T, length: number): T {
  if (!values) return new Type(0);
  return (values.length === length ? values : values.subarray(0, length)) as T;
}

function shapeText(shape: readonly number[]): string {
  if (shape.length === 0) return 'a lone value';
  return shape.length === 1 ? `a list of ${shape[0]}` : `lists of shape [${shape.join(',')}]`;
}
