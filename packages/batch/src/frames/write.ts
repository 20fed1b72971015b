import { PotorooError } from '@potoroo/contract/plain';
import type { Column, Utf8 } from '../batch.ts';
import { Checksum } from './checksum.ts';
import { eachItsModel, frameHeaderBytes, kinds, magic, padded, type LogRequest, type LogRows, type LogSchema } from './format.ts';

/** Request ids come from clients; more of one than this is not worth keeping. */
const maxRequestId = 128;
/** Frames up to this size are copied together: cheaper than handing the kernel a list of buffers. */
const copyBelow = 16 * 1024;
const zeros = new Uint8Array(8);

/** Makes frames in a buffer of its own that it uses again and again. */
export class FrameEncoder {
  #bytes = new Uint8Array(64 * 1024);
  #u32 = new Uint32Array(this.#bytes.buffer);
  #f64 = new Float64Array(this.#bytes.buffer);
  #at = 0;
  #buffers: ArrayBufferView[] = [];

  /** A schema frame, in memory of its own. */
  schema(schema: LogSchema): Uint8Array {
    const json = Buffer.from(JSON.stringify(schema));
    // JSON allows trailing spaces, so the padding needs no length.
    const frame = Buffer.alloc(frameHeaderBytes + padded(json.length), ' ');
    json.copy(frame, frameHeaderBytes);
    const header = new DataView(frame.buffer, frame.byteOffset);
    [magic, kinds.schema, frame.length - frameHeaderBytes].forEach((value, i) => { header.setUint32(i * 4, value, true); });
    header.setUint32(12, new Checksum(frame.subarray(0, 12)).add(frame.subarray(frameHeaderBytes)).value, true);
    return frame;
  }

  /** A rows frame as parts to be written one after the other; large columns by reference. Valid until the next call. */
  rows(rows: LogRows): Uint8Array[] {
    this.#buffers.length = 0;
    this.#head(rows);
    const head = this.#at;
    let payload = head - frameHeaderBytes;
    for (const buffer of this.#buffers) payload += padded(buffer.byteLength);
    this.#u32[0] = magic;
    this.#u32[1] = kinds.rows;
    this.#u32[2] = payload;
    return payload <= copyBelow ? this.#copied(frameHeaderBytes + payload) : this.#referenced(head);
  }

  #copied(total: number): Uint8Array[] {
    this.#need(total - this.#at);
    for (const buffer of this.#buffers) {
      this.#bytes.set(bytesOf(buffer), this.#at);
      this.#at += buffer.byteLength;
      this.#pad();
    }
    this.#u32[3] = new Checksum(this.#bytes.subarray(0, 12)).add(this.#bytes.subarray(frameHeaderBytes, total)).value;
    return [this.#bytes.subarray(0, total)];
  }

  #referenced(head: number): Uint8Array[] {
    const parts: Uint8Array[] = [this.#bytes.subarray(0, head)];
    const checksum = new Checksum(this.#bytes.subarray(0, 12)).add(this.#bytes.subarray(frameHeaderBytes, head));
    const push = (part: Uint8Array): void => {
      checksum.add(part);
      parts.push(part);
    };
    for (const buffer of this.#buffers) {
      push(bytesOf(buffer));
      const rest = padded(buffer.byteLength) - buffer.byteLength;
      if (rest > 0) push(zeros.subarray(0, rest));
    }
    this.#u32[3] = checksum.value;
    return parts;
  }

  #head(rows: LogRows): void {
    this.#at = frameHeaderBytes;
    this.#need(24);
    this.#f64[this.#at / 8] = rows.firstRow;
    this.#u32[this.#at / 4 + 2] = rows.rows;
    this.#u32[this.#at / 4 + 3] = rows.requests.length;
    const { model } = rows;
    this.#u32[this.#at / 4 + 4] = typeof model === 'number' ? model : eachItsModel;
    if (typeof model !== 'number') this.#buffers.push(exactly(model, rows.rows));
    this.#at += 24;
    for (const request of rows.requests) this.#request(request);
    for (const column of rows.columns) {
      this.#number(column === undefined ? 0 : 1);
      if (column !== undefined) this.#column(column, rows.rows);
    }
    this.#pad();
    // Where the buffers begin, from the start of the payload.
    this.#u32[(frameHeaderBytes + 20) / 4] = this.#at - frameHeaderBytes;
  }

  #request(request: LogRequest): void {
    const elapsed = request.elapsedNs;
    this.#need(16 + elapsed.length * 8 + maxRequestId * 3 + 8);
    this.#u32[this.#at / 4] = request.rows;
    this.#f64[this.#at / 8 + 1] = Math.round(request.timeMs);
    const start = this.#at / 4 + 1;
    this.#at += 16;
    for (let i = 0; i < elapsed.length; i += 1) this.#f64[this.#at / 8 + i] = Math.round(elapsed[i]!);
    this.#at += elapsed.length * 8;
    const id = this.#text(request.requestId);
    this.#u32[start] = (id << 16) | elapsed.length;
    this.#at += id;
    this.#pad();
  }

  /** Writes at most `maxRequestId` characters; returns the bytes they took. */
  #text(text: string): number {
    const length = Math.min(text.length, maxRequestId);
    for (let i = 0; i < length; i += 1) {
      const code = text.charCodeAt(i);
      if (code > 127) return Buffer.from(this.#bytes.buffer).write(text.slice(0, maxRequestId), this.#at);
      this.#bytes[this.#at + i] = code;
    }
    return length;
  }

  #column(column: Column, rows: number): void {
    if (column.kind === 'tensor') {
      let elements = rows;
      for (const d of column.shape) {
        this.#number(d);
        elements *= d;
      }
      this.#nulls(column.nulls, elements);
      if (column.type === 'string') this.#strings(column.values as Utf8, elements);
      else this.#buffers.push(exactly(column.values as Uint8Array, elements));
    } else if (column.kind === 'list') {
      this.#nulls(column.nulls, rows);
      const items = column.offsets[rows]!;
      this.#number(items);
      this.#buffers.push(exactly(column.offsets, rows + 1));
      this.#column(column.items, items);
    } else {
      this.#nulls(column.nulls, rows);
      for (const field of column.fields) this.#column(field, rows);
    }
  }

  #nulls(nulls: Uint8Array | undefined, elements: number): void {
    this.#number(nulls === undefined ? 0 : 1);
    if (nulls !== undefined) this.#buffers.push(exactly(nulls, elements));
  }

  #strings(values: Utf8, elements: number): void {
    const from = values.offsets[0]!;
    const to = values.offsets[elements]!;
    this.#number(to - from);
    this.#buffers.push(exactly(values.offsets, elements + 1), values.bytes.subarray(from, to));
  }

  #number(value: number): void {
    this.#need(8);
    this.#u32[this.#at / 4] = value;
    this.#at += 4;
  }

  #pad(): void {
    while (this.#at % 8 !== 0) this.#bytes[this.#at++] = 0;
  }

  #need(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(padded((this.#at + bytes) * 2));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#u32 = new Uint32Array(larger.buffer);
    this.#f64 = new Float64Array(larger.buffer);
  }
}

function exactly<T extends Uint8Array | Int32Array>(values: T, length: number): T {
  if (values.length < length) throw new PotorooError('internal', `A logged column holds ${values.length} values where ${length} are due.`);
  return values.length === length ? values : values.subarray(0, length) as T;
}

const bytesOf = (view: ArrayBufferView): Uint8Array =>
  view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
