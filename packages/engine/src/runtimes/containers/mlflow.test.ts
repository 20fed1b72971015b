import { utf8From, type Batch, type TensorColumn } from '@potoroo/batch';
import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import { decodeScoring, encodeScoring, formsOf, refusalOf } from './mlflow.ts';

const utf8 = new TextEncoder();
const field = (name: string, type: Field['type'] = 'float64', shape: number[] = []): Field => ({ name, type, shape });
const batch: Batch = { rows: 2, columns: [
  { kind: 'tensor', name: 'id', type: 'int64', shape: [], values: BigInt64Array.of(9007199254740993n, -2n) },
  { kind: 'tensor', name: 'v', type: 'float32', shape: [2], values: Float32Array.of(0.5, 1, 2, NaN) },
  { kind: 'tensor', name: 's', type: 'string', shape: [], values: utf8From(['a"b', 'é']) },
] };
const tensor: Batch = { rows: 2, columns: [{ kind: 'tensor', name: 'a:[b', type: 'float32', shape: [2], values: Float32Array.of(0.5, 1, 2, 3) }] };

describe('a request', () => {
  it.each([
    ['split', 'application/json', '{"dataframe_split":{"columns":["id","v","s"],"data":[[9007199254740993,[0.5,1.0],"a\\"b"],[-2,[2.0,null],"é"]]}}'],
    ['frame', 'application/json; format=pandas-split', '{"columns":["id","v","s"],"data":[[9007199254740993,[0.5,1.0],"a\\"b"],[-2,[2.0,null],"é"]]}'],
    ['inputs', 'application/json', '{"inputs":{"id":[9007199254740993,-2],"v":[[0.5,1.0],[2.0,null]],"s":["a\\"b","é"]}}'],
    ['instances', 'application/json', '{"instances":[{"id":9007199254740993,"v":[0.5,1.0],"s":"a\\"b"},{"id":-2,"v":[2.0,null],"s":"é"}]}'],
  ] as const)('in the form %s', (form, type, body) => {
    expect(encodeScoring(batch, form)).toEqual({ type, body });
  });
  it('of one tensor has no name, whatever that is', () => {
    expect(encodeScoring(tensor, 'tensor').body).toBe('{"inputs":[[0.5,1.0],[2.0,3.0]]}');
  });
  it('is tried in the likeliest form first', () => {
    expect(formsOf('2.9.0', [field('a'), field('b')])[0]).toBe('split');
    expect(formsOf('1.30.0', [field('a'), field('b')])[0]).toBe('frame');
    expect(formsOf('', [field('a', 'float32', [4])])).toEqual(['inputs', 'tensor', 'instances', 'split']);
    expect(formsOf('', [field('a', 'float32', [4]), field('b')])).not.toContain('tensor');
  });
});

describe('an answer', () => {
  const read = (text: string, outputs: Field[], rows = 2): (number | bigint)[][] => decodeScoring(utf8.encode(text), outputs, rows).columns.map((c) => [...((c as TensorColumn).values as Float64Array)]);
  it.each([
    ['records', '{"predictions": [{"y": 1.5}, {"y": 2}]}', [field('y')], [[1.5, 2]]],
    ['records of several columns, in any order', '{"predictions":[{"b":1,"a":2},{"a":4,"b":3}]}', [field('a'), field('b')], [[2, 4], [1, 3]]],
    ['bare records', ' [{"y": 1}, {"y": 2}]', [field('y')], [[1, 2]]],
    ['columns', '{"predictions": {"y": [1, 2]}}', [field('y')], [[1, 2]]],
    ['a list without a name', '{ "predictions" : [1, 2] }', [field('y')], [[1, 2]]],
    ['a bare list', '[1, 2]', [field('y')], [[1, 2]]],
    ['lists of one for scalars', '{"predictions": [[1], [2]]}', [field('y')], [[1, 2]]],
    ['tensors', '{"predictions": [[1, 2], [3, 4]]}', [field('y', 'float64', [2])], [[1, 2, 3, 4]]],
    ['integers beyond 2^53', '{"predictions": [{"y": 9007199254740993}, {"y": -1}]}', [field('y', 'int64')], [[9007199254740993n, -1n]]],
    ['what Python writes for no number', '{"predictions": [{"y": NaN}, {"y": null}]}', [field('y')], [[NaN, NaN]]],
  ])('of %s', (_, text, outputs, values) => {
    expect(read(text, outputs)).toEqual(values);
  });
  it.each([
    ['other columns', '{"predictions": [{"z": 1}, {"z": 2}]}', 'schema_mismatch', /"z"/],
    ['values that are none', '{"predictions": [{"y": "x"}, {"y": 2}]}', 'schema_mismatch', /y/],
    ['other lengths', '{"predictions": [{"y": [1, 2]}, {"y": [1, 2]}]}', 'schema_mismatch', /y/],
    ['too few rows', '{"predictions": [{"y": 1}]}', 'schema_mismatch', /1 rows for 2/],
    ['no rows', '{"predictions": []}', 'empty_batch', /no rows/],
    ['nothing', '{"predictions": null}', 'inference_failed', /null/],
    ['a refusal', '{"message": "no"}', 'schema_mismatch', /message/],
    ['text', 'Internal Server Error', 'inference_failed', /not fit/],
    ['half an answer', '{"predictions": [{"y": 1}, {"y"', 'inference_failed', /not fit/],
    ['an empty body', '', 'inference_failed', /not fit/],
  ])('of %s is refused', (_, text, code, message) => {
    expect(() => read(text, [field('y')])).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error);
  });
  it('without names cannot be for several outputs', () => {
    expect(() => read('{"predictions": [[1, 2], [3, 4]]}', [field('a'), field('b')])).toThrow(/columns are a, b/);
  });
});

describe('a refusal', () => {
  it.each([
    ['{"error_code": "BAD_REQUEST", "message": "wrong\\nstack", "stack_trace": "at /secret"}', 'BAD_REQUEST: wrong'],
    ['{"detail": [1]}', '{"detail": [1]}'],
    ['<html>\nmore', '<html>'],
    ['', ''],
  ])('%j is %j', (body, text) => {
    expect(refusalOf(utf8.encode(body))).toBe(text);
  });
});
