import { PotorooError } from '@potoroo/contract/plain';

export function malformed(what: string): PotorooError {
  return new PotorooError('malformed_body', `The Arrow data cannot be read: ${what}.`);
}

/**
 * Untrusted flatbuffer bytes. Every read is checked against them; offsets only lead forward, so that a chain of tables ends.
 */
export class Flatbuffer {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** Offsets may share a table or a string any number of times; reading them may not cost much more than the bytes do. */
  #tables: number;
  #text: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#tables = 64 + (bytes.length >> 2);
    this.#text = 1024 + 4 * bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  root(): Table {
    return new Table(this, this.follow(0));
  }

  countTables(n: number): void {
    if ((this.#tables -= n) < 0) throw malformed('its metadata refers to more tables than it has room for');
  }

  check(at: number, size: number): number {
    if (!(at >= 0 && at + size <= this.#bytes.length)) throw malformed('its metadata points outside itself');
    return at;
  }

  u8(at: number): number { return this.#view.getUint8(this.check(at, 1)); }
  u16(at: number): number { return this.#view.getUint16(this.check(at, 2), true); }
  i16(at: number): number { return this.#view.getInt16(this.check(at, 2), true); }
  i32(at: number): number { return this.#view.getInt32(this.check(at, 4), true); }
  u32(at: number): number { return this.#view.getUint32(this.check(at, 4), true); }

  /** 64 bits that are a size, a count or an offset: not negative and exact as a number. */
  size(at: number): number {
    this.check(at, 8);
    const high = this.#view.getInt32(at + 4, true);
    if (high < 0 || high > 0x1fffff) throw malformed('a length or offset in its metadata is negative or absurd');
    return high * 4294967296 + this.#view.getUint32(at, true);
  }

  i64(at: number): bigint { return this.#view.getBigInt64(this.check(at, 8), true); }

  follow(at: number): number {
    const offset = this.u32(at);
    if (offset === 0) throw malformed('an offset in its metadata is zero');
    return this.check(at + offset, 4);
  }

  string(at: number): string {
    const length = this.u32(at);
    this.check(at + 4, length);
    if ((this.#text -= length) < 0) throw malformed('its metadata refers to more text than it has room for');
    return text.decode(this.#bytes.subarray(at + 4, at + 4 + length));
  }
}

const text = new TextDecoder();

/** One table: fields by their slot, absent ones as the default. */
export class Table {
  readonly #at: number;
  readonly #vtable: number;
  readonly #slots: number;
  readonly fb: Flatbuffer;

  constructor(fb: Flatbuffer, at: number) {
    this.fb = fb;
    fb.countTables(1);
    this.#at = at;
    this.#vtable = fb.check(at - fb.i32(at), 4);
    const size = fb.u16(this.#vtable);
    fb.check(this.#vtable, size);
    this.#slots = (size - 4) >> 1;
  }

  /** Where a field lies; 0 where it is absent. */
  field(slot: number): number {
    if (slot >= this.#slots) return 0;
    const offset = this.fb.u16(this.#vtable + 4 + 2 * slot);
    return offset === 0 ? 0 : this.#at + offset;
  }

  u8(slot: number, absent = 0): number { const at = this.field(slot); return at ? this.fb.u8(at) : absent; }
  bool(slot: number): boolean { return this.u8(slot) !== 0; }
  i16(slot: number, absent = 0): number { const at = this.field(slot); return at ? this.fb.i16(at) : absent; }
  i32(slot: number, absent = 0): number { const at = this.field(slot); return at ? this.fb.i32(at) : absent; }
  size(slot: number): number { const at = this.field(slot); return at ? this.fb.size(at) : 0; }
  i64(slot: number): bigint { const at = this.field(slot); return at ? this.fb.i64(at) : 0n; }
  string(slot: number): string { const at = this.field(slot); return at ? this.fb.string(this.fb.follow(at)) : ''; }

  table(slot: number): Table | undefined {
    const at = this.field(slot);
    return at ? new Table(this.fb, this.fb.follow(at)) : undefined;
  }

  /** A vector of structs or scalars of `size` bytes: where the first one lies, and how many there are. */
  vector(slot: number, size: number): { at: number; length: number } {
    const field = this.field(slot);
    if (!field) return { at: 0, length: 0 };
    const start = this.fb.follow(field);
    const length = this.fb.u32(start);
    this.fb.check(start + 4, length * size);
    return { at: start + 4, length };
  }

  tables(slot: number): Table[] {
    const { at, length } = this.vector(slot, 4);
    const list: Table[] = [];
    for (let i = 0; i < length; i++) list.push(new Table(this.fb, this.fb.follow(at + 4 * i)));
    return list;
  }
}
