import { concat, take, unitHash, type Batch, type Column } from '@potoroo/batch';
import type { Challenger } from '../pipeline.ts';
import type { ShadowInput } from '../steps/step.ts';
import { zeros } from '../runtimes/sample.ts';
import { log } from '../log.ts';
import type { Each } from '../runtimes/runtime.ts';
import { signatureOf } from './scheduler.ts';

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

/** What comes in within this time is shown to challengers together: what they cost is a run's cost more than that of its rows. */
const gatherMs = 50;
/** As many rows are shown together. */
const gatherRows = 256;
/** As many runs that wait are put together. */
const packed = 32;
/** A challenger that had no answer so often in a row is asked less: what it does on the champion's processor is for nothing. */
const failedInRow = 16;
/** From then on it sees what comes in after this long, until it has an answer. */
const restMs = 1000;

const sampled = (requestId: string, fraction: number): boolean => fraction >= 1 || unitHash(requestId) < fraction;

/**
 * Runs challengers after the champion has answered: what came in within a few milliseconds together, in a queue that is bounded.
 * What does not fit is shed and counted; what fails or takes too long is missing. Nothing of it reaches the champion.
 */
export class Shadows {
  readonly counts = new Map<string, ShadowCounts>();
  readonly #options: ShadowsOptions;
  /** What is to be shown. */
  readonly #queue: ShadowTask[] = [];
  readonly #busy = new Set<Challenger>();
  /** How often in a row a challenger had no answer to anything, and when it is asked again, in `performance.now()`. */
  readonly #fruitless = new Map<Challenger, { times: number; until: number }>();
  /** Requests that wait, until their time is up: also while their run waits for its turn. */
  readonly #waiting = new Map<ShadowRequest, NodeJS.Timeout>();
  readonly #names: readonly string[];
  /** Of those, and of what is being shown. */
  #rows = 0;
  #bytes = 0;
  /** Runs that came after the last that were put together. */
  #loose = 0;
  /** Ends the gathering under way. */
  #enough: (() => void) | undefined;
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
    if (this.#rows > 0 && (this.#rows + task.rows > maxRows || this.#bytes + task.bytes > maxBytes)) {
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
    this.#pack();
    if (waits(task) || this.#rows >= gatherRows) this.#enough?.();
    this.#working ??= this.#work();
  }

  /** Resolves when all runs are through, or after so many milliseconds. */
  async settle(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#working, new Promise((resolve) => { timer = setTimeout(resolve, ms); })]);
    clearTimeout(timer);
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      const task = await this.#gathered();
      try {
        await this.#run(task);
      } catch (error) {
        log.error('The outputs of challengers could not be kept', { reason: (error as Error).message });
      }
      this.#rows -= task.rows;
      this.#bytes -= task.bytes;
    }
    this.#working = undefined;
  }

  /** Runs that wait for long are kept as one: thousands of small things would cost the garbage collector more than all else. */
  #pack(): void {
    if (++this.#loose < packed) return;
    this.#loose = 0;
    const last = this.#queue.slice(-packed);
    if (last.every((task, i) => !waits(task) && (i === 0 || follows(task, last[i - 1] as ShadowTask)))) this.#queue.splice(-packed, packed, merged(last));
  }

  /** What to show next, out of the queue. */
  async #gathered(): Promise<ShadowTask> {
    if (this.#rows < gatherRows && !this.#queue.some(waits)) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#enough = resolve;
        timer = setTimeout(resolve, gatherMs);
      });
      clearTimeout(timer);
      this.#enough = undefined;
    }
    await new Promise(setImmediate); // not in the turn that answers: its writes come first
    let [last] = this.#queue as [ShadowTask];
    let { rows } = last;
    let count = 1;
    for (; count < this.#queue.length; count++) {
      const task = this.#queue[count] as ShadowTask;
      // A request that waits gets the columns of its own run.
      if (waits(last) || waits(task) || (rows += task.rows) > gatherRows || !follows(task, last)) break;
      last = task;
    }
    this.#loose = Math.min(this.#loose, this.#queue.length - count);
    return merged(this.#queue.splice(0, count));
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
    // Whoever waits for its answer wants to know whether it has one now.
    const rests = !waits(task) && performance.now() < (this.#fruitless.get(challenger)?.until ?? 0);
    const input = task.inputs.find((s) => s.step === challenger.step)?.batch;
    const parts = partsOf(challenger, task.requests);
    const place = new Int32Array(task.rows).fill(-1);
    const outputs: Batch[] = [];
    let given = 0;
    let asked = false;
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      if (rests || this.#busy.has(challenger) || input?.rows !== task.rows) {
        counts.shed += rowsOf(part);
        continue;
      }
      asked = true;
      const answer = await this.#ask(challenger, input, part);
      if (answer === undefined && part.length > 1 && !this.#busy.has(challenger)) {
        parts.unshift(...part.map((each) => [each])); // one bad request must not fail its neighbours
        continue;
      }
      let at = given;
      part.forEach(({ from, rows }, i) => {
        const gave = answer?.rows[i] ?? 0;
        if (answer === undefined || answer.failed.has(i) || gave !== rows) counts.failed += rows;
        else {
          for (let row = 0; row < rows; row++) place[from + row] = at + row;
          counts.done += rows;
        }
        at += gave;
      });
      if (answer === undefined || answer.batch.rows === 0) continue;
      outputs.push(answer.batch);
      given += answer.batch.rows;
    }
    if (given > 0) this.#fruitless.delete(challenger);
    else if (asked) this.#failed(challenger);
    return outputs.length === 0 ? undefined : joined(challenger, outputs, place);
  }

  #failed(challenger: Challenger): void {
    const times = (this.#fruitless.get(challenger)?.times ?? 0) + 1;
    this.#fruitless.set(challenger, { times, until: times < failedInRow ? 0 : performance.now() + restMs });
    if (times === failedInRow) log.warn('A challenger fails on all that it is shown: until it has an answer it is asked once a second', { challenger: challenger.dataset });
  }

  /** What it says to these requests; undefined where it fails, or takes too long: then it is busy until it is done. */
  async #ask(challenger: Challenger, input: Batch, part: Part): Promise<Each | undefined> {
    const rows = rowsOf(part);
    const places = rows === input.rows ? undefined : Int32Array.from(part.flatMap((p) => Array.from({ length: p.rows }, (_, i) => p.from + i)));
    const answer = challenger.run(places === undefined ? input : take(input, places), part.map((p) => p.rows)).then((each) => {
      const columns = challenger.outputs.map((f) => each.batch.columns.find((c) => c.name === f.name));
      const whole = each.batch.rows === each.rows.reduce((sum, n) => sum + n, 0);
      return whole && columns.every((c) => c !== undefined) ? { ...each, batch: { rows: each.batch.rows, columns } } : undefined;
    }).catch((error: unknown) => {
      log.debug('a challenger failed', { challenger: challenger.dataset, reason: (error as Error).message });
      return undefined;
    }).finally(() => this.#busy.delete(challenger));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => { timer = setTimeout(resolve, this.#options.limitMs ?? 10_000, undefined); });
    this.#busy.add(challenger);
    const first = await Promise.race([answer, late]);
    clearTimeout(timer);
    return first; // what it says later is nobody's any more
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

/** Requests, or single rows, that a challenger sees in one run: where their rows lie, and how many. */
type Part = readonly { readonly from: number; readonly rows: number }[];

const rowsOf = (part: Part): number => part.reduce((sum, { rows }) => sum + rows, 0);
const waits = (task: ShadowTask): boolean => task.requests.some((request) => request.done !== undefined);

/** What a challenger is to see, in as many runs as it needs. A request that waits for it is always among it. */
function partsOf(challenger: Challenger, requests: readonly ShadowRequest[]): Part[] {
  const seen: { from: number; rows: number }[] = [];
  let from = 0;
  for (const request of requests) {
    if (request.done !== undefined || sampled(request.requestId, challenger.fraction)) seen.push({ from, rows: request.rows });
    from += request.rows;
  }
  if (challenger.single) return seen.flatMap(({ from: first, rows }) => Array.from({ length: rows }, (_, i) => [{ from: first + i, rows: 1 }]));
  const atOnce = Math.max(1, Math.min(seen.length, challenger.atOnce()));
  return Array.from({ length: Math.ceil(seen.length / atOnce) }, (_, i) => seen.slice(i * atOnce, (i + 1) * atOnce));
}

/** Whether its rows come right after those of the other, in the log as well, and can lie in one batch with them. */
function follows(task: ShadowTask, other: ShadowTask): boolean {
  const next = other.firstRow === undefined ? undefined : other.firstRow + other.rows;
  return task.firstRow === next && task.inputs.every(({ batch }, i) => {
    const before = other.inputs[i]?.batch;
    return before !== undefined && batch.rows === task.rows && before.rows === other.rows && signatureOf(batch) === signatureOf(before);
  });
}

function merged(tasks: readonly ShadowTask[]): ShadowTask {
  const [first] = tasks as [ShadowTask];
  if (tasks.length === 1) return first;
  const sum = (of: (task: ShadowTask) => number): number => tasks.reduce((n, task) => n + of(task), 0);
  return {
    firstRow: first.firstRow, rows: sum((t) => t.rows), bytes: sum((t) => t.bytes), requests: tasks.flatMap((t) => t.requests),
    inputs: first.inputs.map(({ step }, i) => ({ step, batch: concat(tasks.map((t) => (t.inputs[i] as ShadowInput).batch)) })),
  };
}
