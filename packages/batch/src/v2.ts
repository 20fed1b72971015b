import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';
import { elementBytes, sizeOf, viewOf, type Batch, type NumericValues, type TensorColumn, type Utf8, type Values } from './batch.ts';
import { conform } from './conform.ts';
import { encodeFlat } from './json/encode.ts';
import { JsonReader, type Json } from './json/reader.ts';
import { Sink } from './json/sink.ts';
import { fieldsText, quote } from './shapes.ts';
import { areUtf8 } from './utf8.ts';

/** An inference request of the Open Inference Protocol v2, its inputs already as the declared columns. */
export interface V2Request {
  id?: string;
  batch: Batch;
  /** What the client asked for; undefined means every output. */
  outputs: { name: string; binary?: boolean }[] | undefined;
  /** `parameters.binary_data_output`: outputs without a flag of their own go out as binary. */
  binaryDefault: boolean;
  parameters: Record<string, unknown>;
}

/** The protocol's datatypes; it has none for timestamps, which travel as INT64 milliseconds. */
const typeOf: Readonly<Record<string, ElementType>> = {
  BOOL: 'bool', INT8: 'int8', INT16: 'int16', INT32: 'int32', INT64: 'int64', UINT8: 'uint8', UINT16: 'uint16', UINT32: 'uint32', UINT64: 'uint64',
  FP16: 'float16', FP32: 'float32', FP64: 'float64', BYTES: 'string',
};
/** The protocol's word for an element type. */
export const v2Datatype: Readonly<Record<ElementType, string>> = {
  bool: 'BOOL', int8: 'INT8', int16: 'INT16', int32: 'INT32', int64: 'INT64', uint8: 'UINT8', uint16: 'UINT16', uint32: 'UINT32', uint64: 'UINT64',
  float16: 'FP16', float32: 'FP32', float64: 'FP64', string: 'BYTES', timestamp: 'INT64',
};

/** What inputs may be called: the declared fields, where they are known, and the keys beside them. */
interface Names { fields: readonly Field[] | undefined; keys: ReadonlySet<string> }
const none: ReadonlySet<string> = new Set();

/** An input as it is read: keys may come in any order, so that data may stand before what describes it. */
interface Input { name?: string; datatype?: string; shape?: number[]; data?: number; column?: TensorColumn; binary?: number }

/**
 * Reads an inference request. Shapes include the batch axis: `[rows, ...row]`. Data is nested or flat JSON, or binary behind
 * the JSON, whose length `headerLength` tells (the header `Inference-Header-Content-Length`; undefined when there is none).
 * The inputs are conformed to the declared fields. With `keys`, names that may be given beside them, they are left as they came.
 * @throws malformed_body, schema_mismatch, value_out_of_range, null_not_allowed, empty_batch
 */
export function decodeV2(body: Uint8Array, headerLength: number | undefined, fields: readonly Field[] | undefined, keys: ReadonlySet<string> = none): V2Request {
  if (headerLength !== undefined && !(Number.isInteger(headerLength) && headerLength >= 0 && headerLength <= body.length)) {
    throw new PotorooError('malformed_body', `Inference-Header-Content-Length is ${headerLength}, but the body has ${body.length} bytes.`);
  }
  const known: Names = { fields, keys };
  const reader = new JsonReader(headerLength === undefined ? body : body.subarray(0, headerLength));
  let id: string | undefined;
  let inputs: Input[] | undefined;
  let outputs: V2Request['outputs'];
  let parameters: Record<string, unknown> = {};
  members(reader, 'the request', (key) => {
    if (key === 'inputs') inputs = list(reader, 'inputs', (at, place) => readInput(at, place, known));
    else if (key === 'outputs') outputs = list(reader, 'outputs', readOutput);
    else if (key === 'parameters') parameters = plainObject(reader.value(), 'parameters');
    else if (key === 'id') id = text(reader.value(), 'id');
    // Clients add keys of their own, such as model_name.
    else reader.value();
  });
  reader.finish();
  if (!inputs) throw new PotorooError('malformed_body', 'The request has no "inputs".');
  checkNames(inputs, known);
  const binary = new Binary(body, headerLength ?? body.length);
  const columns = inputs.map((input, i) => toColumn(reader, input, i, binary));
  binary.finish();
  const rows = columns[0]?.rows ?? 0;
  for (const { column, rows: other } of columns) {
    if (other !== rows) throw new PotorooError('schema_mismatch', `Input ${quote(column.name)} has ${other} rows and input ${quote(columns[0]!.column.name)} has ${rows}. The first dimension is the batch: make it the same for all inputs.`);
  }
  const given = { rows, columns: columns.map((c) => c.column) };
  const batch = fields === undefined || keys.size > 0 ? given : conform(given, fields);
  return { ...(id !== undefined && { id }), batch, outputs, binaryDefault: parameters['binary_data_output'] === true, parameters };
}

/** Whose name is wrong has its own idea of all the rest, so that names come before shapes and data. */
function checkNames(inputs: readonly Input[], known: Names): void {
  const { fields, keys } = known;
  const given = new Set<string>();
  for (const [i, { name }] of inputs.entries()) {
    if (name === undefined) throw new PotorooError('malformed_body', `"inputs[${i}]" has no name.`);
    if (given.has(name)) throw new PotorooError('schema_mismatch', `Input ${quote(name)} is given twice. Send it once.`, { fields: [{ field: name, message: 'given twice' }] });
    given.add(name);
  }
  // Without any there are no rows, which says more.
  if (fields === undefined || given.size === 0) return;
  const extra = [...given].filter((name) => !isKnown(name, known));
  const missing = fields.filter((f) => !given.has(f.name)).map((f) => f.name);
  if (extra.length + missing.length === 0) return;
  const parts = [
    ...(extra.length > 0 ? [`${some(extra)} ${extra.length === 1 ? 'does' : 'do'} not exist`] : []),
    ...(missing.length > 0 ? [`${some(missing)} ${missing.length === 1 ? 'is' : 'are'} missing`] : []),
  ];
  throw new PotorooError('schema_mismatch', `${extra.length + missing.length === 1 ? 'Input' : 'Of the inputs,'} ${parts.join(' and ')}; the inputs are exactly ${[fieldsText(fields), ...keys].join(', ')}.`, {
    fields: [...extra.map((field) => ({ field, message: 'no such input' })), ...missing.map((field) => ({ field, message: 'missing' }))],
  });
}

const some = (names: readonly string[]): string => `${names.slice(0, 20).map(quote).join(', ')}${names.length > 20 ? ` and ${names.length - 20} more` : ''}`;
const isKnown = (name: string, { fields, keys }: Names): boolean => fields === undefined || keys.has(name) || fields.some((f) => f.name === name);

/** Calls `member` at each value of an object, which it must read. */
function members(reader: JsonReader, what: string, member: (key: string) => void): void {
  reader.expect(123, `${what} as an object`);
  if (reader.peek() === 125) {
    reader.at++;
    return;
  }
  const seen = new Set<string>();
  do {
    const key = reader.key();
    if (seen.has(key)) throw new PotorooError('malformed_body', `The key ${quote(key)} is given twice in ${what}.`);
    seen.add(key);
    member(key);
  } while (reader.more(125, 'a comma or the end of the object'));
}

function list<T>(reader: JsonReader, what: string, item: (reader: JsonReader, place: string) => T): T[] {
  reader.expect(91, `a list for "${what}"`);
  const items: T[] = [];
  if (reader.peek() === 93) reader.at++;
  else do items.push(item(reader, `${what}[${items.length}]`)); while (reader.more(93, 'a comma or the end of the list'));
  return items;
}

function text(value: Json, place: string): string {
  if (typeof value !== 'string') throw new PotorooError('malformed_body', `"${place}" must be a string.`, { fields: [{ field: place, message: 'must be a string' }] });
  return value;
}

function readInput(reader: JsonReader, place: string, known: Names): Input {
  const input: Input = {};
  members(reader, place, (key) => {
    if (key === 'name') input.name = text(reader.value(), `${place}.name`);
    else if (key === 'datatype') input.datatype = text(reader.value(), `${place}.datatype`);
    else if (key === 'shape') input.shape = shapeFrom(reader.value(), `${place}.shape`);
    else if (key === 'parameters') {
      const size = plainObject(reader.value(), `${place}.parameters`)['binary_data_size'];
      if (size === undefined) return;
      if (!(typeof size === 'number' && Number.isInteger(size) && size >= 0)) throw new PotorooError('malformed_body', `"${place}.parameters.binary_data_size" must be a number of bytes.`);
      input.binary = size;
    } else if (key === 'data') {
      reader.peek();
      input.data = reader.at;
      if (input.name !== undefined && isKnown(input.name, known) && input.datatype !== undefined && input.shape) input.column = readData(reader, input, place);
      else reader.value();
    } else reader.value();
  });
  return input;
}

function readOutput(reader: JsonReader, place: string): { name: string; binary?: boolean } {
  let name: string | undefined;
  let binary: unknown;
  members(reader, place, (key) => {
    if (key === 'name') name = text(reader.value(), `${place}.name`);
    else if (key === 'parameters') binary = plainObject(reader.value(), `${place}.parameters`)['binary_data'];
    else reader.value();
  });
  if (name === undefined) throw new PotorooError('malformed_body', `"${place}" has no name.`);
  return { name, ...(typeof binary === 'boolean' && { binary }) };
}

function shapeFrom(value: Json, place: string): number[] {
  const shape = Array.isArray(value) ? value.map((d) => (typeof d === 'bigint' || typeof d === 'number' ? Number(d) : NaN)) : [];
  // Multiplied out, the dimensions must stay exact.
  if (shape.length === 0 || !shape.every((d) => Number.isInteger(d) && d >= 0) || !(sizeOf(shape) <= 2 ** 40)) {
    throw new PotorooError('schema_mismatch', `"${place}" must be a list of dimensions, the number of rows first.`, { fields: [{ field: place, message: 'must be a list of dimensions' }] });
  }
  return shape;
}

function plainObject(value: Json, place: string): Record<string, unknown> {
  if (!(value instanceof Map)) throw new PotorooError('malformed_body', `"${place}" must be an object.`);
  return plain(value) as Record<string, unknown>;
}

/** Parameters as ordinary values; integers that a double holds become numbers. */
function plain(value: Json): unknown {
  if (typeof value === 'bigint') return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
  if (Array.isArray(value)) return value.map(plain);
  return value instanceof Map ? Object.fromEntries([...value].map(([k, v]) => [k, plain(v)])) : value;
}

function elementType(input: Input, place: string): ElementType {
  const type = input.datatype === undefined ? undefined : Object.hasOwn(typeOf, input.datatype) ? typeOf[input.datatype] : undefined;
  if (type) return type;
  const found = input.datatype === undefined ? 'no datatype' : input.datatype === 'BF16' ? 'the datatype BF16, which is not supported' : `the unknown datatype ${quote(input.datatype)}`;
  throw new PotorooError('schema_mismatch', `Input ${quote(input.name ?? place)} has ${found}. Use one of ${Object.keys(typeOf).join(', ')}.`, { fields: [{ field: `${place}.datatype`, message: found }] });
}

/** JSON data as one row of the whole tensor, which a sink reads nested or flat and fits to the shape. */
function readData(reader: JsonReader, input: Input, place: string): TensorColumn {
  const type = elementType(input, place);
  const shape = input.shape!;
  const sink = new Sink({ name: input.name!, type, shape, nullable: true }, sizeOf(shape.slice(1)));
  sink.row(reader);
  return sink.column();
}

function toColumn(reader: JsonReader, input: Input, index: number, binary: Binary): { column: TensorColumn; rows: number } {
  const place = `inputs[${index}]`;
  const { name, shape } = input;
  if (name === undefined || !shape) throw new PotorooError('malformed_body', `"${place}" has no ${name === undefined ? 'name' : 'shape'}.`);
  const type = elementType(input, place);
  const [rows, ...row] = shape as [number, ...number[]];
  if ((input.data === undefined) === (input.binary === undefined)) {
    throw new PotorooError('malformed_body', `Input ${quote(name)} needs either "data" or the parameter binary_data_size${input.data === undefined ? ', and has neither' : ', not both'}.`);
  }
  if (input.binary !== undefined) return { rows, column: { kind: 'tensor', name, type, shape: row, values: binary.take(name, type, sizeOf(shape), input.binary) } };
  if (!input.column) {
    reader.at = input.data!;
    input.column = readData(reader, input, place);
  }
  return { rows, column: { ...input.column, shape: row } };
}

/** The raw tensors behind the JSON, in the order of the inputs. */
class Binary {
  readonly #body: Uint8Array;
  #at: number;

  constructor(body: Uint8Array, at: number) {
    this.#body = body;
    this.#at = at;
  }

  take(name: string, type: ElementType, count: number, size: number): Values {
    const at = this.#at;
    if (at + size > this.#body.length) throw new PotorooError('malformed_body', `Input ${quote(name)} announces ${size} bytes of binary data, but ${this.#body.length - at} are left in the body.`);
    this.#at += size;
    if (type === 'string') return this.#strings(name, at, this.#at, count);
    const expected = count * elementBytes[type];
    if (size !== expected) throw new PotorooError('schema_mismatch', `Input ${quote(name)} has ${size} bytes of binary data; its shape and datatype need ${expected}.`);
    const values = viewOf(type, this.#body, at, count);
    return type === 'bool' ? normalised(values as Uint8Array) : values;
  }

  /** Each item is its length in four bytes, then its bytes. */
  #strings(name: string, from: number, to: number, count: number): Utf8 {
    const view = new DataView(this.#body.buffer, this.#body.byteOffset);
    // Every item takes four bytes at least: no shape can ask for more offsets than that.
    if (count * 4 > to - from) throw this.#notStrings(name, count);
    const offsets = new Int32Array(count + 1);
    const bytes = new Uint8Array(to - from - 4 * count);
    let at = from;
    let end = 0;
    for (let i = 0; i < count; i++) {
      const length = at + 4 <= to ? view.getUint32(at, true) : -1;
      if (length < 0 || at + 4 + length > to || end + length > bytes.length) throw this.#notStrings(name, count);
      bytes.set(this.#body.subarray(at + 4, at + 4 + length), end);
      at += 4 + length;
      offsets[i + 1] = end += length;
    }
    if (at !== to) throw this.#notStrings(name, count);
    if (!areUtf8(offsets, bytes)) throw new PotorooError('malformed_body', `The binary data of input ${quote(name)} is not text in UTF-8. Send bytes that are no text as UINT8.`);
    return { offsets, bytes };
  }

  #notStrings(name: string, count: number): PotorooError {
    return new PotorooError('malformed_body', `The binary data of input ${quote(name)} is not ${count} items of BYTES, each a length in four bytes and so many bytes.`);
  }

  finish(): void {
    if (this.#at !== this.#body.length) throw new PotorooError('malformed_body', `${this.#body.length - this.#at} bytes of the body belong to no input. The sizes of all binary inputs must add up to what follows the JSON.`);
  }
}

/** Booleans are 0 or 1 inside, whatever byte a client took for true. */
function normalised(values: Uint8Array): Uint8Array {
  return values.some((v) => v > 1) ? values.map((v) => (v ? 1 : 0)) : values;
}

/** What a response is made of; the columns are the outputs, under the names that the client knows. */
export interface V2Answer {
  modelName: string;
  modelVersion: string;
  id: string | undefined;
  batch: Batch;
  request: Pick<V2Request, 'outputs' | 'binaryDefault'>;
}

/**
 * Writes a response: `head` is its JSON, `binary` what follows. `headerLength` is the length of the head in bytes for the
 * header `Inference-Header-Content-Length`, null where nothing is binary and the header is left out.
 * @throws schema_mismatch for an output that does not exist, not_acceptable for one that has no rectangular shape
 */
export function encodeV2(answer: V2Answer): { head: string; binary: Uint8Array[]; headerLength: number | null } {
  const { batch, request } = answer;
  const wanted = request.outputs ?? batch.columns.map((c): { name: string; binary?: boolean } => ({ name: c.name }));
  const binary: Uint8Array[] = [];
  let head = `{"model_name":${JSON.stringify(answer.modelName)},"model_version":${JSON.stringify(answer.modelVersion)}`;
  if (answer.id !== undefined) head += `,"id":${JSON.stringify(answer.id)}`;
  head += ',"outputs":[';
  wanted.forEach((output, i) => {
    const column = batch.columns.find((c) => c.name === output.name);
    if (!column) throw new PotorooError('schema_mismatch', `Output ${quote(output.name)} does not exist; the outputs are ${batch.columns.map((c) => quote(c.name)).join(', ')}.`, { fields: [{ field: `outputs[${i}].name`, message: 'no such output' }] });
    if (column.kind !== 'tensor') throw new PotorooError('not_acceptable', `Output ${quote(column.name)} has rows of differing shape, which this protocol cannot carry. Ask for pandas records or Arrow.`);
    const shape = [batch.rows, ...column.shape];
    const count = sizeOf(shape);
    head += `${i > 0 ? ',' : ''}{"name":${JSON.stringify(column.name)},"shape":[${shape.join(',')}],"datatype":"${v2Datatype[column.type]}"`;
    // Raw bytes have no null; the server may answer JSON where binary was asked for.
    if ((output.binary ?? request.binaryDefault) && !column.nulls?.includes(1)) {
      const bytes = rawBytes(column, count);
      binary.push(bytes);
      head += `,"parameters":{"binary_data_size":${bytes.length}}}`;
    } else head += `,"data":${encodeFlat(column, 0, count)}}`;
  });
  head += ']}';
  return { head, binary, headerLength: binary.length === 0 ? null : byteLength(head) };
}

const encoder = new TextEncoder();

function byteLength(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return encoder.encode(text).length;
  return text.length;
}

function rawBytes(column: TensorColumn, count: number): Uint8Array {
  if (column.type !== 'string') {
    const values = column.values as NumericValues;
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  const { offsets, bytes } = column.values as Utf8;
  const raw = new Uint8Array(4 * count + offsets[count]! - offsets[0]!);
  const view = new DataView(raw.buffer);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const item = bytes.subarray(offsets[i], offsets[i + 1]);
    view.setUint32(at, item.length, true);
    raw.set(item, at + 4);
    at += 4 + item.length;
  }
  return raw;
}
