import { PotorooError, type Field } from '@potoroo/contract/plain';
import { elementBytes, sizeOf, type Batch, type Column, type NumericValues, type TensorColumn, type Utf8 } from '../batch.ts';
import { arrange } from '../columns.ts';
import { quote } from '../shapes.ts';
import { batchTemplate, footerTemplate, layoutOf, layoutOfField, magic, schemaMessage, signature, type BatchTemplate } from './layout.ts';

export interface ArrowOptions {
  /** Schema metadata. */
  metadata?: Record<string, string>;
  /** What stands between a dataset and a column's name (default `.`); null makes a struct of each dataset. */
  separator?: string | null;
}

const noMetadata: Readonly<Record<string, string>> = {};

/** All of a file that depends on its schema alone. */
interface Template {
  readonly schema: Uint8Array;
  readonly batch: BatchTemplate;
  readonly footer: { readonly bytes: Uint8Array; readonly block: number };
}

const templates = new Map<string, Template>();

function templateOf(batch: Batch, metadata: Readonly<Record<string, string>>): Template {
  let key = '';
  for (const c of batch.columns) key += `${signature(c)};`;
  // Metadata such as the state of a page differs from answer to answer: only schemas without it are worth keeping.
  const plain = metadata === noMetadata || Object.keys(metadata).length === 0;
  const kept = plain ? templates.get(key) : undefined;
  if (kept) return kept;
  const layouts = batch.columns.map(layoutOf);
  const template = { schema: schemaMessage(layouts, metadata), batch: batchTemplate(layouts), footer: footerTemplate(layouts, metadata) };
  if (plain) {
    if (templates.size >= 256) templates.clear();
    templates.set(key, template);
  }
  return template;
}

/** An Arrow IPC file with one record batch. Row shapes become (nested) lists of variable length, timestamps `timestamp[ms]`. */
export function encodeArrowFile(batch: Batch, options: ArrowOptions = {}): Uint8Array {
  const arranged = arrange(batch, options.separator === undefined ? '.' : options.separator);
  const { schema, batch: template, footer } = templateOf(arranged, options.metadata ?? noMetadata);
  const plan = new Plan(arranged);
  const start = 8 + schema.length;
  const body = start + template.bytes.length;
  const end = body + plan.size;
  const file = new Uint8Array(end + footer.bytes.length);
  file.set(magic);
  file.set(schema, 8);
  plan.write(file, start, template, arranged.rows);
  file.set(footer.bytes, end);
  const view = new DataView(file.buffer);
  setSize(view, end + footer.block, start);
  view.setInt32(end + footer.block + 8, template.bytes.length, true);
  setSize(view, end + footer.block + 16, plan.size);
  return file;
}

/** An Arrow IPC stream with one record batch and the end marker. */
export function encodeArrowStream(batch: Batch, options: ArrowOptions = {}): Uint8Array {
  const arranged = arrange(batch, options.separator === undefined ? '.' : options.separator);
  const { schema, batch: template } = templateOf(arranged, options.metadata ?? noMetadata);
  const plan = new Plan(arranged);
  const body = schema.length + template.bytes.length;
  const stream = new Uint8Array(body + plan.size + 8);
  stream.set(schema);
  plan.write(stream, schema.length, template, arranged.rows);
  new DataView(stream.buffer).setInt32(body + plan.size, -1, true);
  return stream;
}

/**
 * The schema message of a stream that grows by `arrowBatchMessage` of batches with the same columns: names, types and
 * numbers of dimensions. `decodeArrow` reads such a stream with or without an end marker.
 */
export function arrowSchemaMessage(batch: Batch, metadata: Record<string, string> = noMetadata): Uint8Array {
  return templateOf(batch, metadata).schema.slice();
}

/** One record batch as an encapsulated message; a multiple of 8 bytes long. */
export function arrowBatchMessage(batch: Batch): Uint8Array {
  const { batch: template } = templateOf(batch, noMetadata);
  const plan = new Plan(batch);
  const message = new Uint8Array(template.bytes.length + plan.size);
  plan.write(message, 0, template, batch.rows);
  return message;
}

/** A declared schema as the encapsulated schema message that `decodeArrowSchema` reads: fixed dimensions are fixed-size lists. */
export function encodeArrowSchema(fields: readonly Field[]): Uint8Array {
  return schemaMessage(fields.map(layoutOfField), noMetadata);
}

function setSize(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 4294967296, true);
  view.setUint32(at + 4, Math.floor(value / 4294967296), true);
}

const padded = (n: number): number => Math.ceil(n / 8) * 8;
const largest = 0x7fffffff;

/** Nodes and buffers of a batch in the order of its columns, sized first so that everything is written into one array. */
class Plan {
  /** Rows and nulls of each node; lengths of each buffer; what writes it. */
  readonly #nodes: number[] = [];
  readonly #lengths: number[] = [];
  readonly #writers: (((target: Uint8Array) => void) | undefined)[] = [];
  /** Bytes of the body. */
  size = 0;

  constructor(batch: Batch) {
    for (const c of batch.columns) this.#column(c, 0, batch.rows);
  }

  /** Writes the message at `start` of `file`. */
  write(file: Uint8Array, start: number, template: BatchTemplate, rows: number): void {
    file.set(template.bytes, start);
    const view = new DataView(file.buffer);
    setSize(view, start + template.rows, rows);
    setSize(view, start + template.bodyLength, this.size);
    this.#nodes.forEach((n, i) => setSize(view, start + template.nodes + 8 * i, n));
    const body = start + template.bytes.length;
    let at = 0;
    for (let i = 0; i < this.#lengths.length; i++) {
      const length = this.#lengths[i]!;
      setSize(view, start + template.buffers + 16 * i, at);
      setSize(view, start + template.buffers + 16 * i + 8, length);
      this.#writers[i]?.(file.subarray(body + at, body + at + length));
      at += padded(length);
    }
  }

  #buffer(length: number, write?: (target: Uint8Array) => void): void {
    this.#lengths.push(length);
    this.#writers.push(write);
    this.size += padded(length);
  }

  /** A node and its validity, which is left out where nothing is null. */
  #node(rows: number, nulls: Uint8Array | undefined, from: number): void {
    let missing = 0;
    if (nulls) for (let i = from; i < from + rows; i++) missing += nulls[i]!;
    this.#nodes.push(rows, missing);
    if (missing === 0) this.#buffer(0);
    else this.#buffer((rows + 7) >> 3, (target) => { for (let i = 0; i < rows; i++) if (!nulls![from + i]) target[i >> 3]! |= 1 << (i & 7); });
  }

  #column(c: Column, from: number, to: number): void {
    if (c.kind === 'tensor') return this.#tensor(c, 0, to - from, from);
    const rows = to - from;
    this.#node(rows, c.nulls, from);
    if (c.kind === 'struct') {
      for (const f of c.fields) this.#column(f, from, to);
      return;
    }
    const { offsets } = c;
    const start = offsets[from]!;
    this.#buffer(4 * (rows + 1), (target) => rebase(offsets, from, rows, start, target));
    this.#column(c.items, start, offsets[to]!);
  }

  /** Dimension `depth` of a tensor: a list for each that is left, then the elements. */
  #tensor(t: TensorColumn, depth: number, count: number, from: number): void {
    const length = t.shape[depth];
    if (length === undefined) return this.#elements(t, count, from);
    if (count * length > largest) throw new PotorooError('body_too_large', `Column ${quote(t.name)} has ${count * sizeOf(t.shape.slice(depth))} elements, more than an Arrow list can hold. Send fewer rows at a time.`);
    this.#node(count, undefined, 0);
    this.#buffer(4 * (count + 1), (target) => {
      const offsets = new Int32Array(target.buffer, target.byteOffset, count + 1);
      for (let i = 1; i <= count; i++) offsets[i] = i * length;
    });
    this.#tensor(t, depth + 1, count * length, from * length);
  }

  #elements(t: TensorColumn, count: number, from: number): void {
    this.#node(count, t.nulls, from);
    if (t.type === 'string') {
      const { offsets, bytes } = t.values as Utf8;
      const start = offsets[from] ?? 0;
      const end = offsets[from + count] ?? start;
      this.#buffer(4 * (count + 1), (target) => rebase(offsets, from, count, start, target));
      this.#buffer(end - start, (target) => target.set(bytes.subarray(start, end)));
      return;
    }
    const values = t.values as NumericValues;
    if (t.type === 'bool') {
      this.#buffer((count + 7) >> 3, (target) => { for (let i = 0; i < count; i++) if (values[from + i]) target[i >> 3]! |= 1 << (i & 7); });
      return;
    }
    const size = elementBytes[t.type];
    this.#buffer(count * size, (target) => target.set(new Uint8Array(values.buffer, values.byteOffset + from * size, count * size)));
  }
}

/** Offsets of `count` rows from `from` on, counted from `start`. */
function rebase(offsets: Int32Array, from: number, count: number, start: number, target: Uint8Array): void {
  const out = new Int32Array(target.buffer, target.byteOffset, count + 1);
  for (let i = 0; i <= count; i++) out[i] = (offsets[from + i] ?? start) - start;
}
