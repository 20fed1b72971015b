import type { Field } from '@potoroo/contract/plain';
import { describe, expect, test } from 'vitest';
import { utf8At, type Batch, type TensorColumn, type Utf8 } from '../batch.ts';
import { decodeDictionary, decodeRecords } from './decode.ts';

const fields: Field[] = [{ name: 'x', type: 'float32', shape: [2] }, { name: 'who', type: 'string', shape: [], nullable: true }];
const keys = new Set(['who']);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textsOf = (batch: Batch): (string | null)[] => {
  const { values, nulls, type, shape } = batch.columns[1] as TensorColumn;
  expect({ type, shape }).toEqual({ type: 'string', shape: [] });
  return Array.from({ length: batch.rows }, (_, i) => (nulls?.[i] === 1 ? null : utf8At(values as Utf8, i)));
};
const records = (values: readonly string[]): Batch => decodeRecords(bytes(`[${values.map((v, i) => `{"x":[${i},0.5]${v === '' ? '' : `,"who":${v}`}}`).join(',')}]`), fields, keys);
const dictionary = (values: readonly string[]): Batch => decodeDictionary(bytes(`{"x":[${values.map((_, i) => `[${i},0.5]`).join(',')}],"who":[${values.join(',')}]}`), fields, keys);

describe('a key is read as text', () => {
  test.each<[string, string | null]>([
    ['"customer-7"', 'customer-7'], ['"Zürich 🦊"', 'Zürich 🦊'], ['"a\\"\\u00e9"', 'a"é'], ['""', ''], ['7', '7'], ['-0', '0'], ['0.25', '0.25'], ['1.0', '1'], ['1e3', '1000'], ['9007199254740993', '9007199254740993'],
    ['-9223372036854775809', '-9223372036854775809'], ['true', 'true'], ['false', 'false'], ['null', null], ['NaN', null], ['[0.25]', '0.25'], ['["a"]', 'a'], ['[null]', null], ['[["deep"]]', 'deep'],
  ])('%s', (json, text) => {
    for (const read of [records, dictionary]) {
      expect(textsOf(read([json]))).toEqual([text]);
      // Whatever its neighbours are.
      expect(textsOf(read(['0.5', json, '"other"', 'null']))).toEqual(['0.5', text, 'other', null]);
    }
  });

  test('a row may lack it, and so may all', () => {
    expect(textsOf(records(['', '"b"', '']))).toEqual([null, 'b', null]);
    expect(textsOf(records(['', '']))).toEqual([null, null]);
    expect(textsOf(decodeDictionary(bytes('{"x":[[1,2],[3,4]]}'), fields, keys))).toEqual([null, null]);
    expect([...((records(['', '"b"']).columns[0] as TensorColumn).values as Float32Array)]).toEqual([0, 0.5, 1, 0.5]);
  });

  test.each(['[1,2]', '[]', '{}', '{"a":1}'])('%s is refused by the name of the column', (json) => {
    for (const read of [records, dictionary]) expect(() => read([json])).toThrow(expect.objectContaining({ code: 'schema_mismatch', message: expect.stringContaining("'who'") as string }));
  });

  test('what the models take may not be missing, nor anything be given twice or lie', () => {
    for (const [text, piece] of [['[{"who":"a"}]', 'x'], ['[{"x":[1,2],"who":"a","who":"b"}]', 'twice'], ['[{"x":[1,2],"who":"a","z":1}]', 'z'], ['[{"x":[1,2]},{"who":"b"}]', 'x']] as const) {
      expect(() => decodeRecords(bytes(text), fields, keys)).toThrow(expect.objectContaining({ code: 'schema_mismatch', message: expect.stringContaining(piece) as string }));
    }
    for (const [text, piece] of [['{"who":["a"]}', 'x'], ['{"x":[[1,2]],"who":["a","b"]}', 'who'], ['{"x":[[1,2],[3,4]],"who":["a"]}', 'who']] as const) {
      expect(() => decodeDictionary(bytes(text), fields, keys)).toThrow(expect.objectContaining({ code: 'schema_mismatch', message: expect.stringContaining(piece) as string }));
    }
    expect(() => decodeRecords(bytes('[]'), fields, keys)).toThrow(expect.objectContaining({ code: 'empty_batch' }));
  });
});
