import { crc32 } from 'node:zlib';
import { bad, frameHeaderBytes, kinds, magic, maxFrameBytes, type FrameKind } from './format.ts';

export interface RawFrame { readonly kind: FrameKind; readonly start: number; readonly end: number; readonly payload: Uint8Array }

/**
 * Walks the frames of a byte range. After the last good frame `next` gives undefined, `position` is where that frame ended and
 * `torn` says why it stopped there: undefined at a clean end, else one sentence. Where the bytes merely end too early, `wanted` is how
 * many are needed from `position` on to go further.
 */
export class FrameReader {
  position: number;
  torn: string | undefined;
  wanted = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, from = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = from;
  }

  next(): RawFrame | undefined {
    const start = this.position;
    const left = this.#bytes.length - start;
    if (left <= 0 || this.torn !== undefined) return undefined;
    if (left < frameHeaderBytes) return this.#stop(`The bytes end inside a frame header at byte ${start}.`, frameHeaderBytes);
    const kind = this.#view.getUint32(start + 4, true);
    const length = this.#view.getUint32(start + 8, true);
    if (this.#view.getUint32(start, true) !== magic) return this.#stop(`There is no frame at byte ${start}.`);
    if ((kind !== kinds.schema && kind !== kinds.rows) || length % 8 !== 0 || length > maxFrameBytes) return this.#stop(`The frame header at byte ${start} is damaged.`);
    const end = start + frameHeaderBytes + length;
    if (end > this.#bytes.length) return this.#stop(`The bytes end inside the frame at byte ${start}.`, end - start);
    const payload = this.#bytes.subarray(start + frameHeaderBytes, end);
    if (this.#view.getUint32(start + 12, true) !== crc32(payload, crc32(this.#bytes.subarray(start, start + 12)))) {
      return this.#stop(`The frame at byte ${start} is damaged: its checksum is wrong.`);
    }
    this.position = end;
    return { kind: kind === kinds.schema ? 'schema' : 'rows', start, end, payload };
  }

  #stop(why: string, wanted = 0): undefined {
    this.torn = why;
    this.wanted = wanted;
  }
}

/** Row offsets that a rows frame covers, without decoding it. */
export function rowRange(payload: Uint8Array): { from: number; to: number } {
  if (payload.length < 24) throw bad('it is too short');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const from = view.getFloat64(0, true);
  const to = from + view.getUint32(8, true);
  if (!Number.isSafeInteger(from) || from < 0 || !Number.isSafeInteger(to)) throw bad('its row offset is not a whole number');
  return { from, to };
}
