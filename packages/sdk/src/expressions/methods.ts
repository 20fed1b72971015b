import { PotorooError } from '@potoroo/contract';
import { castTypes, Expression, lit, type CastType, type Closed, type Interpolation, type Operand, type Value } from './expression.ts';

/** What stands between the parentheses of a call: expressions and lists, and `name=value`. */
export interface Arguments { readonly positional: readonly (Expression | Value[])[]; readonly named: Readonly<Record<string, unknown>> }
type Make = (of: Expression, given: Given) => Expression;

/** Takes arguments one by one; what nobody took in the end is refused. */
class Given {
  readonly #name: string;
  readonly #arguments: Arguments;
  #next = 0;
  readonly #taken = new Set<string>();

  constructor(name: string, given: Arguments) {
    this.#name = name;
    this.#arguments = given;
  }

  expression(what: string): Operand {
    const value = this.#value(what);
    if (Array.isArray(value) || value === undefined) throw this.#refused(`needs ${what}`);
    return value instanceof Expression ? value : lit(value as Value);
  }

  values(what: string): Value[] {
    const value = this.#value(what);
    if (Array.isArray(value)) return value as Value[];
    throw this.#refused(`needs ${what} in brackets, such as [1, 2]`);
  }

  /** A number, text or boolean that is written out. */
  written(what: string, type: 'number' | 'string' | 'boolean', otherwise?: unknown): unknown {
    const given = this.#value(what);
    const value = given instanceof Expression ? literalOf(given) : given;
    if (value === undefined && otherwise !== undefined) return otherwise;
    if (typeof value === type) return value;
    throw this.#refused(`needs ${what}: a ${type === 'string' ? 'text in quotes' : type} that is written out`);
  }

  oneOf<T extends string>(what: string, choices: readonly T[], otherwise?: T): T {
    const value = this.written(what, 'string', otherwise) as T;
    const found = choices.find((choice) => choice.toLowerCase() === value.toLowerCase());
    if (found !== undefined) return found;
    throw this.#refused(`takes ${choices.join(', ')} as ${what}, not ${JSON.stringify(value)}`);
  }

  optional(what: string): boolean {
    return this.#arguments.positional.length > this.#next || what in this.#arguments.named;
  }

  end(): void {
    if (this.#next < this.#arguments.positional.length) throw this.#refused(`takes ${this.#next === 0 ? 'no argument' : this.#next === 1 ? 'one argument' : `${this.#next} arguments`}, not ${this.#arguments.positional.length}`);
    const other = Object.keys(this.#arguments.named).find((name) => !this.#taken.has(name));
    if (other !== undefined) throw this.#refused(`has no argument ${JSON.stringify(other)}`);
  }

  #value(what: string): unknown {
    this.#taken.add(what);
    if (Object.hasOwn(this.#arguments.named, what)) return this.#arguments.named[what];
    const value = this.#arguments.positional[this.#next];
    if (value !== undefined) this.#next += 1;
    return value;
  }

  #refused(why: string): PotorooError {
    return new PotorooError('pipeline_invalid', `${this.#name}(…) ${why}.`);
  }
}

function literalOf({ json }: Expression): unknown {
  const literal = typeof json === 'object' && 'Literal' in json ? json['Literal'] : undefined;
  return typeof literal === 'object' && literal !== null ? (Object.values(literal)[0] as unknown) : undefined;
}

const closed: readonly Closed[] = ['both', 'left', 'right', 'none'];
const interpolations: readonly Interpolation[] = ['nearest', 'lower', 'higher', 'midpoint', 'linear'];
const n = (given: Given, what: string, otherwise?: number): number => given.written(what, 'number', otherwise) as number;
const s = (given: Given, what: string): string => given.written(what, 'string') as string;

/** By the names that polars gives them. */
const functions: Readonly<Record<string, Make>> = {
  eq: (e, g) => e.eq(g.expression('other')), ne: (e, g) => e.ne(g.expression('other')), gt: (e, g) => e.gt(g.expression('other')), ge: (e, g) => e.ge(g.expression('other')),
  lt: (e, g) => e.lt(g.expression('other')), le: (e, g) => e.le(g.expression('other')), and_: (e, g) => e.and(g.expression('other')), or_: (e, g) => e.or(g.expression('other')), not_: (e) => e.not(),
  is_in: (e, g) => e.isIn(g.values('other')),
  is_between: (e, g) => e.isBetween(g.expression('lower_bound'), g.expression('upper_bound'), g.oneOf('closed', closed, 'both')),
  is_null: (e) => e.isNull(), is_not_null: (e) => e.isNotNull(), is_nan: (e) => e.isNan(), is_not_nan: (e) => e.isNotNan(), is_finite: (e) => e.isFinite(), is_infinite: (e) => e.isInfinite(),
  fill_null: (e, g) => e.fillNull(g.expression('value')),
  abs: (e) => e.abs(), sign: (e) => e.sign(), floor: (e) => e.floor(), ceil: (e) => e.ceil(), sqrt: (e) => e.sqrt(), exp: (e) => e.exp(), log: (e, g) => e.log(n(g, 'base', Math.E)),
  round: (e, g) => e.round(n(g, 'decimals', 0)), clip: (e, g) => e.clip(n(g, 'lower_bound'), n(g, 'upper_bound')), pow: (e, g) => e.pow(g.expression('exponent')),
  cast: (e, g) => e.cast(g.oneOf<CastType>('dtype', castTypes)),
  mean: (e) => e.mean(), min: (e) => e.min(), max: (e) => e.max(), sum: (e) => e.sum(), median: (e) => e.median(), count: (e) => e.count(), len: (e) => e.len(), n_unique: (e) => e.nUnique(), first: (e) => e.first(), last: (e) => e.last(),
  std: (e, g) => e.std(n(g, 'ddof', 1)), var: (e, g) => e.var(n(g, 'ddof', 1)), quantile: (e, g) => e.quantile(n(g, 'quantile'), g.oneOf('interpolation', interpolations, 'nearest')), any: (e) => e.any(), all: (e) => e.all(),
  'list.get': (e, g) => e.list.get(n(g, 'index')), 'list.first': (e) => e.list.first(), 'list.last': (e) => e.list.last(), 'list.contains': (e, g) => e.list.contains(g.expression('item')),
  'list.min': (e) => e.list.min(), 'list.max': (e) => e.list.max(), 'list.sum': (e) => e.list.sum(), 'list.mean': (e) => e.list.mean(), 'list.median': (e) => e.list.median(), 'list.std': (e) => e.list.std(),
  'list.len': (e) => e.list.len(), 'list.lengths': (e) => e.list.len(),
  'str.contains': (e, g) => e.str.contains(s(g, 'pattern'), { literal: g.written('literal', 'boolean', false) as boolean }),
  'str.starts_with': (e, g) => e.str.startsWith(g.expression('prefix')), 'str.ends_with': (e, g) => e.str.endsWith(g.expression('suffix')),
  'str.to_lowercase': (e) => e.str.toLowercase(), 'str.to_uppercase': (e) => e.str.toUppercase(), 'str.len_chars': (e) => e.str.lenChars(), 'str.n_chars': (e) => e.str.lenChars(), 'str.len_bytes': (e) => e.str.lenBytes(), 'str.lengths': (e) => e.str.lenBytes(),
  'str.strip_chars': (e, g) => e.str.stripChars(g.optional('characters') ? s(g, 'characters') : undefined), 'str.strip': (e, g) => e.str.stripChars(g.optional('characters') ? s(g, 'characters') : undefined),
};

export const functionNames: readonly string[] = Object.keys(functions);

/** What applies the function of that name, if there is one. */
export function functionNamed(name: string): ((of: Expression, given: Arguments) => Expression) | undefined {
  const make = Object.hasOwn(functions, name) ? functions[name] : undefined;
  return make && ((of, given) => {
    const some = new Given(name, given);
    const made = make(of, some);
    some.end();
    return made;
  });
}
