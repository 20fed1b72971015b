import { fit, isBoolOrNumber, isFloat, type Dtype } from './dtype.ts';
import { expect, type Node, type Path } from './node.ts';
import { fromNumbers, isNull, stringAt, type Vector } from './vector.ts';

export type Aggregate = 'Sum' | 'Min' | 'Max' | 'Mean' | 'Median' | 'Std' | 'Var' | 'Quantile' | 'Length' | 'Count' | 'NUnique' | 'First' | 'Last' | 'Any' | 'All';
interface Options { quantile?: number; method?: string; ddof?: number }

/** The values that are not null, in order; `of` may be empty. `undefined` stands for null. */
type Reduce = (of: Float64Array, options: Options) => number | undefined;

const sum: Reduce = (of) => { let s = 0; for (const x of of) s += x; return s; };
const mean: Reduce = (of) => (of.length === 0 ? undefined : (sum(of, {}) as number) / of.length);
const variance: Reduce = (of, { ddof = 1 }) => {
  if (of.length <= ddof) return undefined;
  const m = mean(of, {}) as number;
  let s = 0;
  for (const x of of) s += (x - m) ** 2;
  return s / (of.length - ddof);
};
/** NaN is left out unless there is nothing else. */
const extreme = (f: (a: number, b: number) => number): Reduce => (of) => {
  let best: number | undefined;
  for (const x of of) best = best === undefined || Number.isNaN(best) ? x : Number.isNaN(x) ? best : f(best, x);
  return best;
};
const quantile: Reduce = (of, { quantile: q = 0.5, method = 'Nearest' }) => {
  if (of.length === 0) return undefined;
  const sorted = of.slice().sort(); // typed arrays sort by value, NaN last
  const at = q * (sorted.length - 1);
  const [low, high] = [Math.floor(at), Math.ceil(at)];
  const [a, b] = [sorted[low] as number, sorted[high] as number];
  switch (method) {
    case 'Lower': return a;
    case 'Higher': return b;
    case 'Midpoint': return low === high ? a : (a + b) / 2;
    case 'Linear': return low === high ? a : a + (at - low) * (b - a);
    default: return sorted[Math.round(at)];
  }
};
const reducers: Record<Aggregate, Reduce> = {
  Sum: sum, Mean: mean, Min: extreme(Math.min), Max: extreme(Math.max), Var: variance,
  Std: (of, o) => { const v = variance(of, o); return v === undefined ? undefined : Math.sqrt(v); },
  Quantile: quantile, Median: (of) => quantile(of, { quantile: 0.5, method: 'Linear' }),
  Length: (of) => of.length, Count: (of) => of.length,
  NUnique: (of) => new Set(of).size,
  First: (of) => of[0], Last: (of) => of[of.length - 1],
  Any: (of) => Number(of.some((x) => x !== 0)), All: (of) => Number(of.every((x) => x !== 0)),
};

function dtypeOf(name: Aggregate, d: Dtype): Dtype {
  switch (name) {
    case 'Any': case 'All': return 'bool';
    case 'Length': case 'Count': case 'NUnique': return 'uint32';
    case 'Mean': case 'Median': case 'Std': case 'Var': case 'Quantile': return d === 'float32' ? d : 'float64';
    case 'Sum': return d === 'bool' ? 'uint32' : ['int8', 'int16', 'uint8', 'uint16'].includes(d as string) ? 'int64' : d;
    default: return d;
  }
}

/** Values from `start` to `end` that are not null (all of them, and their number only, for counts of any type). */
function values(v: Vector, start: number, end: number, countNulls: boolean): Float64Array {
  if (!v.numbers || v.dtype === 'string') {
    const known = new Map<string, number>(); // text is counted, not calculated with: number the distinct ones
    const out: number[] = [];
    for (let i = start; i < end; i++) if (countNulls || !isNull(v, i)) { const s = v.strings ? stringAt(v, i) : ''; out.push(known.get(s) ?? (known.set(s, known.size), known.size - 1)); }
    return Float64Array.from(out);
  }
  if (!v.nulls || countNulls) return v.numbers.subarray(start, end);
  return v.numbers.subarray(start, end).filter((_, i) => !v.nulls?.[start + i]);
}

/** Of these a null is a value as any other: of all nulls one for `NUnique`, and what stands at an end for `First` and `Last`. */
function withNulls(name: Aggregate, v: Vector, start: number, end: number, otherwise: number | undefined): number | undefined {
  if (name === 'NUnique' && otherwise !== undefined) {
    for (let i = start; i < end; i++) if (isNull(v, i)) return otherwise + 1;
  }
  if ((name === 'First' || name === 'Last') && end > start && isNull(v, name === 'First' ? start : end - 1)) return undefined;
  return otherwise;
}

const counts = (name: Aggregate): boolean => name === 'Length' || name === 'Count' || name === 'NUnique';

/** Over the rows of the batch: one value, the same for every row. */
export function aggregate(path: Path, name: Aggregate, input: Node, options: Options = {}): Node {
  if (!counts(name)) expect(path, input, isBoolOrNumber, 'a number');
  const dtype = dtypeOf(name, input.dtype);
  const store = fit(dtype);
  return {
    dtype, scalar: true, rowwise: false,
    run(c) {
      const v = input.run(c);
      const of = values(v, 0, v.length, name === 'Length');
      const result = v.scalar && !counts(name) && name !== 'Sum' ? reducers[name](of, options) : reducers[name](v.scalar && name !== 'Sum' ? new Float64Array(of.length * c.rows) : of, options);
      return one(dtype, withNulls(name, v, 0, v.length, result), store);
    },
  };
}

/** Over the items of each row's list. */
export function listAggregates(path: Path, name: Aggregate, input: Node & { dtype: { list: Dtype } }): Node {
  if (!counts(name)) expect(path, { ...input, dtype: input.dtype.list }, isBoolOrNumber, 'a list of numbers');
  const dtype = dtypeOf(name, input.dtype.list);
  const store = fit(dtype);
  return {
    dtype, scalar: input.scalar, rowwise: input.rowwise,
    run(c) {
      const v = input.run(c);
      const { offsets, items } = v.list as { offsets: Int32Array; items: Vector };
      const out = new Float64Array(v.length);
      const nulls = new Uint8Array(v.length);
      for (let i = 0; i < v.length; i++) {
        const [start, end] = [offsets[i] as number, offsets[i + 1] as number];
        const result = isNull(v, i) ? undefined : withNulls(name, items, start, end, reducers[name](values(items, start, end, name === 'Length'), {}));
        if (result === undefined) nulls[i] = 1; else out[i] = store ? store(result) : result;
      }
      return fromNumbers(dtype, out, nulls, v.scalar);
    },
  };
}

function one(dtype: Dtype, result: number | undefined, store: ((x: number) => number) | undefined): Vector {
  return fromNumbers(dtype, Float64Array.of(result === undefined ? 0 : store && isFloat(dtype) ? store(result) : result), Uint8Array.of(Number(result === undefined)), true);
}
