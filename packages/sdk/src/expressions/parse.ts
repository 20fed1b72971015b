import { isPotorooError, type ValidationSpec } from '@potoroo/contract';
import { castTypes, col, concatStr, lit, when, type Expression, type Operand, type Value } from './expression.ts';
import { functionNamed, functionNames, type Arguments } from './methods.ts';
import { tokensOf, unexpected, type Token } from './tokens.ts';

/** Of parentheses, calls and signs. */
const maxDepth = 200;
type Binary = (left: Expression, right: Expression) => Expression;
/** Each level binds more than the one before. */
const levels: readonly Readonly<Record<string, Binary>>[] = [
  { 'or': (a, b) => a.or(b), '|': (a, b) => a.or(b) },
  { '^': (a, b) => a.xor(b) },
  { 'and': (a, b) => a.and(b), '&': (a, b) => a.and(b) },
];
const comparisons: Readonly<Record<string, Binary>> = {
  '<': (a, b) => a.lt(b), '<=': (a, b) => a.le(b), '>': (a, b) => a.gt(b), '>=': (a, b) => a.ge(b), '==': (a, b) => a.eq(b), '=': (a, b) => a.eq(b), '!=': (a, b) => a.ne(b), '<>': (a, b) => a.ne(b),
};
const arithmetic: readonly Readonly<Record<string, Binary>>[] = [
  { '+': (a, b) => a.add(b), '-': (a, b) => a.sub(b) },
  { '*': (a, b) => a.mul(b), '/': (a, b) => a.truediv(b), '//': (a, b) => a.floordiv(b), '%': (a, b) => a.mod(b) },
];
const constants: Readonly<Record<string, Value>> = { true: true, True: true, false: false, False: false, null: null, None: null };

/**
 * Reads an expression in the way that polars expressions are written in Python, with columns as they are:
 * `out.price.list.get(0) > 500_000 and in.country.is_in(["NZ", "AU"])`. `pl.col("out.price")`, `&`, `|`, `~` are taken too, and
 * `out.price[0]` for the item of a list. `and` and `&` bind less than comparisons.
 *
 * @throws PotorooError pipeline_invalid with the place and what would fit there
 */
export function parseExpression(source: string): Expression {
  return new Parser(source).whole();
}

/** `<name> = <expression>`, or `<name>: <expression>`. @throws PotorooError pipeline_invalid */
export function parseValidation(source: string): ValidationSpec {
  const [, name, rest] = /^\s*([A-Za-z_]\w*)\s*(?:=(?!=)|:)(.*)$/s.exec(source) ?? [];
  if (name === undefined || rest === undefined || rest.trim() === '') throw unexpected(source, 0, 'a validation is <name> = <expression>, such as too_high = out.price > 500000; a name has letters, digits and _');
  return parseExpression(rest).as(name);
}

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokensOf(source);
  }

  whole(): Expression {
    if (this.#ended) throw this.#fail('it is empty; write one such as out.price > 500000');
    const found = this.#expression();
    if (!this.#ended) throw this.#fail(`${this.#shown} was not expected here; join conditions with and, or`);
    return found;
  }

  get #token(): Token { return this.#tokens[this.#next] as Token; }
  get #ended(): boolean { return this.#token.kind === 'end'; }
  get #shown(): string { return this.#ended ? 'the end' : JSON.stringify(this.#token.text); }
  #fail(why: string, at = this.#token.at): Error { return unexpected(this.#source, at, why); }

  /** Whether the next token is this sign or word. */
  #is(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#next + ahead];
    return token !== undefined && (token.kind === 'sign' ? token.text === text : token.kind === 'name' && !token.quoted && token.value === text);
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#next += 1;
    return true;
  }

  #need(text: string, why: string): void {
    if (!this.#take(text)) throw this.#fail(`${JSON.stringify(text)} is needed ${why}, not ${this.#shown}`);
  }

  #expression(): Expression {
    return this.#deeper(() => this.#joined(0));
  }

  #deeper(read: () => Expression): Expression {
    if ((this.#depth += 1) > maxDepth) throw this.#fail('it is nested too deep');
    const found = read();
    this.#depth -= 1;
    return found;
  }

  #joined(level: number): Expression {
    const operators = levels[level];
    if (operators === undefined) return this.#negated();
    return this.#chain(operators, () => this.#joined(level + 1));
  }

  #chain(operators: Readonly<Record<string, Binary>>, operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const found = Object.entries(operators).find(([text]) => this.#is(text));
      if (found === undefined) return left;
      this.#next += 1;
      left = found[1](left, operand());
    }
  }

  #negated(): Expression {
    let times = 0;
    while (this.#take('not') || this.#take('~')) times += 1;
    const found = this.#comparison();
    return times % 2 === 0 ? found : found.not();
  }

  #comparison(): Expression {
    const left = this.#computed(0);
    const inside = this.#is('in') && !this.#is('.', 1);
    if (inside || (this.#is('not') && this.#is('in', 1))) {
      this.#next += inside ? 1 : 2;
      const { at } = this.#token;
      const values = this.#values();
      const found = this.#here(() => left.isIn(values), at);
      return inside ? found : found.not();
    }
    const compare = Object.entries(comparisons).find(([text]) => this.#is(text));
    if (compare === undefined) return left;
    this.#next += 1;
    const found = compare[1](left, this.#computed(0));
    if (Object.keys(comparisons).some((text) => this.#is(text))) throw this.#fail('comparisons cannot follow each other; write a < x and x < b, or x.is_between(a, b)');
    return found;
  }

  #computed(level: number): Expression {
    const operators = arithmetic[level];
    return operators === undefined ? this.#signed() : this.#chain(operators, () => this.#computed(level + 1));
  }

  #signed(): Expression {
    if (this.#take('+')) return this.#deeper(() => this.#signed());
    if (!this.#take('-')) return this.#power();
    const token = this.#token;
    // A negative number is a value, which gives way to the type of what it meets.
    if (token.kind === 'number' && !this.#is('**', 1) && !this.#is('.', 1)) {
      this.#next += 1;
      return this.#here(() => lit(-token.value));
    }
    return this.#deeper(() => this.#signed()).neg();
  }

  #power(): Expression {
    const base = this.#postfix();
    return this.#take('**') ? base.pow(this.#deeper(() => this.#signed())) : base;
  }

  #postfix(): Expression {
    let found = this.#primary();
    for (;;) {
      if (this.#take('[')) {
        const { at } = this.#token;
        const index = this.#values(']')[0];
        found = this.#here(() => found.list.get(Number(index)), at);
      } else if (this.#take('.')) found = this.#method(found);
      else return found;
    }
  }

  #primary(): Expression {
    const token = this.#token;
    if (token.kind === 'number' || token.kind === 'text') {
      this.#next += 1;
      return this.#here(() => lit(token.value), token.at);
    }
    if (this.#take('(')) {
      const found = this.#expression();
      this.#need(')', 'to close the parenthesis');
      return found;
    }
    if (token.kind !== 'name') throw this.#fail(`a column, a value or a parenthesis is needed here, not ${this.#shown}`);
    if (!token.quoted && Object.hasOwn(constants, token.value)) {
      this.#next += 1;
      return lit(constants[token.value] as Value);
    }
    if (this.#is('pl') && this.#is('.', 1)) this.#next += 2;
    if (this.#is('(', 1)) return this.#function();
    return this.#column();
  }

  /** `col("…")`, `lit(…)`, `when(…).then(…).otherwise(…)`, `concat_str(…)`. */
  #function(): Expression {
    const { at, text } = this.#token;
    this.#next += 2;
    if (text === 'col') return this.#here(() => col(String(this.#values(')')[0])), at);
    if (text === 'lit') {
      const found = this.#expression();
      this.#need(')', 'after the value');
      return found;
    }
    if (text === 'concat_str') {
      const { positional, named } = this.#arguments();
      const { separator = '' } = named;
      if (typeof separator !== 'string') throw this.#fail('the separator is a text in quotes', at);
      return this.#here(() => concatStr(positional.flat() as Operand[], separator), at);
    }
    if (text !== 'when') throw this.#fail(`there is no function ${JSON.stringify(text)}; functions stand behind what they are applied to, such as out.price.abs()`, at);
    const parts = [this.#expression()];
    this.#need(')', 'after the condition');
    for (const name of ['then', 'otherwise']) {
      this.#need('.', `for .${name}(…) after when(…)`);
      this.#need(name, `after when(…)`);
      this.#need('(', `after ${name}`);
      parts.push(this.#expression());
      this.#need(')', `after the value of ${name}`);
    }
    return when(parts[0] as Expression, parts[1] as Expression, parts[2] as Expression);
  }

  /** Names with dots between them, up to a method: `out.price`, but in `out.price.abs()` and `out.price.list.get(0)` no more than that. */
  #column(): Expression {
    const { at } = this.#token;
    const names: string[] = [];
    do {
      const token = this.#token;
      if (token.kind !== 'name' && token.kind !== 'number') throw this.#fail(`a name is needed after the dot, not ${this.#shown}; names with other characters stand between backticks`);
      names.push(token.kind === 'name' ? token.value : token.text);
      this.#next += 1;
    } while (this.#is('.') && !this.#isMethod() && (this.#next += 1) > 0);
    return this.#here(() => col(names.join('.')), at);
  }

  #isMethod(): boolean {
    return this.#is('(', 2) || ((this.#is('list', 1) || this.#is('str', 1)) && this.#is('.', 2) && this.#is('(', 4));
  }

  #method(of: Expression): Expression {
    const { at } = this.#token;
    let name = this.#token.text;
    this.#next += 1;
    if ((name === 'list' || name === 'str') && this.#take('.')) {
      name = `${name}.${this.#token.text}`;
      this.#next += 1;
    }
    const make = functionNamed(name);
    if (make === undefined) throw this.#fail(`there is no function ${JSON.stringify(name)}; there are ${functionNames.join(', ')}`, at);
    this.#need('(', `after ${name}`);
    const given = this.#arguments();
    return this.#here(() => make(of, given), at);
  }

  /** Up to and with the closing parenthesis. */
  #arguments(): Arguments {
    const positional: (Expression | Value[])[] = [];
    const named: Record<string, unknown> = {};
    while (!this.#take(')')) {
      const token = this.#token;
      if (token.kind === 'name' && this.#is('=', 1)) {
        this.#next += 2;
        named[token.value] = this.#value();
      } else positional.push(this.#is('[') ? this.#values() : this.#type() ?? this.#expression());
      if (!this.#is(')')) this.#need(',', 'between arguments');
    }
    return { positional, named };
  }

  /** `Float32` or `pl.Float32`, for casts: stands for its name. */
  #type(): Expression | undefined {
    const ahead = this.#is('pl') && this.#is('.', 1) ? 2 : 0;
    const token = this.#tokens[this.#next + ahead];
    if (token?.kind !== 'name' || token.quoted || !castTypes.some((type) => type === token.value)) return undefined;
    this.#next += ahead + 1;
    return lit(token.value);
  }

  /** A list that is written out, `[…]` or `(…)`; or, with `close`, the rest up to that. */
  #values(close?: ')' | ']'): Value[] {
    const { at } = this.#token;
    let end = close;
    if (end === undefined) {
      end = this.#is('(') ? ')' : ']';
      if (!this.#take('(')) this.#need('[', 'to begin a list of values');
    }
    const values: Value[] = [];
    while (!this.#take(end)) {
      values.push(this.#value());
      if (!this.#is(end)) this.#need(',', 'between values');
    }
    if (close !== undefined && values.length !== 1) throw this.#fail('one value is needed here', at);
    return values;
  }

  #value(): Value {
    const negative = this.#take('-');
    const token = this.#token;
    this.#next += 1;
    if (token.kind === 'number') return negative ? -token.value : token.value;
    if (token.kind === 'text' && !negative) return token.value;
    if (token.kind === 'name' && !negative && Object.hasOwn(constants, token.value)) return constants[token.value] as Value;
    this.#next -= 1;
    throw this.#fail(`a number, a text in quotes, true, false or null is needed here, not ${this.#shown}`);
  }

  /** What the builder refuses, with the place that it is about. */
  #here<T>(make: () => T, at = this.#token.at): T {
    try {
      return make();
    } catch (error) {
      if (!isPotorooError(error) || error.fields !== undefined) throw error;
      throw this.#fail(error.message.replace(/\.$/, ''), at);
    }
  }
}
