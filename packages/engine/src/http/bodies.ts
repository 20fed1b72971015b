/** Buffers are kept by size in steps of this. */
const step = 16 * 1024;
/** Larger ones are not kept, and not more than this in all: an engine at rest should be small. */
const largest = 4 * 1024 * 1024;
const keptBytes = 8 * 1024 * 1024;
const free = new Map<number, ArrayBuffer[]>();
let kept = 0;

/**
 * Memory for a body of this length; not zeroed: nothing is served before it is full. It starts so that what follows a v2 header
 * in it (tensors) is aligned for any element.
 */
export function bodyBuffer(length: number, headerLength: number): Uint8Array {
  const offset = (8 - (headerLength % 8)) % 8;
  const size = Math.ceil((offset + length) / step) * step;
  const buffer = free.get(size)?.pop();
  if (buffer === undefined) return Buffer.allocUnsafeSlow(size).subarray(offset, offset + length);
  kept -= size;
  return Buffer.from(buffer, offset, length);
}

/** Gives a body's memory back. Nothing may look at the body, or at what was read from it without copying, any more. */
export function recycle(body: Uint8Array): void {
  const { buffer } = body;
  const size = buffer.byteLength;
  if (size % step !== 0 || size > largest || kept + size > keptBytes) return;
  const list = free.get(size);
  if (list === undefined) free.set(size, [buffer as ArrayBuffer]);
  else list.push(buffer as ArrayBuffer);
  kept += size;
}
