import type { Field } from '@potoroo/contract/plain';
import { column as columnOf, type Batch } from '../batch.ts';
import { decodeArrow } from '../arrow/read.ts';
import { aggregate, type Aggregate } from './aggregates.ts';
import { binary, common } from './binary.ts';
import { cast } from './cast.ts';
import { dtypeOfField, isBoolOrNumber, isNumeric, showDtype, type Dtype } from './dtype.ts';
import { boolean, list, pick, plain, type Make } from './functions.ts';
import { expect, own, refuse, word, type Context, type Node, type Path } from './node.ts';
import { string } from './strings.ts';
import { fromColumn, fromNumbers, fromStrings, isNull, nothing, numberAt, type Vector } from './vector.ts';

/** A validation ready to run: true marks an anomaly. */
export interface Validation {
  readonly name: string;
  /** False when an aggregate over the rows is part of it: then it has to see a request's rows, all of them and no others. */
  readonly rowwise: boolean;
  /** Columns it reads, `in.x` and `out.y`. */
  readonly columns: readonly string[];
  /** One byte a row, 1 where the expression is true; null counts as not true. */
  evaluate(batch: Batch): Uint8Array;
}

const maxDepth = 200;
const dtypeNames: Record<string, Dtype> = {
  Boolean: 'bool', Int8: 'int8', Int16: 'int16', Int32: 'int32', Int64: 'int64', UInt8: 'uint8', UInt16: 'uint16', UInt32: 'uint32', UInt64: 'uint64',
  Float32: 'float32', Float64: 'float64', Utf8: 'string', String: 'string',
};

/**
 * Compiles an expression in the JSON form that polars writes (`Expr.meta.write_json()` of 0.18, which the published Python
 * client sends, and that of later versions), checked against the columns it will see. With `named` that is its name, whatever alias
 * it has, if any.
 *
 * @throws PotorooError `pipeline_invalid` naming the part that does not fit.
 */
export function compileValidation(expression: unknown, fields: readonly Field[], named?: string): Validation {
  let json = expression;
  if (typeof json === 'string') try { json = JSON.parse(json); } catch { refuse('expression', 'it is not JSON'); }
  let [tag, payload] = variant('expression', json);
  if (named !== undefined) [tag, payload] = ['Alias', [tag === 'Alias' && Array.isArray(payload) ? payload[0] : json, named]];
  if (tag !== 'Alias' || !Array.isArray(payload) || typeof payload[1] !== 'string') refuse('expression', 'it has no name: give it one with alias(...)');
  const name = payload[1];
  const used = new Set<string>();
  const node = new Compiler(new Map(fields.map((f) => [f.name, dtypeOfField(f)])), used).compile(`Alias(${name})`, payload[0], 0);
  if (node.dtype !== 'bool') refuse(name, `it gives ${showDtype(node.dtype)}; a validation is true or false`);
  return {
    name, rowwise: node.rowwise, columns: [...used],
    evaluate(batch) {
      const cache = new Map<string, Vector>();
      const context: Context = {
        rows: batch.rows,
        column(wanted) {
          let v = cache.get(wanted);
          if (!v) {
            const found = columnOf(batch, wanted);
            if (!found) refuse(wanted, 'the batch has no such column');
            cache.set(wanted, v = fromColumn(found, batch.rows));
          }
          return v;
        },
      };
      const v = node.run(context);
      const out = new Uint8Array(batch.rows);
      for (let i = 0; i < out.length; i++) out[i] = isNull(v, i) ? 0 : numberAt(v, i);
      return out;
    },
  };
}

/** `"Tag"` or `{"Tag": payload}`. */
function variant(path: Path, json: unknown): [string, unknown] {
  if (typeof json === 'string') return [json, undefined];
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const entries = Object.entries(json);
    if (entries.length === 1) return entries[0] as [string, unknown];
  }
  return refuse(path, 'a node has one name and its arguments');
}
const object = (path: Path, json: unknown): Record<string, unknown> => (typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : refuse(path, 'arguments are missing'));

class Compiler {
  readonly #columns: ReadonlyMap<string, Dtype>;
  readonly #used: Set<string>;
  constructor(columns: ReadonlyMap<string, Dtype>, used: Set<string>) {
    this.#columns = columns;
    this.#used = used;
  }

  compile(at: Path, json: unknown, depth: number): Node {
    if (depth > maxDepth) refuse(at.slice(0, 60), `it is nested deeper than ${maxDepth}`);
    const [tag, payload] = variant(at, json);
    const path = `${at}.${tag}`;
    const inner = (part: string, value: unknown): Node => this.compile(`${path}.${part}`, value, depth + 1);
    switch (tag) {
      case 'Column': return this.#column(path, payload);
      case 'Literal': return literal(path, payload);
      case 'Alias': return Array.isArray(payload) ? inner('0', payload[0]) : refuse(path, 'arguments are missing');
      case 'BinaryExpr': { const o = object(path, payload); return binary(path, word(o.op), inner('left', o.left), inner('right', o.right)); }
      case 'Cast': {
        const o = object(path, payload);
        const named = o.data_type ?? o.dtype;
        const dtype = own(dtypeNames, word(typeof named === 'object' && named !== null ? Object.values(named)[0] : named));
        if (!dtype) refuse(path, `there is no cast to ${JSON.stringify(named)}`);
        return cast(expect(path, inner('expr', o.expr), (d) => isBoolOrNumber(d) || d === 'string', 'a number or text'), dtype);
      }
      case 'Ternary': {
        const o = object(path, payload);
        const which = expect(path, inner('predicate', o.predicate), (d) => d === 'bool', 'a true-or-false value');
        const [yes, no] = [inner('truthy', o.truthy), inner('falsy', o.falsy)];
        const dtype = common(path, yes, no);
        if (typeof dtype === 'object') refuse(path, 'lists cannot be chosen between');
        const [a, b] = [cast(yes, dtype), cast(no, dtype)];
        return {
          dtype, scalar: which.scalar && a.scalar && b.scalar, rowwise: which.rowwise && a.rowwise && b.rowwise,
          run(c) {
            const w = which.run(c);
            const wide = (v: Vector): Vector => (v.scalar && !w.scalar ? { ...v, scalar: false, length: w.length, ...spread(v, w.length) } : v);
            return pick(c.rows, dtype, wide(a.run(c)), b.run(c), (i) => !isNull(w, i) && numberAt(w, i) === 1);
          },
        };
      }
      case 'Agg': return this.#aggregate(path, payload, inner);
      case 'Function': return this.#function(path, payload, inner);
      default: return refuse(path, `${tag} is not supported`);
    }
  }

  #column(path: Path, payload: unknown): Node {
    const name = word(payload);
    const dtype = this.#columns.get(name);
    if (!dtype) refuse(path, `there is no column ${JSON.stringify(name)}; there are ${[...this.#columns.keys()].join(', ')}`);
    this.#used.add(name);
    return { dtype, scalar: false, rowwise: true, run: (c) => c.column(name) };
  }

  #aggregate(path: Path, payload: unknown, inner: (part: string, value: unknown) => Node): Node {
    const [name, of] = variant(path, payload);
    const at = `${path}.${name}`;
    const wrapped = typeof of === 'object' && of !== null && 'input' in of ? of.input : of;
    switch (name) {
      case 'Std': case 'Var': return Array.isArray(of) ? aggregate(at, name, inner(name, of[0]), { ddof: Number(of[1] ?? 1) }) : refuse(at, 'arguments are missing');
      case 'Quantile': {
        const o = object(at, of);
        return aggregate(at, 'Quantile', inner('expr', o.expr), { quantile: inner('quantile', o.quantile).literal ?? refuse(at, 'the quantile is a written number'), method: word(o.interpol, 'Nearest') });
      }
      // Of 0.18 it counts nulls, too; later versions say whether it does.
      case 'Count': return aggregate(at, wrapped !== of && (of as Record<string, unknown>)['include_nulls'] === false ? 'Count' : 'Length', inner(name, wrapped));
      case 'Sum': case 'Min': case 'Max': case 'Mean': case 'Median': case 'NUnique': case 'First': case 'Last':
        return aggregate(at, name satisfies Aggregate, inner(name, wrapped));
      default: return refuse(at, `the aggregate ${name} is not supported`);
    }
  }

  #function(path: Path, payload: unknown, inner: (part: string, value: unknown) => Node): Node {
    const o = object(path, payload);
    if (!Array.isArray(o.input)) refuse(path, 'a function has inputs');
    const inputs = o.input.map((value, i) => inner(`input[${i}]`, value));
    const families: Record<string, Record<string, Make>> = { Boolean: boolean, ListExpr: list, StringExpr: string };
    let [name, options] = variant(path, o.function);
    let table = plain;
    const family = own(families, name);
    if (family) { table = family; path = `${path}.${name}`; [name, options] = variant(path, options); }
    const make = own(table, name);
    return make ? make(`${path}.${name}`, inputs, options) : refuse(path, `the function ${name} is not supported`);
  }
}

const spread = (v: Vector, length: number): Partial<Vector> => ({
  ...(v.numbers ? { numbers: new Float64Array(length).fill(v.numbers[0] as number) } : {}),
  ...(v.strings ? { strings: Array.from({ length }, () => v.strings?.[0] as string) } : {}),
  ...(v.nulls ? { nulls: new Uint8Array(length).fill(v.nulls[0] as number) } : {}),
});

function literal(path: Path, json: unknown): Node {
  let [tag, value] = variant(path, json);
  if (tag === 'Dyn' || tag === 'Scalar') [tag, value] = variant(path, value);
  const constant = (v: Vector, number?: number): Node => ({ dtype: v.dtype, scalar: true, rowwise: true, run: () => v, ...(number === undefined ? {} : { literal: number }) });
  if (tag === 'Null') return constant(nothing());
  if (tag === 'Series') {
    const o = object(path, value);
    const values = set(path, Array.isArray(o.values) ? o.values : refuse(path, 'a series has values'));
    return { ...constant(values), nullsEqual: (values.dtype as { list: Dtype }).list !== 'bool' };
  }
  if (tag === 'List' && Array.isArray(value)) { // later versions write a series as an Arrow stream, byte by byte
    const { batch } = decodeArrow(Uint8Array.from(value as number[]));
    const first = batch.columns[0] ?? refuse(path, 'the list of values is empty');
    const items = fromColumn(first, batch.rows);
    return constant({ dtype: { list: items.dtype }, length: 1, scalar: true, list: { offsets: Int32Array.of(0, items.length), items } });
  }
  const dtype = tag === 'Int' ? (Math.abs(Number(value)) < 2 ** 31 ? 'int32' : 'int64') : tag === 'Float' ? 'float64' : own(dtypeNames, tag);
  if (dtype === 'bool') return constant(fromNumbers('bool', Float64Array.of(Number(value === true)), undefined, true));
  if (dtype === 'string') return constant(fromStrings([word(value)], undefined, true));
  if (!dtype || !isNumeric(dtype)) refuse(path, `a literal of type ${tag} is not supported`);
  const number = value === null ? Number.NaN : Number(value); // NaN and infinities are written as null
  return constant(fromNumbers(dtype, Float64Array.of(number), undefined, true), number);
}

/** The values of `is_in`. */
function set(path: Path, values: readonly unknown[]): Vector {
  const known = values.filter((v) => v !== null);
  const nulls = Uint8Array.from(values, (v) => (v === null ? 1 : 0));
  let items: Vector;
  if (known.length === 0) items = { dtype: 'null', length: values.length, scalar: false, numbers: new Float64Array(values.length), strings: values.map(() => ''), nulls };
  else if (known.every((v) => typeof v === 'string')) items = fromStrings(values.map((v) => (v ?? '') as string), nulls);
  else if (known.every((v) => typeof v === 'boolean')) items = fromNumbers('bool', Float64Array.from(values, Number), nulls);
  else if (known.every((v) => typeof v === 'number')) items = fromNumbers(known.every(Number.isInteger) ? 'int64' : 'float64', Float64Array.from(values, Number), nulls);
  else refuse(path, 'the values are of different types');
  return { dtype: { list: items.dtype }, length: 1, scalar: true, list: { offsets: Int32Array.of(0, items.length), items } };
}
