import type { ElementType, Field } from '@potoroo/contract/plain';
import type { Column } from '../batch.ts';

/** Type of an expression: an element type, a list of such, or `null` for the literal that has no other type. */
type Simple = Exclude<ElementType, 'float16' | 'timestamp'> | 'null';
export type Dtype = Simple | { readonly list: Dtype };

const signed: readonly Dtype[] = ['int8', 'int16', 'int32', 'int64'];
const unsigned: readonly Dtype[] = ['uint8', 'uint16', 'uint32', 'uint64'];

export const isList = (d: Dtype): d is { list: Dtype } => typeof d === 'object';
export const isInteger = (d: Dtype): boolean => signed.includes(d) || unsigned.includes(d);
export const isFloat = (d: Dtype): boolean => d === 'float32' || d === 'float64';
export const isNumeric = (d: Dtype): boolean => isInteger(d) || isFloat(d);
export const showDtype = (d: Dtype): string => (typeof d === 'string' ? d : `list of ${showDtype(d.list)}`);

const bits = (d: Dtype): number => (typeof d === 'string' ? Number(/\d+$/.exec(d)?.[0] ?? 0) : 0);
const leafOf = (type: ElementType): Simple => (type === 'float16' ? 'float32' : type === 'timestamp' ? 'int64' : type);

/** Lists nest once per dimension of a row. */
export function dtypeOfField(field: Pick<Field, 'type' | 'shape'>): Dtype {
  return field.shape.reduce<Dtype>((inner) => ({ list: inner }), leafOf(field.type));
}

export function dtypeOfColumn(c: Column): Dtype | undefined {
  if (c.kind === 'tensor') return dtypeOfField({ type: c.type, shape: [...c.shape] });
  if (c.kind === 'struct') return undefined;
  const items = dtypeOfColumn(c.items);
  return items && { list: items };
}

/**
 * The type both sides of an operation are brought to, after polars: the wider of two integers, a signed one when signs
 * differ, float32 only where it holds every value of a small integer; undefined when they do not go together.
 */
export function superType(a: Dtype, b: Dtype): Dtype | undefined {
  if (a === b) return a;
  if (a === 'null') return b;
  if (b === 'null') return a;
  if (isList(a) || isList(b)) return undefined;
  if (a === 'bool' && isNumeric(b)) return b;
  if (b === 'bool' && isNumeric(a)) return a;
  if (!isNumeric(a) || !isNumeric(b)) return undefined;
  if (isFloat(a) && isFloat(b)) return 'float64';
  if (isFloat(a) || isFloat(b)) {
    const [float, integer] = isFloat(a) ? [a, b] : [b, a];
    return float === 'float32' && bits(integer) <= 16 ? 'float32' : 'float64';
  }
  const [sa, sb] = [signed.includes(a), signed.includes(b)];
  if (sa === sb) return bits(a) >= bits(b) ? a : b;
  const [s, u] = sa ? [bits(a), bits(b)] : [bits(b), bits(a)];
  if (u === 64) return 'float64';
  return `int${Math.max(s, u * 2)}` as Dtype;
}

/** A number as it is after being stored in this type: rounded to single precision, or wrapped as two's complement. */
export function fit(d: Dtype): ((x: number) => number) | undefined {
  switch (d) {
    case 'float32': return Math.fround;
    case 'int8': return (x) => (x << 24) >> 24;
    case 'int16': return (x) => (x << 16) >> 16;
    case 'int32': return (x) => x | 0;
    case 'uint8': return (x) => x & 0xff;
    case 'uint16': return (x) => x & 0xffff;
    case 'uint32': return (x) => x >>> 0;
    default: return undefined;
  }
}

/** Range of an integer type; 64-bit types end where a double stops being exact for them. */
export function rangeOf(d: Dtype): [number, number] {
  const n = bits(d);
  return signed.includes(d) ? [-(2 ** (n - 1)), 2 ** (n - 1) - 1] : [0, 2 ** n - 1];
}
export const isBoolOrNumber = (d: Dtype): boolean => d === 'bool' || isNumeric(d);
