import { crc32 } from 'node:zlib';

const wholeBytes = 16 * 1024;
const pageBytes = 4096;
const sampleBytes = 16;

/**
 * Checksum of a frame: the CRC-32 of its header and of the first 16 KiB of its payload, mixed with 16 bytes of every 4 KiB
 * after that and with the last 16. What breaks frames loses whole pages (a power cut) or all from some place on (a process
 * killed within a write), and both show there: a large batch need not be read once more.
 */
export class Checksum {
  readonly #length: number;
  #crc: number;
  #mix = 0x811c9dc5;
  #at = 0;

  /** @param header the bytes of the frame header before the checksum; they end with the payload's length */
  constructor(header: Uint8Array) {
    this.#length = new DataView(header.buffer, header.byteOffset).getUint32(8, true);
    this.#crc = crc32(header);
  }

  /** The next bytes of the payload. */
  add(part: Uint8Array): this {
    let i = 0;
    if (this.#at < wholeBytes) {
      i = Math.min(part.length, wholeBytes - this.#at);
      this.#crc = crc32(i === part.length ? part : part.subarray(0, i), this.#crc);
      this.#at += i;
    }
    const last = this.#length - sampleBytes;
    while (i < part.length) {
      const inPage = this.#at % pageBytes;
      const sampled = inPage < sampleBytes || this.#at >= last;
      let next = this.#at - inPage + (inPage < sampleBytes ? sampleBytes : pageBytes);
      if (this.#at < last) next = Math.min(next, last);
      const end = Math.min(part.length, i + next - this.#at);
      this.#at += end - i;
      if (sampled) for (; i < end; i++) this.#mix = Math.imul(this.#mix ^ (part[i] as number), 0x01000193); // FNV-1a
      else i = end;
    }
    return this;
  }

  get value(): number {
    return (this.#at > wholeBytes ? this.#crc ^ this.#mix : this.#crc) >>> 0;
  }
}
