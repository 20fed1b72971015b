import { fit, isFloat, isInteger, isList, rangeOf, type Dtype } from './dtype.ts';
import type { Node } from './node.ts';
import { fromNumbers, fromStrings, isNull, nothing, numberAt, stringAt, type Vector } from './vector.ts';

/** A node brought to a type. Integers that do not fit become null, as does text that is no number. */
export function cast(node: Node, dtype: Dtype): Node {
  if (node.dtype === dtype) return node;
  return { dtype, scalar: node.scalar, rowwise: node.rowwise, run: (c) => castVector(node.run(c), dtype) };
}

export function castVector(v: Vector, dtype: Dtype): Vector {
  if (v.dtype === dtype) return v;
  if (v.dtype === 'null') return nothing(dtype);
  if (isList(dtype)) {
    if (!v.list) return nothing(dtype);
    return { ...v, dtype, list: { offsets: v.list.offsets, items: castVector(v.list.items, dtype.list) } };
  }
  const nulls = v.nulls ? v.nulls.slice() : new Uint8Array(v.length);
  if (dtype === 'string') {
    const float = isFloat(v.dtype);
    const strings = Array.from({ length: v.length }, (_, i) => (isNull(v, i) ? '' : v.dtype === 'bool' ? (numberAt(v, i) ? 'true' : 'false') : showNumber(numberAt(v, i), float)));
    return fromStrings(strings, nulls, v.scalar);
  }
  const out = new Float64Array(v.length);
  for (let i = 0; i < v.length; i++) {
    if (nulls[i]) continue;
    let x: number;
    if (v.dtype === 'string') {
      const text = stringAt(v, i);
      x = /^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|NaN)$/.test(text) ? Number(text.replace('inf', 'Infinity')) : Number.NaN;
      if (Number.isNaN(x) && text !== 'NaN') { nulls[i] = 1; continue; }
      if (isInteger(dtype) && !/^[+-]?\d+$/.test(text)) { nulls[i] = 1; continue; }
    } else x = numberAt(v, i);
    if (dtype === 'bool') out[i] = Number(x !== 0);
    else if (isInteger(dtype)) {
      x = Math.trunc(x);
      const [low, high] = rangeOf(dtype);
      if (!(x >= low && x <= high)) nulls[i] = 1; else out[i] = x;
    } else out[i] = (fit(dtype) ?? ((y: number) => y))(x);
  }
  return fromNumbers(dtype, out, nulls, v.scalar);
}

const showNumber = (x: number, float: boolean): string => (Number.isNaN(x) ? 'NaN' : x === Infinity ? 'inf' : x === -Infinity ? '-inf' : float && Number.isInteger(x) ? x.toFixed(1) : String(x));
