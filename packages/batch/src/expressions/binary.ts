import { fit, isFloat, isInteger, isNumeric, rangeOf, showDtype, superType, type Dtype } from './dtype.ts';
import { cast } from './cast.ts';
import { lift, own, refuse, rowsOf, type Node, type Path } from './node.ts';
import { fromNumbers, isNull, numberAt, stringAt, type Vector } from './vector.ts';

type Arithmetic = (a: number, b: number) => number;
const arithmetic: Record<string, Arithmetic> = {
  Plus: (a, b) => a + b,
  Minus: (a, b) => a - b,
  Multiply: (a, b) => a * b,
  Divide: (a, b) => a / b,
  TrueDivide: (a, b) => a / b,
  FloorDivide: (a, b) => Math.floor(a / b),
  Modulus: (a, b) => a % b,
};
const comparisons: Record<string, (order: number) => boolean> = {
  Lt: (o) => o < 0, LtEq: (o) => o <= 0, Gt: (o) => o > 0, GtEq: (o) => o >= 0, Eq: (o) => o === 0, NotEq: (o) => o !== 0,
  EqValidity: (o) => o === 0, NotEqValidity: (o) => o !== 0,
};

// Three-valued logic: 2 stands for null.
type Logic = (a: number, b: number) => number;
export const and: Logic = (a, b) => (a === 0 || b === 0 ? 0 : a === 2 || b === 2 ? 2 : 1);
export const or: Logic = (a, b) => (a === 1 || b === 1 ? 1 : a === 2 || b === 2 ? 2 : 0);
const xor: Logic = (a, b) => (a === 2 || b === 2 ? 2 : a ^ b);
const logicals: Record<string, Logic> = { And: and, LogicalAnd: and, Or: or, LogicalOr: or, Xor: xor };

/** The types both sides are brought to: a written number gives way to a column's type where that can hold it. */
export function common(path: Path, a: Node, b: Node): Dtype {
  const [literal, other] = a.literal !== undefined && b.literal === undefined ? [a, b] : b.literal !== undefined && a.literal === undefined ? [b, a] : [undefined, undefined];
  if (literal && isNumeric(other.dtype)) {
    if (isFloat(other.dtype)) return other.dtype;
    if (!isInteger(literal.dtype)) return 'float64';
    const [low, high] = rangeOf(other.dtype);
    const value = literal.literal as number;
    return value >= low && value <= high ? other.dtype : 'int64';
  }
  return superType(a.dtype, b.dtype) ?? refuse(path, `${showDtype(a.dtype)} and ${showDtype(b.dtype)} do not go together`);
}

export function binary(path: Path, op: string, left: Node, right: Node): Node {
  const scalar = left.scalar && right.scalar;
  const rowwise = left.rowwise && right.rowwise;
  const joins = own(logicals, op);
  if (joins) {
    for (const side of [left, right]) if (side.dtype !== 'bool' && side.dtype !== 'null') refuse(path, `${op} joins true-or-false values, not ${showDtype(side.dtype)}`);
    return { dtype: 'bool', scalar, rowwise, run: (c) => logical(left.run(c), right.run(c), c.rows, joins) };
  }
  const compare = own(comparisons, op);
  if (compare) {
    const dtype = common(path, left, right);
    if (typeof dtype === 'object') refuse(path, 'lists cannot be compared: look into them with list.get, list.sum and the like');
    const [a, b] = [cast(left, dtype), cast(right, dtype)];
    return {
      dtype: 'bool', scalar, rowwise,
      run(c) {
        const [x, y] = [a.run(c), b.run(c)];
        const rows = rowsOf(c, [x, y]);
        const out = new Float64Array(x.scalar && y.scalar ? 1 : rows);
        const text = dtype === 'string';
        const done = lift([x, y], rows, (i) => {
          if (text) { const [s, t] = [stringAt(x, i), stringAt(y, i)]; out[i] = Number(compare(s === t ? 0 : byteOrder(s, t))); } else {
            const difference = numberAt(x, i) - numberAt(y, i);
            // inf - inf is no number although they are equal; with NaN nothing is, as in IEEE 754
            out[i] = Number(compare(numberAt(x, i) === numberAt(y, i) ? 0 : difference));
          }
        });
        return fromNumbers('bool', out, done.nulls, done.scalar);
      },
    };
  }
  const rule = own(arithmetic, op);
  if (!rule) refuse(path, `the operator ${op} is not known`);
  let dtype = common(path, left, right);
  if (!isNumeric(dtype) && dtype !== 'null') refuse(path, `${op} needs numbers, not ${showDtype(dtype)}`);
  if (op === 'TrueDivide' && isInteger(dtype)) dtype = 'float64';
  const [a, b] = [cast(left, dtype), cast(right, dtype)];
  const store = fit(dtype);
  const integer = isInteger(dtype);
  const divides = op === 'FloorDivide' || op === 'Modulus' || op === 'Divide';
  return {
    dtype, scalar, rowwise,
    run(c) {
      const [x, y] = [a.run(c), b.run(c)];
      const rows = rowsOf(c, [x, y]);
      const out = new Float64Array(x.scalar && y.scalar ? 1 : rows);
      const undefinedAt: number[] = [];
      const done = lift([x, y], rows, (i) => {
        const q = numberAt(y, i);
        if (integer && divides && q === 0) { undefinedAt.push(i); return; }
        let value = rule(numberAt(x, i), q);
        if (integer && op === 'Divide') value = Math.trunc(value);
        out[i] = store ? store(value) : value;
      });
      let nulls = done.nulls;
      if (undefinedAt.length > 0) { nulls ??= new Uint8Array(done.length); for (const i of undefinedAt) nulls[i] = 1; }
      return fromNumbers(dtype, out, nulls, done.scalar);
    },
  };
}

/** Strings in the order of their UTF-8 bytes, which is that of their code points. */
function byteOrder(a: string, b: string): number {
  const x = a[Symbol.iterator]();
  const y = b[Symbol.iterator]();
  for (;;) {
    const p = x.next();
    const q = y.next();
    if (p.done || q.done) return p.done ? (q.done ? 0 : -1) : 1;
    const difference = (p.value.codePointAt(0) as number) - (q.value.codePointAt(0) as number);
    if (difference !== 0) return difference;
  }
}

export function logical(a: Vector, b: Vector, rows: number, rule: Logic): Vector {
  const scalar = a.scalar && b.scalar;
  const length = scalar ? 1 : Math.max(a.scalar ? 0 : a.length, b.scalar ? 0 : b.length) || rows;
  const out = new Float64Array(length);
  const nulls = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const value = rule(isNull(a, i) ? 2 : numberAt(a, i), isNull(b, i) ? 2 : numberAt(b, i));
    if (value === 2) nulls[i] = 1; else out[i] = value;
  }
  return fromNumbers('bool', out, nulls, scalar);
}
