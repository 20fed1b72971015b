import { Table, tableFromIPC, tableToIPC } from 'apache-arrow';
import { decodeArrow, encodeArrowFile, type Batch } from '@potoroo/batch';
import { PotorooError } from '@potoroo/contract';
import { parseExact, stringifyRows, type Rows } from './json.ts';
import type { CallOptions, Transport } from './transport.ts';

export interface InferOptions extends CallOptions {
  /** Which columns to answer with: `time`, `in`, `out`, `anomaly`, `metadata` or deeper, such as `out.label`; all but metadata when not given. */
  readonly dataset?: readonly string[];
  readonly datasetExclude?: readonly string[];
  /** Between the parts of a column's name; `.` when not given. */
  readonly datasetSeparator?: string;
  /** Names the request in the log (`metadata.request_id`), up to 128 of `A-Z a-z 0-9 . : _ -`; one is made when not given. */
  readonly requestId?: string;
}

/** Columns `time`, `in.*`, `out.*`, `anomaly.count` and, when asked for, `metadata.*`, flat. */
export type InferenceRow = Record<string, unknown>;
export type InferenceInput = Rows | Table | Batch;

/** Rows in, and the answer in the form that they came in. */
export interface Infer {
  (input: Rows, options?: InferOptions): Promise<InferenceRow[]>;
  (input: Table, options?: InferOptions): Promise<Table>;
  (input: Batch, options?: InferOptions): Promise<Batch>;
}

export const arrowFile = 'application/vnd.apache.arrow.file';

/** An `infer` that sends to the path that `where` gives. */
export function inferAt(transport: Transport, where: (options: CallOptions) => string | Promise<string>): Infer {
  return (async (input: InferenceInput, options: InferOptions = {}) => send(transport, await where({ signal: options.signal }), input, options)) as Infer;
}

async function send(transport: Transport, path: string, input: InferenceInput, options: InferOptions): Promise<InferenceRow[] | Table | Batch> {
  const { signal, timeoutMs, dataset = ['*'], requestId } = options;
  // The server makes an id of its own where it cannot take the given one: the caller would look for a record that is not there.
  if (requestId !== undefined && !/^[\w.:-]{1,128}$/.test(requestId)) throw new PotorooError('invalid_request', `requestId is ${JSON.stringify(requestId)}: use 1 to 128 of A-Z a-z 0-9 . : _ -.`, { fields: [{ field: 'requestId', message: 'use 1 to 128 of A-Z a-z 0-9 . : _ -' }] });
  const datasetExclude = options.datasetExclude ?? (dataset.some((name) => name === 'metadata' || name.startsWith('metadata.')) ? [] : ['metadata']);
  const query = { 'dataset[]': dataset, 'dataset.exclude[]': datasetExclude, 'dataset.separator': options.datasetSeparator ?? '.' };
  const call = { signal, timeoutMs, method: 'POST', query } as const;
  const more = {
    ...(requestId !== undefined && { 'x-request-id': requestId }),
    // Who waits longer than servers usually do says so.
    ...(timeoutMs !== undefined && Number.isFinite(timeoutMs) && timeoutMs > 0 && { 'request-timeout': String(timeoutMs / 1000) }),
  };
  if (isRows(input)) {
    const type = 'application/json; format=pandas-records';
    const answer = await transport.bytes(path, { ...call, body: new TextEncoder().encode(stringifyRows(input)), headers: { 'content-type': type, accept: type, ...more } });
    return parseExact(new TextDecoder().decode(answer)) as InferenceRow[];
  }
  const table = isTable(input);
  const body = table ? tableToIPC(input, 'file') : encodeArrowFile(batchOf(input));
  const answer = await transport.bytes(path, { ...call, body, headers: { 'content-type': arrowFile, accept: arrowFile, ...more } });
  return table ? tableFromIPC(answer) : decodeArrow(answer).batch;
}

const isRows = (input: InferenceInput): input is Rows => Array.isArray(input);

/** Also a table of another copy of apache-arrow. */
function isTable(input: unknown): input is Table {
  return input instanceof Table || (typeof input === 'object' && input !== null && 'schema' in input && 'batches' in input);
}

function batchOf(input: unknown): Batch {
  if (typeof input === 'object' && input !== null && 'columns' in input && 'rows' in input) return input as Batch;
  throw new PotorooError('invalid_request', 'infer takes an array of rows, an Arrow table or a batch.');
}
