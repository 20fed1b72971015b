import type { Batch } from '@potoroo/batch';
import { concat } from '@potoroo/batch';
import { isPotorooError, PotorooError } from '@potoroo/contract/plain';
import { without, type PipelineRun } from '../pipeline.ts';

/** One request's rows, waiting for a run. */
export interface Work {
  readonly batch: Batch;
  readonly bytes: number;
  /** Milliseconds of `performance.now()` after which it must not start. */
  readonly deadline: number;
  /** The caller has gone: it must not start. */
  gone: boolean;
  fail(error: PotorooError): void;
}

export interface SchedulerOptions<W extends Work> {
  /** Runs one batch, in which the works' rows lie in this order; a promise when it happens elsewhere. */
  run(batch: Batch, works: readonly W[]): PipelineRun | Promise<PipelineRun>;
  /** How many requests may share a run; asked before every merge, as a model may turn out not to keep rows apart. */
  atOnce(): number;
  /** Runs at once when they happen elsewhere; 0 when they happen on this thread. */
  slots: number;
  /** Answers the works of one run, which hold rows in this order. Throws when nothing may be answered (the log is full). */
  settle(works: readonly W[], input: Batch, run: PipelineRun): void;
  /** After each run and its answers, so that a turn's writes can go out together. */
  flushed(): void;
  maxRows: number;
  maxBytes: number;
}

/** A merged run stops growing here: by then the cost of one more run is small beside the work, and copies are not. */
const mergeRows = 256;
/** Work on the event loop gives way to sockets after this long, so that deadlines and disconnects are seen. */
const sliceMs = 4;

const asError = (error: unknown): PotorooError => (isPotorooError(error) ? error : new PotorooError('internal', 'The inference failed inside the engine.', { cause: error }));

/** Shapes that may differ between requests: only equal ones can share a run. */
export function signatureOf(batch: Batch): string {
  let key = '';
  for (const c of batch.columns) if (c.kind === 'tensor' && c.shape.length > 0) key += `${c.shape.join()};`;
  return key;
}

/**
 * Merges what arrives in one turn of the event loop, or while runs are in progress, into one run. There is no timer: alone,
 * a request waits for nothing. What does not fit the queue is refused at once; expired or abandoned work never starts.
 */
export class Scheduler<W extends Work> {
  readonly #options: SchedulerOptions<W>;
  /** By signature, so that a run takes its rows without a search; in order of arrival of the oldest. */
  readonly #queues = new Map<string, W[]>();
  #armed = false;
  #inTurn = false;
  #running = 0;
  #sweep: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  waitingRows = 0;
  waitingBytes = 0;

  constructor(options: SchedulerOptions<W>) {
    this.#options = options;
  }

  get busy(): boolean {
    return this.#running > 0 || this.#queues.size > 0;
  }

  /** @throws PotorooError `overloaded` naming the bound */
  submit(work: W): void {
    const { maxRows, maxBytes, slots } = this.#options;
    const { rows } = work.batch;
    // An empty queue takes anything: what is larger than the bound could never be served otherwise.
    if (this.waitingRows > 0 && this.waitingRows + rows > maxRows) throw new PotorooError('overloaded', `${this.waitingRows} rows are waiting and the queue holds ${maxRows}. Send less at once, or add replicas.`);
    if (this.waitingRows > 0 && this.waitingBytes + work.bytes > maxBytes) throw new PotorooError('overloaded', `${this.waitingBytes} bytes of requests are waiting and the queue holds ${maxBytes}. Send less at once, or add replicas.`);
    const key = signatureOf(work.batch);
    const queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, [work]);
    else queue.push(work);
    this.waitingRows += rows;
    this.waitingBytes += work.bytes;
    if (slots > 0) this.#watch();
    this.#arm();
  }

  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void> {
    return this.busy ? new Promise((resolve) => { this.#idle.push(resolve); }) : Promise.resolve();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      this.#turn();
    });
  }

  #turn(): void {
    const start = performance.now();
    const { slots } = this.#options;
    this.#inTurn = true;
    while (this.#queues.size > 0 && (slots === 0 || this.#running < slots)) {
      const works = this.#next();
      if (works.length > 0) this.#start(works);
      if (slots === 0 && this.#queues.size > 0 && performance.now() - start > sliceMs) {
        this.#arm();
        break;
      }
    }
    this.#inTurn = false;
    if (!this.busy) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #remove(work: W): void {
    this.waitingRows -= work.batch.rows;
    this.waitingBytes -= work.bytes;
  }

  /** The next run's works: the oldest queue's front, as much as may be merged; without the expired and the abandoned. */
  #next(): W[] {
    const [key, queue] = this.#queues.entries().next().value as [string, W[]];
    const now = performance.now();
    const atOnce = this.#options.atOnce();
    const taken: W[] = [];
    let rows = 0;
    let at = 0;
    for (; at < queue.length; at++) {
      const work = queue[at] as W;
      if (work.gone || work.deadline < now) {
        this.#remove(work);
        if (!work.gone) work.fail(new PotorooError('deadline_exceeded', 'The deadline passed while the request waited for its turn. Allow more time, or add replicas.'));
        continue;
      }
      if (taken.length >= atOnce || (taken.length > 0 && rows + work.batch.rows > mergeRows)) break;
      this.#remove(work);
      taken.push(work);
      rows += work.batch.rows;
    }
    this.#queues.delete(key);
    if (at < queue.length) this.#queues.set(key, at === 0 ? queue : queue.slice(at)); // behind the others: each signature gets its turn
    return taken;
  }

  #start(works: readonly W[]): void {
    this.#running++;
    let input: Batch;
    let answer: PipelineRun | Promise<PipelineRun>;
    try {
      input = works.length === 1 ? (works[0] as W).batch : concat(works.map((w) => w.batch));
      answer = this.#options.run(input, works);
    } catch (error) {
      this.#failed(works, error);
      return;
    }
    if (answer instanceof Promise) answer.then((run) => this.#done(works, input, run), (error: unknown) => this.#failed(works, error));
    else this.#done(works, input, answer);
  }

  #done(all: readonly W[], whole: Batch, run: PipelineRun): void {
    this.#running--;
    const { failed } = run;
    let [works, input] = [all, whole];
    if (failed !== undefined) {
      for (const [request, error] of failed) all[request]?.fail(asError(error));
      works = all.filter((_, request) => !failed.has(request));
      input = without(whole, all.map((work) => work.batch.rows), failed);
    }
    try {
      if (works.length > 0) this.#options.settle(works, input, run);
    } catch (error) {
      for (const work of works) work.fail(asError(error));
    }
    this.#after();
  }

  /** One bad request must not fail its neighbours: after an error in a merged run each of its requests runs alone. */
  #failed(works: readonly W[], error: unknown): void {
    this.#running--;
    if (works.length === 1) (works[0] as W).fail(asError(error));
    else for (const work of works) this.#start([work]);
    this.#after();
  }

  #after(): void {
    this.#options.flushed();
    if (this.#inTurn) return;
    if (this.#queues.size > 0) this.#arm();
    else if (!this.busy) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** While runs go on elsewhere, waiting work is told of its deadline when it passes and not when the run is over. */
  #watch(): void {
    if (this.#sweep !== undefined) return;
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined;
      if (this.#queues.size === 0) return;
      const now = performance.now();
      for (const [key, queue] of this.#queues) {
        const live = queue.filter((work) => {
          if (!work.gone && work.deadline >= now) return true;
          this.#remove(work);
          if (!work.gone) work.fail(new PotorooError('deadline_exceeded', 'The deadline passed while the request waited for its turn. Allow more time, or add replicas.'));
          return false;
        });
        if (live.length === 0) this.#queues.delete(key);
        else this.#queues.set(key, live);
      }
      this.#options.flushed();
      if (this.#queues.size > 0) this.#watch();
    }, 50).unref();
  }
}
