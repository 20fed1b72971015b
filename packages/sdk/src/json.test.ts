import { describe, expect, it } from 'vitest';
import { parseExact, stringifyRows } from './json.ts';

describe('rows as JSON', () => {
  it.each([
    ['a bigint keeps its digits', [{ id: 9_007_199_254_740_993n }], '[{"id":9007199254740993}]'],
    ['a negative bigint in a list', [{ ids: [-9_223_372_036_854_775_808n, 1] }], '[{"ids":[-9223372036854775808,1]}]'],
    ['a typed array is a list', [{ x: new Float32Array([1, 0.5]) }], '[{"x":[1,0.5]}]'],
    ['a typed array of bigints', [{ x: new BigInt64Array([3n]) }], '[{"x":[3]}]'],
    ['NaN is null', [{ x: Number.NaN }], '[{"x":null}]'],
    ['a date is milliseconds', [{ at: new Date(1_700_000_000_000) }], '[{"at":1700000000000}]'],
    ['a text that looks like a number stays a text', [{ s: '9007199254740993' }], '[{"s":"9007199254740993"}]'],
  ])('%s', (_name, rows, text) => {
    expect(stringifyRows(rows)).toBe(text);
  });

  it.each([[Infinity], [-Infinity]])('refuses %s, which JSON would turn into null', (x) => {
    expect(() => stringifyRows([{ amount: [1, x] }])).toThrow(expect.objectContaining({ code: 'value_out_of_range' }));
    expect(() => stringifyRows([{ amount: x }])).toThrow(/"amount" is -?Infinity/);
  });
});

describe('parseExact', () => {
  it.each<[string, string, unknown]>([
    ['a whole number beyond 2^53', '[{"id":9007199254740993}]', [{ id: 9_007_199_254_740_993n }]],
    ['one within stays a number', '[{"id":9007199254740991}]', [{ id: 9_007_199_254_740_991 }]],
    ['long fractions stay numbers', '[0.12345678901234567890, 1.2345678901234567e20]', [0.123_456_789_012_345_68, 1.234_567_890_123_456_7e20]],
    ['digits inside a text stay a text', String.raw`{"a":"12345678901234567890","b":"x\"12345678901234567890,"}`, { a: '12345678901234567890', b: 'x"12345678901234567890,' }],
    ['both at once', '{"s":"9007199254740993","n":-9007199254740993}', { s: '9007199254740993', n: -9_007_199_254_740_993n }],
  ])('%s', (_name, text, value) => {
    expect(parseExact(text)).toEqual(value);
  });

  it('gives back what stringifyRows wrote', () => {
    const rows = [{ id: 18_446_744_073_709_551_615n, name: 'a "quoted" \u0000 text', x: [1.5, null] }];
    expect(parseExact(stringifyRows(rows))).toEqual(rows);
  });
});
