import { join } from 'node:path';
import { conform, type Batch, type Column } from '@potoroo/batch';
import { isPotorooError, PotorooError, type Bundle, type BundleModel, type EngineModelStatus, type Field } from '@potoroo/contract';
import { loadModel } from './runtimes/load.ts';
import type { Runtime } from './runtimes/runtime.ts';

export interface PipelineRun {
  outputs: Batch;
  /** Nanoseconds each step took. */
  stepNs: number[];
}

/** A step takes a batch and gives a batch. No fields: a Python step that declares none. */
interface StepRunner {
  inputs: readonly Field[];
  outputs: readonly Field[];
  run(batch: Batch): Batch | Promise<Batch>;
}

export interface Pipeline {
  readonly name: string;
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  readonly lastModel: { name: string; version: string; sha: string };
  readonly models: EngineModelStatus[];
  /** Rows of different requests may share a run. */
  readonly mergeable: boolean;
  /** Only one row a request (the guide's `batch_config: single`). */
  readonly single: boolean;
  /** Runs that may be under way at once; 0 when they happen on the event loop. */
  readonly slots: number;
  readonly notes: readonly string[];
  run(batch: Batch): PipelineRun | Promise<PipelineRun>;
  unload(): Promise<void>;
}

const ns = (ms: number): number => Math.max(1, Math.round(ms * 1e6));

/** Feeds one step's output to the next: by name, or, where each has one column only, that one to the other. */
function connect(previous: StepRunner, next: StepRunner, at: number): StepRunner {
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
  return { ...next, run: (batch) => next.run(take(batch)) };
}

/** Seen through a slow step as well: `Batch` when all steps so far ran on this thread, else a promise. */
function runSteps(steps: readonly StepRunner[], batch: Batch): PipelineRun | Promise<PipelineRun> {
  const stepNs: number[] = [];
  let current = batch;
  for (let i = 0; i < steps.length; i++) {
    const start = performance.now();
    const answer = (steps[i] as StepRunner).run(current);
    if (answer instanceof Promise) return runRest(steps, i, start, batch, answer, stepNs);
    stepNs.push(ns(performance.now() - start));
    current = answer;
  }
  return { outputs: aligned(current, batch), stepNs };
}

/** Steps in between may have any number of rows; what comes out in the end belongs to the rows that went in. */
function aligned(outputs: Batch, inputs: Batch): Batch {
  if (outputs.rows === inputs.rows) return outputs;
  throw new PotorooError('inference_failed', `The pipeline gave ${outputs.rows} rows for the ${inputs.rows} rows of the request. The last step must return one row for each.`);
}

async function runRest(steps: readonly StepRunner[], at: number, start: number, batch: Batch, pending: Promise<Batch>, stepNs: number[]): Promise<PipelineRun> {
  let current = await pending;
  stepNs.push(ns(performance.now() - start));
  for (const step of steps.slice(at + 1)) {
    const from = performance.now();
    current = await step.run(current);
    stepNs.push(ns(performance.now() - from));
  }
  return { outputs: aligned(current, batch), stepNs };
}

const keyOf = (m: { name: string; version: string }): string => `${m.name}/${m.version}`;

/**
 * Loads every model of the bundle and connects the steps. Each model has answered a warm-up inference when this returns.
 * @throws PotorooError naming the model or step that is at fault
 */
export async function loadPipeline(bundle: Bundle, folder: string, cpus: number): Promise<Pipeline> {
  const runtimes = new Map<string, { model: BundleModel; runtime: Runtime }>();
  const unload = async (): Promise<void> => { await Promise.all([...runtimes.values()].map((r) => r.runtime.unload())); };
  try {
    for (const model of bundle.models) {
      const { python, fileName, config: { tensorFields, inputSchema, outputSchema } } = model;
      try {
        const schemas = { ...(inputSchema && { inputSchema }), ...(outputSchema && { outputSchema }) };
        const file = { file: join(folder, model.file), framework: model.framework, ...(tensorFields && { tensorFields }), ...(python && { python, ...(fileName && { fileName }), ...schemas }) };
        runtimes.set(keyOf(model), { model, runtime: await loadModel(file, cpus) });
      } catch (error) {
        if (!isPotorooError(error)) throw error;
        throw new PotorooError(error.code, `Model '${model.name}' (${model.fileName ?? model.file}): ${error.message}`, { cause: error });
      }
    }
    const steps: StepRunner[] = [];
    for (const [i, step] of bundle.steps.entries()) {
      const { runtime } = runtimes.get(keyOf(step.model)) as { runtime: Runtime };
      const { inputs, outputs } = runtime.describe();
      const runner: StepRunner = { inputs, outputs, run: (batch) => runtime.run(batch) };
      const before = steps.at(-1);
      steps.push(before === undefined ? runner : connect(before, runner, i + 1));
    }
    const used = [...runtimes.values()];
    const pooled = used.map((r) => r.runtime.slots).filter((n) => n > 0);
    const first = steps[0] as StepRunner;
    const last = steps.at(-1) as StepRunner;
    const lastModel = (runtimes.get(keyOf((bundle.steps.at(-1) as Bundle['steps'][number]).model)) as { model: BundleModel }).model;
    if (first.inputs.length === 0) throw new PotorooError('pipeline_invalid', `The first step's model '${used[0]?.model.name}' declares no inputs. Give it an input schema: configure(input_schema=...).`);
    if (last.outputs.length === 0) throw new PotorooError('pipeline_invalid', `The last step's model '${lastModel.name}' declares no outputs. Give it an output schema: configure(output_schema=...).`);
    const single = used.some((r) => r.model.config.batchConfig === 'single');
    return {
      name: bundle.pipeline.name,
      inputs: first.inputs,
      outputs: last.outputs,
      lastModel: { name: lastModel.name, version: lastModel.version, sha: lastModel.sha256 },
      models: used.map(({ model }) => ({ name: model.name, version: model.version, sha: model.sha256, status: 'Running' })),
      get mergeable() { return !single && used.every((r) => r.runtime.describe().mergeable); },
      single,
      slots: pooled.length === 0 ? 0 : Math.min(...pooled),
      notes: used.flatMap(({ model, runtime }) => runtime.describe().notes.map((note) => `${model.name}: ${note}`)),
      run: (batch) => runSteps(steps, batch),
      unload,
    };
  } catch (error) {
    await unload();
    throw error;
  }
}
