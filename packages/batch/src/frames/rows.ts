import type { Batch, Column, ListColumn, TensorColumn, Utf8 } from '../batch.ts';
import { allocate, utf8From } from '../batch.ts';
import type { LogField, LogRequest, LogRows, LogSchema, LogType } from './format.ts';

/**
 * The rows of a frame as they are kept: `time`, then the logged columns under their names (those that were dropped are
 * null), then `metadata.model` (index into the schema's models), `metadata.elapsed` (ns), `metadata.dropped` and `metadata.request_id`.
 * What holds for a whole partition (its name, the pipeline version, the models) stays in the schema.
 */
export function rowsToBatch(frame: LogRows, schema: LogSchema): Batch {
  const { rows, requests } = frame;
  const dropped = schema.columns.filter((_, i) => frame.columns[i] === undefined).map((field) => field.name);
  return {
    rows,
    columns: [
      scalar('time', 'timestamp', times(requests, rows)),
      ...schema.columns.map((field, i) => frame.columns[i] ?? nullColumn(field, rows)),
      scalar('metadata.model', 'int32', new Int32Array(rows).fill(frame.model)),
      elapsedColumn(requests, rows),
      droppedColumn(dropped, rows),
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
  let row = 0;
  let end = 0;
  for (const request of requests) {
    for (let i = 0; i < request.rows; i += 1) offsets[++row] = end += request.elapsedNs.length;
  }
  const values = new BigInt64Array(end);
  end = 0;
  for (const request of requests) {
    const one = request.elapsedNs.map(BigInt);
    for (let i = 0; i < request.rows; i += 1, end += one.length) values.set(one, end);
  }
  return { kind: 'list', name: 'metadata.elapsed', offsets, items: scalar('item', 'int64', values) };
}

function droppedColumn(names: readonly string[], rows: number): ListColumn {
  const offsets = Int32Array.from({ length: rows + 1 }, (_, i) => i * names.length);
  return { kind: 'list', name: 'metadata.dropped', offsets, items: scalar('item', 'string', repeated([{ texts: names, times: rows }])) };
}

/** The texts of each run as many times as it says. */
function repeated(runs: readonly { texts: readonly string[]; times: number }[]): Utf8 {
  const encoded = runs.map(({ texts, times }) => ({ ...utf8From(texts), times }));
  const offsets = new Int32Array(encoded.reduce((n, run) => n + run.times * (run.offsets.length - 1), 1));
  const bytes = new Uint8Array(encoded.reduce((n, run) => n + run.times * run.bytes.length, 0));
  let text = 0;
  let at = 0;
  for (const run of encoded) {
    for (let i = 0; i < run.times; i += 1) {
      bytes.set(run.bytes, at);
      for (let t = 1; t < run.offsets.length; t += 1) offsets[++text] = at + run.offsets[t]!;
      at += run.bytes.length;
    }
  }
  return { offsets, bytes };
}

/** All rows null. A column of rank 1 or more becomes a list, whose null rows take no room. */
function nullColumn({ name, ...type }: LogField, rows: number): Column {
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
