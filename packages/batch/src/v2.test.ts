import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import type { Batch } from './batch.ts';
import { batchOf, columnOf, failure, tableOf } from './codecs.fixtures.ts';
import { decodeV2, encodeV2 } from './v2.ts';

const utf8 = new TextEncoder();
const x: Field = { name: 'x', type: 'float32', shape: [2] };
const s: Field = { name: 's', type: 'string', shape: [] };
const json = (value: unknown): Uint8Array => utf8.encode(typeof value === 'string' ? value : JSON.stringify(value));
const input = (over: object = {}) => ({ name: 'x', shape: [2, 2], datatype: 'FP32', data: [1, 2, 3, 4], ...over });
/** A request whose binary part follows its JSON at once. */
function binary(header: unknown, ...parts: readonly number[][]): [Uint8Array, number] {
  // JSON.stringify cannot write this one.
  const head = json(JSON.stringify(header).replace('"big"', '9007199254740993'));
  return [Uint8Array.from([...head, ...parts.flat()]), head.length];
}
const raw = (...values: number[]): number[] => [...new Uint8Array(Float32Array.from(values).buffer)];

describe('a v2 request', () => {
  it('has its data flat or nested, before or after what describes it, among keys it does not know', () => {
    for (const body of [
      { inputs: [input()] },
      { model_name: 'm', inputs: [input({ data: [[1, 2], [3, 4]], parameters: { content_type: 'np' }, extra: [{}] })] },
      '{"inputs":[{"data":[[1,2],[3,4]],"parameters":{},"datatype":"FP32","shape":[2,2],"name":"x"}]}',
    ]) expect(tableOf(decodeV2(json(body), undefined, [x]).batch)).toEqual({ x: [[1, 2], [3, 4]] });
  });

  it('has its id, outputs and parameters', () => {
    const request = decodeV2(json('{"id":"7é","parameters":{"binary_data_output":true,"sequence_id":9007199254740993,"priority":2,"own":{"a":[1.5,null]}},"outputs":[{"name":"y"},{"name":"z","parameters":{"binary_data":false,"classification":3}}],"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'), undefined, [x]);
    expect(request).toMatchObject({ id: '7é', binaryDefault: true, outputs: [{ name: 'y' }, { name: 'z', binary: false }], parameters: { sequence_id: 9007199254740993n, priority: 2, own: { a: [1.5, null] } } });
    expect(decodeV2(json({ inputs: [input()] }), undefined, [x])).toEqual({ batch: expect.anything() as Batch, outputs: undefined, binaryDefault: false, parameters: {} });
  });

  it('mixes binary and JSON inputs, and casts to what is declared', () => {
    const [body, length] = binary({ inputs: [input({ data: undefined, parameters: { binary_data_size: 16 } }), { name: 'n', shape: [2, 1], datatype: 'INT64', data: ['big', -1] }, { name: 's', shape: [2], datatype: 'BYTES', parameters: { binary_data_size: 10 } }] }, raw(1, 2, 3, 4), [2, 0, 0, 0, ...utf8.encode('é'), 0, 0, 0, 0]);
    const { batch } = decodeV2(body, length, [s, { name: 'n', type: 'int64', shape: [] }, x]);
    expect(tableOf(batch)).toEqual({ s: ['é', ''], n: [2n ** 53n + 1n, -1n], x: [[1, 2], [3, 4]] });
    const [flags, head] = binary({ inputs: [{ name: 'b', shape: [3], datatype: 'BOOL', parameters: { binary_data_size: 3 } }] }, [0, 1, 255]);
    expect(tableOf(decodeV2(flags, head, [{ name: 'b', type: 'bool', shape: [] }]).batch)).toEqual({ b: [false, true, true] });
  });

  const without = (key: string) => ({ inputs: [Object.fromEntries(Object.entries(input()).filter(([k]) => k !== key))] });
  it.each<[string, unknown, string, string]>([
    ['no JSON', 'x', 'malformed_body', 'Byte 0'],
    ['truncated JSON', '{"inputs":[{"name":"x"', 'malformed_body', 'truncated'],
    ['no inputs', {}, 'malformed_body', 'no "inputs"'],
    ['inputs that are no list', { inputs: {} }, 'malformed_body', 'a list for "inputs"'],
    ['a key twice', '{"inputs":[],"inputs":[]}', 'malformed_body', 'given twice'],
    ['no name', without('name'), 'malformed_body', 'no name'],
    ['no shape', without('shape'), 'malformed_body', 'no shape'],
    ['no datatype', without('datatype'), 'schema_mismatch', 'no datatype'],
    ['no data', without('data'), 'malformed_body', 'has neither'],
    ['a shape without dimensions', { inputs: [input({ shape: [] })] }, 'schema_mismatch', 'inputs[0].shape'],
    ['a negative dimension', { inputs: [input({ shape: [-1, 2] })] }, 'schema_mismatch', 'inputs[0].shape'],
    ['a null dimension', { inputs: [input({ shape: [null, 2] })] }, 'schema_mismatch', 'inputs[0].shape'],
    ['an absurd shape', { inputs: [input({ shape: [1e9, 1e9] })] }, 'schema_mismatch', 'inputs[0].shape'],
    ['an unknown datatype', { inputs: [input({ datatype: 'FLOAT' })] }, 'schema_mismatch', 'unknown datatype "FLOAT"'],
    ['a datatype of every object', { inputs: [input({ datatype: 'toString' })] }, 'schema_mismatch', 'unknown datatype'],
    ['BF16', { inputs: [input({ datatype: 'BF16' })] }, 'schema_mismatch', 'BF16, which is not supported'],
    ['another name beside another shape', { inputs: [input({ name: 'y', shape: [2, 3], data: [1, 'a'] })] }, 'schema_mismatch', 'Of the inputs, "y" does not exist and "x" is missing; the inputs are exactly x (float32[2]).'],
    ['another name beside binary data that is not there', { inputs: [input({ name: 'y', data: undefined, parameters: { binary_data_size: 99 } })] }, 'schema_mismatch', '"y" does not exist'],
    ['an input too many, with other rows', { inputs: [input(), input({ name: 'y', shape: [1, 2] })] }, 'schema_mismatch', 'Input "y" does not exist; the inputs are exactly x (float32[2]).'],
    ['an input twice, with other rows', { inputs: [input(), input({ shape: [1, 2], data: [1, 2] })] }, 'schema_mismatch', 'Input "x" is given twice. Send it once.'],
    ['no input at all', { inputs: [] }, 'empty_batch', 'no rows'],
    ['too few values', { inputs: [input({ data: [1, 2, 3] })] }, 'schema_mismatch', 'float32[2,2]'],
    ['wrongly nested values', { inputs: [input({ data: [[1], [2], [3], [4]] })] }, 'schema_mismatch', 'shape [4,1]'],
    ['a string among numbers', { inputs: [input({ data: [1, 2, 3, 'a'] })] }, 'schema_mismatch', 'row 1'],
    ['a value out of range', { inputs: [input({ datatype: 'INT8', data: [1, 2, 300, 4] })] }, 'value_out_of_range', 'row 1: 300'],
    ['a null among integers', { inputs: [{ name: 's', shape: [2], datatype: 'INT32', data: [1, null] }] }, 'schema_mismatch', '"s" does not exist and "x" is missing'],
    ['no rows', { inputs: [input({ shape: [0, 2], data: [] })] }, 'empty_batch', 'no rows'],
    ['another input', { inputs: [input({ name: 'y' })] }, 'schema_mismatch', '"y" does not exist and "x" is missing'],
    ['binary data that is not there', { inputs: [input({ data: undefined, parameters: { binary_data_size: 16 } })] }, 'malformed_body', 'announces 16 bytes'],
    ['a size that is no size', { inputs: [input({ data: undefined, parameters: { binary_data_size: -1 } })] }, 'malformed_body', 'binary_data_size'],
    ['data and a size', { inputs: [input({ parameters: { binary_data_size: 16 } })] }, 'malformed_body', 'not both'],
    ['an output without a name', { inputs: [input()], outputs: [{}] }, 'malformed_body', '"outputs[0]" has no name'],
    ['an id that is no string', { id: 1, inputs: [input()] }, 'malformed_body', '"id" must be a string'],
  ])('with %s is refused', (_, body, code, piece) => {
    const error = failure(() => decodeV2(json(body), undefined, [x]));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(piece);
  });

  it('that lacks an input is told its name', () => {
    expect(failure(() => decodeV2(json({ inputs: [input({ shape: [9, 9] })] }), undefined, [s, x, { ...s, name: 'z' }]))).toMatchObject({ code: 'schema_mismatch' });
    expect(failure(() => decodeV2(json({ inputs: [input()] }), undefined, [s, x])).message).toBe('Input "s" is missing; the inputs are exactly s (string), x (float32[2]).');
  });

  it('may have keys beside its inputs, and is left as it came then', () => {
    const key = { name: 'who', shape: [2], datatype: 'INT8', data: [1, 2] };
    expect(tableOf(decodeV2(json({ inputs: [key, input({ datatype: 'FP64' })] }), undefined, [x], new Set(['who', 'other'])).batch)).toEqual({ who: [1, 2], x: [[1, 2], [3, 4]] });
    expect(failure(() => decodeV2(json({ inputs: [key, input({ name: 'y' })] }), undefined, [x], new Set(['who']))).message).toBe('Of the inputs, "y" does not exist and "x" is missing; the inputs are exactly x (float32[2]), who.');
  });

  it('with another number of rows in one input is refused', () => {
    const body = json({ inputs: [input(), { name: 's', shape: [1], datatype: 'BYTES', data: ['a'] }] });
    expect(failure(() => decodeV2(body, undefined, [x, s]))).toMatchObject({ code: 'schema_mismatch', message: expect.stringContaining('has 1 rows and input "x" has 2') as string });
  });

  it.each<[string, Field, [Uint8Array, number], string, string]>([
    ['bytes left over', x, binary({ inputs: [input()] }, [0]), 'malformed_body', '1 bytes of the body belong to no input'],
    ['a size that does not fit the shape', x, binary({ inputs: [input({ data: undefined, parameters: { binary_data_size: 12 } })] }, raw(1, 2, 3)), 'schema_mismatch', '12 bytes of binary data; its shape and datatype need 16'],
    ['a header longer than the body', s, [json('{}'), 3], 'malformed_body', 'Inference-Header-Content-Length is 3'],
    ['a header that is no number', s, [json('{}'), NaN], 'malformed_body', 'NaN'],
    ['strings longer than their data', s, binary({ inputs: [{ name: 's', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 5 } }] }, [255, 255, 255, 255, 1]), 'malformed_body', 'not 1 items of BYTES'],
    ['strings that leave some data', s, binary({ inputs: [{ name: 's', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 5 } }] }, [0, 0, 0, 0, 1]), 'malformed_body', 'not 1 items of BYTES'],
    ['more strings than bytes', s, binary({ inputs: [{ name: 's', shape: [1e9], datatype: 'BYTES', parameters: { binary_data_size: 4 } }] }, [0, 0, 0, 0]), 'malformed_body', 'not 1000000000 items'],
    ['strings that are no text', s, binary({ inputs: [{ name: 's', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 5 } }] }, [1, 0, 0, 0, 0xff]), 'malformed_body', 'UTF-8'],
    ['a character cut in two', s, binary({ inputs: [{ name: 's', shape: [2], datatype: 'BYTES', parameters: { binary_data_size: 10 } }] }, [1, 0, 0, 0, 0xc3, 1, 0, 0, 0, 0xa9]), 'malformed_body', 'UTF-8'],
  ])('with %s is refused', (_, field, [body, length], code, piece) => {
    const error = failure(() => decodeV2(body, length, [field]));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(piece);
  });
});

describe('a v2 response', () => {
  const batch: Batch = { rows: 2, columns: [columnOf({ name: 'y', type: 'float32', shape: [2] }, [[1, 0.1], [NaN, 4]]), columnOf({ name: 'label', type: 'string', shape: [] }, [['é'], ['"']])] };
  const answer = { modelName: 'm"é', modelVersion: '1', id: '7', batch };

  it('is flat JSON with the batch axis', () => {
    const { head, binary: parts, headerLength } = encodeV2({ ...answer, request: { outputs: undefined, binaryDefault: false } });
    expect(JSON.parse(head)).toEqual({ model_name: 'm"é', model_version: '1', id: '7', outputs: [{ name: 'y', shape: [2, 2], datatype: 'FP32', data: [1, 0.1, null, 4] }, { name: 'label', shape: [2], datatype: 'BYTES', data: ['é', '"'] }] });
    expect([parts, headerLength]).toEqual([[], null]);
    expect(encodeV2({ ...answer, id: undefined, request: { outputs: [], binaryDefault: true } })).toEqual({ head: '{"model_name":"m\\"é","model_version":"1","outputs":[]}', binary: [], headerLength: null });
  });

  it('is binary where asked, in the order asked, an output\'s own word over the default', () => {
    const { head, binary: parts, headerLength } = encodeV2({ ...answer, request: { outputs: [{ name: 'label' }, { name: 'y', binary: false }], binaryDefault: true } });
    expect((JSON.parse(head) as { outputs: unknown[] }).outputs).toEqual([{ name: 'label', shape: [2], datatype: 'BYTES', parameters: { binary_data_size: 11 } }, { name: 'y', shape: [2, 2], datatype: 'FP32', data: [1, 0.1, null, 4] }]);
    expect(headerLength).toBe(utf8.encode(head).length);
    expect(parts.map((p) => [...p])).toEqual([[2, 0, 0, 0, 0xc3, 0xa9, 1, 0, 0, 0, 34]]);
  });

  it('has JSON for nulls, which bytes cannot say', () => {
    const nulls = batchOf({ field: { name: 'n', type: 'int8', shape: [], nullable: true }, rows: [[1], [null]] });
    expect(encodeV2({ ...answer, batch: nulls, request: { outputs: undefined, binaryDefault: true } })).toMatchObject({ headerLength: null, head: expect.stringContaining('"data":[1,null]') as string });
  });

  it('refuses outputs that do not exist or have no shape', () => {
    expect(failure(() => encodeV2({ ...answer, request: { outputs: [{ name: 'z' }], binaryDefault: false } }))).toMatchObject({ code: 'schema_mismatch', message: 'Output "z" does not exist; the outputs are "y", "label".' });
    const ragged: Batch = { rows: 1, columns: [{ kind: 'list', name: 'r', offsets: Int32Array.of(0, 1), items: columnOf({ name: 'item', type: 'int8', shape: [] }, [[1]]) }] };
    expect(failure(() => encodeV2({ ...answer, batch: ragged, request: { outputs: undefined, binaryDefault: false } }))).toMatchObject({ code: 'not_acceptable' });
  });
});
