import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';
import { allocate, viewOf, type Batch, type Column, type NumericValues, type TensorColumn, type Utf8 } from '../batch.ts';
import { concat, sliceColumn, tensorOrList } from '../columns.ts';
import { quote } from '../shapes.ts';
import { areUtf8 } from '../utf8.ts';
import { malformed, type Flatbuffer, type Table } from './flatbuffer.ts';
import { headers, open, type Message } from './messages.ts';
import { fieldsOf, type ArrowField, type ArrowType } from './schema.ts';
import { readViews } from './views.ts';

/** What a request's dictionaries and views may unfold to: a byte of index can stand for a string of any length. */
const unfoldLimit = 1 << 28;
const noNodes = { at: 0, length: 0 };

/**
 * Reads an Arrow IPC file or stream; which of them it is shows in its first bytes. Values are views of `body` where its
 * alignment allows. Lists whose rows all have one length become tensors; all record batches become one. A stream may lack
 * its end marker, a file may not lack its footer.
 *
 * Timestamps and dates become milliseconds; dictionary-encoded columns their values.
 * @returns the batch, which may have no rows, and the schema's own metadata
 * @throws malformed_body, schema_mismatch for types that are no columns, unsupported_content_type for compressed bodies
 */
export function decodeArrow(body: Uint8Array): { batch: Batch; metadata: Record<string, string> } {
  const { schema, rest } = open(body);
  const context: Context = { limit: 64 + 8 * body.length, unfold: unfoldLimit, dictionaries: new Map() };
  const batches: Batch[] = [];
  for (const message of rest) {
    if (message.kind === headers.batch) batches.push(readBatch(context, message.header, message.body, schema.fields));
    else if (message.kind === headers.dictionary) readDictionary(context, message, schema.fields);
    else throw malformed('it has a message that is neither a record batch nor a dictionary');
  }
  const batch = batches.length === 1 ? batches[0]! : batches.length === 0 ? emptyOf(context, schema.fields) : concat(batches);
  return { batch, metadata: { ...schema.metadata } };
}

/** Fields of an encapsulated schema message, as clients send declared schemas; lists become free dimensions. */
export function decodeArrowSchema(body: Uint8Array): Field[] {
  return fieldsOf(open(body).schema);
}

interface Context {
  /** No column has more rows than the body has bits. */
  readonly limit: number;
  /** Bytes that dictionaries and views may still unfold to. */
  unfold: number;
  readonly dictionaries: Map<bigint, TensorColumn>;
}

/** Nodes and buffers of one record batch, which its columns take in order. */
class Parts {
  readonly body: Uint8Array;
  readonly #fb: Flatbuffer | undefined;
  readonly #nodes: { at: number; length: number };
  readonly #buffers: { at: number; length: number };
  readonly #variadic: { at: number; length: number };
  #node = 0;
  #buffer = 0;
  #view = 0;
  #left: number;

  constructor(body: Uint8Array, header?: Table) {
    this.body = body;
    this.#left = body.length;
    this.#fb = header?.fb;
    this.#nodes = header?.vector(1, 16) ?? noNodes;
    this.#buffers = header?.vector(2, 16) ?? noNodes;
    this.#variadic = header?.vector(4, 8) ?? noNodes;
  }

  /** How many rows the next column has, how many of them null. */
  node(limit: number): { rows: number; nulls: number } {
    if (!this.#fb) return { rows: 0, nulls: 0 };
    if (this.#node >= this.#nodes.length) throw malformed('a record batch has fewer columns than its schema');
    const at = this.#nodes.at + 16 * this.#node++;
    const rows = this.#fb.size(at);
    const nulls = this.#fb.size(at + 8);
    if (rows > limit || nulls > rows) throw malformed('a record batch announces more rows than it can hold');
    return { rows, nulls };
  }

  /** The next buffer, at least `need` bytes of it. All buffers together lie in the body once: views cannot multiply it. */
  buffer(need: number): { at: number; length: number } {
    if (!this.#fb) return noNodes;
    if (this.#buffer >= this.#buffers.length) throw malformed('a record batch has fewer buffers than its schema needs');
    const at = this.#buffers.at + 16 * this.#buffer++;
    const offset = this.#fb.size(at);
    const length = this.#fb.size(at + 8);
    if (offset + length > this.body.length || (this.#left -= length) < 0) throw malformed('a buffer reaches outside its message');
    if (length < need) throw malformed('a buffer is shorter than its rows need');
    return { at: offset, length };
  }

  /** The data buffers of the next column of views, as many as the batch says. */
  buffers(): { at: number; length: number }[] {
    if (!this.#fb) return [];
    if (this.#view >= this.#variadic.length) throw malformed('a record batch does not say how many buffers its views have');
    const count = this.#fb.size(this.#variadic.at + 8 * this.#view++);
    if (count > this.#buffers.length - this.#buffer) throw malformed('a record batch has fewer buffers than its views need');
    return Array.from({ length: count }, () => this.buffer(0));
  }

  done(): void {
    if (this.#node !== this.#nodes.length || this.#buffer !== this.#buffers.length) throw malformed('a record batch has more columns than its schema');
  }
}

function readBatch(context: Context, header: Table, body: Uint8Array, fields: readonly ArrowField[]): Batch {
  const compression = header.table(3);
  if (compression) throw new PotorooError('unsupported_content_type', `The Arrow body is compressed with ${compression.u8(0) === 0 ? 'LZ4' : 'ZSTD'}. Write it without compression.`);
  const rows = header.size(0);
  if (rows > context.limit) throw malformed('a record batch announces more rows than it can hold');
  const parts = new Parts(body, header);
  const columns = fields.map((f) => readColumn(context, parts, f, rows));
  parts.done();
  return { rows, columns };
}

function emptyOf(context: Context, fields: readonly ArrowField[]): Batch {
  const parts = new Parts(new Uint8Array(0));
  const empty = { ...context, dictionaries: new Map<bigint, TensorColumn>() };
  return { rows: 0, columns: fields.map((f) => readColumn(empty, parts, f, 0)) };
}

/** @param rows how many rows the column must have; undefined where a list tells that its items have enough */
function readColumn(context: Context, parts: Parts, field: ArrowField, rows: number | undefined, enough = 0): Column {
  const { name, dictionary } = field;
  const type = dictionary ? dictionary.index : field.type;
  const node = parts.node(context.limit);
  if (rows === undefined ? node.rows < enough : node.rows !== rows) throw malformed(`column ${quote(name)} has ${node.rows} rows instead of ${rows ?? enough}`);
  const nulls = readNulls(parts, node.rows, node.nulls);
  const column = readValues(context, parts, name, type, node.rows, nulls);
  return dictionary ? unfold(context, name, column as TensorColumn, field.type, dictionary.id) : column;
}

/** A byte for each row from a bit for each, where there are nulls; Arrow's bits say what is valid. */
function readNulls(parts: Parts, rows: number, count: number): Uint8Array | undefined {
  const { at } = parts.buffer(count > 0 ? (rows + 7) >> 3 : 0);
  if (count === 0) return undefined;
  const nulls = new Uint8Array(rows);
  for (let i = 0; i < rows; i++) nulls[i] = ((parts.body[at + (i >> 3)]! >> (i & 7)) & 1) ^ 1;
  return nulls;
}

function readValues(context: Context, parts: Parts, name: string, type: ArrowType, rows: number, nulls: Uint8Array | undefined): Column {
  const scalar = { kind: 'tensor', name, shape: [], ...(nulls && { nulls }) } as const;
  switch (type.kind) {
    case 'plain': {
      const { at } = parts.buffer(rows * type.bytes);
      return { ...scalar, type: type.type, values: type.type === 'timestamp' ? readTimes(parts, type, at, rows) : viewOf(type.type, parts.body, at, rows) };
    }
    case 'bool': {
      const { at } = parts.buffer((rows + 7) >> 3);
      const values = new Uint8Array(rows);
      for (let i = 0; i < rows; i++) values[i] = (parts.body[at + (i >> 3)]! >> (i & 7)) & 1;
      return { ...scalar, type: 'bool', values };
    }
    case 'utf8': return { ...scalar, type: 'string', values: readStrings(parts, name, rows, type.large) };
    case 'utf8-view': {
      const views = parts.buffer(rows * 16);
      return { ...scalar, type: 'string', values: readViews(parts.body, name, rows, views, parts.buffers(), nulls, (bytes) => spend(context, bytes)) };
    }
    case 'list': {
      const offsets = readOffsets(parts, name, rows, type.large);
      const items = readColumn(context, parts, type.item, undefined, offsets[rows]!);
      return tensorOrList({ kind: 'list', name, offsets, items, ...(nulls && { nulls }) });
    }
    case 'fixed': {
      const count = rows * type.length;
      if (count > context.limit) throw malformed(`column ${quote(name)} announces more items than it can hold`);
      const items = readColumn(context, parts, type.item, undefined, count);
      if (!nulls && items.kind === 'tensor') return { ...(sliceColumn(items, 0, count) as TensorColumn), name, shape: [type.length, ...items.shape] };
      const offsets = new Int32Array(rows + 1);
      for (let i = 1; i <= rows; i++) offsets[i] = i * type.length;
      return { kind: 'list', name, offsets, items, ...(nulls && { nulls }) };
    }
    case 'struct': return { kind: 'struct', name, fields: type.fields.map((f) => readColumn(context, parts, f, rows)), ...(nulls && { nulls }) };
  }
}

function readTimes(parts: Parts, type: ArrowType & { kind: 'plain' }, at: number, rows: number): BigInt64Array {
  const { multiply, divide, bytes } = type;
  if (bytes === 8 && !multiply && !divide) return viewOf('timestamp', parts.body, at, rows) as BigInt64Array;
  const source = viewOf(bytes === 4 ? 'int32' : 'int64', parts.body, at, rows) as Int32Array | BigInt64Array;
  const times = new BigInt64Array(rows);
  for (let i = 0; i < rows; i++) {
    const value = BigInt(source[i]!);
    // Down to the millisecond before, also before 1970.
    times[i] = multiply ? value * multiply : (value - (((value % divide!) + divide!) % divide!)) / divide!;
  }
  return times;
}

/** Offsets of lists or strings, checked to rise. */
function readOffsets(parts: Parts, name: string, rows: number, large: boolean): Int32Array {
  // A column without rows may come without its one offset.
  const { at } = parts.buffer(rows === 0 ? 0 : (rows + 1) * (large ? 8 : 4));
  if (rows === 0) return new Int32Array(1);
  let offsets: Int32Array;
  if (large) {
    const words = viewOf('int32', parts.body, at, 2 * (rows + 1)) as Int32Array;
    offsets = new Int32Array(rows + 1);
    for (let i = 0; i <= rows; i++) {
      if (words[2 * i + 1] !== 0) throw malformed(`column ${quote(name)} has an offset that is negative or absurd`);
      offsets[i] = words[2 * i]!;
    }
  } else offsets = viewOf('int32', parts.body, at, rows + 1) as Int32Array;
  let last = 0;
  for (let i = 0; i <= rows; i++) {
    const next = offsets[i]!;
    if (next < last) throw malformed(`column ${quote(name)} has offsets that do not rise`);
    last = next;
  }
  return offsets;
}

function readStrings(parts: Parts, name: string, rows: number, large: boolean): Utf8 {
  const offsets = readOffsets(parts, name, rows, large);
  const { at, length } = parts.buffer(offsets[rows]!);
  const bytes = parts.body.subarray(at, at + length);
  if (!areUtf8(offsets, bytes)) throw malformed(`column ${quote(name)} is not valid UTF-8`);
  return { offsets, bytes };
}

function readDictionary(context: Context, message: Message, fields: readonly ArrowField[]): void {
  const id = message.header.i64(0);
  const field = findDictionary(fields, id);
  const data = message.header.table(1);
  if (!field || !data) throw malformed(`it has a dictionary (${id}) that no column uses`);
  const rows = data.size(0);
  const batch = readBatch(context, data, message.body, [{ name: field.name, type: field.type }]);
  const [column] = batch.columns;
  if (column?.kind !== 'tensor' || column.shape.length > 0) throw new PotorooError('schema_mismatch', `Column ${quote(field.name)} has a dictionary of lists or structs, which is not supported. Send the values themselves.`);
  const before = message.header.bool(2) ? context.dictionaries.get(id) : undefined;
  if (!before) context.dictionaries.set(id, column);
  else {
    const joined = concat([{ rows: lengthOf(before), columns: [before] }, { rows, columns: [column] }]);
    // Deltas are copied into what they extend: many small ones must not make that quadratic.
    spend(context, 8 * joined.rows);
    context.dictionaries.set(id, joined.columns[0] as TensorColumn);
  }
}

function findDictionary(fields: readonly ArrowField[], id: bigint): ArrowField | undefined {
  for (const field of fields) {
    if (field.dictionary?.id === id) return field;
    const { type } = field;
    const inner = type.kind === 'struct' ? type.fields : type.kind === 'list' || type.kind === 'fixed' ? [type.item] : [];
    const found = findDictionary(inner, id);
    if (found) return found;
  }
  return undefined;
}

function lengthOf(c: TensorColumn): number {
  return 'offsets' in c.values ? c.values.offsets.length - 1 : c.values.length;
}

function spend(context: Context, bytes: number): void {
  if ((context.unfold -= bytes) < 0) throw new PotorooError('body_too_large', `The Arrow dictionaries or string views unfold to more than ${unfoldLimit >> 20} MiB. Send fewer rows at a time.`);
}

/** The values that a column of indexes stands for. */
function unfold(context: Context, name: string, indexes: TensorColumn, type: ArrowType, id: bigint): TensorColumn {
  const rows = lengthOf(indexes);
  const dictionary = context.dictionaries.get(id);
  if (!dictionary && rows > 0 && !indexes.nulls?.every((n) => n === 1)) throw malformed(`the dictionary of column ${quote(name)} is missing`);
  const size = dictionary ? lengthOf(dictionary) : 0;
  const places = new Int32Array(rows);
  const nulls = new Uint8Array(rows);
  let missing = false;
  for (let i = 0; i < rows; i++) {
    const place = indexes.nulls?.[i] ? -1 : Number((indexes.values as NumericValues)[i]!);
    if (place >= size || (place < 0 && !indexes.nulls?.[i])) throw malformed(`column ${quote(name)} has an index outside its dictionary`);
    if (place < 0 || dictionary!.nulls?.[place]) {
      nulls[i] = 1;
      missing = true;
    }
    places[i] = place;
  }
  const valueType: ElementType = dictionary?.type ?? (type.kind === 'plain' ? type.type : type.kind === 'bool' ? 'bool' : 'string');
  const column = { kind: 'tensor', name, type: valueType, shape: [], ...(missing && { nulls }) } as const;
  if (valueType !== 'string') {
    spend(context, 8 * rows);
    const values = allocate(valueType, rows) as Float64Array;
    const source = dictionary?.values as Float64Array;
    for (let i = 0; i < rows; i++) if (places[i]! >= 0) values[i] = source[places[i]!]!;
    return { ...column, values };
  }
  const source = dictionary?.values as Utf8;
  const offsets = new Int32Array(rows + 1);
  let end = 0;
  for (let i = 0; i < rows; i++) {
    const place = places[i]!;
    if (place >= 0) end += source.offsets[place + 1]! - source.offsets[place]!;
    if (end > context.unfold) spend(context, end);
    offsets[i + 1] = end;
  }
  spend(context, end);
  const bytes = new Uint8Array(end);
  for (let i = 0; i < rows; i++) {
    const place = places[i]!;
    if (place >= 0) bytes.set(source.bytes.subarray(source.offsets[place], source.offsets[place + 1]), offsets[i]);
  }
  return { ...column, values: { offsets, bytes } };
}
