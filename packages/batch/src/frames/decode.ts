import { elementBytes, viewOf, type Column } from '../batch.ts';
import { bad, eachItsModel, maxFrameBytes, maxFrameRows, padded, type LogRequest, type LogRows, type LogSchema, type LogType } from './format.ts';
import { rowRange } from './read.ts';

/** Decodes a rows frame; columns are views of `payload` where alignment allows. @throws PotorooError malformed_body */
export function decodeRows(payload: Uint8Array, schema: LogSchema): LogRows {
  return new RowsDecoder(payload).decode(schema);
}

class RowsDecoder {
  readonly #payload: Uint8Array;
  readonly #view: DataView;
  readonly #text: Buffer;
  #at = 24;
  #buffersAt = 0;

  constructor(payload: Uint8Array) {
    this.#payload = payload;
    this.#view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    this.#text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  }

  decode(schema: LogSchema): LogRows {
    const { from, to } = rowRange(this.#payload);
    const rows = to - from;
    if (rows > maxFrameRows) throw bad(`it has ${rows} rows, more than ${maxFrameRows}`);
    this.#buffersAt = this.#view.getUint32(20, true);
    const model = this.#model(rows, schema.models.length);
    const requests = this.#requests(this.#view.getUint32(12, true), rows);
    const columns = schema.columns.map((field) => (this.#number() === 0 ? undefined : this.#column(field.name, field, rows)));
    return { firstRow: from, rows, requests, model, columns };
  }

  /** One index for all rows or one for each. */
  #model(rows: number, count: number): number | Int32Array {
    const one = this.#view.getUint32(16, true);
    const each = one === eachItsModel ? (viewOf('int32', this.#payload, this.#take(rows * 4), rows) as Int32Array) : undefined;
    const wrong = each === undefined ? (one < count ? undefined : one) : each.find((index) => index < 0 || index >= count);
    if (wrong !== undefined) throw bad(`it names model ${wrong} of ${count}`);
    return each ?? one;
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
      const elapsedNs: number[] = [];
      for (let i = 0; i < elapsed; i += 1) elapsedNs.push(this.#view.getFloat64(at + 16 + i * 8, true));
      const timeMs = this.#view.getFloat64(at + 8, true);
      if (!Number.isSafeInteger(timeMs) || !elapsedNs.every(Number.isSafeInteger)) throw bad('a time is not a whole number');
      const request = { rows: this.#view.getUint32(at, true), timeMs, requestId: this.#text.toString('utf8', id, id + (sizes >>> 16)), elapsedNs };
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
    if (items > maxFrameBytes) throw bad('a column does not fit');
    const offsets = this.#offsets(rows, 0, items);
    return { kind: 'list', name, offsets, items: this.#column('item', type.items, items), ...nulls };
  }

  #tensor(name: string, { type, rank }: Extract<LogType, { kind: 'tensor' }>, rows: number): Column {
    const shape = Array.from({ length: rank }, () => this.#number());
    // Empty dimensions must not hide large ones: somebody will count up to them.
    if (shape.reduce((n, d) => n * (d || 1), rows) > maxFrameBytes) throw bad('a column does not fit');
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
