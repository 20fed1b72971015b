/**
 * Spool frames: how answered inferences lie in an engine's spool and travel to ops. Node only (`@potoroo/batch/frames`).
 *
 * A frame is a 16-byte header (magic, kind, payload length, CRC-32 of header and payload) and a payload padded to 8 bytes,
 * so that columns can be read in place. A *schema* frame is JSON and holds for the rows frames that follow it; a *rows*
 * frame is a small head and the raw buffers of its columns. All numbers are little-endian.
 */
import { crc32 } from 'node:zlib';
import { elementTypes, PotorooError, type ElementType } from '@potoroo/contract';
import { elementBytes, viewOf, type Column, type Utf8 } from './batch.ts';

/** Type of a logged column as it lies in frames: a tensor's shape may differ from frame to frame, its rank not. */
export type LogType =
  | { readonly kind: 'tensor'; readonly type: ElementType; readonly rank: number }
  | { readonly kind: 'list'; readonly items: LogType }
  | { readonly kind: 'struct'; readonly fields: readonly LogField[] };
export type LogField = { readonly name: string } & LogType;

/** Which pipeline version's inferences these are; the ids of the bundle. */
export interface LogPipeline {
  readonly id: number; readonly name: string; readonly version: string; readonly versionId: number; readonly workspaceId: number; readonly deploymentId: number;
}
export interface LogModel { readonly name: string; readonly sha: string }
export interface LogSchema {
  readonly format: 1;
  readonly partition: string;
  readonly pipeline: LogPipeline;
  /** Only ever grows within a partition: rows name a model by its index here. */
  readonly models: readonly LogModel[];
  readonly columns: readonly LogField[];
}

/** One request of a merged run: its rows are consecutive. `timeMs` is since the epoch, `elapsedNs` parsing and then each step. */
export interface LogRequest { readonly rows: number; readonly timeMs: number; readonly requestId: string; readonly elapsedNs: readonly number[] }
export interface LogRows {
  /** Offset of the first row in its partition. */
  readonly firstRow: number;
  readonly rows: number;
  readonly requests: readonly LogRequest[];
  /** Index into the schema's models. */
  readonly model: number;
  /** As the schema's columns; undefined where the column was dropped for want of space. */
  readonly columns: readonly (Column | undefined)[];
}

/** Longest frame. What is longer is written without its largest columns. */
export const maxFrameBytes = 64 * 1024 * 1024;
export const frameHeaderBytes = 16;
const magic = 0x31_46_54_50; // PTF1
const kinds = { schema: 1, rows: 2 } as const;
export type FrameKind = keyof typeof kinds;
const maxRank = 16;
const maxDepth = 16;
/** Request ids come from clients; more of one than this is not worth keeping. */
const maxRequestId = 128;
/** Frames up to this size are copied together: cheaper than handing the kernel a list of buffers. */
const copyBelow = 16 * 1024;
const zeros = new Uint8Array(8);
const padded = (bytes: number): number => (bytes + 7) & ~7;

// Writing ---------------------------------------------------------------------------------------------------------------

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
    header.setUint32(12, crc32(frame.subarray(frameHeaderBytes), crc32(frame.subarray(0, 12))), true);
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
    this.#u32[3] = crc32(this.#bytes.subarray(frameHeaderBytes, total), crc32(this.#bytes.subarray(0, 12)));
    return [this.#bytes.subarray(0, total)];
  }

  #referenced(head: number): Uint8Array[] {
    const parts = [this.#bytes.subarray(0, head)];
    let crc = crc32(this.#bytes.subarray(frameHeaderBytes, head), crc32(this.#bytes.subarray(0, 12)));
    const push = (part: Uint8Array): void => {
      crc = crc32(part, crc);
      parts.push(part);
    };
    for (const buffer of this.#buffers) {
      push(bytesOf(buffer));
      const rest = padded(buffer.byteLength) - buffer.byteLength;
      if (rest > 0) push(zeros.subarray(0, rest));
    }
    this.#u32[3] = crc;
    return parts;
  }

  #head(rows: LogRows): void {
    this.#at = frameHeaderBytes;
    this.#need(24);
    this.#f64[this.#at / 8] = rows.firstRow;
    this.#u32[this.#at / 4 + 2] = rows.rows;
    this.#u32[this.#at / 4 + 3] = rows.requests.length;
    this.#u32[this.#at / 4 + 4] = rows.model;
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
    this.#f64[this.#at / 8 + 1] = request.timeMs;
    const start = this.#at / 4 + 1;
    this.#at += 16;
    for (let i = 0; i < elapsed.length; i += 1) this.#f64[this.#at / 8 + i] = elapsed[i]!;
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

/** Type of a column as the schema frame tells it. */
export function logTypeOf(column: Column): LogType {
  if (column.kind === 'tensor') return { kind: 'tensor', type: column.type, rank: column.shape.length };
  if (column.kind === 'list') return { kind: 'list', items: logTypeOf(column.items) };
  return { kind: 'struct', fields: column.fields.map((f) => ({ name: f.name, ...logTypeOf(f) })) };
}

/** Whether a column may go under this type, without making anything. */
export function isOfType(column: Column, type: LogType): boolean {
  if (column.kind === 'tensor') return type.kind === 'tensor' && column.type === type.type && column.shape.length === type.rank;
  if (column.kind === 'list') return type.kind === 'list' && isOfType(column.items, type.items);
  return type.kind === 'struct' && column.fields.length === type.fields.length && column.fields.every((f, i) => f.name === type.fields[i]!.name && isOfType(f, type.fields[i]!));
}

// Reading ---------------------------------------------------------------------------------------------------------------

export interface RawFrame { readonly kind: FrameKind; readonly start: number; readonly end: number; readonly payload: Uint8Array }

/**
 * Walks the frames of a byte range. After the last good frame `next` gives undefined, `position` is where that frame ended and
 * `torn` says why it stopped there: undefined at a clean end, else one sentence. `incomplete` is set when more bytes could help.
 */
export class FrameReader {
  position: number;
  torn: string | undefined;
  incomplete = false;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #verify: boolean;

  /** `verify: false` trusts lengths without computing checksums, for bytes that this process wrote itself. */
  constructor(bytes: Uint8Array, options: { from?: number; verify?: boolean } = {}) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = options.from ?? 0;
    this.#verify = options.verify ?? true;
  }

  next(): RawFrame | undefined {
    const start = this.position;
    const left = this.#bytes.length - start;
    if (left <= 0 || this.torn !== undefined) return undefined;
    if (left < frameHeaderBytes) return this.#stop(`The bytes end inside a frame header at byte ${start}.`, true);
    const kind = this.#view.getUint32(start + 4, true);
    const length = this.#view.getUint32(start + 8, true);
    if (this.#view.getUint32(start, true) !== magic) return this.#stop(`There is no frame at byte ${start}.`);
    if ((kind !== kinds.schema && kind !== kinds.rows) || length % 8 !== 0 || length > maxFrameBytes) return this.#stop(`The frame header at byte ${start} is damaged.`);
    const end = start + frameHeaderBytes + length;
    if (end > this.#bytes.length) return this.#stop(`The bytes end inside the frame at byte ${start}.`, true);
    const payload = this.#bytes.subarray(start + frameHeaderBytes, end);
    if (this.#verify && this.#view.getUint32(start + 12, true) !== crc32(payload, crc32(this.#bytes.subarray(start, start + 12)))) {
      return this.#stop(`The frame at byte ${start} is damaged: its checksum is wrong.`);
    }
    this.position = end;
    return { kind: kind === kinds.schema ? 'schema' : 'rows', start, end, payload };
  }

  #stop(why: string, incomplete = false): undefined {
    this.torn = why;
    this.incomplete = incomplete;
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

/** @throws PotorooError malformed_body */
export function decodeSchema(payload: Uint8Array): LogSchema {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
  } catch {
    throw bad('its schema is not JSON');
  }
  const schema = value as LogSchema;
  const pipeline = schema?.pipeline;
  const texts = [schema?.partition, pipeline?.name, pipeline?.version];
  const ids = [pipeline?.id, pipeline?.versionId, pipeline?.workspaceId, pipeline?.deploymentId];
  if (schema?.format !== 1) throw bad('its schema is not of format 1');
  if (!texts.every((t) => typeof t === 'string') || !ids.every((i) => Number.isSafeInteger(i))) throw bad('its schema does not name a pipeline version and partition');
  if (!Array.isArray(schema.models) || !schema.models.every((m) => typeof m?.name === 'string' && typeof m.sha === 'string')) throw bad('its list of models is wrong');
  if (!areFields(schema.columns, 0)) throw bad('its list of columns is wrong');
  return schema;
}

function areFields(value: unknown, depth: number): boolean {
  return Array.isArray(value) && value.every((f: { name?: unknown }) => typeof f?.name === 'string' && isType(f, depth)) && new Set(value.map((f: LogField) => f.name)).size === value.length;
}

function isType(value: unknown, depth: number): boolean {
  const type = value as LogType | undefined;
  if (depth > maxDepth) return false;
  if (type?.kind === 'tensor') return elementTypes.includes(type.type) && Number.isInteger(type.rank) && type.rank >= 0 && type.rank <= maxRank;
  if (type?.kind === 'list') return isType(type.items, depth + 1);
  return type?.kind === 'struct' && areFields(type.fields, depth + 1);
}

const bad = (why: string): PotorooError => new PotorooError('malformed_body', `A log frame cannot be read: ${why}.`);

/** Decodes a rows frame; columns are views of `payload` where alignment allows. @throws PotorooError malformed_body */
export function decodeRows(payload: Uint8Array, schema: LogSchema): LogRows {
  return new RowsDecoder(payload).decode(schema);
}

class RowsDecoder {
  readonly #payload: Uint8Array;
  readonly #view: DataView;
  #at = 24;
  #buffersAt = 0;

  constructor(payload: Uint8Array) {
    this.#payload = payload;
    this.#view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  }

  decode(schema: LogSchema): LogRows {
    const { from, to } = rowRange(this.#payload);
    const rows = to - from;
    const model = this.#view.getUint32(16, true);
    this.#buffersAt = this.#view.getUint32(20, true);
    if (model >= schema.models.length) throw bad(`it names model ${model} of ${schema.models.length}`);
    const requests = this.#requests(this.#view.getUint32(12, true), rows);
    const columns = schema.columns.map((field) => (this.#number() === 0 ? undefined : this.#column(field.name, field, rows)));
    return { firstRow: from, rows, requests, model, columns };
  }

  #requests(count: number, rows: number): LogRequest[] {
    const requests: LogRequest[] = [];
    let sum = 0;
    while (requests.length < count) {
      const at = this.#at;
      if (at + 16 > this.#payload.length) throw bad('its requests do not fit');
      const sizes = this.#view.getUint32(at + 4, true);
      const elapsed = sizes & 0xffff;
      const id = at + 16 + elapsed * 8;
      this.#at = padded(id + (sizes >>> 16));
      if (this.#at > this.#payload.length) throw bad('its requests do not fit');
      const elapsedNs = Array.from({ length: elapsed }, (_, i) => this.#view.getFloat64(at + 16 + i * 8, true));
      const timeMs = this.#view.getFloat64(at + 8, true);
      if (!Number.isSafeInteger(timeMs) || !elapsedNs.every(Number.isSafeInteger)) throw bad('a time is not a whole number');
      const request = { rows: this.#view.getUint32(at, true), timeMs, requestId: textAt(this.#payload, id, id + (sizes >>> 16)), elapsedNs };
      sum += request.rows;
      requests.push(request);
    }
    if (sum !== rows) throw bad(`its requests have ${sum} rows, the frame ${rows}`);
    return requests;
  }

  #column(name: string, type: LogType, rows: number): Column {
    if (type.kind === 'tensor') return this.#tensor(name, type, rows);
    const nulls = this.#nulls(rows);
    if (type.kind === 'struct') return { kind: 'struct', name, fields: type.fields.map((f) => this.#column(f.name, f, rows)), ...nulls };
    const items = this.#number();
    const offsets = this.#offsets(rows, 0, items);
    return { kind: 'list', name, offsets, items: this.#column('item', type.items, items), ...nulls };
  }

  #tensor(name: string, { type, rank }: Extract<LogType, { kind: 'tensor' }>, rows: number): Column {
    const shape = Array.from({ length: rank }, () => this.#number());
    const elements = shape.reduce((n, d) => n * d, rows);
    const nulls = this.#nulls(elements);
    if (type !== 'string') {
      const start = this.#take(elements * elementBytes[type]);
      return { kind: 'tensor', name, type, shape, values: viewOf(type, this.#payload, start, elements), ...nulls };
    }
    const length = this.#number();
    const offsets = this.#offsets(elements, undefined, length);
    const start = this.#take(length);
    return { kind: 'tensor', name, type, shape, values: { offsets, bytes: this.#payload.subarray(start, start + length) }, ...nulls };
  }

  /** Offsets that start at `base` (given, or taken off where they start elsewhere), never fall and end within `limit`. */
  #offsets(count: number, base: number | undefined, limit: number): Int32Array {
    const start = this.#take((count + 1) * 4);
    let offsets = viewOf('int32', this.#payload, start, count + 1) as Int32Array;
    if (base === undefined && offsets[0] !== 0) offsets = offsets.map((o) => o - offsets[0]!);
    let last = offsets[0]!;
    if (last < 0) throw bad('an offset is below 0');
    for (let i = 1; i <= count; i += 1) {
      if (offsets[i]! < last) throw bad('its offsets fall');
      last = offsets[i]!;
    }
    if (last > limit) throw bad('an offset points past the values');
    return offsets;
  }

  #nulls(elements: number): { nulls?: Uint8Array } {
    if (this.#number() === 0) return {};
    const start = this.#take(elements);
    return { nulls: this.#payload.subarray(start, start + elements) };
  }

  #number(): number {
    if (this.#at + 4 > this.#payload.length) throw bad('its head does not fit');
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  #take(bytes: number): number {
    const start = this.#buffersAt;
    // Written so that a length beyond 2^53 fails too.
    if (!(start + bytes <= this.#payload.length)) throw bad('a column does not fit');
    this.#buffersAt = padded(start + bytes);
    return start;
  }
}

function textAt(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
}
