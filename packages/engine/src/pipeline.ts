import { resolve } from 'node:path';
import { take, type Batch } from '@potoroo/batch';
import { challengerNames, isPotorooError, modelsOfStep, PotorooError, validationsOf, warningsOf, type Bundle, type BundleModel, type EngineModelStatus, type Field, type ModelRef, type Step } from '@potoroo/contract/plain';
import { loadChallenger, loadModel } from './runtimes/load.ts';
import type { Each, Runtime } from './runtimes/runtime.ts';
import type { Sidekicks } from './runtimes/sidekicks.ts';
import { keyField, type KeyColumn } from './steps/keys.ts';
import { routeOf, splitRunner } from './steps/split.ts';
import { connect, modelRunner, standIn, type ModelIdentity, type RunContext, type RunRequest, type ShadowInput, type SplitRecord, type StepRunner } from './steps/step.ts';
import { compileChecks, type Checks } from './steps/validations.ts';

export interface PipelineRun {
  outputs: Batch;
  /** Nanoseconds each step took. */
  stepNs: number[];
  /** Where rows went, one for each split. */
  splits?: readonly SplitRecord[] | undefined;
  /** What challengers are to see. */
  shadows?: readonly ShadowInput[] | undefined;
  /** Requests, by their place, that have no rows in all of this, and why. */
  failed?: ReadonlyMap<number, Error> | undefined;
}

/** A model that sees what a champion saw. */
export interface Challenger {
  /** Its columns are `<dataset>.<field>`. */
  readonly dataset: string;
  /** Which shadow step, counted from 0. */
  readonly step: number;
  readonly fraction: number;
  readonly outputs: readonly Field[];
  /** Requests whose rows may lie in one run. */
  readonly atOnce: () => number;
  /** Only one row a run. */
  readonly single: boolean;
  /** @param rows of each request, those of `batch` in all */
  run(batch: Batch, rows: readonly number[]): Promise<Each>;
}

export interface Pipeline {
  readonly name: string;
  readonly inputs: readonly Field[];
  /** The inputs that models take; behind them `inputs` has the keys. */
  readonly modelInputs: readonly Field[];
  /** Columns beyond the models' inputs that splits decide by. */
  readonly keys: readonly KeyColumn[];
  readonly keyNames: ReadonlySet<string>;
  readonly outputs: readonly Field[];
  /** Where the last step splits, its first model. */
  readonly lastModel: ModelIdentity;
  readonly lastIsSplit: boolean;
  readonly splits: number;
  readonly checks: Checks | undefined;
  readonly challengers: readonly Challenger[];
  readonly models: EngineModelStatus[];
  /** Requests whose rows may lie in one run. */
  readonly atOnce: number;
  /** Only one row a request (the guide's `batch_config: single`). */
  readonly single: boolean;
  /** Runs that may be under way at once; 0 when they happen on the event loop. */
  readonly slots: number;
  readonly notes: readonly string[];
  /** `requests` are those whose rows lie in the batch, in order. */
  run(batch: Batch, requests: readonly RunRequest[]): PipelineRun | Promise<PipelineRun>;
  unload(): Promise<void>;
}

const ns = (ms: number): number => Math.max(1, Math.round(ms * 1e6));

/** Seen through a slow step as well: `Batch` when all steps so far ran on this thread, else a promise. */
function runSteps(steps: readonly StepRunner[], batch: Batch, context: RunContext): PipelineRun | Promise<PipelineRun> {
  const stepNs: number[] = [];
  let current = batch;
  for (let i = 0; i < steps.length; i++) {
    const start = performance.now();
    const answer = (steps[i] as StepRunner).run(current, context);
    if (answer instanceof Promise) return runRest(steps, i, start, context, answer, stepNs);
    stepNs.push(ns(performance.now() - start));
    current = answer;
  }
  return finished(current, stepNs, context);
}

/** Steps in between may have any number of rows; what comes out in the end belongs to the rows that went in. */
function finished(outputs: Batch, stepNs: number[], context: RunContext): PipelineRun {
  const { input, requests, rows, splits, shadows } = context;
  const uneven = (got: number, sent: number): PotorooError =>
    new PotorooError('inference_failed', `The pipeline gave ${got} rows for the ${sent} rows of the request. The last step must return one row for each.`);
  if (rows === undefined) {
    if (outputs.rows !== input.rows) throw uneven(outputs.rows, input.rows);
    return { outputs, stepNs, splits, shadows };
  }
  requests.forEach(({ batch }, i) => {
    if (context.failed?.has(i) !== true && rows[i] !== batch.rows) (context.failed ??= new Map()).set(i, uneven(rows[i] as number, batch.rows));
  });
  const { failed } = context;
  if (failed === undefined) return { outputs, stepNs, splits, shadows };
  return { outputs: without(outputs, rows, failed), stepNs, failed, shadows: shadows?.map(({ step, batch, rows: had }) => ({ step, batch: without(batch, had as readonly number[], failed) })) };
}

/** The rows of all requests but some. @param rows of each request, those of `batch` in all */
export function without(batch: Batch, rows: readonly number[], some: { has(request: number): boolean }): Batch {
  const kept: number[] = [];
  let from = 0;
  rows.forEach((n, request) => {
    if (!some.has(request)) for (let row = from; row < from + n; row++) kept.push(row);
    from += n;
  });
  return kept.length === batch.rows ? batch : take(batch, Int32Array.from(kept));
}

async function runRest(steps: readonly StepRunner[], at: number, start: number, context: RunContext, pending: Promise<Batch>, stepNs: number[]): Promise<PipelineRun> {
  let current = await pending;
  stepNs.push(ns(performance.now() - start));
  for (const step of steps.slice(at + 1)) {
    const from = performance.now();
    // Where nothing is left of any request, there is nothing to run.
    if (current.rows > 0 || context.rows === undefined) current = await step.run(current, context);
    stepNs.push(ns(performance.now() - from));
  }
  return finished(current, stepNs, context);
}

const keyOf = (m: { name: string; version: string }): string => `${m.name}/${m.version}`;

const identityOf = (m: BundleModel): ModelIdentity => ({ name: m.name, version: m.version, sha: m.sha256 });

interface Loaded { readonly model: BundleModel; readonly runtime: Runtime }

/** The models of a bundle as its steps need them; a version that is a challenger is loaded apart from one that answers. */
class Loader {
  readonly answering = new Map<string, Loaded>();
  readonly #challenging: Runtime[] = [];
  readonly #bundle: Bundle;
  readonly #folder: string;
  readonly #cpus: number;
  readonly #sidekicks: Sidekicks | undefined;

  constructor(bundle: Bundle, folder: string, cpus: number, sidekicks: Sidekicks | undefined) {
    this.#bundle = bundle;
    this.#folder = folder;
    this.#cpus = cpus;
    this.#sidekicks = sidekicks;
  }

  async load(): Promise<void> {
    const shadows = new Set(this.#bundle.steps.flatMap((step) => (step.type === 'shadow' ? step.challengers.map((c) => keyOf(c.model)) : [])));
    const answers = new Set(this.#bundle.steps.flatMap((step) => (step.type === 'shadow' ? [step.champion] : modelsOfStep(step))).map(keyOf));
    for (const model of this.#bundle.models) {
      if (shadows.has(keyOf(model)) && !answers.has(keyOf(model))) continue;
      this.answering.set(keyOf(model), { model, runtime: await this.#open(model, false, (file) => loadModel(file, this.#cpus)) });
    }
  }

  async challenger(ref: ModelRef): Promise<Loaded> {
    const model = this.#bundle.models.find((m) => keyOf(m) === keyOf(ref)) as BundleModel;
    const runtime = await this.#open(model, true, loadChallenger);
    this.#challenging.push(runtime);
    return { model, runtime };
  }

  async #open(model: BundleModel, challenger: boolean, open: (file: Parameters<typeof loadModel>[0]) => Promise<Runtime>): Promise<Runtime> {
    const { python, fileName, config: { tensorFields, inputSchema, outputSchema } } = model;
    const step = this.#bundle.steps.findIndex((s) => modelsOfStep(s).some((ref) => keyOf(ref) === keyOf(model)));
    const sidekick = python && this.#sidekicks?.add(model, step, challenger);
    try {
      const schemas = { ...(inputSchema && { inputSchema }), ...(outputSchema && { outputSchema }) };
      return await open({ file: resolve(this.#folder, model.file), framework: model.framework, ...(tensorFields && { tensorFields }), ...(python && { python, ...(fileName && { fileName }), ...(sidekick && { sidekick }), ...schemas }) });
    } catch (error) {
      if (!isPotorooError(error)) throw error;
      throw new PotorooError(error.code, `Model '${model.name}' (${model.fileName ?? model.file}): ${error.message}`, { cause: error });
    }
  }

  of(ref: ModelRef): { identity: ModelIdentity; runner: StepRunner } {
    const { model, runtime } = this.answering.get(keyOf(ref)) as Loaded;
    return { identity: identityOf(model), runner: modelRunner(runtime) };
  }

  async unload(): Promise<void> {
    await Promise.all([...this.answering.values()].map((m) => m.runtime.unload()).concat(this.#challenging.map((r) => r.unload())));
  }
}

type RunningStep = Exclude<Step, { type: 'validations' }>;

/** One step on its own; where its input comes from is connected later. */
function runnerOfStep(step: RunningStep, at: number, loader: Loader, random: () => number, shadow: number): StepRunner {
  const main = loader.of(modelsOfStep(step)[0] as ModelRef);
  switch (step.type) {
    case 'model': return main.runner;
    case 'shadow': {
      const { runner } = main;
      return { ...runner, run(batch, context) {
        (context.shadows ??= []).push({ step: shadow, batch, rows: context.rows });
        return runner.run(batch, context);
      } };
    }
    default: return splitRunner(modelsOfStep(step).map((ref) => loader.of(ref)), routeOf(step, random), at);
  }
}

async function challengersOf(bundle: Bundle, loader: Loader): Promise<Challenger[]> {
  const datasets = challengerNames(bundle.steps);
  const challengers: Challenger[] = [];
  let shadow = 0;
  for (const [i, step] of bundle.steps.entries()) {
    if (step.type !== 'shadow') continue;
    const champion = loader.of(step.champion);
    for (const { model: ref, fraction = 1 } of step.challengers) {
      const { model, runtime } = await loader.challenger(ref);
      const runner = standIn({ name: champion.identity.name, runner: champion.runner }, { name: model.name, runner: modelRunner(runtime) }, i + 1);
      if (runner.outputs.length === 0) throw new PotorooError('pipeline_invalid', `The challenger '${model.name}' declares no outputs. Give it an output schema: configure(output_schema=...).`);
      challengers.push({
        dataset: datasets[challengers.length] as string, step: shadow, fraction, outputs: runner.outputs, single: model.config.batchConfig === 'single', atOnce: () => (runtime.describe().mergeable ? Infinity : runtime.atOnce ?? 1),
        async run(batch, rows) {
          const context: RunContext = { input: batch, requests: [], splits: undefined, shadows: undefined, rows: rows.length > 1 ? rows : undefined };
          const answer = await runner.run(batch, context);
          return { batch: answer, rows: context.rows ?? [answer.rows], failed: context.failed ?? new Map() };
        },
      });
    }
    shadow++;
  }
  return challengers;
}

/** Columns that splits decide by and that are no inputs of the models. */
function keysOf(steps: readonly Step[], inputs: readonly Field[]): KeyColumn[] {
  const keys = new Map<string, KeyColumn>();
  for (const step of steps) {
    const name = step.type === 'random-split' ? step.hashKey : step.type === 'key-split' ? step.splitKey : undefined;
    if (name === undefined) continue;
    const input = inputs.find((f) => f.name === name);
    if (input?.shape.some((d) => d !== 1) === true) throw new PotorooError('pipeline_invalid', `Rows cannot be split by input '${name}': it has rows of shape [${input.shape.join(',')}]. Use a column with one value a row.`);
    if (input === undefined) keys.set(name, { name, required: step.type === 'random-split' || keys.get(name)?.required === true });
  }
  return [...keys.values()];
}

/**
 * Loads every model of the bundle and connects the steps. Each model has answered a warm-up inference when this returns.
 * @param random numbers of [0, 1) that random splits draw
 * @param sidekicks told of every process that runs a model beside this one
 * @throws PotorooError naming the model or step that is at fault
 */
export async function loadPipeline(bundle: Bundle, folder: string, cpus: number, random: () => number = Math.random, sidekicks?: Sidekicks): Promise<Pipeline> {
  const loader = new Loader(bundle, folder, cpus, sidekicks);
  try {
    await loader.load();
    const steps: StepRunner[] = [];
    let shadows = 0;
    let lastStep: RunningStep | undefined;
    for (const [i, step] of bundle.steps.entries()) {
      if (step.type === 'validations') continue;
      const runner = runnerOfStep(step, i + 1, loader, random, shadows);
      const before = steps.at(-1);
      steps.push(before === undefined ? runner : connect(before, runner, i + 1));
      if (step.type === 'shadow') shadows++;
      lastStep = step;
    }
    const used = [...loader.answering.values()];
    const pooled = used.map((r) => r.runtime.slots).filter((n) => n > 0);
    const first = steps[0];
    const last = steps.at(-1);
    if (first === undefined || last === undefined || lastStep === undefined) throw new PotorooError('pipeline_invalid', 'No step of the pipeline runs a model. Add a model step.');
    const lastModel = loader.of(modelsOfStep(lastStep)[0] as ModelRef).identity;
    if (first.inputs.length === 0) throw new PotorooError('pipeline_invalid', `The first step's model '${used[0]?.model.name}' declares no inputs. Give it an input schema: configure(input_schema=...).`);
    if (last.outputs.length === 0) throw new PotorooError('pipeline_invalid', `The last step's model '${lastModel.name}' declares no outputs. Give it an output schema: configure(output_schema=...).`);
    const keys = keysOf(bundle.steps, first.inputs);
    const inputs = keys.length === 0 ? first.inputs : [...first.inputs, ...keys.map(keyField)];
    const taken = first.inputs.length;
    const checks = compileChecks(validationsOf(bundle.steps), inputs, last.outputs);
    const challengers = await challengersOf(bundle, loader);
    // A split takes rows apart by itself, so that those of one request do not lie together any more.
    const apart = bundle.steps.every((s) => s.type !== 'random-split' && s.type !== 'key-split') && used.some((r) => r.runtime.runEach !== undefined);
    const single = used.some((r) => r.model.config.batchConfig === 'single');
    return {
      name: bundle.pipeline.name,
      inputs,
      modelInputs: first.inputs,
      keys,
      keyNames: new Set(keys.map((k) => k.name)),
      outputs: last.outputs,
      lastModel,
      lastIsSplit: lastStep.type === 'random-split' || lastStep.type === 'key-split',
      splits: bundle.steps.filter((s) => s.type === 'random-split' || s.type === 'key-split').length,
      checks,
      challengers,
      models: bundle.models.map((model) => ({ name: model.name, version: model.version, sha: model.sha256, status: 'Running' })),
      get atOnce() {
        let most = single ? 1 : Infinity;
        for (const { runtime } of used) if (!runtime.describe().mergeable) most = Math.min(most, apart ? runtime.atOnce ?? 1 : 1);
        return most;
      },
      single,
      slots: pooled.length === 0 ? 0 : Math.min(...pooled),
      notes: used.flatMap(({ model, runtime }) => runtime.describe().notes.map((note) => `${model.name}: ${note}`)).concat(warningsOf(bundle.steps)),
      run: (batch, requests) => runSteps(steps, keys.length === 0 ? batch : { rows: batch.rows, columns: batch.columns.slice(0, taken) }, {
        input: batch, requests, splits: undefined, shadows: undefined, rows: apart && requests.length > 1 ? requests.map((r) => r.batch.rows) : undefined,
      }),
      unload: () => loader.unload(),
    };
  } catch (error) {
    await loader.unload();
    throw error;
  }
}
