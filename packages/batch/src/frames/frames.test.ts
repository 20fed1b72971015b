import { Checksum } from './checksum.ts';
import { describe, expect, test } from 'vitest';
import { elementTypes } from '@potoroo/contract/plain';
import { allocate, utf8At, utf8From, type Column, type ListColumn, type TensorColumn, type Utf8 } from '../batch.ts';
import { decodeRows, decodeSchema, FrameEncoder, FrameReader, isOfType, logTypeOf, maxFrameRows, rowRange, rowsToBatch, type LogRows, type LogSchema } from './index.ts';

const pipeline = { id: 1, name: 'p', version: 'b0a1', versionId: 2, workspaceId: 3, deploymentId: 4 };
const rows = 3;
const offsets = Int32Array.of(0, 2, 2, 5);

const f32 = (name: string, shape: number[], n = rows): TensorColumn => {
  const values = allocate('float32', shape.reduce((a, b) => a * b, n)) as Float32Array;
  return { kind: 'tensor', name, type: 'float32', shape, values: values.map((_, i) => i / 3) };
};
const columns: Column[] = [
  f32('in.tensor', [29]),
  f32('in.image', [2, 3, 4]),
  { ...f32('in.empty', [0, 7]) },
  { ...f32('in.some', [2]), nulls: Uint8Array.of(0, 1, 0, 0, 1, 1) },
  ...elementTypes.map((type, t): Column => ({
    kind: 'tensor', name: `in.${type}`, type, shape: [],
    values: type === 'string' ? utf8From(['a', '', 'äöü €']) : viewFilled(type, rows, t),
  })),
  { kind: 'list', name: 'out.boxes', offsets, items: f32('item', [4], 5), nulls: Uint8Array.of(0, 1, 0) },
  { kind: 'list', name: 'out.words', offsets, items: { kind: 'list', name: 'item', offsets: Int32Array.of(0, 1, 1, 2, 3, 3), items: { kind: 'tensor', name: 'item', type: 'string', shape: [], values: utf8From(['x', 'yy', 'zzz']) } } },
  { kind: 'struct', name: 'out.record', fields: [f32('a', []), { kind: 'list', name: 'b', offsets, items: f32('item', [], 5) }], nulls: Uint8Array.of(1, 0, 0) },
  { kind: 'tensor', name: 'anomaly.count', type: 'uint8', shape: [], values: Uint8Array.of(0, 1, 2) },
];

function viewFilled(type: Exclude<(typeof elementTypes)[number], 'string'>, n: number, seed: number): TensorColumn['values'] {
  const values = allocate(type, n);
  new Uint8Array(values.buffer).forEach((_, i, bytes) => { bytes[i] = (seed * 31 + i * 7) & 0x3f; });
  return values;
}

const schemaOf = (cols: readonly Column[]): LogSchema => ({
  format: 1, partition: 'engine-1', pipeline, models: [{ name: 'm', sha: 'f00' }, { name: 'n', sha: 'ba5' }],
  columns: cols.map((c) => ({ name: c.name, ...logTypeOf(c) })),
});
const requests = [{ rows: 2, timeMs: 1_700_000_000_123, requestId: 'abc', elapsedNs: [100, 2_000] }, { rows: 1, timeMs: 1_700_000_000_124, requestId: 'ünï', elapsedNs: [] }];
const frameOf = (cols: readonly (Column | undefined)[]): LogRows => ({ firstRow: 2 ** 40, rows, requests, model: 1, columns: cols });

function bytesOf(frame: LogRows, encoder = new FrameEncoder()): Uint8Array {
  return Uint8Array.from(Buffer.concat(encoder.rows(frame)));
}
/** The same header as a writer makes, around any payload. */
function framed(payload: Uint8Array, kind = 2): Uint8Array {
  const frame = Buffer.alloc(16 + payload.length);
  frame.set(payload, 16);
  [0x31465450, kind, payload.length].forEach((v, i) => frame.writeUInt32LE(v, i * 4));
  frame.writeUInt32LE(new Checksum(frame.subarray(0, 12)).add(payload).value, 12);
  return frame;
}
/** What it gives, or the code of the error it throws. */
function outcomeOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}
const decode = (bytes: Uint8Array, schema: LogSchema): LogRows => decodeRows(new FrameReader(bytes).next()!.payload, schema);

describe('frames', () => {
  test('every element type, lists, structs and nulls come back as they were', () => {
    const bytes = bytesOf(frameOf(columns));
    const reader = new FrameReader(bytes);
    const raw = reader.next()!;
    expect(rowRange(raw.payload)).toEqual({ from: 2 ** 40, to: 2 ** 40 + 3 });
    expect(decodeRows(raw.payload, schemaOf(columns))).toEqual(frameOf(columns));
    expect(reader.next()).toBeUndefined();
    expect(reader).toMatchObject({ torn: undefined, position: bytes.length });
  });

  test('rows that have a model each come back with it, alone and among others', () => {
    const frame = { ...frameOf(columns), model: Int32Array.of(1, 0, 1) };
    expect(decode(bytesOf(frame), schemaOf(columns))).toEqual(frame);
    const model = rowsToBatch([frame, frameOf(columns)], schemaOf(columns)).columns.find((c) => c.name === 'metadata.model');
    expect(model).toMatchObject({ values: Int32Array.of(1, 0, 1, 1, 1, 1) });
    for (const wrong of [-1, 2]) expect(() => decode(bytesOf({ ...frame, model: Int32Array.of(0, 1, wrong) }), schemaOf(columns))).toThrow(expect.objectContaining({ code: 'malformed_body' }));
    expect(() => bytesOf({ ...frame, model: Int32Array.of(0) })).toThrow(expect.objectContaining({ code: 'internal' }));
  });

  test('a schema frame comes back as it was', () => {
    const raw = new FrameReader(new FrameEncoder().schema(schemaOf(columns))).next()!;
    expect(raw.kind).toBe('schema');
    expect(decodeSchema(raw.payload)).toEqual(schemaOf(columns));
  });

  test('large columns go by reference, and decode the same from any alignment', () => {
    const cols = [f32('in.big', [29], 1000), { kind: 'tensor', name: 'in.text', type: 'string', shape: [], values: utf8From(Array.from({ length: 1000 }, (_, i) => 'x'.repeat(i % 5))) } as const];
    const frame: LogRows = { ...frameOf(cols), rows: 1000, requests: [{ ...requests[0]!, rows: 1000 }] };
    const parts = new FrameEncoder().rows(frame);
    expect(parts.some((p) => p.buffer === (cols[0] as TensorColumn & { values: Float32Array }).values.buffer)).toBe(true);
    const shifted = new Uint8Array(Buffer.concat([Buffer.from('xyz'), ...parts]));
    const raw = new FrameReader(shifted, 3).next()!;
    expect(decodeRows(raw.payload, schemaOf(cols))).toEqual(frame);
  });

  test('an encoder can be used again, also after it has grown', () => {
    const encoder = new FrameEncoder();
    const many = Array.from({ length: 5000 }, (_, i) => ({ rows: 1, timeMs: i, requestId: 'r'.repeat(i % 130), elapsedNs: [i] }));
    const big: LogRows = { firstRow: 0, rows: 5000, requests: many, model: 0, columns: [] };
    const first = bytesOf(frameOf(columns), encoder);
    const cut = many.map((r) => ({ ...r, requestId: r.requestId.slice(0, 128) }));
    expect(decode(bytesOf(big, encoder), schemaOf([]))).toEqual({ ...big, requests: cut });
    expect(bytesOf(frameOf(columns), encoder)).toEqual(first);
  });

  test('slices of larger columns are written without the rest', () => {
    const strings: Utf8 = utf8From(['drop', 'keep', 'this', 'one']);
    const text: Column = { kind: 'tensor', name: 'in.text', type: 'string', shape: [], values: { offsets: strings.offsets.subarray(1), bytes: strings.bytes } };
    const longer: Column = { kind: 'tensor', name: 'in.n', type: 'int32', shape: [], values: Int32Array.of(1, 2, 3, 4, 5) };
    const back = decode(bytesOf(frameOf([text, longer])), schemaOf([text, longer])).columns as TensorColumn[];
    expect([0, 1, 2].map((i) => utf8At(back[0]!.values as Utf8, i))).toEqual(['keep', 'this', 'one']);
    expect(back[1]!.values).toEqual(Int32Array.of(1, 2, 3));
  });

  test('a schema knows which columns fit it', () => {
    for (const [i, column] of columns.entries()) {
      expect(isOfType(column, schemaOf(columns).columns[i]!)).toBe(true);
      for (const other of columns) {
        const same = JSON.stringify(logTypeOf(other)) === JSON.stringify(logTypeOf(column));
        expect(isOfType(other, logTypeOf(column))).toBe(same);
      }
    }
  });
});

describe('rows of the log', () => {
  const names = ['in.tensor', 'in.string', 'out.boxes'];
  const cols = names.map((name) => columns.find((c) => c.name === name)!);
  const plain = (c: Column): unknown => (c.kind === 'tensor' ? (c.type === 'string' ? Array.from({ length: (c.values as Utf8).offsets.length - 1 }, (_, i) => utf8At(c.values as Utf8, i)) : [...(c.values as Int32Array)])
    : { offsets: [...(c as ListColumn).offsets], items: plain((c as ListColumn).items) });

  test('requests are spread over their rows', () => {
    const batch = rowsToBatch([frameOf(cols)], schemaOf(cols));
    expect(batch.columns.map((c) => c.name)).toEqual(['time', ...names, 'metadata.model', 'metadata.elapsed', 'metadata.dropped', 'metadata.request_id']);
    const by = Object.fromEntries(batch.columns.map((c) => [c.name, plain(c)]));
    expect(by).toMatchObject({
      'time': [1_700_000_000_123n, 1_700_000_000_123n, 1_700_000_000_124n],
      'metadata.model': [1, 1, 1],
      'metadata.elapsed': { offsets: [0, 2, 4, 4], items: [100n, 2000n, 100n, 2000n] },
      'metadata.dropped': { offsets: [0, 0, 0, 0], items: [] },
      'metadata.request_id': ['abc', 'abc', 'ünï'],
    });
  });

  test('frames of different shapes, with and without drops, are one batch', () => {
    const wide = [f32('in.tensor', [2]), cols[1]!, cols[2]!];
    const frames = [frameOf(cols), { ...frameOf(wide), model: 0, requests: [{ ...requests[0]!, rows: 3 }] }, frameOf([undefined, cols[1], undefined])];
    const batch = rowsToBatch(frames, schemaOf(cols));
    const by = Object.fromEntries(batch.columns.map((c) => [c.name, plain(c)]));
    expect(batch.rows).toBe(9);
    expect(by).toMatchObject({
      'in.tensor': { offsets: [0, 29, 58, 87, 89, 91, 93, 93, 93, 93] },
      'metadata.model': [1, 1, 1, 0, 0, 0, 1, 1, 1],
      'metadata.dropped': { offsets: [0, 0, 0, 0, 0, 0, 0, 2, 4, 6], items: [1, 2, 3].flatMap(() => ['in.tensor', 'out.boxes']) },
      'metadata.request_id': ['abc', 'abc', 'ünï', 'abc', 'abc', 'abc', 'abc', 'abc', 'ünï'],
    });
    expect(batch.columns[1]).toMatchObject({ nulls: Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 1, 1) });
  });

  test('dropped columns are null in every row, whatever their type, and named', () => {
    for (const [i, column] of columns.entries()) {
      const frame = decode(bytesOf(frameOf(columns.map((c, j) => (i === j ? undefined : c)))), schemaOf(columns));
      const batch = rowsToBatch([frame], schemaOf(columns));
      expect(batch.columns[1 + i]).toMatchObject({ name: column.name, nulls: Uint8Array.of(1, 1, 1) });
      expect(plain(batch.columns.find((c) => c.name === 'metadata.dropped')!)).toEqual({ offsets: [0, 1, 2, 3], items: [column.name, column.name, column.name] });
    }
  });
});

describe('damaged bytes', () => {
  const good = Buffer.concat([new FrameEncoder().schema(schemaOf(columns)), bytesOf(frameOf(columns))]);

  test('cut anywhere, all frames before the cut are given and the tail is told', () => {
    const first = new FrameReader(good).next()!.end;
    for (let cut = 0; cut <= good.length; cut += 1) {
      const reader = new FrameReader(good.subarray(0, cut));
      let frames = 0;
      while (reader.next() !== undefined) frames += 1;
      expect(frames).toBe(cut === good.length ? 2 : cut >= first ? 1 : 0);
      const clean = cut === 0 || cut === first || cut === good.length;
      expect(reader.torn === undefined).toBe(clean);
      expect(reader.position + reader.wanted > cut).toBe(!clean);
      expect(reader.position + reader.wanted).toBeLessThanOrEqual(good.length);
      expect(reader.position).toBe(cut >= first && cut < good.length ? first : cut === good.length ? cut : 0);
    }
  });

  test('one flipped bit anywhere is found', () => {
    for (let i = 0; i < good.length; i += 1) {
      const bytes = Uint8Array.from(good);
      bytes[i]! ^= 1 << (i % 8);
      const reader = new FrameReader(bytes);
      while (reader.next() !== undefined);
      expect(reader.torn).toBeDefined();
    }
  });

  test('rows older than those before them are what the file held before: they are not given', () => {
    const frames = [10, 20, 15].map((firstRow) => bytesOf({ ...frameOf(columns), firstRow }));
    const reader = new FrameReader(Buffer.concat(frames));
    expect([reader.next()?.kind, reader.next()?.kind, reader.next()]).toEqual(['rows', 'rows', undefined]);
    expect(reader.position).toBe(frames[0]!.length + frames[1]!.length);
    expect(reader.torn).toBeUndefined();
    expect(new FrameReader(frames[0]!, 0, 11).next()).toBeUndefined();
  });

  test('of a large frame every lost page and every torn end is found', () => {
    const large = (fill: number): Uint8Array => bytesOf(frameOf([{ kind: 'tensor', name: 'in.x', type: 'float32', shape: [20_000], values: new Float32Array(60_000).fill(fill) }]));
    const [now, before] = [large(1), large(2)];
    expect(now.length).toBeGreaterThan(200_000);
    const found = (bytes: Uint8Array): boolean => { const reader = new FrameReader(bytes); return reader.next() === undefined && reader.torn !== undefined; };
    expect(found(now)).toBe(false);
    for (let page = 0; page < now.length; page += 4096) {
      const lost = Uint8Array.from(now);
      lost.fill(0, page, Math.min(page + 4096, now.length));
      expect(found(lost), `page at ${page} lost`).toBe(true);
      // What a killed write left: new bytes up to a page's end, those of the file's last use after it.
      expect(found(Buffer.concat([now.subarray(0, page), before.subarray(page)])), `torn at ${page}`).toBe(page > 0 && page < now.length);
    }
  });

  test.each<[string, LogRows['model']]>([['one model', 1], ['a model each', Int32Array.of(1, 0, 1)]])('payloads that lie under a right checksum are refused, never followed: rows of %s', (_, model) => {
    const payload = new FrameReader(bytesOf({ ...frameOf(columns), model })).next()!.payload;
    const head = new DataView(payload.buffer, payload.byteOffset).getUint32(20, true);
    let refused = 0;
    for (let i = 0; i + 4 <= Math.min(head + 1200, payload.length); i += 1) {
      for (const value of [0, 1, 7, 0x7fffffff, 0xffffffff, 0x80000000]) {
        const lie = Uint8Array.from(payload);
        new DataView(lie.buffer).setUint32(i, value, true);
        const outcome = outcomeOf(() => rowsToBatch([decode(framed(lie), schemaOf(columns))], schemaOf(columns)).rows <= maxFrameRows);
        expect(outcome).toSatisfy((o: unknown) => o === true || o === 'malformed_body');
        refused += outcome === true ? 0 : 1;
      }
    }
    expect(refused).toBeGreaterThan(500);
    for (let cut = 0; cut < payload.length; cut += 8) {
      expect(() => decode(framed(payload.subarray(0, cut)), schemaOf(columns))).toThrow(expect.objectContaining({ code: 'malformed_body' }));
    }
  });

  test.each([
    ['not JSON', '{'],
    ['null', 'null'],
    ['another format', JSON.stringify({ ...schemaOf([]), format: 2 })],
    ['no pipeline', JSON.stringify({ ...schemaOf([]), pipeline: undefined })],
    ['an id that is no number', JSON.stringify({ ...schemaOf([]), pipeline: { ...pipeline, id: '1' } })],
    ['models that are none', JSON.stringify({ ...schemaOf([]), models: [null] })],
    ['an unknown type', JSON.stringify({ ...schemaOf([]), columns: [{ name: 'x', kind: 'tensor', type: 'complex', rank: 0 }] })],
    ['a huge rank', JSON.stringify({ ...schemaOf([]), columns: [{ name: 'x', kind: 'tensor', type: 'bool', rank: 1e9 }] })],
    ['two columns of one name', JSON.stringify({ ...schemaOf([]), columns: [f32('x', []), f32('x', [])].map((c) => ({ name: c.name, ...logTypeOf(c) })) })],
    ['endless nesting', JSON.stringify({ ...schemaOf([]), columns: [Array.from({ length: 99 }).reduce((items) => ({ name: 'x', kind: 'list', items }), { kind: 'tensor', type: 'bool', rank: 0 })] })],
  ])('a schema with %s is refused', (_, json) => {
    expect(() => decodeSchema(Buffer.from(json))).toThrow(expect.objectContaining({ code: 'malformed_body' }));
  });
});
