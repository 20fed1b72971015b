import { describe, expect, test } from 'vitest';
import { compileValidation, type Batch } from '@potoroo/batch';
import type { Field } from '@potoroo/contract';
import { castTypes, col, concatStr, lit, when, type Expression } from './expression.ts';
import { functionNames } from './methods.ts';
import { parseExpression, parseValidation } from './parse.ts';

const fields: Field[] = [
  { name: 'in.count', type: 'int64', shape: [] },
  { name: 'in.country', type: 'string', shape: [] },
  { name: 'in.seen', type: 'bool', shape: [] },
  { name: 'out.price', type: 'float32', shape: [] },
  { name: 'out.scores', type: 'float64', shape: [3] },
  { name: 'out.my list.x', type: 'float64', shape: [] },
];
const utf8 = (...texts: string[]) => {
  const parts = texts.map((t) => Buffer.from(t));
  return { offsets: Int32Array.from([0, ...parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, p) => sum + p.length, 0))]), bytes: Buffer.concat(parts) };
};
const batch: Batch = {
  rows: 4,
  columns: [
    { kind: 'tensor', name: 'in.count', type: 'int64', shape: [], values: BigInt64Array.of(1n, -2n, 3n, 0n), nulls: Uint8Array.of(0, 0, 0, 1) },
    { kind: 'tensor', name: 'in.country', type: 'string', shape: [], values: utf8('NZ', 'au', 'Österreich', ' DE ') },
    { kind: 'tensor', name: 'in.seen', type: 'bool', shape: [], values: Uint8Array.of(1, 0, 1, 0) },
    { kind: 'tensor', name: 'out.price', type: 'float32', shape: [], values: Float32Array.of(1.5, 2.25, -3, 1e6) },
    { kind: 'tensor', name: 'out.scores', type: 'float64', shape: [3], values: Float64Array.of(1, 2, 3, 0, 0, 0, 9, 8, 7, -1, 1, 0) },
    { kind: 'tensor', name: 'out.my list.x', type: 'float64', shape: [], values: Float64Array.of(0, 1, 2, 3) },
  ],
};
const run = (e: Expression): number[] => [...compileValidation(e.as('v').expression, fields).evaluate(batch)];
const [count, country, seen, price, scores] = [col('in.count'), col('in.country'), col('in.seen'), col('out.price'), col('out.scores')];

describe('built, read and evaluated', () => {
  // What is built, the same as text, and what it says of the four rows.
  test.each<[Expression, string, number[]]>([
    [price.gt(2), 'out.price > 2', [0, 1, 0, 1]],
    [price.ge(1.5).and(price.lt(500_000)), 'out.price >= 1.5 and out.price < 500_000', [1, 1, 0, 0]],
    [price.le(1.5).or(count.eq(-2)), 'out.price <= 1.5 or in.count == -2', [1, 1, 1, 0]],
    [price.gt(0).xor(seen), 'out.price > 0 ^ in.seen', [0, 1, 1, 1]],
    [seen.not(), 'not in.seen', [0, 1, 0, 1]],
    [price.gt(2).and(seen).not(), '~(out.price > 2 & in.seen)', [1, 1, 1, 1]],
    [seen.or(price.gt(2).and(count.ne(3))), 'in.seen | out.price > 2 & in.count != 3', [1, 1, 1, 0]],
    [price.add(1).mul(2).eq(5), '(out.price + 1) * 2 = 5', [1, 0, 0, 0]],
    [price.sub(count.mul(2)).lt(0), 'out.price - in.count * 2 < 0', [1, 0, 1, 0]],
    [count.truediv(2).gt(0.4), 'in.count / 2 > 0.4', [1, 0, 1, 0]],
    [count.floordiv(2).eq(1), 'in.count // 2 = 1', [0, 0, 1, 0]],
    [count.mod(2).eq(1), 'in.count % 2 == 1', [1, 0, 1, 0]],
    [count.pow(2).gt(3), 'in.count ** 2 > 3', [0, 1, 1, 0]],
    [count.neg().gt(0), '-in.count > 0', [0, 1, 0, 0]],
    [count.isIn([1, 3]), 'in.count in [1, 3]', [1, 0, 1, 0]],
    [country.isIn(['NZ', 'au']).not(), "in.country not in ('NZ', \"au\")", [0, 0, 1, 1]],
    [country.isIn(['NZ']), 'in.country.is_in(["NZ"])', [1, 0, 0, 0]],
    [price.isBetween(1.5, 2.25), 'out.price.is_between(1.5, 2.25)', [1, 1, 0, 0]],
    [price.isBetween(1.5, 2.25, 'none'), "out.price.is_between(1.5, 2.25, closed='none')", [0, 0, 0, 0]],
    [price.isBetween(1.5, 2.25, 'left'), "out.price.is_between(1.5, 2.25, 'left')", [1, 0, 0, 0]],
    [price.isBetween(1.5, 2.25, 'right'), "out.price.is_between(1.5, 2.25, 'right')", [0, 1, 0, 0]],
    [count.isNull(), 'in.count.is_null()', [0, 0, 0, 1]],
    [count.isNotNull(), 'in.count.is_not_null()', [1, 1, 1, 0]],
    [count.fillNull(7).eq(7), 'in.count.fill_null(7) == 7', [0, 0, 0, 1]],
    [price.isNan(), 'out.price.is_nan()', [0, 0, 0, 0]],
    [price.isNotNan(), 'out.price.is_not_nan()', [1, 1, 1, 1]],
    [price.isFinite(), 'out.price.is_finite()', [1, 1, 1, 1]],
    [price.truediv(0).isInfinite(), '(out.price / 0).is_infinite()', [1, 1, 1, 1]],
    [price.abs().eq(3), 'out.price.abs() == 3', [0, 0, 1, 0]],
    [price.sign().eq(-1), 'out.price.sign() == -1', [0, 0, 1, 0]],
    [price.floor().eq(price.ceil()), 'out.price.floor() == out.price.ceil()', [0, 0, 1, 1]],
    [price.round(1).eq(2.3), 'out.price.round(1) == 2.3', [0, 1, 0, 0]],
    [price.round().eq(2), 'out.price.round() == 2', [1, 1, 0, 0]],
    [price.clip(0, 2).eq(2), 'out.price.clip(0, 2) == 2', [0, 1, 0, 1]],
    [price.sqrt().eq(1.5), 'out.price.sqrt() == 1.5', [0, 1, 0, 0]],
    [price.exp().lt(1), 'out.price.exp() < 1', [0, 0, 1, 0]],
    [price.log(10).gt(5), 'out.price.log(10) > 5', [0, 0, 0, 1]],
    [price.cast('Int32').eq(2), 'out.price.cast(pl.Int32) == 2', [0, 1, 0, 0]],
    [price.gt(price.mean()), 'out.price > out.price.mean()', [0, 0, 0, 1]],
    [price.eq(price.min()).or(price.eq(price.max())), 'out.price == out.price.min() or out.price == out.price.max()', [0, 0, 1, 1]],
    [price.gt(price.median()), 'out.price > out.price.median()', [0, 1, 0, 1]],
    [price.ge(price.quantile(0.5, 'higher')), "out.price >= out.price.quantile(0.5, interpolation='higher')", [0, 1, 0, 1]],
    [price.gt(price.std()), 'out.price > out.price.std()', [0, 0, 0, 1]],
    [price.var(0).gt(1), 'out.price.var(ddof=0) > 1', [1, 1, 1, 1]],
    [count.sum().eq(2).and(count.count().eq(3)), 'in.count.sum() == 2 and in.count.count() == 3', [1, 1, 1, 1]],
    [count.len().eq(4), 'in.count.len() == 4', [1, 1, 1, 1]],
    [count.nUnique().eq(4), 'in.count.n_unique() == 4', [1, 1, 1, 1]],
    [count.last().isNull(), 'in.count.last().is_null()', [1, 1, 1, 1]],
    [price.first().lt(price.last()), 'out.price.first() < out.price.last()', [1, 1, 1, 1]],
    [seen.any().and(seen.all().not()), 'in.seen.any() and not in.seen.all()', [1, 1, 1, 1]],
    [scores.list.get(0).gt(0), 'out.scores[0] > 0', [1, 0, 1, 0]],
    [scores.list.get(-1).gt(0), 'out.scores.list.get(-1) > 0', [1, 0, 1, 0]],
    [scores.list.first().eq(scores.list.last().neg()), 'out.scores.list.first() == -out.scores.list.last()', [0, 1, 0, 0]],
    [scores.list.contains(8), 'out.scores.list.contains(8)', [0, 0, 1, 0]],
    [scores.list.max().sub(scores.list.min()).eq(2), 'out.scores.list.max() - out.scores.list.min() == 2', [1, 0, 1, 1]],
    [scores.list.sum().eq(scores.list.mean().mul(3)), 'out.scores.list.sum() == out.scores.list.mean() * 3', [1, 1, 1, 1]],
    [scores.list.median().gt(scores.list.std()), 'out.scores.list.median() > out.scores.list.std()', [1, 0, 1, 0]],
    [scores.list.len().eq(3), 'out.scores.list.len() == 3', [1, 1, 1, 1]],
    [country.eq('NZ'), 'in.country == "NZ"', [1, 0, 0, 0]],
    [country.str.contains('^[A-Z]{2}$'), 'in.country.str.contains("^[A-Z]{2}$")', [1, 0, 0, 0]],
    [country.str.contains('.', { literal: true }), 'in.country.str.contains(".", literal=True)', [0, 0, 0, 0]],
    [country.str.startsWith('Ö').or(country.str.endsWith('u')), "in.country.str.starts_with('Ö') or in.country.str.ends_with('u')", [0, 1, 1, 0]],
    [country.str.toUppercase().eq('AU'), "in.country.str.to_uppercase() == 'AU'", [0, 1, 0, 0]],
    [country.str.toLowercase().eq('nz'), "in.country.str.to_lowercase() == 'nz'", [1, 0, 0, 0]],
    [country.str.lenBytes().gt(country.str.lenChars()), 'in.country.str.len_bytes() > in.country.str.len_chars()', [0, 0, 1, 0]],
    [country.str.stripChars().eq('DE'), "in.country.str.strip_chars() == 'DE'", [0, 0, 0, 1]],
    [country.str.stripChars('Nu').eq('a'), "in.country.str.strip_chars('Nu') == 'a'", [0, 1, 0, 0]],
    [concatStr([country, lit('x')], '-').eq('NZ-x'), "pl.concat_str(in.country, 'x', separator='-') == 'NZ-x'", [1, 0, 0, 0]],
    [when(seen, price, 0).gt(1), 'when(in.seen).then(out.price).otherwise(0) > 1', [1, 0, 0, 0]],
    [price.gt(2), '(pl.col("out.price") > 2)', [0, 1, 0, 1]],
    [col('out.my list.x').gt(1), 'out.`my list`.x > 1', [0, 0, 1, 1]],
    [lit(true).and(seen), 'true and in.seen', [1, 0, 1, 0]],
    [price.gt(lit(2)), 'out.price > pl.lit(2)', [0, 1, 0, 1]],
  ])('%#: %j', (built, text, expected) => {
    expect(parseExpression(text).json).toEqual(built.json);
    expect(run(built)).toEqual(expected);
  });

  test('every function that can be written is known to the evaluator', () => {
    const written = ['(2)', '([1])', '(1, 2)', '(0.5)', "('a')", '()', "('Int64')"];
    const compiles = (text: string): boolean => {
      try {
        compileValidation(parseExpression(text).as('v').expression, fields);
        return true;
      } catch (error) {
        // Of the wrong type, or no validation: but a function that is there.
        return !/is not supported|takes|needs|not read|cannot be read/.test((error as Error).message);
      }
    };
    const columns = ['out.price', 'out.scores', 'in.country', 'in.seen'];
    for (const name of functionNames) expect(columns.some((column) => written.some((args) => compiles(`${column}.${name}${args}`))), name).toBe(true);
    for (const type of castTypes) expect(compiles(`out.price.cast(${type}) == out.price.cast(${type})`), type).toBe(true);
  });

  test('a validation has a name', () => {
    expect(parseValidation('too_high = out.price > 2')).toEqual(price.gt(2).as('too_high'));
    expect(parseValidation('too_high: out.price == 2')).toEqual(price.eq(2).as('too_high'));
  });
});

describe('what cannot be read says where and what would fit', () => {
  test.each<[string, number, RegExp]>([
    ['', 1, /it is empty/],
    ['   ', 1, /it is empty/],
    ['price > 5', 1, /"price" is no column.*out\.price/],
    ['out.price >', 12, /a column, a value or a parenthesis is needed here, not the end/],
    ['out.price > 5 out.price', 15, /"out" was not expected here; join conditions/],
    ['out.price > "5', 13, /this " is never closed/],
    ['out.price # 5', 11, /"#" is no part/],
    ['(out.price > 5', 15, /"\)" is needed to close/],
    ['0 < out.price < 5', 15, /write a < x and x < b/],
    ['abs(out.price) > 5', 1, /there is no function "abs"; functions stand behind.*out\.price\.abs\(\)/],
    ['out.price.fft() > 5', 11, /there is no function "fft"; there are .*abs/],
    ['out.price.round("x") > 5', 11, /round\(…\) needs decimals: a number/],
    ['out.price.round(1.5) > 5', 11, /round takes a whole number, not 1.5/],
    ['out.price.round(1, 2) > 5', 11, /takes one argument, not 2/],
    ['out.price.round(places=1) > 5', 11, /has no argument "places"/],
    ['out.price.is_in(5)', 11, /is_in\(…\) needs other in brackets/],
    ['out.price in 5', 14, /"\[" is needed to begin a list/],
    ['out.price in [5, "a"]', 14, /values of one type/],
    ['out.price in []', 14, /at least one value/],
    ['out.price.is_between(1)', 11, /needs upper_bound/],
    ['out.price.is_between(1, 2, "most")', 11, /takes both, left, right, none as closed, not "most"/],
    ['out.price.cast(Decimal) > 5', 16, /"Decimal" is no column/],
    ['out.scores[1.5] > 5', 12, /whole number/],
    ['out.scores[1, 2] > 5', 12, /one value is needed/],
    ['out. > 5', 6, /a name is needed after the dot/],
    ['when(out.price > 5)', 20, /"\." is needed for \.then/],
    ['out.price > 99999999999999999999', 13, /beyond 2\^53/],
    ['out.price > 1e999', 13, /Infinity is no value/],
    [`${'('.repeat(300)}out.price`, 201, /nested too deep/],
    [`${'-'.repeat(300)}out.price > 1`, 201, /nested too deep/],
  ])('%s', (text, place, message) => {
    let refusal: { code?: string; message: string } = { message: '' };
    try {
      parseExpression(text);
    } catch (error) {
      refusal = error as typeof refusal;
    }
    expect(refusal).toMatchObject({ code: 'pipeline_invalid' });
    expect(refusal.message).toMatch(message);
    expect(refusal.message).toContain(`at character ${place}:`);
  });

  test.each(['= out.price > 1', 'too-high = out.price > 1', 'out.price > 1', 'x =', 'x == 1'])('a validation: %s', (text) => {
    expect(() => parseValidation(text)).toThrow(/<name> = <expression>/);
  });

  test('anything at all is read or refused, quickly', () => {
    const pieces = ['out.price', 'in.', '(', ')', '[', ']', '.', 'list', 'get', '(0)', '-', 'not', 'and', '>', '==', '"a"', '`', "'", '5', 'when', '.then(', 'pl', ',', '=', '\\', '🦘', ' '];
    let seed = 1;
    const random = (n: number): number => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed % n; };
    for (let i = 0; i < 5000; i += 1) {
      const text = Array.from({ length: random(20) }, () => pieces[random(pieces.length)]).join(random(2) === 0 ? '' : ' ');
      try {
        parseExpression(text);
      } catch (error) {
        expect(error, text).toMatchObject({ code: 'pipeline_invalid' });
      }
    }
    for (const text of ['-'.repeat(50_000), 'not '.repeat(50_000), '+'.repeat(50_000), 'out.price > 1'.concat(' and out.price > 1'.repeat(3000)), '2 ** '.repeat(20_000)]) {
      try { parseExpression(text); } catch (error) { expect(error).toMatchObject({ code: 'pipeline_invalid' }); }
    }
  });
});
