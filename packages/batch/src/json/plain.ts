import { slack, tens } from './double.ts';
import type { JsonReader } from './reader.ts';
import type { Sink } from './sink.ts';
import { assemble, block, double, either, f32, f64, go, goIf, i16x8, i32, i32x4, i64, i8x16, int, load, long, loop, set, store, v128, vector, when, type Code } from './wasm.ts';

/*
 * The quick way through lists of floats, in WebAssembly: where a number ends is found in 32 bytes at a time, and its digits are
 * put together in a few steps, so that nothing has to be guessed from byte to byte. It reads plain numbers, which nearly all are,
 * and stops in front of anything else; `readNumbers`, which knows all of them, goes on from there, and does all of the work
 * where there is no WebAssembly with vectors.
 *
 * Memory: where it stopped, the powers of ten, a window of the text with zeros behind it, and the numbers read.
 */
const tensAt = 16;
const textAt = 256;
const numbersAt = 65_536;
const windowBytes = numbersAt - textAt - 64;
const room = 8192;
/** With less of the window left than this, the next one is taken. */
const margin = 64;

/** Reads the numbers from `at` on and gives how many. The first four bytes of memory tell where the comma or the bracket after the last one ends. */
const program = (): Uint8Array => assemble(2, (parameter, local) => {
  const at = parameter();
  const limit = parameter();
  const wide = parameter();
  const count = local('i32');
  const done = local('i32');
  const c = local('i32');
  const minus = local('i32');
  const others = local('i32');
  const whole = local('i32');
  const end = local('i32');
  const point = local('i32');
  const i = local('i32');
  const bytes = local('v128');
  const lanes = local('v128');
  const mantissa = local('i64');
  const value = local('f64');
  // Digits become the ten largest signed bytes.
  const isNoDigit = (sixteen: Code): Code => i8x16.bitmask(i8x16.lt(i8x16.add(sixteen, i8x16.splat(int(70))), i8x16.splat(int(118))));
  return [loop(
    set(done, at),
    block(
      goIf(0, i32.ge(count, int(room))),
      set(c, load.byte(at)),
      when(i32.le(c, int(32)), [loop(
        when(i32.or(i32.or(i32.eq(c, int(32)), i32.eq(c, int(10))), i32.or(i32.eq(c, int(13)), i32.eq(c, int(9)))), [set(at, i32.add(at, int(1))), set(c, load.byte(at)), go(1)]),
      )]),
      set(minus, i32.eq(c, int(45))),
      // A bit for each of 32 bytes that is no digit, but for a minus at their start, which is read as a leading zero.
      set(bytes, load.v128(at)),
      set(others, i32.xor(i32.or(isNoDigit(bytes), i32.shl(isNoDigit(load.v128(at, 16)), int(16))), minus)),
      // Where the digits before the point end, and the number.
      set(whole, i32.ctz(others)),
      set(end, whole),
      set(point, i32.eq(load.byte(i32.add(at, whole)), int(46))),
      when(point, [set(end, i32.ctz(i32.and(others, i32.sub(others, int(1)))))]),
      // Not for this: no digit at all, none after the point, too many, zeros in front, or cut off by the window.
      goIf(0, i32.or(i32.eq(whole, minus), i32.eq(i32.sub(end, whole), int(1)))),
      goIf(0, i32.or(i32.gt(whole, int(15)), i32.gt(end, int(23)))),
      goIf(0, i32.and(i32.gt(i32.sub(whole, minus), int(1)), i32.eq(load.byte(i32.add(at, minus)), int(48)))),
      goIf(0, i32.ge(i32.add(at, end), limit)),
      // The digits of the first sixteen bytes, pushed to the right end and over the point: a lane takes the byte that its index says, 0 where that is outside.
      set(i, i32.sub(either(i32.lt(end, int(16)), end, int(16)), point)),
      set(lanes, i8x16.sub(vector(Uint8Array.from({ length: 16 }, (_, k) => k)), i8x16.splat(i32.sub(int(16), i)))),
      set(lanes, i8x16.sub(lanes, i8x16.ge(lanes, i8x16.splat(whole)))),
      set(bytes, i8x16.swizzle(i8x16.subToZero(bytes, i8x16.splat(int(48))), lanes)),
      // Sixteen digits to eight pairs, four fours, two eights, one.
      set(bytes, i16x8.add(i16x8.mul(v128.and(bytes, i16x8.splat(int(255))), i16x8.splat(int(10))), i16x8.shiftRight(bytes, int(8)))),
      set(bytes, i16x8.dot(bytes, vector(Int16Array.of(100, 1, 100, 1, 100, 1, 100, 1)))),
      set(bytes, i16x8.dot(i16x8.narrow(bytes, bytes), vector(Int16Array.of(10_000, 1, 10_000, 1, 10_000, 1, 10_000, 1)))),
      set(mantissa, i64.add(i64.mul(i64.from32(i32x4.lane(bytes, 0)), long(100_000_000n)), i64.from32(i32x4.lane(bytes, 1)))),
      set(value, f64.from64(mantissa)),
      when(i32.gt(end, int(16)), [set(i, int(16)), loop(
        set(value, f64.add(f64.mul(value, double(10)), f64.from32(i32.sub(load.byte(i32.add(at, i)), int(48))))),
        set(i, i32.add(i, int(1))),
        goIf(0, i32.lt(i, end)),
      )]),
      // A mantissa that a double holds and a power of ten that it holds: one division rounds correctly. For a longer one the error must not matter.
      set(value, f64.div(value, load.f64(i32.shl(i32.sub(i32.sub(end, whole), point), int(3)), tensAt))),
      when(i32.or(i32.gt(end, int(16)), i64.gt(mantissa, long(2n ** 53n))), [
        goIf(1, wide),
        goIf(1, f32.ne(f32.round(f64.mul(value, double(1 - slack))), f32.round(f64.mul(value, double(1 + slack))))),
      ]),
      set(value, f64.ofBits(i64.or(i64.bitsOf(value), i64.shl(i64.from32(minus), long(63n))))),
      when(wide, [store.f64(i32.shl(count, int(3)), value, numbersAt)], [store.f32(i32.shl(count, int(2)), f32.round(value), numbersAt)]),
      set(at, i32.add(at, end)),
      set(c, load.byte(at)),
      set(at, i32.add(at, int(1))),
      when(i32.eq(c, int(44)), [set(count, i32.add(count, int(1))), go(2)]),
      when(i32.eq(c, int(93)), [set(count, i32.add(count, int(1))), set(done, at)]),
    ),
  ), store.i32(int(0), done), count].flat();
});

interface Reading {
  run(at: number, limit: number, wide: number): number;
  /** Where the last run stopped. */
  done: Int32Array;
  text: Uint8Array;
  float32s: Float32Array;
  float64s: Float64Array;
}

/** What the window holds: which reader's text, from where to where. */
const window = { reader: 0, from: 0, to: 0 };
let reading: Reading | null | undefined;

/** Null where a processor, or a page's rules, do not let WebAssembly have its way. */
function start(): Reading | null {
  try {
    const { run, memory } = new WebAssembly.Instance(new WebAssembly.Module(program())).exports as unknown as { run: Reading['run']; memory: { buffer: ArrayBuffer } };
    const { buffer } = memory;
    new Float64Array(buffer, tensAt).set(tens);
    return { run, done: new Int32Array(buffer, 0, 1), text: new Uint8Array(buffer, textAt, windowBytes), float32s: new Float32Array(buffer, numbersAt, room), float64s: new Float64Array(buffer, numbersAt, room) };
  } catch {
    return null;
  }
}

/**
 * Reads elements of a list of floats, or of what is read as doubles, for as long as they are plain numbers.
 * @returns true after the closing bracket; false in front of an element that is left to `readNumbers`
 */
export function readPlain(reader: JsonReader, sink: Sink): boolean {
  if (reading === undefined) reading = start();
  if (reading === null || !sink.plain) return false;
  const { bytes, end } = reader;
  const wide = sink.field.type !== 'float32';
  for (;;) {
    const { at } = reader;
    if (window.reader !== reader.id || at < window.from || (at + margin > window.to && window.to < end)) {
      window.reader = reader.id;
      window.from = at;
      window.to = Math.min(end, at + windowBytes);
      reading.text.set(bytes.subarray(at, window.to));
    }
    const shift = textAt - window.from;
    const n = reading.run(at + shift, window.to + shift, wide ? 1 : 0);
    if (n === 0) {
      // Doubles are often written in full, and a column that begins so goes on so: that is not for this.
      if (wide && sink.count === 0) sink.plain = false;
      return false;
    }
    if (sink.count + n > sink.capacity) sink.grow(reader, n);
    sink.take(wide ? reading.float64s : reading.float32s, n);
    reader.at = reading.done[0]! - shift;
    if (bytes[reader.at - 1] === 93) return true;
    if (n < room && reader.at + margin <= window.to) return false;
  }
}

/** As much as is used here of what every JavaScript engine has, and the types of Node lack. */
declare const WebAssembly: { Module: new (bytes: Uint8Array) => object; Instance: new (module: object) => { exports: object } };
