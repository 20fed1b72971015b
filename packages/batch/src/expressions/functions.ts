import { and, binary, common, logical, or } from './binary.ts';
import { cast } from './cast.ts';
import { fit, isFloat, isInteger, isList, isNumeric, showDtype, superType, type Dtype } from './dtype.ts';
import { aggregate, listAggregates, type Aggregate } from './aggregates.ts';
import { expect, lift, refuse, rowsOf, word, type Node, type Path } from './node.ts';
import { fromNumbers, fromStrings, isNull, numberAt, stringAt, type Vector } from './vector.ts';

/** A function of the expression language: its inputs, already compiled, and its options as they stand in the JSON. */
export type Make = (path: Path, inputs: readonly Node[], options: unknown) => Node;

const one = (path: Path, inputs: readonly Node[]): Node => inputs[0] ?? refuse(path, 'an input is missing');
const two = (path: Path, inputs: readonly Node[]): [Node, Node] => [one(path, inputs), inputs[1] ?? refuse(path, 'the second input is missing')];

/** number -> number of the same type, or of the type that `to` says. */
function numeric(f: (x: number, options: unknown) => number, to: (d: Dtype) => Dtype = (d) => d): Make {
  return (path, inputs, options) => {
    const input = expect(path, one(path, inputs), isNumeric, 'a number');
    const dtype = to(input.dtype);
    const store = fit(dtype);
    return {
      dtype, scalar: input.scalar, rowwise: input.rowwise,
      run(c) {
        const v = input.run(c);
        const out = new Float64Array(v.length);
        for (let i = 0; i < v.length; i++) { const y = f(numberAt(v, i), options); out[i] = store ? store(y) : y; }
        return fromNumbers(dtype, out, v.nulls, v.scalar);
      },
    };
  };
}
const toFloat = (d: Dtype): Dtype => (d === 'float32' ? d : 'float64');
const keepIntegers = (f: (x: number) => number) => numeric(f, (d) => d);

/** value -> true or false. */
function test(f: (v: Vector, i: number) => boolean, wanted: (d: Dtype) => boolean, name: string, ofNull?: boolean): Make {
  return (path, inputs) => {
    const input = expect(path, one(path, inputs), wanted, name);
    return {
      dtype: 'bool', scalar: input.scalar, rowwise: input.rowwise,
      run(c) {
        const v = input.run(c);
        const out = new Float64Array(v.length);
        for (let i = 0; i < v.length; i++) out[i] = Number(isNull(v, i) ? ofNull === true : f(v, i));
        return fromNumbers('bool', out, ofNull === undefined ? v.nulls : undefined, v.scalar);
      },
    };
  };
}
const anything = (): boolean => true;

/** Rust's round: halves away from zero. Dividing by a power of ten is closer than multiplying by its inverse. */
function round(x: number, decimals: number, toEven: boolean): number {
  if (!Number.isFinite(x)) return x;
  const scale = 10 ** decimals;
  const y = x * scale;
  let r = Math.sign(y) * Math.round(Math.abs(y));
  if (toEven && Math.abs(Math.abs(y) % 1) === 0.5 && r % 2 !== 0) r -= Math.sign(y);
  return r / scale;
}

const record = (options: unknown): Record<string, unknown> => (typeof options === 'object' && options !== null ? (options as Record<string, unknown>) : {});

export const plain: Record<string, Make> = {
  Abs: keepIntegers(Math.abs),
  Negate: keepIntegers((x) => -x),
  Sign: numeric(Math.sign),
  Floor: keepIntegers(Math.floor),
  Ceil: keepIntegers(Math.ceil),
  Exp: numeric(Math.exp, toFloat),
  Round: numeric((x, o) => round(x, Number(record(o).decimals ?? 0), record(o).mode === 'HalfToEven')),
  Log: (path, inputs, options) => {
    const base = inputs[1]?.literal ?? Number(record(options).base ?? Math.E);
    return numeric((x) => (base === Math.E ? Math.log(x) : Math.log(x) / Math.log(base)), toFloat)(path, inputs.slice(0, 1), undefined);
  },
  Pow: (path, inputs, options) => {
    if (options === 'Sqrt') return numeric(Math.sqrt, toFloat)(path, inputs, undefined);
    if (options === 'Cbrt') return numeric(Math.cbrt, toFloat)(path, inputs, undefined);
    const [x, y] = two(path, inputs);
    expect(path, x, isNumeric, 'a number');
    expect(path, y, isNumeric, 'a number');
    const dtype = isFloat(x.dtype) ? x.dtype : isFloat(y.dtype) || (y.literal ?? 0) < 0 ? 'float64' : x.dtype;
    const store = fit(dtype) ?? ((v: number) => v);
    return zip(dtype, [x, y], (p, q) => store(p ** q));
  },
  Clip: (path, inputs, options) => {
    const input = expect(path, one(path, inputs), isNumeric, 'a number');
    const o = record(options);
    const bound = (v: unknown): number => Number(typeof v === 'object' && v !== null ? Object.values(v)[0] : v);
    const rest = inputs.slice(1);
    const low = o.has_min === undefined ? (o.min === undefined ? -Infinity : bound(o.min)) : o.has_min ? rest.shift()?.literal : -Infinity;
    const high = o.has_max === undefined ? (o.max === undefined ? Infinity : bound(o.max)) : o.has_max ? rest.shift()?.literal : Infinity;
    if (low === undefined || high === undefined || Number.isNaN(low) || Number.isNaN(high)) refuse(path, 'clip takes two numbers');
    return numeric((x) => Math.min(Math.max(x, low), high))(path, [input], undefined);
  },
  FillNull: (path, inputs) => {
    const [value, other] = two(path, inputs);
    const dtype = common(path, value, other);
    return choose(dtype, cast(value, dtype), cast(value, dtype), cast(other, dtype));
  },
  MaxHorizontal: (path, inputs) => horizontal(path, inputs, Math.max),
  MinHorizontal: (path, inputs) => horizontal(path, inputs, Math.min),
  SumHorizontal: (path, inputs) => inputs.slice(1).reduce((a, b) => binary(path, 'Plus', a, b), one(path, inputs)),
  Quantile: (path, inputs, options) => {
    const [value, q] = two(path, inputs);
    return aggregate(path, 'Quantile', value, { quantile: q.literal ?? refuse(path, 'the quantile is a written number'), method: word(record(options).method, 'Nearest') });
  },
};

/** First value that is not null, per row: `value` where `known` is not null, else `other`. */
function choose(dtype: Dtype, known: Node, value: Node, other: Node): Node {
  return {
    dtype, scalar: value.scalar && other.scalar, rowwise: known.rowwise && value.rowwise && other.rowwise,
    run(c) {
      const [k, v, o] = [known.run(c), value.run(c), other.run(c)];
      return pick(c.rows, dtype, v, o, (i) => !isNull(k, i));
    },
  };
}

/** Row by row one of two vectors of one type. */
export function pick(rows: number, dtype: Dtype, yes: Vector, no: Vector, which: (i: number) => boolean): Vector {
  const length = yes.scalar && no.scalar ? 1 : Math.max(yes.scalar ? 0 : yes.length, no.scalar ? 0 : no.length) || rows;
  const nulls = new Uint8Array(length);
  const numbers = new Float64Array(length);
  const strings: string[] = [];
  for (let i = 0; i < length; i++) {
    const from = which(i) ? yes : no;
    if (isNull(from, i)) { nulls[i] = 1; strings.push(''); } else if (dtype === 'string') strings.push(stringAt(from, i)); else numbers[i] = numberAt(from, i);
  }
  return dtype === 'string' ? fromStrings(strings, nulls, length === 1 && yes.scalar && no.scalar) : fromNumbers(dtype, numbers, nulls, length === 1 && yes.scalar && no.scalar);
}

function zip(dtype: Dtype, inputs: readonly [Node, Node], f: (a: number, b: number) => number): Node {
  const [a, b] = inputs;
  return {
    dtype, scalar: a.scalar && b.scalar, rowwise: a.rowwise && b.rowwise,
    run(c) {
      const [x, y] = [a.run(c), b.run(c)];
      const rows = rowsOf(c, [x, y]);
      const out = new Float64Array(x.scalar && y.scalar ? 1 : rows);
      const done = lift([x, y], rows, (i) => { out[i] = f(numberAt(x, i), numberAt(y, i)); });
      return fromNumbers(dtype, out, done.nulls, done.scalar);
    },
  };
}

function horizontal(path: Path, inputs: readonly Node[], f: (a: number, b: number) => number): Node {
  return inputs.slice(1).reduce((a, b) => {
    const dtype = common(path, expect(path, a, isNumeric, 'a number'), expect(path, b, isNumeric, 'a number'));
    return zip(dtype, [cast(a, dtype), cast(b, dtype)], f);
  }, one(path, inputs));
}

const isBool = (d: Dtype): boolean => d === 'bool';
const reduceLogic = (rule: typeof and): Make => (path, inputs) => {
  for (const n of inputs) expect(path, n, isBool, 'a true-or-false value');
  return inputs.slice(1).reduce<Node>((a, b) => ({ dtype: 'bool', scalar: a.scalar && b.scalar, rowwise: a.rowwise && b.rowwise, run: (c) => logical(a.run(c), b.run(c), c.rows, rule) }), one(path, inputs));
};

export const boolean: Record<string, Make> = {
  IsNull: test(() => false, anything, '', true),
  IsNotNull: test(() => true, anything, '', false),
  IsNan: test((v, i) => Number.isNaN(numberAt(v, i)), isNumeric, 'a number'),
  IsNotNan: test((v, i) => !Number.isNaN(numberAt(v, i)), isNumeric, 'a number'),
  IsFinite: test((v, i) => Number.isFinite(numberAt(v, i)), isNumeric, 'a number'),
  IsInfinite: test((v, i) => Math.abs(numberAt(v, i)) === Infinity, isNumeric, 'a number'),
  Not: test((v, i) => numberAt(v, i) === 0, isBool, 'a true-or-false value'),
  IsNot: test((v, i) => numberAt(v, i) === 0, isBool, 'a true-or-false value'),
  AllHorizontal: reduceLogic(and),
  AnyHorizontal: reduceLogic(or),
  Any: (path, inputs) => aggregate(path, 'Any', expect(path, one(path, inputs), isBool, 'a true-or-false value')),
  All: (path, inputs) => aggregate(path, 'All', expect(path, one(path, inputs), isBool, 'a true-or-false value')),
  IsBetween: (path, inputs, options) => {
    const [value, low] = two(path, inputs);
    const high = inputs[2] ?? refuse(path, 'the upper bound is missing');
    const closed = word(record(options).closed, 'Both');
    const above = binary(path, closed === 'Both' || closed === 'Left' ? 'GtEq' : 'Gt', value, low);
    const below = binary(path, closed === 'Both' || closed === 'Right' ? 'LtEq' : 'Lt', value, high);
    return binary(path, 'And', above, below);
  },
  IsIn: (path, inputs, options) => {
    const [value, set] = two(path, inputs);
    if (!isList(set.dtype)) refuse(path, `is_in needs a list of values, not ${showDtype(set.dtype)}`);
    return membership(path, set, value, set.nullsEqual === true || record(options).nulls_equal === true);
  },
};

/**
 * Whether each row's list holds the row's value; types are compared as `==` would.
 * @param nullsEqual null is looked for as a value is; otherwise it is null whether it is there
 */
function membership(path: Path, lists: Node, value: Node, nullsEqual = false): Node {
  const itemDtype = (lists.dtype as { list: Dtype }).list;
  const dtype = superType(itemDtype, value.dtype) ?? refuse(path, `a list of ${showDtype(itemDtype)} holds no ${showDtype(value.dtype)}`);
  if (isList(dtype)) refuse(path, 'lists of lists cannot be searched');
  const [l, v] = [cast(lists, { list: dtype }), cast(value, dtype)];
  return {
    dtype: 'bool', scalar: lists.scalar && value.scalar, rowwise: lists.rowwise && value.rowwise,
    run(c) {
      const [x, y] = [l.run(c), v.run(c)];
      const rows = rowsOf(c, [x, y]);
      const out = new Float64Array(x.scalar && y.scalar ? 1 : rows);
      const at = dtype === 'string' ? stringAt : numberAt;
      const { offsets, items } = x.list as { offsets: Int32Array; items: Vector };
      const { nulls: _nulls, ...known } = y;
      const done = lift([x, nullsEqual ? known : y], rows, (i) => {
        const k = x.scalar ? 0 : i;
        const unknown = isNull(y, i);
        const wanted = at(y, i);
        for (let j = offsets[k] as number; j < (offsets[k + 1] as number); j++) if (isNull(items, j) ? unknown : !unknown && at(items, j) === wanted) { out[i] = 1; break; }
      });
      return fromNumbers('bool', out, done.nulls, done.scalar);
    },
  };
}

const listOf = (path: Path, inputs: readonly Node[]): Node & { dtype: { list: Dtype } } => expect(path, one(path, inputs), isList, 'a list column') as Node & { dtype: { list: Dtype } };
const listAggregate = (name: Aggregate): Make => (path, inputs) => listAggregates(path, name, listOf(path, inputs));

export const list: Record<string, Make> = {
  Sum: listAggregate('Sum'), Min: listAggregate('Min'), Max: listAggregate('Max'), Mean: listAggregate('Mean'), Median: listAggregate('Median'),
  Std: listAggregate('Std'), Var: listAggregate('Var'), Length: listAggregate('Length'), Any: listAggregate('Any'), All: listAggregate('All'), NUnique: listAggregate('NUnique'),
  Contains: (path, inputs) => membership(path, listOf(path, inputs), two(path, inputs)[1]),
  Get: (path, inputs) => {
    const lists = listOf(path, inputs);
    const index = expect(path, two(path, inputs)[1], isInteger, 'a whole number');
    const dtype = lists.dtype.list;
    return {
      dtype, scalar: lists.scalar && index.scalar, rowwise: lists.rowwise && index.rowwise,
      run(c) {
        const [x, y] = [lists.run(c), index.run(c)];
        const rows = rowsOf(c, [x, y]);
        const { offsets, items } = x.list as { offsets: Int32Array; items: Vector };
        const from = new Int32Array(x.scalar && y.scalar ? 1 : rows).fill(-1);
        const done = lift([x, y], rows, (i) => {
          const k = x.scalar ? 0 : i;
          const [start, end] = [offsets[k] as number, offsets[k + 1] as number];
          const at = numberAt(y, i) < 0 ? end + numberAt(y, i) : start + numberAt(y, i);
          if (at >= start && at < end) from[i] = at;
        });
        return gather(items, from, done.scalar);
      },
    };
  },
};

/** Items at these places; -1 gives null. */
function gather(items: Vector, from: Int32Array, scalar: boolean): Vector {
  const nulls = new Uint8Array(from.length);
  from.forEach((at, i) => { if (at < 0 || isNull(items, at)) nulls[i] = 1; });
  if (items.list) {
    const offsets = new Int32Array(from.length + 1);
    const inner: number[] = [];
    from.forEach((at, i) => {
      if (at >= 0) for (let j = items.list?.offsets[at] as number; j < (items.list?.offsets[at + 1] as number); j++) inner.push(j);
      offsets[i + 1] = inner.length;
    });
    return { dtype: items.dtype, length: from.length, scalar, list: { offsets, items: gather(items.list.items, Int32Array.from(inner), false) }, nulls };
  }
  if (items.strings) return fromStrings(Array.from(from, (at) => (at < 0 ? '' : stringAt(items, at))), nulls, scalar);
  return fromNumbers(items.dtype, Float64Array.from(from, (at) => (at < 0 ? 0 : numberAt(items, at))), nulls, scalar);
}
