import { concat, conform, slice, type Batch, type Column } from '@potoroo/batch';
import { PotorooError, type Field } from '@potoroo/contract/plain';
import type { Each, Runtime } from '../runtimes/runtime.ts';
import { zeros } from '../runtimes/sample.ts';

/** Whose rows a run has: the requests' rows lie in it one after the other. */
export interface RunRequest {
  readonly batch: { readonly rows: number };
  readonly requestId: string;
}

export interface ModelIdentity { readonly name: string; readonly version: string; readonly sha: string }

/** Which of a split's models each row went to. */
export interface SplitRecord { readonly models: readonly ModelIdentity[]; readonly choice: Uint8Array }

/** What a shadow step's champion was given, for its challengers. `step` tells which shadow step, counted from 0. */
export interface ShadowInput {
  readonly step: number;
  readonly batch: Batch;
  /** How many of its rows are each request's, where not all of them are as in the input. */
  readonly rows?: readonly number[] | undefined;
}

/** One run: what went into the pipeline, and what its steps note on the way. */
export interface RunContext {
  readonly input: Batch;
  readonly requests: readonly RunRequest[];
  splits: SplitRecord[] | undefined;
  shadows: ShadowInput[] | undefined;
  /** Rows that each request has by now, where a step runs each request by itself. */
  rows?: readonly number[] | undefined;
  /** Requests, by their place, of which a step refused the rows; they have none from there on. */
  failed?: Map<number, Error> | undefined;
}

/** A step takes a batch and gives a batch. No fields: a Python step that declares none. */
export interface StepRunner {
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  run(batch: Batch, context: RunContext): Batch | Promise<Batch>;
}

/** A model as a step. Several requests share a run where that changes nothing; else each is run by itself, though all are handed over at once. */
export function modelRunner(runtime: Runtime): StepRunner {
  const { inputs, outputs } = runtime.describe();
  return {
    inputs,
    outputs,
    run(batch, context) {
      if (context.rows === undefined) return runtime.run(batch);
      const rows = context.rows.filter((n) => n > 0);
      return noted(runtime.runEach === undefined || runtime.describe().mergeable ? shared(runtime, batch, rows) : runtime.runEach(batch, rows), context);
    },
  };
}

/** In one run; where that fails, each by itself: one bad request must not fail its neighbours. */
async function shared(runtime: Runtime, batch: Batch, rows: readonly number[]): Promise<Each> {
  const failed = new Map<number, Error>();
  try {
    return { batch: await runtime.run(batch), rows, failed };
  } catch (error) {
    if (rows.length === 1) return { batch: zeros(runtime.describe().outputs, 0), rows: [0], failed: failed.set(0, error as Error) };
  }
  const answers: Batch[] = [];
  let from = 0;
  for (const [request, n] of rows.entries()) {
    try {
      answers.push(await runtime.run(slice(batch, from, from + n)));
    } catch (error) {
      failed.set(request, error as Error);
    }
    from += n;
  }
  return { batch: answers.length === 0 ? zeros(runtime.describe().outputs, 0) : concat(answers), rows: rows.map((n, request) => (failed.has(request) ? 0 : n)), failed };
}

/** Notes what became of the requests that still have rows. */
async function noted(answer: Promise<Each>, context: RunContext): Promise<Batch> {
  const { batch, rows, failed } = await answer;
  let at = 0;
  context.rows = context.rows?.map((n, request) => {
    if (n === 0) return 0;
    const error = failed.get(at);
    if (error !== undefined) (context.failed ??= new Map()).set(request, error);
    return rows[at++] ?? 0;
  });
  return batch;
}

/** Feeds one step's output to the next: by name, or, where each has one column only, that one to the other. */
export function connect(previous: StepRunner, next: StepRunner, at: number): StepRunner {
  const lone = previous.outputs.length === 1 && next.inputs.length === 1;
  const given = new Set(previous.outputs.map((o) => o.name));
  if (next.inputs.length === 0) return next;
  const missing = previous.outputs.length === 0 ? [] : next.inputs.filter((i) => !given.has(i.name));
  if (!lone && missing.length > 0) {
    throw new PotorooError('pipeline_invalid', `Step ${at} needs ${missing.map((m) => `'${m.name}'`).join(', ')}, but the step before gives ${[...given].map((n) => `'${n}'`).join(', ')}. Rename the inputs with tensor_fields or the outputs in the model.`);
  }
  const take = (output: Batch): Batch => {
    const columns = next.inputs.map((input) => {
      const found = lone || (previous.outputs.length === 0 && output.columns.length === 1 && next.inputs.length === 1) ? output.columns[0] : output.columns.find((c) => c.name === input.name);
      if (found === undefined) throw new PotorooError('inference_failed', `Step ${at} found no column '${input.name}' in the output of the step before.`);
      return found.name === input.name ? found : ({ ...found, name: input.name } satisfies Column);
    });
    return conform({ rows: output.rows, columns }, next.inputs);
  };
  return { ...next, run: (batch, context) => next.run(context.rows === undefined ? take(batch) : takeEach(take, batch, context, context.rows, next.inputs), context) };
}

/** As the next step takes it; a request whose rows do not fit fails alone, as the steps before have run and are not to run again. */
function takeEach(take: (output: Batch) => Batch, output: Batch, context: RunContext, rows: readonly number[], inputs: readonly Field[]): Batch {
  if (output.rows === 0) return zeros(inputs, 0);
  try {
    return take(output);
  } catch (error) {
    const failed = new Map<number, Error>();
    const fitting: Batch[] = [];
    let from = 0;
    const kept = rows.map((n, request) => {
      if (n === 0) return 0;
      try {
        fitting.push(take(slice(output, from, from += n)));
        return n;
      } catch (why) {
        failed.set(request, why as Error);
        return 0;
      }
    });
    const all = fitting.length === 0 ? zeros(inputs, 0) : concat(fitting);
    // They differ from each other: no run takes them together.
    if (failed.size === 0 || all.columns.some((c) => c.kind !== 'tensor')) throw error;
    context.rows = kept;
    for (const [request, why] of failed) (context.failed ??= new Map()).set(request, why);
    return all;
  }
}

/**
 * A model that stands in for another: it takes what the other takes.
 * @throws PotorooError `pipeline_invalid` naming both, when it cannot
 */
export function standIn(main: { name: string; runner: StepRunner }, other: { name: string; runner: StepRunner }, at: number): StepRunner {
  const { inputs } = main.runner;
  const named = (fields: readonly Field[]): string => fields.map((f) => `'${f.name}' (${f.type}[${f.shape.join(',')}])`).join(', ') || 'nothing';
  const refuse = (cause: unknown): never => {
    throw new PotorooError('pipeline_invalid', `Step ${at} gives the same rows to models '${main.name}' and '${other.name}', but the one takes ${named(inputs)} and the other ${named(other.runner.inputs)}. Use models with the same inputs, or rename them with tensor_fields.`, { cause });
  };
  try {
    const runner = connect({ inputs, outputs: inputs, run: main.runner.run }, other.runner, at);
    const free = [...inputs, ...other.runner.inputs].some((f) => f.shape.includes(-1));
    if (!free && other.runner.inputs.length > 0) {
      const lone = inputs.length === 1 && other.runner.inputs.length === 1;
      const sample = zeros(inputs, 1);
      conform({ rows: 1, columns: other.runner.inputs.map((f) => ({ ...(lone ? sample.columns[0] : sample.columns.find((c) => c.name === f.name)) as Column, name: f.name })) }, other.runner.inputs);
    }
    return runner;
  } catch (error) {
    return refuse(error);
  }
}
