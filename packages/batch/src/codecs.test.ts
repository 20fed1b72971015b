import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import { decodeArrow } from './arrow/read.ts';
import { arrowBatchMessage, arrowSchemaMessage, encodeArrowFile, encodeArrowStream } from './arrow/write.ts';
import type { Batch } from './batch.ts';
import { batchFrom, batchOf, fixtures, random, tableOf, type Fixture } from './codecs.fixtures.ts';
import { concat, slice } from './columns.ts';
import { conform } from './conform.ts';
import { decodeDictionary, decodeRecords } from './json/decode.ts';
import { encodeDictionary, encodeLines, encodeRecords, encodeRecordsBytes } from './json/encode.ts';
import { decodeV2, encodeV2 } from './v2.ts';

const utf8 = new TextEncoder();

function bytesOf(...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const list = parts.map((p) => (typeof p === 'string' ? utf8.encode(p) : p));
  const all = new Uint8Array(list.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of list) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** A response is a request but for two words. */
function overV2(batch: Batch, fields: readonly Field[], binaryDefault: boolean): Batch {
  const { head, binary, headerLength } = encodeV2({ modelName: 'm', modelVersion: '1', id: 'an id', batch, request: { outputs: undefined, binaryDefault } });
  const request = head.replace('"outputs":', '"inputs":');
  const shift = utf8.encode(request).length - utf8.encode(head).length;
  const decoded = decodeV2(bytesOf(request, ...binary), headerLength === null ? undefined : headerLength + shift, fields);
  expect(decoded.id).toBe('an id');
  return decoded.batch;
}

const wire: Record<string, (batch: Batch, fields: readonly Field[]) => Batch> = {
  'JSON records': (b, fields) => decodeRecords(utf8.encode(encodeRecords(b, '.')), fields),
  'JSON records in lines': (b, fields) => decodeRecords(utf8.encode(`[${new TextDecoder().decode(encodeLines(b, '.')).split('\n').slice(0, -1).join(',')}]`), fields),
  'JSON records as bytes': (b, fields) => decodeRecords(encodeRecordsBytes(b, '.'), fields),
  'a JSON dictionary': (b, fields) => decodeDictionary(utf8.encode(encodeDictionary(b)), fields),
  'an Arrow file': (b) => decodeArrow(encodeArrowFile(b)).batch,
  'an Arrow file at an odd address': (b) => decodeArrow(bytesOf('x', encodeArrowFile(b)).subarray(1)).batch,
  'an Arrow stream': (b) => decodeArrow(encodeArrowStream(b)).batch,
  'an Arrow stream grown row by row': (b) => decodeArrow(bytesOf(arrowSchemaMessage(b), ...Array.from({ length: b.rows }, (_, i) => arrowBatchMessage(slice(b, i, i + 1))))).batch,
  'v2 JSON': (b, fields) => overV2(b, fields, false),
  'v2 binary': (b, fields) => overV2(b, fields, true),
};

describe.each(Object.entries(wire))('through %s', (_, through) => {
  it.each(fixtures)('$title comes back as it was', (fixture: Fixture) => {
    const batch = batchOf(fixture);
    const back = conform(through(batch, [fixture.field]), [fixture.field]);
    expect(back.rows).toBe(batch.rows);
    expect(back.columns[0]).toMatchObject({ kind: 'tensor', type: fixture.field.type });
    expect(tableOf(back)).toEqual(tableOf(batch));
  });

  it('random batches come back as they were', () => {
    const next = random(42);
    for (let i = 0; i < 40; i++) {
      const batch = randomBatch(next);
      const fields = batch.columns.map((c) => (c.kind === 'tensor' ? { name: c.name, type: c.type, shape: [...c.shape], nullable: true } : never()));
      expect(tableOf(conform(through(batch, fields), fields))).toEqual(tableOf(batch));
    }
  });
});

function never(): never {
  throw new Error('unreachable');
}

/** A few columns of random types, shapes and values, taken as a slice so that offsets do not start at 0. */
function randomBatch(next: () => number): Batch {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const rows = 2 + Math.floor(next() * 6);
  const make: Record<string, () => unknown> = {
    bool: () => next() < 0.5, int8: () => Math.floor(next() * 256) - 128, int32: () => Math.floor((next() - 0.5) * 2 ** 32), uint16: () => Math.floor(next() * 65536),
    int64: () => BigInt.asIntN(64, BigInt(Math.floor(next() * 2 ** 53)) * BigInt(Math.floor(next() * 4096) - 2048)),
    uint64: () => BigInt.asUintN(64, BigInt(Math.floor(next() * 2 ** 53)) * 2049n),
    float32: () => Math.fround((next() - 0.5) * 10 ** Math.floor(next() * 60 - 30)), float64: () => (next() - 0.5) * 10 ** Math.floor(next() * 400 - 200),
    string: () => Array.from({ length: Math.floor(next() * 6) }, () => pick(['a', 'é', '漢', '😀', '"', '\\', '\n', ' '])).join(''),
    timestamp: () => BigInt(Math.floor(next() * 2e12)),
  };
  const columns = Array.from({ length: 1 + Math.floor(next() * 4) }, (_, i) => {
    const type = pick(Object.keys(make)) as Field['type'];
    const shape = pick([[], [], [1], [3], [2, 2]]);
    const size = shape.reduce((a, b) => a * b, 1);
    const nullable = shape.length === 0 && !type.startsWith('float') && next() < 0.3;
    const field = { name: pick(['x', 'in.y', 'out.z w', 'é']) + i, type, shape, nullable };
    return batchOf({ field, rows: Array.from({ length: rows }, () => Array.from({ length: size }, () => (nullable && next() < 0.3 ? null : make[type]!()))) }).columns[0]!;
  });
  return slice({ rows, columns }, 1, rows);
}

describe('what only some encodings have', () => {
  it('keeps infinities where bytes carry them, writes them as null where JSON would', () => {
    const fixture = { field: { name: 'x', type: 'float32', shape: [] } as Field, rows: [[Infinity], [-Infinity]] };
    const batch = batchOf(fixture);
    for (const name of ['an Arrow file', 'v2 binary']) expect(tableOf(wire[name]!(batch, [fixture.field]))).toEqual({ x: [Infinity, -Infinity] });
    expect(encodeRecords(batch, '.')).toBe('[{"x":null},{"x":null}]');
  });

  it('carries rows of differing length, structs and missing rows through Arrow and JSON', () => {
    const text = '[{"a":[1,2],"s":{"k":true,"n":[[1.5]]}},{"a":[],"s":{"k":false,"n":[[2.5],[3.5]]}},{"a":null,"s":{"k":null,"n":[]}}]';
    const batch = batchFrom(JSON.parse(text) as Record<string, unknown>[]);
    expect(encodeRecords(batch, '.')).toBe(text);
    for (const back of [decodeArrow(encodeArrowFile(batch)).batch, decodeArrow(encodeArrowStream(batch)).batch, concat([slice(batch, 0, 1), slice(batch, 1, 3)])]) expect(encodeRecords(back, '.')).toBe(text);
  });

  it('nests datasets without a separator, in JSON and Arrow alike', () => {
    const batch = batchFrom([{ 'time': 1, 'in.x': [1], 'out.a.b': true, 'anomaly.count': 0, 'in.y': 't' }]);
    expect(encodeRecords(batch, null)).toBe('[{"time":1,"in":{"x":[1],"y":"t"},"out":{"a.b":true},"anomaly":{"count":0}}]');
    expect(encodeRecords(batch, '_')).toBe('[{"time":1,"in_x":[1],"out_a.b":true,"anomaly_count":0,"in_y":"t"}]');
    expect(encodeRecords(decodeArrow(encodeArrowFile(batch, { separator: null })).batch, '.')).toBe(encodeRecords(batch, null));
    expect(decodeArrow(encodeArrowFile(batch, { separator: '/' })).batch.columns.map((c) => c.name)).toEqual(['time', 'in/x', 'out/a.b', 'anomaly/count', 'in/y']);
  });

  it('keeps schema metadata, and batches without rows or columns', () => {
    const metadata = { status: '{"status":"All","next":null}', ключ: 'é' };
    const batch = slice(batchFrom([{ 'time': 1, 'in.x': [1.5], 's': 'a' }]), 0, 0);
    for (const encode of [encodeArrowFile, encodeArrowStream]) {
      const back = decodeArrow(encode(batch, { metadata }));
      expect(back.metadata).toEqual(metadata);
      expect(back.batch).toMatchObject({ rows: 0, columns: [{ name: 'time' }, { name: 'in.x' }, { name: 's' }] });
      expect(decodeArrow(encode({ rows: 0, columns: [] })).batch).toEqual({ rows: 0, columns: [] });
    }
    expect(decodeArrow(arrowSchemaMessage(batch)).batch.rows).toBe(0);
    expect(encodeRecords(batch, '.')).toBe('[]');
  });
});
