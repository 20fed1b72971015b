import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';
import { quote } from '../shapes.ts';
import { malformed, type Table } from './flatbuffer.ts';

/**
 * One field of an Arrow schema, as far as it can be a column: how its values are laid out and what they become.
 * `divide` and `multiply` turn a timestamp's unit to milliseconds.
 */
export type ArrowType =
  | { readonly kind: 'plain'; readonly type: Exclude<ElementType, 'string' | 'bool'>; readonly bytes: number; readonly multiply?: bigint; readonly divide?: bigint }
  | { readonly kind: 'bool' }
  | { readonly kind: 'utf8'; readonly large: boolean }
  | { readonly kind: 'utf8-view' }
  | { readonly kind: 'list'; readonly large: boolean; readonly item: ArrowField }
  | { readonly kind: 'fixed'; readonly length: number; readonly item: ArrowField }
  | { readonly kind: 'struct'; readonly fields: readonly ArrowField[] };

export interface ArrowField {
  readonly name: string;
  readonly type: ArrowType;
  /** Values are indexes of this type into the dictionary with this id. */
  readonly dictionary?: { readonly id: bigint; readonly index: ArrowType };
}

export interface ArrowSchema {
  readonly fields: readonly ArrowField[];
  readonly metadata: Readonly<Record<string, string>>;
}

const maxDepth = 32;

/** Reads a `Schema` table. @throws malformed_body; schema_mismatch naming a field whose type cannot be a column */
export function readSchema(table: Table): ArrowSchema {
  if (table.i16(0) !== 0) throw malformed('it is big-endian; write it little-endian');
  const metadata = Object.fromEntries(table.tables(2).map((kv) => [kv.string(0), kv.string(1)]));
  return { fields: table.tables(1).map((f) => readField(f, 0)), metadata };
}

function readField(table: Table, depth: number): ArrowField {
  if (depth > maxDepth) throw malformed(`its types nest deeper than ${maxDepth}`);
  const name = table.string(0);
  const code = table.u8(2);
  const detail = table.table(3);
  if (!detail) throw malformed(`field ${quote(name)} has no type`);
  const children = () => table.tables(5).map((c) => readField(c, depth + 1));
  const type = readType(name, code, detail, children);
  const encoding = table.table(4);
  const field = { name, type };
  if (!encoding) return field;
  const index = encoding.table(1);
  return { ...field, dictionary: { id: encoding.i64(0), index: index ? integer(name, index) : plain('int32', 4) } };
}

function plain(type: Exclude<ElementType, 'string' | 'bool'>, bytes: number, unit?: { multiply?: bigint; divide?: bigint }): ArrowType {
  return { kind: 'plain', type, bytes, ...unit };
}

function integer(name: string, detail: Table): ArrowType {
  const bits = detail.i32(0);
  const type = `${detail.bool(1) ? '' : 'u'}int${bits}`;
  if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) throw malformed(`field ${quote(name)} has integers of ${bits} bits`);
  return plain(type as 'int8', bits >> 3);
}

/** The members of the format's `Type` union that are not columns, for messages. */
const refused: Readonly<Record<number, string>> = {
  1: 'null', 4: 'binary', 7: 'decimal', 9: 'time', 11: 'interval', 14: 'union', 15: 'fixed_size_binary', 17: 'map', 18: 'duration', 19: 'large_binary',
  22: 'run_end_encoded', 23: 'binary_view', 25: 'list_view', 26: 'large_list_view',
};

function readType(name: string, code: number, detail: Table, children: () => ArrowField[]): ArrowType {
  const only = (): ArrowField => {
    const list = children();
    if (list.length !== 1) throw malformed(`list ${quote(name)} has ${list.length} item types`);
    return list[0]!;
  };
  switch (code) {
    case 2: return integer(name, detail);
    case 3: {
      const precision = detail.i16(0);
      if (precision === 0) return plain('float16', 2);
      if (precision === 1) return plain('float32', 4);
      if (precision === 2) return plain('float64', 8);
      throw malformed(`field ${quote(name)} has an unknown precision`);
    }
    case 5: return { kind: 'utf8', large: false };
    case 20: return { kind: 'utf8', large: true };
    case 24: return { kind: 'utf8-view' };
    case 6: return { kind: 'bool' };
    case 8: return detail.i16(0, 1) === 0 ? plain('timestamp', 4, { multiply: 86_400_000n }) : plain('timestamp', 8);
    case 10: {
      const unit = detail.i16(0);
      if (unit === 0) return plain('timestamp', 8, { multiply: 1000n });
      if (unit === 1) return plain('timestamp', 8);
      if (unit === 2) return plain('timestamp', 8, { divide: 1000n });
      if (unit === 3) return plain('timestamp', 8, { divide: 1_000_000n });
      throw malformed(`field ${quote(name)} has an unknown time unit`);
    }
    case 12: return { kind: 'list', large: false, item: only() };
    case 21: return { kind: 'list', large: true, item: only() };
    case 16: {
      const length = detail.i32(0);
      if (length < 0) throw malformed(`list ${quote(name)} has a negative length`);
      return { kind: 'fixed', length, item: only() };
    }
    case 13: return { kind: 'struct', fields: children() };
    default: {
      const known = refused[code];
      if (!known) throw malformed(`field ${quote(name)} has the unknown type ${code}`);
      throw new PotorooError('schema_mismatch', `Column ${quote(name)} has the Arrow type ${known}, which is not supported. Send numbers, booleans, strings, timestamps, or lists of them.`, { fields: [{ field: name, message: `the Arrow type ${known} is not supported` }] });
    }
  }
}

/**
 * The schema of rows: a list is a free dimension, a fixed-size list a fixed one. Nullability is left out: Arrow's default says
 * yes without anybody meaning it. Of structs the fields are given.
 */
export function fieldsOf(schema: { readonly fields: readonly ArrowField[] }): Field[] {
  return schema.fields.map((top) => {
    const shape: number[] = [];
    let field = top;
    while (field.type.kind === 'list' || field.type.kind === 'fixed') {
      shape.push(field.type.kind === 'fixed' ? field.type.length : -1);
      field = field.type.item;
    }
    const { type } = field;
    if (type.kind === 'struct') return { name: top.name, type: 'string', shape, fields: fieldsOf(type) };
    return { name: top.name, type: type.kind === 'plain' ? type.type : type.kind === 'bool' ? 'bool' : 'string', shape };
  });
}
