import { halfToNumber, slice, utf8At, utf8From, type Batch, type Column, type TensorColumn, type Utf8 } from '@potoroo/batch';
import { PotorooError } from '@potoroo/contract/plain';
import type { MetadataName, Selection } from './dataset.ts';
import { modelOfRow, type RowModels } from './splits.ts';

/** One merged run's columns, shared by the answers of its requests. */
export interface RunColumns {
  rows: number;
  /** `in.*`, `out.*` and `anomaly.*`, by name. */
  byName: ReadonlyMap<string, Column>;
  outputs: Batch;
  /** What `byName` gives for a selection, made once for the requests of the run that ask for the same. */
  selected: Map<Selection, Batch>;
  stepNs: readonly number[];
  /** Where the last step splits, which model each row's answer is from. */
  models?: RowModels | undefined;
  /** Names of the validations. */
  checks?: readonly string[] | undefined;
}

/** Where one request's rows lie in a run, and what is its own. */
export interface Share {
  run: RunColumns;
  from: number;
  rows: number;
  timeMs: number;
  requestId: string;
  parseNs: number;
}

export interface Identity {
  pipelineName: string;
  pipelineVersion: string;
  partition: string;
  lastModel: { name: string; version: string; sha: string };
}

function repeated(name: string, text: string, rows: number): TensorColumn {
  return { kind: 'tensor', name, type: 'string', shape: [], values: utf8From(Array.from({ length: rows }, () => text)) };
}

function metadata(name: MetadataName, share: Share, identity: Identity): Column {
  const { rows } = share;
  switch (name) {
    case 'metadata.last_model': {
      const { models } = share.run;
      const text = (model: { name: string; sha: string }): string => JSON.stringify({ model_name: model.name, model_sha: model.sha });
      if (models === undefined) return repeated(name, text(identity.lastModel), rows);
      return { kind: 'tensor', name, type: 'string', shape: [], values: utf8From(Array.from({ length: rows }, (_, i) => text(modelOfRow(models, share.from + i)))) };
    }
    case 'metadata.pipeline_version': return repeated(name, identity.pipelineVersion, rows);
    case 'metadata.partition': return repeated(name, identity.partition, rows);
    case 'metadata.request_id': return repeated(name, share.requestId, rows);
    case 'metadata.elapsed': {
      const ns = [share.parseNs, ...share.run.stepNs].map(BigInt);
      return { kind: 'tensor', name, type: 'uint64', shape: [ns.length], values: BigUint64Array.from({ length: ns.length * rows }, (_, i) => ns[i % ns.length] as bigint) };
    }
    // Nothing is ever dropped from an answer; the log has the same column, where things may be.
    case 'metadata.dropped': return { kind: 'list', name, offsets: new Int32Array(rows + 1), items: { kind: 'tensor', name: 'item', type: 'string', shape: [], values: utf8From([]) } };
  }
}

function selected(run: RunColumns, selection: Selection): Batch {
  let batch = run.selected.get(selection);
  if (batch === undefined) {
    batch = { rows: run.rows, columns: selection.run.map((name) => run.byName.get(name) as Column) };
    run.selected.set(selection, batch);
  }
  return batch;
}

/** The rows of one request with the columns it asked for. `time` is in milliseconds since the epoch. */
export function answerRows(share: Share, selection: Selection, identity: Identity): Batch {
  const { run, from, rows } = share;
  const own = slice(selected(run, selection), from, from + rows);
  if (!selection.time && selection.metadata.length === 0) return own;
  const time: Column[] = selection.time ? [{ kind: 'tensor', name: 'time', type: 'int64', shape: [], values: new BigInt64Array(rows).fill(BigInt(share.timeMs)) }] : [];
  return { rows, columns: [...time, ...own.columns, ...selection.metadata.map((name) => metadata(name, share, identity))] };
}

/** The outputs of one request under their own names, for protocols that know nothing of datasets. */
export function answerOutputs({ run, from, rows }: Share): Batch {
  return slice(run.outputs, from, from + rows);
}

const edgeTypes: Readonly<Record<TensorColumn['type'], string>> = {
  bool: 'Bool', int8: 'Int8', int16: 'Int16', int32: 'Int32', int64: 'Int64', uint8: 'UInt8', uint16: 'UInt16', uint32: 'UInt32', uint64: 'UInt64',
  float16: 'Float16', float32: 'Float', float64: 'Double', string: 'String', timestamp: 'Int64',
};

/** A column's elements as a flat JSON list. What JSON has no number for is null, as everywhere in our JSON. */
function flatJson(c: TensorColumn): string {
  if (c.type === 'string') {
    const values = c.values as Utf8;
    return `[${Array.from({ length: values.offsets.length - 1 }, (_, i) => JSON.stringify(utf8At(values, i))).join(',')}]`;
  }
  const parts: string[] = [];
  for (const v of c.values as Iterable<number | bigint>) {
    if (c.type === 'bool') parts.push(v === 0 ? 'false' : 'true');
    else {
      const n = c.type === 'float16' ? halfToNumber(v as number) : v;
      parts.push(typeof n === 'number' && !Number.isFinite(n) ? 'null' : String(n));
    }
  }
  return `[${parts.join(',')}]`;
}

function edgeOutput(c: Column, rows: number): string[] {
  if (c.kind === 'tensor') return [`{${JSON.stringify(edgeTypes[c.type])}:{"data":${flatJson(c)},"dim":${JSON.stringify([rows, ...c.shape])},"v":1}}`];
  if (c.kind === 'list' && c.items.kind === 'tensor') {
    // Rows of differing length have no common dimension: one entry each.
    const { offsets } = c;
    const items: Batch = { rows: offsets.at(-1) ?? 0, columns: [c.items] };
    return Array.from({ length: rows }, (_, i) => {
      const row = slice(items, offsets[i] ?? 0, offsets[i + 1] ?? 0).columns[0] as TensorColumn;
      return `{${JSON.stringify(edgeTypes[row.type])}:{"data":${flatJson(row)},"dim":${JSON.stringify([1, (offsets[i + 1] ?? 0) - (offsets[i] ?? 0), ...row.shape])},"v":1}}`;
    });
  }
  throw new PotorooError('not_acceptable', `Output '${c.name}' has no form in this kind of answer. Ask for rows with dataset[]=*.`);
}

/** Validations that are true for one row or more of the request, in the guide's form of a failed check. */
function checkFailures({ run, from, rows }: Share): string {
  const failed = (run.checks ?? []).filter((name) => ((run.byName.get(`anomaly.${name}`) as TensorColumn).values as Uint8Array).subarray(from, from + rows).includes(1));
  return JSON.stringify(failed.map((name) => ({ False: { expr: `anomaly.${name}` } })));
}

/** The result an edge answers with when no dataset is asked for (guide, "Edge Inference Endpoint"). `original` is JSON or null. */
export function edgeResult(share: Share, identity: Identity, original: string): string {
  const outputs = answerOutputs(share).columns.flatMap((c) => edgeOutput(c, share.rows));
  const model = share.run.models === undefined ? identity.lastModel : modelOfRow(share.run.models, share.from);
  return `[{"check_failures":${checkFailures(share)},"elapsed":${JSON.stringify([share.parseNs, ...share.run.stepNs])},"model_name":${JSON.stringify(model.name)},"model_version":${JSON.stringify(model.version)}`
    + `,"original_data":${original},"outputs":[${outputs.join(',')}],"pipeline_name":${JSON.stringify(identity.pipelineName)},"shadow_data":{},"time":${share.timeMs}}]`;
}
