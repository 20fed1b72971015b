const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const words = new Uint32Array(f64.buffer);

/** The number that 16 bits of IEEE half precision stand for. */
export function halfToNumber(half: number): number {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  bits[0] = ((half & 0x8000) << 16) | ((exponent + 112) << 23) | (fraction << 13);
  return f32[0]!;
}

/** The nearest half precision bits, ties to even; what is too large becomes infinity. */
export function numberToHalf(value: number): number {
  if (value !== value) return 0x7e00;
  f64[0] = value;
  const sign = (words[1]! >>> 16) & 0x8000;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  // Below 2^-14 halves are evenly spaced, 2^-24 apart; above, 2^10 steps an octave.
  const step = size < 2 ** -14 ? 2 ** -24 : 2 ** (((words[1]! >>> 20) & 0x7ff) - 1023 - 10);
  const steps = size / step;
  const down = Math.floor(steps);
  const rest = steps - down;
  const rounded = rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
  if (size < 2 ** -14) return sign | rounded;
  const exponent = ((words[1]! >>> 20) & 0x7ff) - 1023 + 15;
  return sign | ((exponent << 10) + (rounded - 1024));
}
