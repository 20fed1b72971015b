import type { Batch, Column, ListColumn, TensorColumn, Utf8 } from '../batch.ts';
import { allocate } from '../batch.ts';
import { concat } from '../columns.ts';
import type { LogField, LogRequest, LogRows, LogSchema, LogType } from './format.ts';

/**
 * The rows of consecutive frames of one schema as they are kept: `time`, then the logged columns under their names (those that
 * were dropped are null), then `metadata.model` (index into the schema's models), `metadata.elapsed` (ns), `metadata.dropped` and
 * `metadata.request_id`. What holds for a whole partition (its name, the pipeline version, the models) stays in the schema.
 */
export function rowsToBatch(frames: readonly LogRows[], schema: LogSchema): Batch {
  const rows = frames.reduce((n, frame) => n + frame.rows, 0);
  const requests = frames.flatMap((frame) => frame.requests);
  const logged = concat(frames.map((frame) => ({ rows: frame.rows, columns: schema.columns.map((field, i) => frame.columns[i] ?? nullColumn(field, frame.rows)) })));
  const model = new Int32Array(rows);
  let row = 0;
  for (const frame of frames) {
    if (typeof frame.model === 'number') model.fill(frame.model, row, row + frame.rows);
    else model.set(frame.model, row);
    row += frame.rows;
  }
  return {
    rows,
    columns: [
      scalar('time', 'timestamp', times(requests, rows)),
      ...logged.columns,
      scalar('metadata.model', 'int32', model),
      elapsedColumn(requests, rows),
      droppedColumn(frames, schema, rows),
      scalar('metadata.request_id', 'string', repeated(requests.map((r) => ({ texts: [r.requestId], times: r.rows })))),
    ],
  };
}

const scalar = (name: string, type: TensorColumn['type'], values: TensorColumn['values']): TensorColumn => ({ kind: 'tensor', name, type, shape: [], values });

function times(requests: readonly LogRequest[], rows: number): BigInt64Array {
  const values = new BigInt64Array(rows);
  let row = 0;
  for (const request of requests) values.fill(BigInt(request.timeMs), row, row += request.rows);
  return values;
}

function elapsedColumn(requests: readonly LogRequest[], rows: number): ListColumn {
  const offsets = new Int32Array(rows + 1);
  const values = new BigInt64Array(requests.reduce((n, r) => n + r.rows * r.elapsedNs.length, 0));
  let row = 0;
  let end = 0;
  for (const request of requests) {
    for (let i = 0; i < request.rows; i += 1) {
      for (const ns of request.elapsedNs) values[end++] = BigInt(ns);
      offsets[++row] = end;
    }
  }
  return { kind: 'list', name: 'metadata.elapsed', offsets, items: scalar('item', 'int64', values) };
}

function droppedColumn(frames: readonly LogRows[], schema: LogSchema, rows: number): ListColumn {
  const names = frames.map((frame) => schema.columns.flatMap((field, i) => (frame.columns[i] === undefined ? [field.name] : [])));
  const offsets = new Int32Array(rows + 1);
  let row = 0;
  frames.forEach((frame, f) => {
    for (let i = 0; i < frame.rows; i += 1, row += 1) offsets[row + 1] = offsets[row]! + names[f]!.length;
  });
  return { kind: 'list', name: 'metadata.dropped', offsets, items: scalar('item', 'string', repeated(frames.map((frame, f) => ({ texts: names[f]!, times: frame.rows })))) };
}

/** The texts of each run as many times as it says. */
function repeated(runs: readonly { texts: readonly string[]; times: number }[]): Utf8 {
  const offsets = new Int32Array(runs.reduce((n, run) => n + run.times * run.texts.length, 1));
  let text = 0;
  for (const { texts, times: count } of runs) {
    const lengths = texts.map((t) => Buffer.byteLength(t));
    for (let i = 0; i < count; i += 1) for (const length of lengths) offsets[text + 1] = offsets[text++]! + length;
  }
  const bytes = Buffer.alloc(offsets[text]!);
  let at = 0;
  for (const { texts, times: count } of runs) {
    const start = at;
    if (count > 0) for (const t of texts) at += bytes.write(t, at);
    const end = start + (at - start) * count;
    // Doubling what is there is faster than writing it again and again.
    while (at < end) at += bytes.copy(bytes, at, start, Math.min(at, start + end - at));
  }
  return { offsets, bytes };
}

/** All rows null. A column of rank 1 or more becomes a list, whose null rows take no room. */
export function nullColumn({ name, ...type }: LogField, rows: number): Column {
  const nulls = new Uint8Array(rows).fill(1);
  if (type.kind === 'tensor' && type.rank > 0) return { kind: 'list', name, offsets: new Int32Array(rows + 1), items: blank('item', { ...type, rank: type.rank - 1 }, 0), nulls };
  return { ...blank(name, type, rows), nulls };
}

/** Some column of this type; what its rows hold is unspecified. */
function blank(name: string, type: LogType, rows: number): Column {
  if (type.kind === 'struct') return { kind: 'struct', name, fields: type.fields.map((f) => blank(f.name, f, rows)) };
  if (type.kind === 'list') return { kind: 'list', name, offsets: new Int32Array(rows + 1), items: blank('item', type.items, 0) };
  const shape = Array.from({ length: type.rank }, () => 0);
  const elements = type.rank === 0 ? rows : 0;
  const values = type.type === 'string' ? { offsets: new Int32Array(elements + 1), bytes: new Uint8Array(0) } : allocate(type.type, elements);
  return { kind: 'tensor', name, type: type.type, shape, values };
}
