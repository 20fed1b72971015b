import { PotorooError, type ValidationSpec } from '@potoroo/contract';

export type Value = number | bigint | string | boolean | null;
/** An expression, or a value that stands for itself. */
export type Operand = Expression | Value;
export type CastType = 'Boolean' | 'Int8' | 'Int16' | 'Int32' | 'Int64' | 'UInt8' | 'UInt16' | 'UInt32' | 'UInt64' | 'Float32' | 'Float64' | 'Utf8';
export const castTypes: readonly CastType[] = ['Boolean', 'Int8', 'Int16', 'Int32', 'Int64', 'UInt8', 'UInt16', 'UInt32', 'UInt64', 'Float32', 'Float64', 'Utf8'];
export type Interpolation = 'nearest' | 'lower' | 'higher' | 'midpoint' | 'linear';
export type Closed = 'both' | 'left' | 'right' | 'none';
type Json = Readonly<Record<string, unknown>> | string;

/**
 * An expression over the columns of an inference, with the names that polars gives its methods, in camel case; `json` is the
 * form in which polars writes it and pipelines take it. It is checked against the columns when the pipeline is deployed.
 *
 * @example col('out.price').list.get(0).gt(500_000).as('too_high')
 */
export class Expression {
  readonly json: Json;

  constructor(json: Json) {
    this.json = json;
  }

  /** A validation of that name: `anomaly.<name>` is true where the expression is. */
  as(name: string): ValidationSpec {
    return { name, expression: { Alias: [this.json, name] } };
  }

  eq(other: Operand): Expression { return this.#binary('Eq', other); }
  ne(other: Operand): Expression { return this.#binary('NotEq', other); }
  gt(other: Operand): Expression { return this.#binary('Gt', other); }
  ge(other: Operand): Expression { return this.#binary('GtEq', other); }
  lt(other: Operand): Expression { return this.#binary('Lt', other); }
  le(other: Operand): Expression { return this.#binary('LtEq', other); }

  and(other: Operand): Expression { return this.#binary('And', other); }
  or(other: Operand): Expression { return this.#binary('Or', other); }
  xor(other: Operand): Expression { return this.#binary('Xor', other); }
  not(): Expression { return this.#test('IsNot'); }

  add(other: Operand): Expression { return this.#binary('Plus', other); }
  sub(other: Operand): Expression { return this.#binary('Minus', other); }
  mul(other: Operand): Expression { return this.#binary('Multiply', other); }
  /** Always a fraction; `floordiv` for whole numbers. */
  truediv(other: Operand): Expression { return this.#binary('TrueDivide', other); }
  floordiv(other: Operand): Expression { return this.#binary('FloorDivide', other); }
  mod(other: Operand): Expression { return this.#binary('Modulus', other); }
  pow(exponent: Operand): Expression { return call({ Pow: 'Generic' }, this, lit(exponent)); }
  neg(): Expression { return lit(0).sub(this); }

  /** One of these values. */
  isIn(values: readonly Value[]): Expression {
    const known = values.filter((v) => v !== null);
    if (known.length === 0) throw refused('isIn needs at least one value that is not null.');
    if (new Set(known.map((v) => (typeof v === 'bigint' ? 'number' : typeof v))).size > 1) throw refused('isIn takes values of one type: numbers, texts or booleans.');
    return this.#test('IsIn', new Expression({ Literal: { Series: { name: '', datatype: typeof known[0] === 'string' ? 'Utf8' : typeof known[0] === 'boolean' ? 'Boolean' : known.every((v) => typeof v === 'bigint' || Number.isInteger(v)) ? 'Int64' : 'Float64', values: values.map(plain) } } }));
  }

  /** From `low` to `high`, with both unless `closed` says otherwise. */
  isBetween(low: Operand, high: Operand, closed: Closed = 'both'): Expression {
    const above = closed === 'both' || closed === 'left' ? this.ge(low) : this.gt(low);
    return above.and(closed === 'both' || closed === 'right' ? this.le(high) : this.lt(high));
  }

  isNull(): Expression { return this.#test('IsNull'); }
  isNotNull(): Expression { return this.#test('IsNotNull'); }
  isNan(): Expression { return this.#test('IsNan'); }
  isNotNan(): Expression { return this.#test('IsNotNan'); }
  isFinite(): Expression { return this.#test('IsFinite'); }
  isInfinite(): Expression { return this.#test('IsInfinite'); }
  fillNull(value: Operand): Expression { return call({ FillNull: { super_type: 'Unknown' } }, this, lit(value)); }

  abs(): Expression { return call('Abs', this); }
  sign(): Expression { return call('Sign', this); }
  floor(): Expression { return call('Floor', this); }
  ceil(): Expression { return call('Ceil', this); }
  sqrt(): Expression { return call({ Pow: 'Sqrt' }, this); }
  exp(): Expression { return call('Exp', this); }
  log(base = Math.E): Expression { return call({ Log: { base } }, this); }
  round(decimals = 0): Expression { return call({ Round: { decimals: whole('round', decimals) } }, this); }
  clip(min: number, max: number): Expression { return call({ Clip: { min: { Float64: min }, max: { Float64: max } } }, this); }
  cast(type: CastType): Expression { return new Expression({ Cast: { expr: this.json, data_type: type, strict: true } }); }

  // Over the rows of a request.
  mean(): Expression { return this.#aggregate('Mean'); }
  min(): Expression { return this.#aggregate('Min'); }
  max(): Expression { return this.#aggregate('Max'); }
  sum(): Expression { return this.#aggregate('Sum'); }
  median(): Expression { return this.#aggregate('Median'); }
  /** Rows that are not null; `len` counts all. */
  count(): Expression { return this.#count(false); }
  len(): Expression { return this.#count(true); }
  nUnique(): Expression { return this.#aggregate('NUnique'); }
  first(): Expression { return this.#aggregate('First'); }
  last(): Expression { return this.#aggregate('Last'); }
  std(ddof = 1): Expression { return new Expression({ Agg: { Std: [this.json, whole('std', ddof)] } }); }
  var(ddof = 1): Expression { return new Expression({ Agg: { Var: [this.json, whole('var', ddof)] } }); }
  quantile(quantile: number, interpolation: Interpolation = 'nearest'): Expression {
    if (!(quantile >= 0 && quantile <= 1)) throw refused(`quantile ${quantile} is not between 0 and 1.`);
    return new Expression({ Agg: { Quantile: { expr: this.json, quantile: { Literal: { Float64: quantile } }, interpol: interpolation.charAt(0).toUpperCase() + interpolation.slice(1) } } });
  }
  any(): Expression { return this.#test({ Any: { drop_nulls: true } }); }
  all(): Expression { return this.#test({ All: { drop_nulls: true } }); }

  /** Into the list of each row. */
  get list(): ListFunctions { return new ListFunctions(this); }
  /** Of text. */
  get str(): StringFunctions { return new StringFunctions(this); }

  #binary(op: string, other: Operand): Expression { return new Expression({ BinaryExpr: { left: this.json, op, right: lit(other).json } }); }
  #test(name: Json, ...more: Expression[]): Expression { return call({ Boolean: name }, this, ...more); }
  #count(nulls: boolean): Expression { return new Expression({ Agg: { Count: { input: this.json, include_nulls: nulls } } }); }
  #aggregate(name: string): Expression { return new Expression({ Agg: { [name]: this.json } }); }
}

export class ListFunctions {
  readonly #of: Expression;
  constructor(of: Expression) {
    this.#of = of;
  }

  /** The item at an index; negative ones count from the end. Null where the list is shorter. */
  get(index: number | Expression): Expression { return this.#call('Get', typeof index === 'number' ? lit(whole('list.get', index)) : index); }
  first(): Expression { return this.get(0); }
  last(): Expression { return this.get(-1); }
  contains(item: Operand): Expression { return this.#call('Contains', lit(item)); }
  min(): Expression { return this.#call('Min'); }
  max(): Expression { return this.#call('Max'); }
  sum(): Expression { return this.#call('Sum'); }
  mean(): Expression { return this.#call('Mean'); }
  median(): Expression { return this.#call('Median'); }
  std(): Expression { return this.#call('Std'); }
  len(): Expression { return this.#call('Length'); }

  #call(name: string, ...more: Expression[]): Expression { return call({ ListExpr: name }, this.#of, ...more); }
}

export class StringFunctions {
  readonly #of: Expression;
  constructor(of: Expression) {
    this.#of = of;
  }

  /** A regular expression, or, with `literal`, the text itself. */
  contains(pattern: string, options: { literal?: boolean } = {}): Expression { return this.#call({ Contains: { literal: options.literal ?? false, strict: true } }, lit(pattern)); }
  startsWith(text: Operand): Expression { return this.#call('StartsWith', lit(text)); }
  endsWith(text: Operand): Expression { return this.#call('EndsWith', lit(text)); }
  toLowercase(): Expression { return this.#call('Lowercase'); }
  toUppercase(): Expression { return this.#call('Uppercase'); }
  /** In characters. */
  lenChars(): Expression { return this.#call('NChars'); }
  lenBytes(): Expression { return this.#call('Length'); }
  /** Without these characters at both ends; white space when not given. */
  stripChars(characters?: string): Expression { return this.#call({ Strip: characters ?? null }); }

  #call(name: Json, ...more: Expression[]): Expression { return call({ StringExpr: name }, this.#of, ...more); }
}

/** A column, such as `in.age` or `out.price`. */
export function col(name: string): Expression {
  if (!/^(in|out)\../s.test(name)) throw refused(`${JSON.stringify(name)} is no column: columns are in.<input> and out.<output>, such as out.${name === '' ? 'price' : name}.`);
  return new Expression({ Column: name });
}

/** A value that is written out. */
export function lit(value: Operand): Expression {
  if (value instanceof Expression) return value;
  if (value === null) return new Expression({ Literal: 'Null' });
  if (typeof value === 'boolean') return new Expression({ Literal: { Boolean: value } });
  if (typeof value === 'string') return new Expression({ Literal: { Utf8: value } });
  if (typeof value === 'number' && !Number.isFinite(value)) throw refused(`${value} is no value to compare with; use isNan() or isInfinite().`);
  if (!Number.isInteger(Number(value))) return new Expression({ Literal: { Float64: value } });
  return new Expression({ Literal: { [Math.abs(Number(value)) < 2 ** 31 ? 'Int32' : 'Int64']: plain(value) } });
}

/** `yes` where the condition is true, else `otherwise`. */
export function when(condition: Expression, yes: Operand, otherwise: Operand): Expression {
  return new Expression({ Ternary: { predicate: condition.json, truthy: lit(yes).json, falsy: lit(otherwise).json } });
}

/** Pieces of text one after the other. */
export function concatStr(parts: readonly Operand[], separator = ''): Expression {
  if (parts.length === 0) throw refused('concatStr needs at least one part.');
  return call({ StringExpr: { ConcatHorizontal: separator } }, ...parts.map(lit));
}

function call(name: Json, ...input: Expression[]): Expression {
  return new Expression({ Function: { input: input.map((e) => e.json), function: name } });
}

/** JSON has no integers beyond 2^53. */
function plain(value: Value): unknown {
  if (typeof value !== 'bigint') return value;
  if (!Number.isSafeInteger(Number(value))) throw refused(`${value} is beyond 2^53: expressions compare in double precision.`);
  return Number(value);
}

function whole(what: string, value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw refused(`${what} takes a whole number, not ${value}.`);
}

const refused = (message: string): PotorooError => new PotorooError('pipeline_invalid', message);
