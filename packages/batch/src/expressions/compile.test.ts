import { isPotorooError, type Field } from '@potoroo/contract/plain';
import { describe, expect, test } from 'vitest';
import type { Batch } from '../batch.ts';
import { compileValidation } from './compile.ts';

const fields: Field[] = [
  { name: 'in.sales_count', type: 'int64', shape: [7] },
  { name: 'in.name', type: 'string', shape: [] },
  { name: 'out.dense_1', type: 'float32', shape: [1] },
  { name: 'out.image', type: 'float32', shape: [2, 2] },
];
function batch(sales: number[][], dense: number[]): Batch {
  return {
    rows: dense.length,
    columns: [
      { kind: 'tensor', name: 'in.sales_count', type: 'int64', shape: [7], values: BigInt64Array.from(sales.flat(), BigInt) },
      { kind: 'tensor', name: 'out.dense_1', type: 'float32', shape: [1], values: Float32Array.from(dense) },
      { kind: 'tensor', name: 'out.image', type: 'float32', shape: [2, 2], values: Float32Array.from(dense.flatMap((d) => [d, 0, 0, d])) },
    ],
  };
}
const sold = [[1357, 1247, 350, 1437, 952, 757, 1831], [617, 525, 513, 517, 622, 757, 508]];
const column = (name: string) => ({ Column: name });
const int = (n: number) => ({ Literal: { Int32: n } });
const float = (n: number) => ({ Literal: { Float64: n } });
const call = (name: unknown, ...input: unknown[]) => ({ Function: { input, function: name } });
const op = (left: unknown, name: string, right: unknown) => ({ BinaryExpr: { left, op: name, right } });
const named = (expression: unknown, name = 'v') => JSON.stringify({ Alias: [expression, name] });
const get = (name: string, i: number) => call({ ListExpr: 'Get' }, column(name), int(i));
const run = (expression: unknown, sales = sold, dense = [0.981199, 0.0014974177]) => [...compileValidation(named(expression), fields).evaluate(batch(sales, dense))];

function thrown(f: () => unknown): unknown {
  try { f(); } catch (error) { return error; }
  return undefined;
}

describe("the guide's validations", () => {
  test('fraud and too_low', () => {
    expect(run(op(get('out.dense_1', 0), 'Gt', float(0.9)))).toEqual([1, 0]);
    expect(run(op(get('out.dense_1', 0), 'Lt', float(0.05)))).toEqual([0, 1]);
  });
  test('minimum_sales', () => expect(run(op(call({ ListExpr: 'Min' }, column('in.sales_count')), 'Lt', int(500)))).toEqual([1, 0]));
  test('in_between', () => expect(run(op(op(get('out.dense_1', 0), 'Lt', float(0.9)), 'And', op(get('out.dense_1', 0), 'Gt', float(0.001))))).toEqual([0, 1]));
});

test('a written number takes the type of the column it meets: 0.1 is compared in single precision', () => {
  expect(run(op(get('out.dense_1', 0), 'Eq', float(0.1)), sold, [0.1, 0.2])).toEqual([1, 0]);
});
test('a list of lists is looked into twice', () => expect(run(op(call({ ListExpr: 'Get' }, get('out.image', 1), int(1)), 'Gt', float(0.5)))).toEqual([1, 0]));
test('null counts as no anomaly', () => expect(run(op(get('out.dense_1', 5), 'Gt', float(0)))).toEqual([0, 0]));
test('an aggregate has to see the whole request', () => {
  const validation = compileValidation(named(op({ Agg: { Mean: get('out.dense_1', 0) } }, 'Gt', float(0.4))), fields);
  expect(validation.rowwise).toBe(false);
  expect([...validation.evaluate(batch(sold, [0.9, 0.1]))]).toEqual([1, 1]);
  expect(compileValidation(named(op(get('out.dense_1', 0), 'Gt', float(0))), fields)).toMatchObject({ rowwise: true, columns: ['out.dense_1'] });
});

describe('nulls in aggregates', () => {
  const columns: Field[] = [{ name: 'in.a', type: 'int64', shape: [] }];
  const over = (expression: unknown, nulls: number[]): number[] => [...compileValidation(named(expression), columns).evaluate({
    rows: 4, columns: [{ kind: 'tensor', name: 'in.a', type: 'int64', shape: [], values: BigInt64Array.of(1n, 1n, 3n, 0n), nulls: Uint8Array.from(nulls) }],
  })];
  const agg = (name: string, of: unknown = column('in.a')) => ({ Agg: { [name]: of } });
  test.each<[string, unknown, number[], boolean]>([
    ['count of 0.18 counts them', op(agg('Count'), 'Eq', int(4)), [0, 0, 0, 1], true],
    ['count of later versions does not', op(agg('Count', { input: column('in.a'), include_nulls: false }), 'Eq', int(3)), [0, 0, 0, 1], true],
    ['len of later versions does', op(agg('Count', { input: column('in.a'), include_nulls: true }), 'Eq', int(4)), [0, 0, 0, 1], true],
    ['n_unique has them as one value', op(agg('NUnique'), 'Eq', int(2)), [0, 0, 1, 1], true],
    ['n_unique without any', op(agg('NUnique'), 'Eq', int(3)), [0, 0, 0, 0], true],
    ['the last is one', call({ Boolean: 'IsNull' }, agg('Last')), [0, 0, 0, 1], true],
    ['the first is none', call({ Boolean: 'IsNull' }, agg('First')), [0, 1, 1, 1], false],
    ['mean leaves them out', op(agg('Mean'), 'Gt', float(1.6)), [0, 0, 0, 1], true],
  ])('%s', (_, expression, nulls, expected) => expect(over(expression, nulls)).toEqual([expected, expected, expected, expected].map(Number)));
});

describe('refused when it is added, naming the part', () => {
  const deep = Array.from({ length: 300 }).reduce<unknown>((inner) => call({ Boolean: 'IsNot' }, inner), { Literal: { Boolean: true } });
  test.each([
    ['no JSON', '{', /not JSON/],
    ['no name', op(column('out.dense_1'), 'Gt', int(1)), /no name/],
    ['an unknown column', named(op(column('out.dense_2'), 'Gt', int(1))), /no column "out.dense_2"; there are in.sales_count/],
    ['not true or false', named(get('out.dense_1', 0), 'score'), /score.*float32.*true or false|float32; a validation is true or false/],
    ['a list compared', named(op(column('out.dense_1'), 'Gt', int(1))), /do not go together|lists cannot/],
    ['text compared with a number', named(op(column('in.name'), 'Gt', int(1))), /string and int32 do not go together/],
    ['an unknown operator', named(op(get('out.dense_1', 0), 'Spaceship', int(1))), /Spaceship is not known/],
    ['an unknown function', named(call('Fft', get('out.dense_1', 0))), /Fft is not supported/],
    ['a name from the prototype', named(call('constructor', get('out.dense_1', 0))), /constructor is not supported/],
    ['an index that is no whole number', named(op(call({ ListExpr: 'Get' }, column('out.dense_1'), float(0.5)), 'Gt', int(0))), /a whole number is needed/],
    ['a function without inputs', named({ Function: { function: 'Abs' } }), /a function has inputs/],
    ['a broken pattern', named(call({ StringExpr: { Contains: { literal: false } } }, column('in.name'), { Literal: { Utf8: '(' } })), /is not a pattern/],
    ['a back-reference', named(call({ StringExpr: { Contains: { literal: false } } }, column('in.name'), { Literal: { Utf8: '(a)\\1' } })), /back-references/],
    ['nesting without end', named(deep), /nested deeper than 200/],
    ['a literal of mixed values', named(call({ Boolean: 'IsIn' }, column('in.name'), { Literal: { Series: { values: [1, 'a'] } } })), /different types/],
    ['nothing at all', 'null', /a node has one name/],
  ])('%s', (_, expression, message) => {
    const refusal = thrown(() => compileValidation(expression, fields));
    expect(isPotorooError(refusal) && refusal.code).toBe('pipeline_invalid');
    expect((refusal as Error).message).toMatch(message);
  });
});
