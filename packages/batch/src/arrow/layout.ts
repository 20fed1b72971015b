import type { ElementType, Field } from '@potoroo/contract/plain';
import type { Column } from '../batch.ts';
import { FlatbufferBuilder, i16, i32, i64, i8, ref, type Slot } from './builder.ts';
import { headers } from './messages.ts';

/** What decides a column's Arrow type: leaf type, how many lists around it, or the fields of a struct. */
export type Layout =
  | { readonly name: string; readonly leaf: ElementType; readonly lists: readonly (number | null)[] }
  | { readonly name: string; readonly fields: readonly Layout[]; readonly lists: readonly (number | null)[] };

/** Lists are of variable length (null) whatever the rows have, so that a column's type does not depend on its data. */
export function layoutOf(column: Column): Layout {
  if (column.kind === 'tensor') return { name: column.name, leaf: column.type, lists: column.shape.map(() => null) };
  if (column.kind === 'struct') return { name: column.name, fields: column.fields.map(layoutOf), lists: [] };
  const items = layoutOf(column.items);
  return { ...items, name: column.name, lists: [null, ...items.lists] };
}

/** A declared field: fixed dimensions are fixed-size lists. */
export function layoutOfField(field: Field): Layout {
  if (field.fields !== undefined) return { name: field.name, fields: field.fields.map(layoutOfField), lists: field.shape.map((d) => (d === -1 ? null : d)) };
  return { name: field.name, leaf: field.type, lists: field.shape.map((d) => (d === -1 ? null : d)) };
}

/** One text for one Arrow schema. */
export function signature(column: Column): string {
  if (column.kind === 'tensor') return `${JSON.stringify(column.name)}${column.type}${column.shape.length}`;
  if (column.kind === 'list') return `${JSON.stringify(column.name)}[${signature(column.items)}]`;
  return `${JSON.stringify(column.name)}{${column.fields.map(signature).join()}}`;
}

const version5 = 4;
const integers: Partial<Record<ElementType, readonly [number, number]>> = {
  int8: [8, 1], int16: [16, 1], int32: [32, 1], int64: [64, 1], uint8: [8, 0], uint16: [16, 0], uint32: [32, 0], uint64: [64, 0],
};
const precisions: Partial<Record<ElementType, number>> = { float16: 0, float32: 1, float64: 2 };

/** The union member and its table for a leaf. */
function leafType(b: FlatbufferBuilder, type: ElementType): [number, () => number] {
  const integer = integers[type];
  if (integer) return [2, () => b.table([i32(integer[0]), i8(integer[1])])];
  const precision = precisions[type];
  if (precision !== undefined) return [3, () => b.table([i16(precision)])];
  if (type === 'string') return [5, () => b.table([])];
  if (type === 'bool') return [6, () => b.table([])];
  return [10, () => b.table([i16(1)])];
}

/** Every field is nullable, as Arrow's own default is: whether a page of rows has nulls must not change its type. */
function field(b: FlatbufferBuilder, layout: Layout): () => number {
  const [outer, ...inner] = layout.lists;
  let code: number;
  let type: () => number;
  let children: readonly (() => number)[] = [];
  if (outer !== undefined) {
    code = outer === null ? 12 : 16;
    type = () => b.table(outer === null ? [] : [i32(outer)]);
    children = [field(b, { ...layout, name: 'item', lists: inner })];
  } else if ('leaf' in layout) [code, type] = leafType(b, layout.leaf);
  else {
    code = 13;
    type = () => b.table([]);
    children = layout.fields.map((f) => field(b, f));
  }
  return () => b.table([ref(() => b.string(layout.name)), i8(1), i8(code), ref(type), undefined, ref(() => b.vector(children))]);
}

function schema(b: FlatbufferBuilder, layouts: readonly Layout[], metadata: Readonly<Record<string, string>>): () => number {
  const pairs = Object.entries(metadata).map(([key, value]) => () => b.table([ref(() => b.string(key)), ref(() => b.string(value))]));
  return () => b.table([i16(0), ref(() => b.vector(layouts.map((l) => field(b, l)))), pairs.length > 0 ? ref(() => b.vector(pairs)) : undefined]);
}

/** A flatbuffer as an encapsulated message, without a body. */
function encapsulate(flatbuffer: Uint8Array): Uint8Array {
  const padded = (flatbuffer.length + 7) & ~7;
  const message = new Uint8Array(8 + padded);
  new DataView(message.buffer).setInt32(0, -1, true);
  new DataView(message.buffer).setInt32(4, padded, true);
  message.set(flatbuffer, 8);
  return message;
}

export function schemaMessage(layouts: readonly Layout[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const b = new FlatbufferBuilder();
  b.table([i16(version5), i8(headers.schema), ref(schema(b, layouts, metadata)), i64(0)]);
  return encapsulate(b.finish());
}

/** A message whose numbers are filled in later: where they go. */
export interface BatchTemplate { readonly bytes: Uint8Array; readonly bodyLength: number; readonly rows: number; readonly nodes: number; readonly buffers: number; readonly bufferCount: number }

function count(layout: Layout): { nodes: number; buffers: number } {
  const lists = layout.lists.length;
  if ('leaf' in layout) return { nodes: lists + 1, buffers: 2 * lists + (layout.leaf === 'string' ? 3 : 2) };
  const inner = layout.fields.map(count);
  return { nodes: lists + 1 + inner.reduce((n, c) => n + c.nodes, 0), buffers: 2 * lists + 1 + inner.reduce((n, c) => n + c.buffers, 0) };
}

export function batchTemplate(layouts: readonly Layout[]): BatchTemplate {
  const b = new FlatbufferBuilder();
  const counts = layouts.map(count);
  const bufferCount = counts.reduce((n, c) => n + c.buffers, 0);
  const places = { bodyLength: 0, rows: 0, nodes: 0, buffers: 0 };
  const structs = (name: 'nodes' | 'buffers', n: number): Slot => ref(() => {
    const at = b.structs(n, 16);
    places[name] = 8 + at + 4;
    return at;
  });
  const header = () => b.table([i64(0, (at) => { places.rows = 8 + at; }), structs('nodes', counts.reduce((n, c) => n + c.nodes, 0)), structs('buffers', bufferCount)]);
  b.table([i16(version5), i8(headers.batch), ref(header), i64(0, (at) => { places.bodyLength = 8 + at; })]);
  return { bytes: encapsulate(b.finish()), bufferCount, ...places };
}

/** A file's footer for one record batch: the bytes from the stream's end marker to the last magic word, and where the batch's block lies in them. */
export function footerTemplate(layouts: readonly Layout[], metadata: Readonly<Record<string, string>>): { bytes: Uint8Array; block: number } {
  const b = new FlatbufferBuilder();
  let block = 0;
  b.table([i16(version5), ref(schema(b, layouts, metadata)), ref(() => b.structs(0, 24)), ref(() => {
    const at = b.structs(1, 24);
    block = 8 + at + 4;
    return at;
  })]);
  const flatbuffer = b.finish();
  const bytes = new Uint8Array(8 + flatbuffer.length + 10);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, -1, true);
  bytes.set(flatbuffer, 8);
  view.setInt32(8 + flatbuffer.length, flatbuffer.length, true);
  bytes.set(magic, 12 + flatbuffer.length);
  return { bytes, block };
}

export const magic = Uint8Array.of(65, 82, 82, 79, 87, 49);
