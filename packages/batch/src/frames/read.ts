import { Checksum } from './checksum.ts';
import { bad, frameHeaderBytes, rowsHeadBytes, kinds, magic, maxFrameBytes, type FrameKind } from './format.ts';

export interface RawFrame { readonly kind: FrameKind; readonly start: number; readonly end: number; readonly payload: Uint8Array }

/**
 * Walks the frames of a byte range, up to rows that are older than those before them: a spool file may be written over an old one,
 * whose rows then lie behind its end. After the last good frame `next` gives undefined, `position` is where that frame ended and
 * `torn` says why it stopped there: undefined at a clean end, else one sentence. Where the bytes merely end too early, `wanted` is how
 * many are needed from `position` on to go further.
 */
export class FrameReader {
  position: number;
  torn: string | undefined;
  wanted = 0;
  /** Offset after the last row so far. */
  endRow: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  /** @param endRow offset after the rows that came before these bytes */
  constructor(bytes: Uint8Array, from = 0, endRow = 0) {
    this.endRow = endRow;
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
    if (this.#view.getUint32(start + 12, true) !== new Checksum(this.#bytes.subarray(start, start + 12)).add(payload).value) {
      return this.#stop(`The frame at byte ${start} is damaged: its checksum is wrong.`);
    }
    if (kind === kinds.rows && length >= rowsHeadBytes) {
      const from = this.#view.getFloat64(start + frameHeaderBytes, true);
      if (from >= 0 && from < this.endRow) return undefined;
      this.endRow = from + this.#view.getUint32(start + frameHeaderBytes + 8, true);
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
  if (payload.length < rowsHeadBytes) throw bad('it is too short');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const from = view.getFloat64(0, true);
  const to = from + view.getUint32(8, true);
  if (!Number.isSafeInteger(from) || from < 0 || !Number.isSafeInteger(to)) throw bad('its row offset is not a whole number');
  return { from, to };
}
