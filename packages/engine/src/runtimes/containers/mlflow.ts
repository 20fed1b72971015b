import { decodeDictionary, decodeRecords, encodeDictionary, encodeRecords, encodeSplit, type Batch } from '@potoroo/batch';
import { isPotorooError, PotorooError, type Field } from '@potoroo/contract/plain';

/**
 * The scoring protocol of MLflow: `POST /invocations` with a batch in one of several forms. Which of them a model takes depends
 * on how it was logged and cannot be asked for; the warm-up inference finds out.
 */
export type Form = 'split' | 'frame' | 'inputs' | 'tensor' | 'instances';

/** The forms in which to try this batch, best first. `version` is what `GET /version` says. */
export function formsOf(version: string, inputs: readonly Field[]): Form[] {
  const frame: Form = /^[01]\./.test(version) ? 'frame' : 'split';
  const tensors: Form[] = [...(inputs.length === 1 ? ['tensor' as const] : []), 'inputs', 'instances'];
  return inputs.every((field) => field.shape.length === 0) ? [frame, ...tensors] : ['inputs', ...tensors.filter((form) => form !== 'inputs'), frame];
}

/** A request body and its content type. */
export function encodeScoring(batch: Batch, form: Form): { type: string; body: string } {
  const type = 'application/json';
  switch (form) {
    case 'split': return { type, body: `{"dataframe_split":${encodeSplit(batch)}}` };
    // Before version 2 a frame was the body itself.
    case 'frame': return { type: `${type}; format=pandas-split`, body: encodeSplit(batch) };
    case 'inputs': return { type, body: `{"inputs":${encodeDictionary(batch)}}` };
    case 'tensor': return { type, body: `{"inputs":${listOf(batch)}}` };
    case 'instances': return { type, body: `{"instances":${encodeRecords(batch, '.')}}` };
  }
}

/** The rows of the one column, without its name. */
const listOf = ({ rows, columns }: Batch): string => encodeDictionary({ rows, columns: columns.map((c) => ({ ...c, name: '' })) }).slice('{"":'.length, -1);

/**
 * The outputs in the body of an answer: `{"predictions": X}`, or X alone before version 2, X being a list of records, an object
 * of lists, or, where one output is declared, a list of its values.
 * @throws PotorooError `schema_mismatch` and its kin for what does not fit the declared outputs
 */
export function decodeScoring(body: Uint8Array, outputs: readonly Field[], rows: number): Batch {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const wrapped = /^\s*\{\s*"predictions"\s*:/.exec(bytes.toString('latin1', 0, 256))?.[0];
  const value = wrapped === undefined ? bytes : bytes.subarray(wrapped.length, bytes.lastIndexOf('}'));
  const start = value.toString('latin1', 0, 256).trimStart();
  let batch: Batch;
  try {
    if (start.startsWith('{')) batch = decodeDictionary(value, outputs);
    else if (/^\[\s*(\{|\])/.test(start)) batch = decodeRecords(value, outputs);
    else if (outputs.length === 1) batch = decodeDictionary(Buffer.concat([Buffer.from(`{${JSON.stringify(outputs[0]?.name)}:`), value, Buffer.from('}')]), outputs);
    else throw new PotorooError('schema_mismatch', `values without names, where ${outputs.length} outputs are declared. Have the model return a data frame whose columns are ${outputs.map((f) => f.name).join(', ')}`);
  } catch (error) {
    if (!isPotorooError(error)) throw error;
    const why = error.message.replace(/^The request/, 'the answer').replace(/\.$/, '');
    throw new PotorooError(error.code === 'malformed_body' ? 'inference_failed' : error.code, `The model's container gave an answer that does not fit its output schema: ${why}.`, { cause: error });
  }
  if (batch.rows !== rows) throw new PotorooError('schema_mismatch', `The model's container gave ${batch.rows} rows for ${rows}. It has to give one for each.`);
  return batch;
}

/** What a server of this protocol says when it refuses, without its stack trace. */
export function refusalOf(body: Uint8Array): string {
  const text = Buffer.from(body).toString('utf8');
  try {
    const { message, error_code: code } = JSON.parse(text) as { message?: unknown; error_code?: unknown };
    if (typeof message === 'string') return `${typeof code === 'string' ? `${code}: ` : ''}${message.split('\n')[0] ?? ''}`.slice(0, 500);
  } catch {
    // not JSON
  }
  return (text.trim().split('\n')[0] ?? '').slice(0, 200);
}
