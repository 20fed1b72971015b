/**
 * Writes flatbuffers front to back: a table's own bytes first, what it refers to behind it. Offsets therefore lead forward,
 * as the format demands, and the places of numbers are known, so that a finished message can serve as a template.
 */
export class FlatbufferBuilder {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #at = 4;

  /** The root is the first table written. */
  finish(): Uint8Array {
    this.#view.setUint32(0, this.#root, true);
    return this.#bytes.slice(0, this.#at);
  }

  #root = 0;

  #take(size: number, align: number, ahead = 0): number {
    const at = Math.ceil((this.#at + ahead) / align) * align - ahead;
    if (at + size > this.#bytes.length) {
      const grown = new Uint8Array(2 * (at + size));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#at = at + size;
    return at;
  }

  /** Writes a table: its vtable, its fields, then what they refer to. Absent fields are left out. @returns where it lies */
  table(slots: readonly (Slot | undefined)[]): number {
    const offsets: number[] = [];
    let size = 4;
    // Wide fields first, so that alignment wastes nothing.
    for (const width of [8, 4, 2, 1]) {
      slots.forEach((s, i) => {
        if (!s || s.size !== width) return;
        size = Math.ceil(size / width) * width;
        offsets[i] = size;
        size += width;
      });
    }
    const vtable = this.#take(4 + 2 * slots.length, 2);
    const at = this.#take(size, 8);
    this.#root ||= at;
    this.#view.setUint16(vtable, 4 + 2 * slots.length, true);
    this.#view.setUint16(vtable + 2, size, true);
    slots.forEach((s, i) => { if (s) this.#view.setUint16(vtable + 4 + 2 * i, offsets[i]!, true); });
    this.#view.setInt32(at, at - vtable, true);
    slots.forEach((s, i) => {
      if (!s) return;
      const place = at + offsets[i]!;
      if ('target' in s) this.#refer(place, s.target());
      else if (s.size === 8) this.#view.setBigInt64(place, BigInt(s.value), true);
      else if (s.size === 4) this.#view.setInt32(place, s.value, true);
      else if (s.size === 2) this.#view.setInt16(place, s.value, true);
      else this.#view.setUint8(place, s.value);
      if ('seen' in s) s.seen?.(place);
    });
    return at;
  }

  /** Apart, because writing the target may have replaced the buffer. */
  #refer(place: number, target: number): void {
    this.#view.setUint32(place, target - place, true);
  }

  string(text: string): number {
    const bytes = encoder.encode(text);
    const at = this.#take(4 + bytes.length + 1, 4);
    this.#view.setUint32(at, bytes.length, true);
    this.#bytes.set(bytes, at + 4);
    return at;
  }

  /** A vector of what these write, each referred to from it. */
  vector(items: readonly (() => number)[]): number {
    const at = this.#take(4 + 4 * items.length, 4);
    this.#view.setUint32(at, items.length, true);
    items.forEach((item, i) => {
      const place = at + 4 + 4 * i;
      this.#refer(place, item());
    });
    return at;
  }

  /** A zeroed vector of structs of `size` bytes, 8-aligned; its first struct lies 4 bytes behind it. */
  structs(count: number, size: number): number {
    const at = this.#take(4 + count * size, 8, 4);
    this.#view.setUint32(at, count, true);
    return at;
  }
}

const encoder = new TextEncoder();

/** A field of a table: a number of so many bytes, or something written behind the table. */
export type Slot =
  | { readonly size: 1 | 2 | 4 | 8; readonly value: number; readonly seen?: (place: number) => void }
  | { readonly size: 4; readonly target: () => number };
export const i8 = (value: number): Slot => ({ size: 1, value });
export const i16 = (value: number): Slot => ({ size: 2, value });
export const i32 = (value: number): Slot => ({ size: 4, value });
export const i64 = (value: number, seen?: (place: number) => void): Slot => ({ size: 8, value, ...(seen && { seen }) });
export const ref = (target: () => number): Slot => ({ size: 4, target });
