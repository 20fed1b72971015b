import { concat, decodeArrow, encodeArrowStream, slice, type Batch } from '@potoroo/batch';
import { imageFramework, isPotorooError, PotorooError, type Field } from '@potoroo/contract/plain';
import { log } from '../../log.ts';
import { maxBodyBytes, PythonProcess, type Begun, type ModelProcess, type PythonStart } from './process.ts';
import type { Description, Each, Runtime } from '../runtime.ts';
import { agree, varied, zeros } from '../sample.ts';

export interface PythonModelOptions extends PythonStart {
  /** Names that replace the model's own input names, in order. */
  tensorFields?: readonly string[];
}

/** Images are servers of their own; all else is loaded by our Python. */
async function openProcess(options: PythonModelOptions): Promise<ModelProcess> {
  if (options.framework !== imageFramework) return PythonProcess.open(options);
  const { ImageServer } = await import('../containers/image-server.ts');
  return ImageServer.open(options);
}

/** Above this, proving that a model keeps rows apart would slow the start. */
const proveBelowMs = 200;
/** Below this, a run costs more than its rows; above, merged runs have to be seen to gain something. */
const quickMs = 20;
/** How long a process may have work of which nobody hears yet: one whose answers are waited for, and one that gives way to such. */
const aheadMs = 4;
const yieldingAheadMs = 100;
const mostAhead = 7;
const mostAtOnce = 64;
/** A server in an image works on several requests by itself. */
const imageConcurrency = 4;
const firstPauseMs = 1000;
const longestPauseMs = 30_000;

/**
 * A model in a Python process of its own. When the process ends unasked, the requests that it worked on fail with
 * `model_process_lost`; those that it had not begun, and those after them, wait for its successor.
 */
class PythonRuntime implements Runtime {
  readonly #options: PythonModelOptions;
  /** The model's own names of its inputs. */
  readonly #names: readonly string[];
  #process: Promise<ModelProcess>;
  #description: Description;
  readonly #apart: boolean;
  readonly #aheadMs: number;
  #atOnce: number;
  #closed = false;

  constructor(options: PythonModelOptions, first: ModelProcess) {
    this.#options = options;
    this.#process = Promise.resolve(first);
    const { inputs, outputs, warmUpMs, notes } = first.ready;
    this.#apart = first.runEach !== undefined;
    this.#aheadMs = options.yields === true ? yieldingAheadMs : aheadMs;
    this.#atOnce = warmUpMs < this.#aheadMs / 2 ? 2 : 1;
    this.#names = (inputs ?? []).map((field) => field.name);
    this.#description = { inputs: renamed(inputs ?? [], options.tensorFields), outputs: outputs ?? [], warmUpMs, mergeable: false, notes };
    this.#watch(first);
  }

  /**
   * More than it works on at once, so that the next requests lie ready in its socket: as many as it gets through in the time
   * in which a switch between processes would be felt. Not where requests that wait are merged into one run, which gains more.
   */
  get slots(): number {
    const { mergeable, warmUpMs } = this.#description;
    if (this.#each) return 2;
    const ahead = warmUpMs > 0 ? Math.floor(this.#aheadMs / warmUpMs) : 1;
    return (this.#options.python.concurrency ?? 1) + (mergeable ? 0 : Math.min(mostAhead, Math.max(1, ahead)));
  }

  /** Requests are handed over together where the process works on one at a time, and its schema tells how their answers go together. */
  get #each(): boolean {
    const { mergeable, outputs } = this.#description;
    return this.#apart && !mergeable && outputs.length > 0 && (this.#options.python.concurrency ?? 1) === 1;
  }

  get atOnce(): number {
    return this.#each ? this.#atOnce : 1;
  }

  describe(): Description {
    return this.#description;
  }

  async run(batch: Batch): Promise<Batch> {
    const body = encodeArrowStream(this.#named(batch));
    for (;;) {
      const answer = await (await this.#process).run(body);
      if (answer !== undefined) return decodeArrow(answer).batch;
      if (this.#closed) throw new PotorooError('draining', 'The engine is shutting down.');
    }
  }

  /**
   * Requests that the process did not begin in its time, or that its end left behind, go to it, or its successor, again. One that was
   * begun never does: its model may have done something. Nor are others begun when those before them fill half a message: what
   * all of them gave has to go on as one batch.
   */
  async runEach(batch: Batch, rows: readonly number[]): Promise<Each> {
    const failed = new Map<number, Error>();
    const gave: number[] = [];
    const answers: Batch[] = [];
    const most = (this.#options.maxBodyBytes ?? maxBodyBytes) / 2;
    let bytes = 0;
    for (let row = 0; gave.length < rows.length;) {
      const from = gave.length;
      if (bytes > most) {
        failed.set(from, new PotorooError('overloaded', `The model's answers to the requests before this one have ${bytes} bytes, and at most ${most} wait to go on together. It was not begun: send it again.`));
        gave.push(0);
        continue;
      }
      const parts = rows.slice(from, from + this.#atOnce);
      const until = row + total(parts);
      let begun: Begun | undefined;
      try {
        const body = encodeArrowStream(this.#named(row === 0 && until === batch.rows ? batch : slice(batch, row, until)));
        begun = await (await this.#process).runEach?.(body, parts, this.#aheadMs);
        if (begun === undefined && this.#closed) throw new PotorooError('draining', 'The engine is shutting down.');
      } catch (error) {
        // It was not begun; those behind it try for themselves.
        failed.set(from, error as Error);
        gave.push(0);
        row += rows[from] as number;
        continue;
      }
      if (begun === undefined) continue;
      const given = begun.bodies.map((answer) => decodeArrow(answer).batch);
      const said = begun.rows.length >= 1 && begun.rows.length <= parts.length && total(begun.rows) === total(given.map((answer) => answer.rows));
      if (!said) {
        parts.forEach((_, part) => failed.set(from + part, new PotorooError('inference_failed', "The model's process gave other rows than it says.")));
        gave.push(...parts.map(() => 0));
        row = until;
        continue;
      }
      // As many next time as it began in its time; where twice as many would have had their time too, so many.
      if (begun.rows.length < parts.length) this.#atOnce = begun.rows.length;
      else if (begun.ms < this.#aheadMs / 2) this.#atOnce = Math.min(mostAtOnce, Math.max(this.#atOnce, parts.length * 2));
      for (const [part, error] of begun.failed) failed.set(from + part, error);
      answers.push(...given);
      for (const body of begun.bodies) bytes += body.length;
      gave.push(...begun.rows);
      row += total(parts.slice(0, begun.rows.length));
    }
    const [first = zeros(this.#description.outputs, 0)] = answers;
    return { batch: answers.length > 1 ? concat(answers) : first, rows: gave, failed };
  }

  /** The proof that rows of different requests may share a run; only for models that give one row out per row in. */
  async prove(aligned: boolean): Promise<void> {
    const { inputs, warmUpMs } = this.#description;
    if (!aligned || inputs.length === 0 || warmUpMs > proveBelowMs) return;
    try {
      const three = varied(inputs, 3);
      const start = performance.now();
      const together = await this.run(three);
      const middle = performance.now();
      for (let i = 0; i < 3; i++) {
        const alone = await this.run(slice(three, i, i + 1));
        const same = slice(together, i, i + 1).columns.every((c, k) => {
          const other = alone.columns[k];
          return c.kind === 'tensor' && other?.kind === 'tensor' && agree(c, other);
        });
        if (!same) return;
      }
      if (warmUpMs > quickMs && middle - start > (performance.now() - middle) * 2 / 3) return;
      this.#description = { ...this.#description, mergeable: true };
    } catch {
      // it may dislike made-up data; that is no fault, but nothing is proven either
    }
  }

  #named(batch: Batch): Batch {
    const { tensorFields } = this.#options;
    if (tensorFields === undefined || this.#names.length === 0) return batch;
    return { rows: batch.rows, columns: batch.columns.map((c) => ({ ...c, name: this.#names[tensorFields.indexOf(c.name)] ?? c.name })) };
  }

  #watch(process: ModelProcess): void {
    const since = Date.now();
    void process.exited.then((error) => {
      if (this.#closed) return;
      log.warn('the process of a model ended; starting another', { file: this.#options.fileName, reason: error.message });
      this.#options.sidekick?.failed(error);
      const starting = this.#start(Date.now() - since < firstPauseMs ? firstPauseMs : 0);
      this.#process = starting; // requests wait for this one start; when it fails they fail, until a later one succeeds
      starting.catch(() => this.#retry());
    });
  }

  async #retry(): Promise<void> {
    for (let pause = firstPauseMs; !this.#closed; pause = Math.min(longestPauseMs, pause * 2)) {
      const process = await this.#start(pause).catch(() => undefined);
      if (process !== undefined) this.#process = Promise.resolve(process);
      if (process !== undefined) return;
    }
  }

  async #start(pauseMs: number): Promise<ModelProcess> {
    if (pauseMs > 0) await new Promise((resolve) => { setTimeout(resolve, pauseMs).unref(); });
    if (this.#closed) throw new PotorooError('draining', 'The engine is shutting down.');
    try {
      const process = await openProcess(this.#options);
      if (this.#options.yields === true) process.giveWay();
      this.#watch(process);
      this.#options.sidekick?.running();
      if (this.#closed) await process.stop();
      return process;
    } catch (error) {
      log.error('the process of a model could not be started again', { file: this.#options.fileName, reason: (error as Error).message });
      if (isPotorooError(error)) this.#options.sidekick?.failed(error);
      throw new PotorooError('model_process_lost', `The model's process ended and could not be started again: ${(error as Error).message}`, { cause: error });
    }
  }

  async unload(): Promise<void> {
    this.#closed = true;
    await this.#process.then((process) => process.stop(), () => {});
  }
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);

function renamed(fields: readonly Field[], names: readonly string[] | undefined): Field[] {
  if (names === undefined || fields.length === 0) return [...fields];
  if (names.length !== fields.length) throw new PotorooError('pipeline_invalid', `tensor_fields has ${names.length} names and the model ${fields.length} inputs (${fields.map((f) => f.name).join(', ')}). Give one name for each.`);
  return fields.map((field, i) => ({ ...field, name: names[i] ?? field.name }));
}

/**
 * Starts the process of a model and has it answer one warm-up inference.
 * @throws PotorooError `model_invalid`, `warm_up_failed`, `environment_failed`, `engine_start_timeout`, `model_process_lost`
 */
export async function loadPython(options: PythonModelOptions): Promise<Runtime> {
  const python = options.framework === imageFramework ? { concurrency: imageConcurrency, ...options.python } : options.python;
  const logged: PythonModelOptions = { onLog: (stream, line) => log.info(line, { model: options.fileName, stream }), ...options, python };
  const first = await openProcess(logged).catch((error: unknown) => {
    if (isPotorooError(error)) logged.sidekick?.failed(error);
    throw error;
  });
  try {
    const runtime = new PythonRuntime(logged, first);
    logged.sidekick?.running();
    await runtime.prove(first.ready.aligned);
    if (options.yields === true) first.giveWay();
    return runtime;
  } catch (error) {
    await first.stop();
    throw error;
  }
}
