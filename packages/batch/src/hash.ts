const encoder = new TextEncoder();
const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/**
 * MurmurHash3 (x86, 32 bits, seed 0) of a text's UTF-8. The same on every machine and in every version: assignments to models depend on it.
 */
export function hash32(text: string): number {
  const bytes = encoder.encode(text);
  return hashBytes(bytes, 0, bytes.length);
}

const mix = (k: number): number => Math.imul(rotate(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);

/** The same of the bytes `from .. to`. */
function hashBytes(bytes: Uint8Array, from: number, to: number): number {
  let h = 0;
  const length = to - from;
  const whole = from + (length & ~3);
  for (let i = from; i < whole; i += 4) {
    const k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    h = (Math.imul(rotate(h ^ mix(k), 13), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let i = to - 1; i >= whole; i--) tail = (tail << 8) | bytes[i]!;
  if (whole < to) h ^= mix(tail);
  h ^= length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A text's place in [0, 1), the same everywhere. */
export const unitHash = (text: string): number => hash32(text) / 0x1_0000_0000;
/** The same of a text that lies in these bytes. */
export const unitHashOf = (bytes: Uint8Array, from: number, to: number): number => hashBytes(bytes, from, to) / 0x1_0000_0000;
