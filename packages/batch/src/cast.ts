import { PotorooError, type ElementType } from '@potoroo/contract/plain';
import { allocate, type NumericValues, type Utf8, type Values } from './batch.ts';
import { halfToNumber, numberToHalf } from './float16.ts';
import { quote } from './shapes.ts';

const ranges: Partial<Record<ElementType, readonly [number, number]>> = {
  int8: [-128, 127], int16: [-32768, 32767], int32: [-2147483648, 2147483647], uint8: [0, 255], uint16: [0, 65535], uint32: [0, 4294967295],
};
const wide: Partial<Record<ElementType, readonly [bigint, bigint]>> = {
  int64: [-(2n ** 63n), 2n ** 63n - 1n], uint64: [0n, 2n ** 64n - 1n], timestamp: [-(2n ** 63n), 2n ** 63n - 1n],
};
/** Beyond this a double becomes infinite as a float32. */
const float32Limit = 2 ** 128 - 2 ** 103;
const float16Limit = 65520;

export function isFloat(type: ElementType): type is 'float16' | 'float32' | 'float64' {
  return type === 'float16' || type === 'float32' || type === 'float64';
}

/** Whether values of one type may become another at all: numbers among themselves, 64-bit integers and timestamps, nothing else. */
export function castable(from: ElementType, to: ElementType): boolean {
  if (from === to) return true;
  if (from === 'string' || to === 'string' || from === 'bool' || to === 'bool') return false;
  if (from === 'timestamp') return to === 'int64' || to === 'uint64';
  if (to === 'timestamp') return !isFloat(from);
  return true;
}

/** One row's worth of elements, so that an error can name the row. */
interface Place { readonly column: string; readonly size: number; readonly nulls?: Uint8Array | undefined }

function outOfRange(value: number | bigint, to: ElementType, place: Place, i: number): PotorooError {
  const row = place.size > 0 ? Math.floor(i / place.size) : 0;
  const integral = typeof value === 'bigint' || Number.isInteger(value);
  const fix = isFloat(to) ? 'it is too large for the type' : integral ? 'it is outside the range of the type' : 'the type holds whole numbers only';
  return new PotorooError('value_out_of_range', `Column ${quote(place.column)}, row ${row}: ${String(value)} cannot be ${to}, ${fix}.`, { fields: [{ field: place.column, message: `${String(value)} is not a value of ${to}` }] });
}

/**
 * Values as another type, for pairs that `castable` allows. Integers must fit, floats that become integers must be whole;
 * floats and integers that become floats are rounded to the nearest, and must not become infinite by it.
 * @throws value_out_of_range naming column, row and value
 */
export function cast(values: Values, from: ElementType, to: ElementType, place: Place): Values {
  if (from === to) return values;
  const source = values as Exclude<Values, Utf8>;
  const n = source.length;
  const { nulls } = place;
  if (to === 'string' || from === 'string') throw new PotorooError('internal', `Cannot cast ${from} to ${to}.`);
  if (source instanceof BigInt64Array || source instanceof BigUint64Array) {
    const range = wide[to];
    const target = allocate(to, n);
    if (range) {
      const [low, high] = range;
      for (let i = 0; i < n; i++) {
        const v = source[i]!;
        if (nulls?.[i]) continue;
        if (v < low || v > high) throw outOfRange(v, to, place, i);
        (target as BigInt64Array)[i] = v;
      }
      return target;
    }
    const doubles = new Float64Array(n);
    const narrow = ranges[to];
    for (let i = 0; i < n; i++) {
      if (nulls?.[i]) continue;
      const v = Number(source[i]!);
      if (narrow && (v < narrow[0] || v > narrow[1])) throw outOfRange(source[i]!, to, place, i);
      doubles[i] = v;
    }
    return fromNumbers(doubles, to, place);
  }
  if (from === 'float16') {
    const doubles = new Float64Array(n);
    for (let i = 0; i < n; i++) doubles[i] = halfToNumber((source as Uint16Array)[i]!);
    return fromNumbers(doubles, to, place);
  }
  return fromNumbers(source as Exclude<NumericValues, BigInt64Array | BigUint64Array>, to, place);
}

function fromNumbers(source: Exclude<NumericValues, BigInt64Array | BigUint64Array>, to: Exclude<ElementType, 'string'>, place: Place): NumericValues {
  if (to === 'float64' && source instanceof Float64Array) return source;
  const n = source.length;
  const { nulls } = place;
  const target = allocate(to, n);
  if (to === 'float64') (target as Float64Array).set(source);
  else if (to === 'float32') {
    (target as Float32Array).set(source);
    if (source instanceof Float64Array) checkFinite(source, float32Limit, to, place);
  } else if (to === 'float16') {
    for (let i = 0; i < n; i++) (target as Uint16Array)[i] = numberToHalf(source[i]!);
    checkFinite(source, float16Limit, to, place);
  } else if (wide[to]) {
    const [low, high] = wide[to];
    for (let i = 0; i < n; i++) {
      if (nulls?.[i]) continue;
      const v = source[i]!;
      if (!Number.isInteger(v)) throw outOfRange(v, to, place, i);
      const big = BigInt(v);
      if (big < low || big > high) throw outOfRange(big, to, place, i);
      (target as BigInt64Array)[i] = big;
    }
  } else {
    const [low, high] = ranges[to]!;
    for (let i = 0; i < n; i++) {
      if (nulls?.[i]) continue;
      const v = source[i]!;
      if (v !== Math.trunc(v) || v < low || v > high) throw outOfRange(v, to, place, i);
      target[i] = v;
    }
  }
  return target;
}

function checkFinite(source: ArrayLike<number>, limit: number, to: ElementType, place: Place): void {
  for (let i = 0; i < source.length; i++) {
    const v = source[i]!;
    // NaN and infinities are themselves in every float type.
    if ((v >= limit || v <= -limit) && v !== Infinity && v !== -Infinity && !place.nulls?.[i]) throw outOfRange(v, to, place, i);
  }
}
