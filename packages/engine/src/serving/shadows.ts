import { concat, take, unitHash, type Batch, type Column } from '@potoroo/batch';
import type { Challenger } from '../pipeline.ts';
import type { ShadowInput } from '../steps/step.ts';
import { zeros } from '../runtimes/sample.ts';
import { log } from '../log.ts';

/** One request of a run, for challengers. */
export interface ShadowRequest {
  readonly rows: number;
  readonly timeMs: number;
  readonly requestId: string;
  /** Milliseconds of `performance.now()` until which the request waits for challengers; undefined when it does not. */
  readonly waitsUntil?: number | undefined;
  /** Called once for a request that waits, with its run's columns: null where a challenger has nothing to say. */
  done?(columns: readonly Column[]): void;
}

/** A run of which the champion's answers are on their way. */
export interface ShadowTask {
  /** Offset of the first row in the log; undefined when nothing is logged. */
  readonly firstRow: number | undefined;
  readonly rows: number;
  readonly bytes: number;
  readonly requests: readonly ShadowRequest[];
  readonly inputs: readonly ShadowInput[];
}

/** Rows by what became of them, of one challenger. */
export interface ShadowCounts { done: number; failed: number; shed: number }

export interface ShadowsOptions {
  readonly challengers: readonly Challenger[];
  /** Keeps the columns of a run whose first row has this offset. */
  record(task: ShadowTask, firstRow: number, columns: readonly Column[]): void;
  /** After requests that waited were answered. */
  flushed(): void;
  maxRows: number;
  maxBytes: number;
  /** A challenger that takes longer than this is left alone until it is done; 10 seconds unless told. */
  limitMs?: number;
}

const sampled = (requestId: string, fraction: number): boolean => fraction >= 1 || unitHash(requestId) < fraction;

/**
 * Runs challengers after the champion has answered: one run after the other, off the turn that answers, in a queue that is bounded.
 * What does not fit is shed and counted; what fails or takes too long is missing. Nothing of it reaches the champion.
 */
export class Shadows {
  readonly counts = new Map<string, ShadowCounts>();
  readonly #options: ShadowsOptions;
  readonly #queue: ShadowTask[] = [];
  readonly #busy = new Set<Challenger>();
  /** Requests that wait, until their time is up: also while their run waits for its turn. */
  readonly #waiting = new Map<ShadowRequest, NodeJS.Timeout>();
  readonly #names: readonly string[];
  #rows = 0;
  #bytes = 0;
  #working: Promise<void> | undefined;

  constructor(options: ShadowsOptions) {
    this.#options = options;
    this.#names = options.challengers.flatMap((c) => c.outputs.map((f) => `${c.dataset}.${f.name}`));
    for (const { dataset } of options.challengers) this.counts.set(dataset, { done: 0, failed: 0, shed: 0 });
  }

  get names(): readonly string[] {
    return this.#names;
  }

  /** Takes a run in, or sheds it. Returns at once. */
  offer(task: ShadowTask): void {
    const { maxRows, maxBytes, challengers } = this.#options;
    if (this.#queue.length > 0 && (this.#rows + task.rows > maxRows || this.#bytes + task.bytes > maxBytes)) {
      for (const { dataset } of challengers) (this.counts.get(dataset) as ShadowCounts).shed += task.rows;
      // A caller that waits gets its nulls in a turn of its own, like every other.
      if (task.requests.some((r) => r.done !== undefined)) setImmediate(() => this.#answer(task.requests, this.nulls(task.rows)));
      return;
    }
    for (const request of task.requests) {
      if (request.done === undefined) continue;
      const left = Math.max(0, (request.waitsUntil ?? 0) - performance.now());
      this.#waiting.set(request, setTimeout(() => {
        this.#waiting.delete(request);
        this.#answer([request], this.nulls(task.rows));
      }, left));
    }
    this.#queue.push(task);
    this.#rows += task.rows;
    this.#bytes += task.bytes;
    this.#working ??= this.#work();
  }

  /** Resolves when all runs are through, or after so many milliseconds. */
  async settle(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#working, new Promise((resolve) => { timer = setTimeout(resolve, ms); })]);
    clearTimeout(timer);
  }

  async #work(): Promise<void> {
    // Not in the turn that answers: its writes come first.
    await new Promise(setImmediate);
    for (let task = this.#queue[0]; task !== undefined; task = this.#queue[0]) {
      try {
        await this.#run(task);
      } catch (error) {
        log.error('The outputs of challengers could not be kept', { reason: (error as Error).message });
      }
      this.#queue.shift();
      this.#rows -= task.rows;
      this.#bytes -= task.bytes;
    }
    this.#working = undefined;
  }

  async #run(task: ShadowTask): Promise<void> {
    const { challengers, record } = this.#options;
    const outputs = await Promise.all(challengers.map((challenger) => this.#challenge(challenger, task)));
    const columns = outputs.flatMap((columnsOf, i) => columnsOf ?? this.#nullsOf(challengers[i] as Challenger, task.rows));
    const waiting = task.requests.filter((request) => this.#waiting.has(request));
    for (const request of waiting) {
      clearTimeout(this.#waiting.get(request));
      this.#waiting.delete(request);
    }
    if (waiting.length > 0) this.#answer(waiting, columns);
    if (task.firstRow !== undefined && outputs.some((o) => o !== undefined)) record(task, task.firstRow, columns);
  }

  #answer(requests: readonly ShadowRequest[], columns: readonly Column[]): void {
    for (const request of requests) request.done?.(columns);
    this.#options.flushed();
  }

  /** Its columns for all rows of the run; undefined where it has seen none of them. */
  async #challenge(challenger: Challenger, task: ShadowTask): Promise<Column[] | undefined> {
    const counts = this.counts.get(challenger.dataset) as ShadowCounts;
    const input = task.inputs.find((s) => s.step === challenger.step)?.batch;
    const parts = partsOf(challenger, task.requests);
    const rows = parts.reduce((n, part) => n + part.length, 0);
    if (rows === 0) return undefined;
    if (this.#busy.has(challenger) || input?.rows !== task.rows) {
      counts.shed += rows;
      return undefined;
    }
    this.#busy.add(challenger);
    const place = new Int32Array(task.rows).fill(-1);
    const outputs: Batch[] = [];
    let at = 0;
    let failed = 0;
    let late = false;
    // One bad request must not fail its neighbours: what failed together is tried again, each request alone.
    let together = parts.length === 1 && task.requests.length > 1;
    const all = (async () => {
      for (let part = parts.shift(); part !== undefined && !late; part = parts.shift()) {
        const answer = await this.#rowsFrom(challenger, input, part);
        if (late) return;
        if (answer !== undefined) {
          outputs.push(answer);
          for (const row of part) place[row] = at++;
          counts.done += part.length;
        } else if (together) {
          together = false;
          parts.push(...partsOf(challenger, task.requests, true));
        } else failed += part.length;
      }
    })().finally(() => this.#busy.delete(challenger));
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise((resolve) => { timer = setTimeout(resolve, this.#options.limitMs ?? 10_000, undefined); }).then(() => { late = true; });
    await Promise.race([all, limit]);
    clearTimeout(timer);
    counts.failed += late ? rows - at : failed; // what it may still say is nobody's any more
    return outputs.length === 0 || late ? undefined : joined(challenger, outputs, place);
  }

  async #rowsFrom(challenger: Challenger, input: Batch, part: Int32Array): Promise<Batch | undefined> {
    try {
      const whole = part.length === input.rows;
      const answer = await challenger.run(whole ? input : take(input, part));
      const columns = challenger.outputs.map((f) => answer.columns.find((c) => c.name === f.name));
      return answer.rows === part.length && columns.every((c) => c !== undefined) ? { rows: answer.rows, columns } : undefined;
    } catch (error) {
      log.debug('a challenger failed', { challenger: challenger.dataset, reason: (error as Error).message });
      return undefined;
    }
  }

  #nullsOf(challenger: Challenger, rows: number): Column[] {
    return joined(challenger, [zeros(challenger.outputs, 1)], new Int32Array(rows).fill(-1));
  }

  /** Null columns under all names, for rows that no challenger saw. */
  nulls(rows: number): Column[] {
    return this.#options.challengers.flatMap((c) => this.#nullsOf(c, rows));
  }
}

function joined(challenger: Challenger, outputs: readonly Batch[], place: Int32Array): Column[] {
  const all = outputs.length === 1 ? (outputs[0] as Batch) : concat(outputs);
  const batch = place.every((p, i) => p === i) && all.rows === place.length ? all : take(all, place);
  return challenger.outputs.map((f, i) => ({ ...(batch.columns[i] as Column), name: `${challenger.dataset}.${f.name}` }));
}

/** Rows of the requests that a challenger is to see, in as many runs as it needs. A request that waits for it is always among them. */
function partsOf(challenger: Challenger, requests: readonly ShadowRequest[], apart = false): Int32Array[] {
  const merge = challenger.mergeable() && !challenger.single && !apart;
  const parts: number[][] = [];
  let from = 0;
  for (const request of requests) {
    const rows = Array.from({ length: request.rows }, (_, i) => from + i);
    from += request.rows;
    if (request.done === undefined && !sampled(request.requestId, challenger.fraction)) continue;
    if (challenger.single) parts.push(...rows.map((row) => [row]));
    else if (merge && parts.length > 0) parts[0]?.push(...rows);
    else parts.push(rows);
  }
  return parts.map((rows) => Int32Array.from(rows));
}
