import { readFileSync } from 'node:fs';
import * as apache from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import type { Batch, TensorColumn } from '../batch.ts';
import { attempt, batchOf, failure, fixtures, random, tableOf, valuesOf } from '../codecs.fixtures.ts';
import { slice } from '../columns.ts';
import { encodeRecords } from '../json/encode.ts';
import { JsonReader } from '../json/reader.ts';
import { decodeArrow, decodeArrowSchema } from './read.ts';
import { readViews } from './views.ts';
import { encodeArrowFile, encodeArrowSchema, encodeArrowStream } from './write.ts';

/** Written by pyarrow; see `fixtures/make.py`. */
function golden(name: string): Uint8Array {
  const bytes = readFileSync(new URL(`../../fixtures/${name}`, import.meta.url));
  const aligned = new Uint8Array(bytes.length);
  aligned.set(bytes);
  return aligned;
}

/** Numbers by their digits, so that 3, 3.0 and 3n are the same and no digit is lost. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [k, plain(v)]));
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)])) : value;
}

function rowsOf(batch: Batch): unknown[] {
  const columns = batch.columns.map((c) => [c.name, valuesOf(c, batch.rows)] as const);
  return Array.from({ length: batch.rows }, (_, row) => plain(Object.fromEntries(columns.map(([name, values]) => [name, values[row]]))));
}

const expected = (name: string): unknown => plain(new JsonReader(golden(`${name}.json`)).value());

describe('what pyarrow writes', () => {
  it.each([['every.arrow', 'every'], ['every.stream', 'every'], ['chunks.arrow', 'every'], ['slice.arrow', 'slice'], ['deltas.stream', 'deltas'], ['views.arrow', 'views'], ['views.stream', 'views']])('%s is read as pyarrow reads it', (file, table) => {
    const body = golden(file);
    const { batch, metadata } = decodeArrow(body);
    expect(rowsOf(batch)).toEqual(expected(table));
    expect(metadata).toEqual(table === 'deltas' || table === 'views' ? {} : { status: '{"next":null}', 'ключ': 'é' });
    const odd = new Uint8Array(body.length + 3);
    odd.set(body, 3);
    expect(rowsOf(decodeArrow(odd.subarray(3)).batch)).toEqual(expected(table));
  });

  it('lists of one length are tensors, without a copy', () => {
    const body = golden('every.arrow');
    const list = decodeArrow(body).batch.columns.find((c) => c.name === 'list') as TensorColumn;
    expect(list).toMatchObject({ kind: 'tensor', type: 'float32', shape: [2] });
    expect((list.values as Float32Array).buffer).toBe(body.buffer);
    const shapes = Object.fromEntries(decodeArrow(body).batch.columns.map((c) => [c.name, c.kind === 'tensor' ? c.shape : c.kind]));
    expect(shapes).toMatchObject({ large_list: [1], fixed: [3], fixed_missing: 'list', image: [2, 2], ragged: 'list', ragged_deep: 'list', words: [2], struct: 'struct' });
  });

  it('a table without rows keeps its columns', () => {
    const { batch } = decodeArrow(golden('empty.arrow'));
    expect(batch.rows).toBe(0);
    expect(batch.columns.map((c) => c.name)).toEqual(decodeArrow(golden('every.arrow')).batch.columns.map((c) => c.name));
    expect(decodeArrow(encodeArrowFile(batch)).batch).toMatchObject({ rows: 0 });
  });

  it('a declared schema becomes fields', () => {
    expect(decodeArrowSchema(golden('schema.bin'))).toEqual([
      { name: 'tensor', type: 'float32', shape: [29] }, { name: 'image', type: 'uint8', shape: [-1, 4] }, { name: 'age', type: 'int64', shape: [] },
      { name: 'name', type: 'string', shape: [] }, { name: 'at', type: 'timestamp', shape: [] }, { name: 'ok', type: 'bool', shape: [] },
    ]);
    const fields = fixtures.map((f, i) => ({ name: `x${i}`, type: f.field.type, shape: [-1, ...f.field.shape] }));
    expect(decodeArrowSchema(encodeArrowSchema(fields))).toEqual(fields);
    expect(failure(() => decodeArrowSchema(encodeArrowSchema([]).subarray(0, 20)))).toMatchObject({ code: 'malformed_body' });
  });

  it('compression and types that are no columns are refused by name', () => {
    expect(failure(() => decodeArrow(golden('compressed.arrow')))).toMatchObject({ code: 'unsupported_content_type', message: expect.stringContaining('ZSTD') as string });
    expect(failure(() => decodeArrow(golden('binary.arrow')))).toMatchObject({ code: 'schema_mismatch', message: expect.stringContaining('"raw" has the Arrow type binary') as string });
  });
});

describe('apache-arrow', () => {
  const value = (v: unknown): unknown => {
    if (v !== null && typeof v === 'object' && 'toJSON' in v && !(v instanceof Date)) v = (v as { toJSON(): unknown }).toJSON();
    if (Array.isArray(v)) return v.map(value);
    return ArrayBuffer.isView(v) ? Array.from(v as unknown as unknown[], value) : v;
  };

  it.each(fixtures.filter((f) => f.field.type !== 'timestamp'))('reads what we write: $title', (fixture) => {
    const batch = batchOf(fixture);
    for (const bytes of [encodeArrowFile(batch), encodeArrowStream(batch)]) {
      const table = apache.tableFromIPC(bytes);
      expect(table.numRows).toBe(batch.rows);
      const vector = table.getChild('in.x')!;
      expect(Array.from({ length: batch.rows }, (_, i) => value(vector.get(i)))).toEqual(tableOf(batch)['in.x']);
    }
  });

  it('reads times and nested datasets', () => {
    const batch: Batch = { rows: 1, columns: [{ kind: 'tensor', name: 'time', type: 'timestamp', shape: [], values: BigInt64Array.of(1700000000123n) }, { kind: 'tensor', name: 'out.y', type: 'float32', shape: [2], values: Float32Array.of(1, 2) }] };
    const table = apache.tableFromIPC(encodeArrowFile(batch, { separator: null, metadata: { status: 'x' } }));
    expect(table.schema.metadata.get('status')).toBe('x');
    expect(String(table.schema.fields[0]!.type)).toBe('Timestamp<MILLISECOND>');
    expect(table.getChild('time')!.get(0)).toBe(1700000000123);
    expect(String(table.schema.fields[1]!.type)).toBe('Struct<{y:List<Float32>}>');
  });

  it('writes what we read', () => {
    const table = apache.tableFromArrays({ f: Float32Array.of(1, 2, 3), i: BigInt64Array.of(1n, -2n, 2n ** 60n), s: ['a', 'é', 'a'], l: [[1, 2], [3, 4], [5, 6]] });
    for (const kind of ['file', 'stream'] as const) {
      const { batch } = decodeArrow(apache.tableToIPC(table, kind));
      expect(tableOf(batch)).toEqual({ f: [1, 2, 3], i: [1n, -2n, 2n ** 60n], s: ['a', 'é', 'a'], l: [[1, 2], [3, 4], [5, 6]] });
    }
  });
});

describe('bad Arrow data', () => {
  const file = golden('every.arrow');
  const stream = golden('every.stream');
  const patched = (bytes: Uint8Array, at: number, ...values: number[]) => {
    const copy = bytes.slice();
    copy.set(values, at < 0 ? bytes.length + at : at);
    return copy;
  };

  it.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(0), 'empty'],
    ['text', new TextEncoder().encode('[{"tensor":[1]}]'), 'neither an Arrow file nor an Arrow stream'],
    ['the magic word alone', file.subarray(0, 8), 'truncated'],
    ['a file without its end', file.subarray(0, -1), 'truncated'],
    ['a file cut in half', file.subarray(0, file.length >> 1), 'truncated'],
    ['a footer longer than the file', patched(file, -10, 0xff, 0xff, 0xff, 0x7f), 'footer'],
    ['a negative footer', patched(file, -10, 0xff, 0xff, 0xff, 0xff), 'footer'],
    ['a negative message length', patched(stream, 4, 0xf0, 0xff, 0xff, 0xff), 'longer than the data'],
    ['a message longer than the stream', patched(stream, 4, 0xff, 0xff, 0xff, 0x7f), 'longer than the data'],
    ['a root offset outside', patched(stream, 8, 0xff, 0xff, 0xff, 0x7f), 'outside itself'],
    ['a stream that begins with its end', stream.subarray(-8), 'does not begin with a schema'],
    ['a stream with more behind its end', new Uint8Array([...stream, 1]), 'after the end'],
  ])('%s', (_, body, piece) => {
    const error = failure(() => decodeArrow(body));
    expect(error).toMatchObject({ code: 'malformed_body' });
    expect(error.message).toContain(piece);
  });

  it('cut at any byte is refused, but for a stream without its end marker', () => {
    for (let end = 0; end < file.length; end += 7) expect(failure(() => decodeArrow(file.subarray(0, end)))).toMatchObject({ code: 'malformed_body' });
    const outcomes = Array.from({ length: stream.length }, (_, end) => attempt(() => decodeArrow(stream.subarray(0, end))));
    expect(outcomes.filter((o) => 'code' in o && o.code !== 'malformed_body')).toEqual([]);
    // After the schema, each of the two dictionaries and the batch.
    expect(outcomes.filter((o) => 'value' in o).length).toBeLessThanOrEqual(4);
    expect(rowsOf(decodeArrow(stream.subarray(0, -8)).batch)).toEqual(expected('every'));
  });

  it('a dictionary that unfolds to more than memory is refused', () => {
    // A million rows, one byte each, all of one string of a megabyte.
    const words = apache.vectorFromArray(['x'.repeat(1 << 20)], new apache.Utf8());
    const type = new apache.Dictionary(new apache.Utf8(), new apache.Int8());
    const data = apache.makeData({ type, length: 1 << 20, data: new Int8Array(1 << 20), dictionary: words });
    const table = new apache.Table({ word: new apache.Vector([data]) });
    expect(failure(() => decodeArrow(apache.tableToIPC(table, 'file')))).toMatchObject({ code: 'body_too_large' });
  });

  it('views that stand for more text than memory has are refused', () => {
    // All views of the file are made to share the text of one that lies in a buffer, each with a length as far as that reaches.
    const rows = 1 << 16;
    const name = 'x';
    const body = new Uint8Array(rows * 16 + (1 << 16)).fill(120);
    const views = new DataView(body.buffer);
    for (let i = 0; i < rows; i++) {
      views.setInt32(i * 16, 1 << 16, true);
      views.setInt32(i * 16 + 8, 0, true);
      views.setInt32(i * 16 + 12, 0, true);
    }
    const read = (limit: number): unknown => readViews(body, name, rows, { at: 0, length: rows * 16 }, [{ at: rows * 16, length: 1 << 16 }], undefined, (bytes) => { if (bytes > limit) throw new RangeError('too much'); });
    expect(() => read(1 << 28)).toThrow(/2 GiB/);
    views.setInt32(0, 13, true);
    expect(() => readViews(body, name, 2, { at: 0, length: 32 }, [{ at: rows * 16, length: 1 << 16 }], undefined, () => { throw new RangeError('too much'); })).toThrow('too much');
    views.setInt32(8, 1, true);
    expect(failure(() => readViews(body, name, 1, { at: 0, length: 16 }, [{ at: rows * 16, length: 1 << 16 }], undefined, () => {}))).toMatchObject({ code: 'malformed_body' });
    views.setInt32(0, -1, true);
    expect(failure(() => readViews(body, name, 1, { at: 0, length: 16 }, [], undefined, () => {}))).toMatchObject({ code: 'malformed_body' });
  });

  it('damaged at random never does more than fail, and fails as a bad body', () => {
    const next = random(3);
    const special = [0, 1, 2, 0x7f, 0x80, 0xff];
    const seeds = ['every.arrow', 'every.stream', 'chunks.arrow', 'deltas.stream', 'schema.bin', 'views.arrow'].map(golden);
    const codes = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const body = seeds[i % seeds.length]!.slice();
      const hits = 1 + Math.floor(next() * 6);
      for (let k = 0; k < hits; k++) {
        const at = Math.floor(next() * body.length);
        if (next() < 0.3) body.fill(special[Math.floor(next() * special.length)]!, at, at + 4);
        else body[at] = next() < 0.5 ? special[Math.floor(next() * special.length)]! : Math.floor(next() * 256);
      }
      const cut = next() < 0.1 ? body.subarray(0, Math.floor(next() * body.length)) : body;
      const outcome = attempt(() => {
        const { batch } = decodeArrow(cut);
        // What is accepted can be used.
        encodeRecords(slice(batch, 0, Math.min(batch.rows, 1000)), '.');
        decodeArrow(encodeArrowFile(batch));
      });
      codes.set('code' in outcome ? outcome.code : 'read', (codes.get('code' in outcome ? outcome.code : 'read') ?? 0) + 1);
    }
    const read = codes.get('read') ?? 0;
    expect([...codes.keys()].filter((c) => !['read', 'malformed_body', 'schema_mismatch', 'unsupported_content_type', 'body_too_large'].includes(c))).toEqual([]);
    // Damage in values, padding or the footer goes unnoticed: some of both must happen for this to test anything.
    expect(read).toBeGreaterThan(250);
    expect(read).toBeLessThan(2750);
  });
});
