import { sizeOf, type Batch, type Column, type TensorColumn, type Utf8 } from '../batch.ts';
import { arrange } from '../columns.ts';
import { halfToNumber } from '../float16.ts';
import { JsonWriter } from './writer.ts';

const encoder = new TextEncoder();
/** No element but a string takes more: the sign, 17 digits, point and exponent of a double, and a comma. */
const longest = 26;
/** One for all: texts are written in one go, never one inside another. */
const shared = new JsonWriter();
const keys = new Map<string, Uint8Array>();

/** `"name":`, kept for the next answer; names come from a few schemas, but not surely from few. */
function keyOf(name: string): Uint8Array {
  let key = keys.get(name);
  if (!key) {
    if (keys.size >= 4096) keys.clear();
    keys.set(name, key = encoder.encode(`${JSON.stringify(name)}:`));
  }
  return key;
}

function writeRecords(batch: Batch, separator: string | null): JsonWriter {
  const w = shared.reset();
  w.room(2);
  w.byte(91);
  writeRows(w, batch, separator, 44);
  w.room(1);
  w.byte(93);
  return w;
}

function writeRows(w: JsonWriter, batch: Batch, separator: string | null, between: number): void {
  const { rows, columns } = arrange(batch, separator);
  const names = columns.map((c) => keyOf(c.name));
  for (let row = 0; row < rows; row++) {
    w.room(3);
    if (row > 0) w.byte(between);
    w.byte(123);
    for (let i = 0; i < columns.length; i++) {
      if (i > 0) w.byte(44);
      w.raw(names[i]!);
      writeValue(w, columns[i]!, row);
    }
    w.byte(125);
  }
}

/**
 * An array with an object for each row. Names carry their dataset before the first dot: with a separator that dot becomes
 * the separator, with null each dataset becomes an object (`{"time":1,"out":{"y":[1.5]}}`).
 *
 * Floats are the shortest decimals that read back as the same value of their type and always look like floats; NaN and the
 * infinities are null. Integers and timestamps (milliseconds) are exact digits, never quoted.
 */
export function encodeRecords(batch: Batch, separator: string | null): string {
  return writeRecords(batch, separator).toString();
}

/** The same in UTF-8, which spares a large answer the way through a string. */
export function encodeRecordsBytes(batch: Batch, separator: string | null): Uint8Array {
  return writeRecords(batch, separator).toBytes();
}

/** The objects of `encodeRecords` in UTF-8, a line each (NDJSON). */
export function encodeLines(batch: Batch, separator: string | null): Uint8Array {
  const w = shared.reset();
  writeRows(w, batch, separator, 10);
  w.room(1);
  if (batch.rows > 0) w.byte(10);
  return w.toBytes();
}

/** An object with the list of rows of each column; values as in `encodeRecords`, names as they are. */
export function encodeDictionary(batch: Batch): string {
  const w = shared.reset();
  w.room(1);
  w.byte(123);
  batch.columns.forEach((c, i) => {
    w.room(3);
    if (i > 0) w.byte(44);
    w.raw(keyOf(c.name));
    w.room(1);
    w.byte(91);
    for (let row = 0; row < batch.rows; row++) {
      w.room(1);
      if (row > 0) w.byte(44);
      writeValue(w, c, row);
    }
    w.room(1);
    w.byte(93);
  });
  w.room(1);
  w.byte(125);
  return w.toString();
}

/** `{"columns":[names],"data":[[values of a row], ...]}`, as pandas writes a frame with `orient="split"`; values as in `encodeRecords`. */
export function encodeSplit(batch: Batch): string {
  const w = shared.reset();
  const head = encoder.encode(`{"columns":${JSON.stringify(batch.columns.map((c) => c.name))},"data":[`);
  w.raw(head);
  for (let row = 0; row < batch.rows; row++) {
    w.room(3);
    if (row > 0) w.byte(44);
    w.byte(91);
    batch.columns.forEach((c, i) => {
      if (i > 0) w.byte(44);
      writeValue(w, c, row);
    });
    w.room(3);
    w.byte(93);
  }
  w.room(2);
  w.byte(93);
  w.byte(125);
  return w.toString();
}

/** Elements `from .. to` of a tensor as a flat JSON list: how the Open Inference Protocol writes data. */
export function encodeFlat(t: TensorColumn, from: number, to: number): string {
  const w = shared.reset();
  writeList(w, t, from, to);
  return w.toString();
}

/** The value of one row, and room for the three bytes that may follow it. */
function writeValue(w: JsonWriter, column: Column, row: number): void {
  if (column.kind === 'tensor') {
    const { shape } = column;
    if (shape.length === 0) writeElements(w, column, row, row + 1);
    else if (shape.length === 1) writeList(w, column, row * shape[0]!, (row + 1) * shape[0]!);
    else writeNested(w, column, 0, row * sizeOf(shape));
  } else if (column.nulls?.[row]) {
    w.room(4);
    w.word('null');
  } else if (column.kind === 'list') {
    w.room(1);
    w.byte(91);
    const from = column.offsets[row]!;
    const to = column.offsets[row + 1]!;
    if (column.items.kind === 'tensor' && column.items.shape.length === 0) writeElements(w, column.items, from, to);
    else for (let i = from; i < to; i++) {
      if (i > from) w.byte(44);
      writeValue(w, column.items, i);
    }
    w.room(1);
    w.byte(93);
  } else {
    w.room(1);
    w.byte(123);
    for (const [i, field] of column.fields.entries()) {
      if (i > 0) w.byte(44);
      w.raw(keyOf(field.name));
      writeValue(w, field, row);
    }
    w.byte(125);
  }
  w.room(3);
}

function writeNested(w: JsonWriter, t: TensorColumn, depth: number, from: number): void {
  const inner = sizeOf(t.shape.slice(depth + 1));
  if (depth === t.shape.length - 1) return writeList(w, t, from, from + t.shape[depth]!);
  w.room(1);
  w.byte(91);
  for (let i = 0; i < t.shape[depth]!; i++) {
    if (i > 0) w.byte(44);
    writeNested(w, t, depth + 1, from + i * inner);
  }
  w.room(3);
  w.byte(93);
}

function writeList(w: JsonWriter, t: TensorColumn, from: number, to: number): void {
  w.room(1);
  w.byte(91);
  writeElements(w, t, from, to);
  w.room(3);
  w.byte(93);
}

/** Elements with commas between them. */
function writeElements(w: JsonWriter, t: TensorColumn, from: number, to: number): void {
  w.room(longest * (to - from) + 3);
  if (t.nulls || t.type !== 'float32') {
    for (let i = from; i < to; i++) {
      if (i > from) w.byte(44);
      if (t.nulls?.[i]) w.word('null');
      else writeElement(w, t, i);
    }
  } else w.floats32(t.values as Float32Array, from, to);
}

function writeElement(w: JsonWriter, t: TensorColumn, i: number): void {
  const { type, values } = t;
  switch (type) {
    case 'float32': return w.float32((values as Float32Array)[i]!);
    case 'float64': return w.float64((values as Float64Array)[i]!);
    // Five digits tell every half apart, and a float32 holds each half exactly.
    case 'float16': return w.float32(halfToNumber((values as Uint16Array)[i]!));
    case 'bool': return w.word((values as Uint8Array)[i] ? 'true' : 'false');
    case 'string': {
      const { bytes, offsets } = values as Utf8;
      w.text(bytes, offsets[i]!, offsets[i + 1]!);
      // The room for what follows was asked for before the string took it.
      return w.room(longest + 3);
    }
    case 'int64': case 'uint64': case 'timestamp': {
      const wide = values as BigInt64Array;
      const words = new Int32Array(wide.buffer, wide.byteOffset + 8 * i, 2);
      return w.pair(words[0]!, words[1]!, type === 'uint64');
    }
    case 'int8': return w.integer((values as Int8Array)[i]!);
    case 'int16': return w.integer((values as Int16Array)[i]!);
    case 'int32': return w.integer((values as Int32Array)[i]!);
    case 'uint8': return w.integer((values as Uint8Array)[i]!);
    case 'uint16': return w.integer((values as Uint16Array)[i]!);
    case 'uint32': return w.integer((values as Uint32Array)[i]!);
  }
}
