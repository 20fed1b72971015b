import { concat, slice, utf8At, utf8From, type Batch, type Column, type TensorColumn, type Utf8, type Values } from '@potoroo/batch';
import { PotorooError, type ElementType, type Field } from '@potoroo/contract/plain';
import { openSession, type OrtSession, type OrtTensor, type TensorInfo } from './binding.ts';
import { loadError, runError } from './errors.ts';
import { layoutOf, type Layout } from './layout.ts';
import type { Description, LoadOptions, Runtime } from '../runtime.ts';
import { agree, varied, zeros } from '../sample.ts';

/** Above this a model gains little from merging on a CPU, and proving that it keeps rows apart would slow the start. */
const proveBelowMs = 20;

function feed(column: Column | undefined, name: string, rows: number, batched: boolean): OrtTensor {
  if (column?.kind !== 'tensor') throw new PotorooError('schema_mismatch', `Column '${name}' is missing or has rows of differing length. Send every input with one shape for all rows.`);
  let data: unknown = column.values;
  if (column.type === 'string') {
    const values = column.values as Utf8;
    data = Array.from({ length: values.offsets.length - 1 }, (_, i) => utf8At(values, i));
  }
  return { type: column.type, dims: batched ? [rows, ...column.shape] : column.shape, data, location: 'cpu' };
}

function valuesOf(type: ElementType, data: unknown): Values {
  if (type === 'string') return utf8From(data as string[]);
  // Newer Node versions give Float16Array; inside the engine float16 is its bits.
  if (type === 'float16' && !(data instanceof Uint16Array)) {
    const a = data as { buffer: ArrayBuffer; byteOffset: number; length: number };
    return new Uint16Array(a.buffer, a.byteOffset, a.length);
  }
  return data as Values;
}

class OnnxRuntime implements Runtime {
  readonly slots = 0;
  readonly #session: OrtSession;
  readonly #layout: Layout;
  readonly #names: readonly string[];
  #aligned: boolean[];
  #warmUpMs = 0;
  #mergeable = false;
  readonly #notes: string[] = [];

  constructor(session: OrtSession, options: LoadOptions) {
    this.#session = session;
    this.#layout = layoutOf(session.inputs, session.outputs, options.tensorFields);
    this.#names = session.inputs.map((i) => i.name);
    this.#aligned = this.#layout.aligned.map((a) => a !== 'no');
  }

  describe(): Description {
    const row = (t: TensorInfo, i: number): Field => ({ name: t.name, type: t.type ?? 'string', shape: this.#aligned[i] ? t.dims.slice(1) : [...t.dims] });
    return { inputs: this.#layout.inputs, outputs: this.#session.outputs.map(row), warmUpMs: this.#warmUpMs, mergeable: this.#mergeable, notes: this.#notes };
  }

  run(batch: Batch): Batch | Promise<Batch> {
    const { rows } = this.#layout;
    const each = rows === 'free' ? (this.#aligned.includes(false) ? 1 : batch.rows) : rows;
    if (batch.rows % each !== 0) {
      throw new PotorooError('schema_mismatch', `The request has ${batch.rows} rows, but the model takes them ${each} at a time. Send a multiple of ${each} rows.`);
    }
    if (each === batch.rows) return this.#once(batch);
    const parts: (Batch | Promise<Batch>)[] = [];
    for (let from = 0; from < batch.rows; from += each) parts.push(this.#once(slice(batch, from, from + each)));
    // Outputs that do not follow the rows may differ in shape from row to row; `concat` makes lists of those.
    return parts.some((p) => p instanceof Promise) ? Promise.all(parts as Promise<Batch>[]).then(concat) : concat(parts as Batch[]);
  }

  #once(batch: Batch): Batch | Promise<Batch> {
    const feeds: Record<string, OrtTensor> = {};
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#layout.inputs[i]?.name ?? '';
      feeds[this.#names[i] ?? ''] = feed(batch.columns.find((c) => c.name === name), name, batch.rows, this.#layout.batched[i] === true);
    }
    try {
      const answer = this.#session.run(feeds);
      if (!(answer instanceof Promise)) return this.#outputs(answer, batch);
      return answer.then((a) => this.#outputs(a, batch), (error: unknown) => { throw runError(error); });
    } catch (error) {
      throw runError(error);
    }
  }

  #outputs(answer: Record<string, OrtTensor>, batch: Batch): Batch | Promise<Batch> {
    const outputs = this.#session.outputs;
    const columns: Column[] = [];
    for (let i = 0; i < outputs.length; i++) {
      const info = outputs[i] as TensorInfo;
      const tensor = answer[info.name];
      if (tensor === undefined || info.type === undefined) throw new PotorooError('inference_failed', `The model gave no output '${info.name}'.`);
      if (this.#aligned[i] === true && tensor.dims[0] !== batch.rows) {
        // Seen only now that this output does not follow the rows: from here on every row runs alone.
        if (this.#layout.rows !== 'free' && batch.rows !== 1) {
          throw new PotorooError('inference_failed', `Output '${info.name}' has ${tensor.dims[0] ?? 'no'} rows for ${batch.rows} input rows, so it cannot be told which belongs to which. Export the model with a batch dimension of 1 or a free one.`);
        }
        this.#aligned = this.#aligned.with(i, false);
        this.#mergeable = false;
        return this.run(batch);
      }
      columns.push({ kind: 'tensor', name: info.name, type: info.type, shape: this.#aligned[i] ? tensor.dims.slice(1) : tensor.dims, values: valuesOf(info.type, tensor.data) });
    }
    return { rows: batch.rows, columns };
  }

  /** One inference on zeros, then, for a fast model, the proof that rows of different requests may share a run. */
  async warmUp(): Promise<void> {
    const { inputs, rows } = this.#layout;
    const batch = zeros(inputs, rows === 'free' ? 1 : rows);
    this.#warmUpMs = Infinity;
    try {
      for (let i = 0; i < 3 && this.#warmUpMs > 1; i++) {
        const start = performance.now();
        await this.run(batch);
        this.#warmUpMs = Math.min(this.#warmUpMs, performance.now() - start);
        if (this.#warmUpMs > 1000) break;
      }
    } catch (error) {
      const detail = runError(error).message.replace(/^The model failed on this data: /, '');
      throw new PotorooError('warm_up_failed', `The model loads, but fails on a row of zeros: ${detail}`, { cause: error });
    }
    if (rows === 'free') this.#mergeable = await this.#keepsRowsApart();
    if (this.#aligned.includes(false)) {
      const names = this.#session.outputs.filter((_, i) => !this.#aligned[i]).map((o) => o.name);
      this.#notes.push(`Outputs ${names.join(', ')} do not follow the input rows: each row is run alone and gets the whole output.`);
    } else if (rows !== 'free' && rows > 1) this.#notes.push(`The batch dimension is fixed: requests need a multiple of ${rows} rows.`);
  }

  async #keepsRowsApart(): Promise<boolean> {
    const unsure = this.#layout.aligned.includes('see');
    if (this.#aligned.includes(false) || (this.#warmUpMs > proveBelowMs && !unsure)) return false;
    try {
      const three = varied(this.#layout.inputs, 3);
      const together = await this.run(three);
      if (this.#aligned.includes(false) || this.#warmUpMs > proveBelowMs) return false;
      for (let i = 0; i < 3; i++) {
        const alone = await this.run(slice(three, i, i + 1));
        const same = slice(together, i, i + 1).columns.every((c, k) => c.kind === 'tensor' && agree(c, alone.columns[k] as TensorColumn));
        if (!same) return false;
      }
      return true;
    } catch {
      return false; // it may dislike made-up data; that is no fault, but nothing is proven either
    }
  }

  async unload(): Promise<void> {
    await this.#session.release();
  }
}

/**
 * Loads a model file and has it answer one warm-up inference.
 * @throws PotorooError `model_invalid`, `model_unsupported` or `warm_up_failed`, with the useful part of ONNX Runtime's text.
 */
export async function loadOnnx(file: string, options: LoadOptions): Promise<Runtime> {
  const session = await openSession(file, options.threads).catch((error: unknown) => { throw loadError(error); });
  try {
    const runtime = new OnnxRuntime(session, options);
    await runtime.warmUp();
    return runtime;
  } catch (error) {
    await session.release();
    throw error;
  }
}
