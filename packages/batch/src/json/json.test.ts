import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import { utf8From, type Batch, type TensorColumn } from '../batch.ts';
import { failure, random, tableOf } from '../codecs.fixtures.ts';
import { decodeDictionary, decodeRecords } from './decode.ts';
import { encodeDictionary, encodeRecords, encodeSplit } from './encode.ts';

const utf8 = new TextEncoder();
const field = (type: Field['type'], shape: number[] = [], nullable = false): Field => ({ name: 'x', type, shape, ...(nullable && { nullable }) });
const read = (text: string, ...fields: Field[]): Batch => decodeRecords(utf8.encode(text), fields);
const values = (batch: Batch): ArrayLike<number> => (batch.columns[0] as TensorColumn).values as Float64Array;

describe('numbers', () => {
  it('are the doubles and floats that JSON.parse gives, in every notation', () => {
    const next = random(1);
    const digits = (n: number) => Array.from({ length: n }, () => Math.floor(next() * 10)).join('');
    const texts: string[] = [];
    for (let i = 0; i < 10_000; i++) {
      const whole = next() < 0.3 ? '0' : `${1 + Math.floor(next() * 9)}${digits(Math.floor(next() * 12))}`;
      const fraction = next() < 0.8 ? `.${digits(1 + Math.floor(next() * (next() < 0.1 ? 40 : 18)))}` : '';
      const exponent = next() < 0.2 ? `${next() < 0.5 ? 'e' : 'E'}${next() < 0.5 ? '-' : next() < 0.5 ? '+' : ''}${Math.floor(next() * 24)}` : '';
      texts.push(`${next() < 0.5 ? '-' : ''}${whole}${fraction}${exponent}`);
    }
    for (let i = 0; i < 10_000; i++) texts.push(String((next() - 0.5) * 10 ** Math.floor(next() * 40 - 20)));
    const exact = texts.map(Number);
    const body = `[${texts.map((t) => `{"x":${t}}`).join(',')}]`;
    const flat = `[{"x":[${texts.join(' ,\n')}]}]`;
    expect(values(read(body, field('float64')))).toEqual(Float64Array.from(exact));
    expect(values(read(flat, field('float64', [-1])))).toEqual(Float64Array.from(exact));
    expect(values(read(body, field('float32')))).toEqual(Float32Array.from(exact));
    expect(values(read(flat, field('float32', [-1])))).toEqual(Float32Array.from(exact));
  });

  it('that lie between two doubles or two floats are rounded as the standard says', () => {
    // Halfway cases, a digit beyond them, and the notorious smallest normal double.
    const texts = ['9007199254740993', '9007199254740992.5', '9007199254740993.00000000000000000001', '1.00000005960464477539062500', '1.000000059604644775390625000000000000001', '16777217', '2.2250738585072011e-308', '0.000000000000000000000000000000000000011754943508222875', '179769313486231570000e288', '1e23', '8.98846567431158e307', '123456789.123456789123456789', '0.1000000000000000055511151231257827021181583404541015625', '5e-324', '3e-324', `1e-${'9'.repeat(30)}`, `0e${'9'.repeat(30)}`, '-0', '0e99', '0.0000000000000000000', '340282346638528859811704183484516925440'];
    for (const text of texts) {
      expect(values(read(`[{"x":${text}}]`, field('float64')))[0], text).toBe(Number(text));
    }
    for (const text of texts.filter((t) => Math.abs(Number(t)) < 3.41e38)) expect(values(read(`[{"x":${text}}]`, field('float32')))[0], text).toBe(Math.fround(Number(text)));
  });

  it('a split frame has its names once and a list for each row', () => {
    const batch: Batch = { rows: 2, columns: [
      { kind: 'tensor', name: 'a "b"', type: 'int64', shape: [], values: BigInt64Array.of(9007199254740993n, -1n) },
      { kind: 'tensor', name: 'm', type: 'float32', shape: [2], values: Float32Array.of(0.1, 2, NaN, -1) },
      { kind: 'tensor', name: 's', type: 'string', shape: [], values: utf8From(['é', '']) },
    ] };
    expect(encodeSplit(batch)).toBe('{"columns":["a \\"b\\"","m","s"],"data":[[9007199254740993,[0.1,2.0],"é"],[-1,[null,-1.0],""]]}');
    expect(encodeSplit({ rows: 0, columns: [] })).toBe('{"columns":[],"data":[]}');
  });

  it('are written so that they read back as the same float32, and shorter than the double would be', () => {
    const next = random(2);
    const bits = Uint32Array.from({ length: 20_000 }, () => next() * 4294967296);
    const raw = new Float32Array(bits.buffer).map((v) => (Number.isFinite(v) ? v : 0));
    for (const list of [raw, Float32Array.from(bits, (b) => b / 4294967296), Float32Array.from(bits, (b) => (b / 4294967296 - 0.5) * 2000)]) {
      const text = encodeRecords({ rows: 1, columns: [{ kind: 'tensor', name: 'x', type: 'float32', shape: [list.length], values: list }] }, '.');
      const back = (JSON.parse(text) as [{ x: number[] }])[0].x;
      expect(Float32Array.from(back)).toEqual(list);
      const fractions = text.slice(7, -3).split(',').slice(0, 500).filter((written) => !written.endsWith('.0'));
      expect(fractions.filter((written) => written.replace(/e.*/, '').replace(/\D/g, '').replace(/^0+/, '').length > 9)).toEqual([]);
    }
    const some = Float32Array.of(0.99300325, 0.1, 1, -1.5, 1e-7, 3e10, 16777216, 0.0008533001, 1234567.5);
    expect(encodeDictionary({ rows: 9, columns: [{ kind: 'tensor', name: 'x', type: 'float32', shape: [], values: some }] })).toBe('{"x":[0.99300325,0.1,1.0,-1.5,1e-7,30000001024.0,16777216.0,0.0008533001,1234567.5]}');
  });

  it('of 64 bits keep every digit, however they are written', () => {
    const batch = read('[{"x":9223372036854775807},{"x":-9223372036854775808},{"x":1e3},{"x":12.0},{"x":9007199254740993.0},{"x":123456789012345678e1},{"x":1500e-2},{"x":-0},{"x":0.0e500}]', field('int64'));
    expect(tableOf(batch)['x']).toEqual([2n ** 63n - 1n, -(2n ** 63n), 1000n, 12n, 2n ** 53n + 1n, 1234567890123456780n, 15n, 0n, 0n]);
  });
});

describe('records', () => {
  const two: Field[] = [{ name: 'a b', type: 'float32', shape: [2] }, { name: 'né', type: 'string', shape: [] }];

  it('are read with keys in any order, escaped or not, and white space anywhere', () => {
    const text = ' [ { "a b" : [ 1 , 2.5 ] , "n\\u00e9" : "\\ud83d\\ude00\\n" } ,\r\n\t{"né":"ü","a\\u0020b":[-3e0,4]}] ';
    expect(tableOf(read(text, ...two))).toEqual({ 'a b': [[1, 2.5], [-3, 4]], 'né': ['😀\n', 'ü'] });
    expect(tableOf(read(`\ufeff${text}`, ...two))['né']).toEqual(['😀\n', 'ü']);
  });

  it.each<[string, Field, string, unknown]>([
    ['a flat list for a matrix', field('int32', [2, 2]), '[1,2,3,4]', [[1, 2], [3, 4]]],
    ['a list of one for a scalar', field('int32'), '[7]', 7],
    ['a lone value for a list of one', field('float32', [1]), '7', [7]],
    ['a free dimension', field('int32', [-1, 2]), '[[1,2],[3,4],[5,6]]', [[1, 2], [3, 4], [5, 6]]],
    ['a flat list with one free dimension', field('int32', [-1, 2]), '[1,2,3,4]', [[1, 2], [3, 4]]],
    ['an empty list', field('float32', [-1]), '[]', []],
    ['empty lists in a list', field('float32', [2, 0]), '[[],[]]', [[], []]],
    ['NaN, the infinities and null among floats', field('float64', [4]), '[NaN,Infinity,-Infinity,null]', [NaN, Infinity, -Infinity, NaN]],
    ['null for a float', field('float16'), 'null', NaN],
    ['null where the field allows it', field('int64', [], true), 'null', null],
  ])('take %s', (_, f, text, expected) => {
    expect(tableOf(read(`[{"x":${text}}]`, f))['x']).toEqual([expected]);
    expect(tableOf(decodeDictionary(utf8.encode(`{"x":[${text}]}`), [f]))['x']).toEqual([expected]);
  });

  it('are read right after one that was refused half way', () => {
    const matrix = field('float32', [1, 2]);
    expect(failure(() => read('[{"x":[[1,2,3', matrix))).toMatchObject({ code: 'malformed_body' });
    expect(failure(() => read('[{"x":[[1,2,3],[4', matrix))).toMatchObject({ code: 'malformed_body' });
    expect(tableOf(read('[{"x":[[1,2]]}]', matrix))['x']).toEqual([[[1, 2]]]);
  });

  it('grow over thousands of rows whose lengths in text differ', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => ({ x: [i, i < 10 ? 0.5 : i / 7] }));
    expect(tableOf(read(JSON.stringify(rows), field('float64', [2])))['x']).toEqual(rows.map((r) => r.x));
    const texts = Array.from({ length: 3000 }, (_, i) => ({ x: 'é'.repeat(i % 50) }));
    expect(tableOf(read(JSON.stringify(texts), field('string')))['x']).toEqual(texts.map((r) => r.x));
  });
});

describe('a bad body is refused by name, not guessed at', () => {
  const x = field('float32', [2]);
  const int = field('int32');
  const deep = '['.repeat(100_000);
  it.each<[string, string, Field[], string, string]>([
    ['nothing', '', [x], 'malformed_body', 'ends at byte 0'],
    ['not JSON', 'hello', [x], 'malformed_body', 'Byte 0'],
    ['an object', '{"x":[1,2]}', [x], 'malformed_body', 'a list of records'],
    ['no rows', '[]', [x], 'empty_batch', 'at least one'],
    ['a row that is no object', '[[1,2]]', [x], 'malformed_body', 'an object for row 0'],
    ['a truncated number', '[{"x":[1,2', [x], 'malformed_body', 'truncated'],
    ['a truncated string', '[{"x":"ab', [field('string')], 'malformed_body', 'truncated'],
    ['a truncated row', '[{"x":[1,2]},', [x], 'malformed_body', 'truncated'],
    ['more after the end', '[{"x":[1,2]}] []', [x], 'malformed_body', 'more follows'],
    ['a comma too many', '[{"x":[1,2,]}]', [x], 'malformed_body', '"]}]"'],
    ['a comma before the end of a row', '[{"x":[1,2],}]', [x], 'malformed_body', 'key'],
    ['a key without quotes', '[{x:[1,2]}]', [x], 'malformed_body', 'key'],
    ['no colon', '[{"x" [1,2]}]', [x], 'malformed_body', 'a colon'],
    ['leading zeros', '[{"x":[01,2]}]', [x], 'malformed_body', 'leading zeros'],
    ['a lone minus', '[{"x":[-,2]}]', [x], 'malformed_body', 'a digit'],
    ['a lone point', '[{"x":[1.,2]}]', [x], 'malformed_body', 'a digit'],
    ['a point first', '[{"x":[.5,2]}]', [x], 'malformed_body', 'a JSON value'],
    ['an empty exponent', '[{"x":[1e,2]}]', [x], 'malformed_body', 'a digit'],
    ['a plus sign', '[{"x":[+1,2]}]', [x], 'malformed_body', 'a JSON value'],
    ['hexadecimal', '[{"x":[0x1,2]}]', [x], 'malformed_body', 'a comma'],
    ['two values beside each other', '[{"x":[1 2]}]', [x], 'malformed_body', 'a comma'],
    ['nesting without end', `[{"x":${deep}`, [x], 'malformed_body', 'deeper than 32'],
    ['nesting without end in an unknown place', deep, [x], 'malformed_body', 'an object'],
    ['an unknown escape', '[{"x":"\\q"}]', [field('string')], 'malformed_body', '\\\\q'],
    ['half an escape', '[{"x":"\\u12"}]', [field('string')], 'malformed_body', 'does not know'],
    ['half a surrogate pair', '[{"x":"\\ud83d"}]', [field('string')], 'malformed_body', 'surrogate'],
    ['a raw control character', '[{"x":"a\nb"}]', [field('string')], 'malformed_body', 'control'],
    ['an unknown column', '[{"y":[1,2]}]', [x], 'schema_mismatch', 'Column "y" is not expected; the columns are "x" (float32[2])'],
    ['a missing column', '[{"x":[1,2]}]', [x, { name: 'z', type: 'string', shape: [] }], 'schema_mismatch', '"z" is missing'],
    ['a column missing in a later row', '[{"x":[1,2]},{}]', [x], 'schema_mismatch', 'Row 1 has columns none'],
    ['a column twice', '[{"x":[1,2],"x":[1,2]}]', [x], 'schema_mismatch', '"x" is given twice'],
    ['too few values', '[{"x":[1,2]},{"x":[1]}]', [x], 'schema_mismatch', 'row 1: expected float32[2] in each row, got a list of 1'],
    ['too many values', '[{"x":[1,2,3]}]', [x], 'schema_mismatch', 'got a list of 3'],
    ['a value for a list', '[{"x":1}]', [x], 'schema_mismatch', 'a lone value'],
    ['a list for a scalar', '[{"x":[1,2]}]', [int], 'schema_mismatch', 'a list of 2'],
    ['wrong nesting', '[{"x":[[1],[2]]}]', [x], 'schema_mismatch', 'shape [2,1]'],
    ['lists and values in one list', '[{"x":[[1],2]}]', [field('float32', [2, 1])], 'schema_mismatch', 'beside each other'],
    ['values and lists in one list', '[{"x":[1,[2]]}]', [x], 'schema_mismatch', 'a list beside a value'],
    ['uneven lists', '[{"x":[[1,2],[3]]}]', [field('float32', [2, 2])], 'schema_mismatch', 'lists of 2 and of 1'],
    ['rows of differing length', '[{"x":[1,2]},{"x":[1,2,3]}]', [field('float32', [-1])], 'schema_mismatch', 'all rows of a request need one length'],
    ['a string for a number', '[{"x":["1",2]}]', [x], 'schema_mismatch', 'the string "1"'],
    ['a boolean for a number', '[{"x":true}]', [int], 'schema_mismatch', 'expected int32 in each row, got true'],
    ['a number for a boolean', '[{"x":1}]', [field('bool')], 'schema_mismatch', 'the number 1'],
    ['a number for a string', '[{"x":1}]', [field('string')], 'schema_mismatch', 'the number 1'],
    ['an object for a value', '[{"x":{"a":1}}]', [x], 'schema_mismatch', 'an object'],
    ['null for an integer', '[{"x":1},{"x":null}]', [int], 'null_not_allowed', 'Column "x", row 1'],
    ['null for a list', '[{"x":null}]', [field('int32', [2], true)], 'null_not_allowed', 'row 0'],
    ['NaN for an integer', '[{"x":NaN}]', [int], 'schema_mismatch', 'the number NaN'],
    ['a fraction for an integer', '[{"x":1},{"x":2.5}]', [int], 'value_out_of_range', 'row 1: 2.5'],
    ['an integer beyond its type', '[{"x":2147483648}]', [int], 'value_out_of_range', '2147483648 cannot be int32'],
    ['an integer beyond 64 bits', '[{"x":9223372036854775808}]', [field('int64')], 'value_out_of_range', '9223372036854775808'],
    ['a fraction for 64 bits', '[{"x":9007199254740993.5}]', [field('int64')], 'value_out_of_range', '9007199254740993.5'],
    ['a huge exponent for 64 bits', '[{"x":1e999999999}]', [field('int64')], 'value_out_of_range', '1e999999999'],
    ['a negative unsigned', '[{"x":-1}]', [field('uint64')], 'value_out_of_range', '-1'],
    ['more than a double holds', '[{"x":1e400}]', [field('float64')], 'value_out_of_range', '1e400'],
    ['an exponent without end', `[{"x":1e${'9'.repeat(30)}}]`, [field('float64')], 'value_out_of_range', '1e999'],
    ['more than a float holds', '[{"x":[0,-3.5e38]}]', [x], 'value_out_of_range', 'row 0: -3.5e38'],
    ['more than a half holds', '[{"x":65520}]', [field('float16')], 'value_out_of_range', '65520'],
  ])('%s', (_, text, fields, code, piece) => {
    const error = failure(() => read(text, ...fields));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(piece);
    expect(error.message.length).toBeLessThan(600);
  });

  it('bytes that are not UTF-8, also where two strings would make a character', () => {
    for (const bad of [[0xff], [0xc3], [0xed, 0xa0, 0x80]]) {
      const body = Uint8Array.of(...utf8.encode('[{"x":"'), ...bad, ...utf8.encode('"},{"x":"'), 0xa9, ...utf8.encode('"}]'));
      expect(failure(() => decodeRecords(body, [field('string')]))).toMatchObject({ code: 'malformed_body', message: expect.stringContaining('UTF-8') as string });
    }
  });

  it.each([
    ['columns of differing length', '{"x":[[1,2]],"y":[1,2]}', 'schema_mismatch', 'has 2 rows and column "x" has 1'],
    ['a missing column', '{"x":[[1,2]]}', 'schema_mismatch', '"y" is missing'],
    ['a column twice', '{"x":[[1,2]],"x":[[1,2]]}', 'schema_mismatch', 'given twice'],
    ['a column that is no list', '{"x":1,"y":2}', 'malformed_body', 'a list of rows for column "x"'],
    ['no rows', '{"x":[],"y":[]}', 'empty_batch', 'at least one'],
    ['an unknown column', '{"q":[]}', 'schema_mismatch', '"q" is not expected'],
    ['a list of records', '[]', 'malformed_body', 'an object'],
  ])('in a dictionary, %s', (_, text, code, piece) => {
    const error = failure(() => decodeDictionary(utf8.encode(text), [x, { name: 'y', type: 'int32', shape: [] }]));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(piece);
  });

  it('never costs much more memory than its bytes: a row announces nothing', () => {
    const huge = field('float32', [40_000, 40_000]);
    expect(failure(() => read('[{"x":[1]}]', huge))).toMatchObject({ code: 'schema_mismatch' });
  });
});
