import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { PotorooError, type Field, type PythonModel } from '@potoroo/contract/plain';
import { loadOnnx } from './onnx/onnx.ts';
import { openPool } from './onnx/pool.ts';
import type { LoadOptions, Runtime } from './runtime.ts';
import type { SidekickReport } from './sidekicks.ts';

/** A run longer than this would hold up every other connection, so such models go to worker threads. */
const inlineMs = 2;
/** Every worker thread has its own copy of the weights. Above this size one thread gets all the cores instead. */
const sharedAboveBytes = 256 * 1024 * 1024;

const loaders: Readonly<Record<string, (file: string, options: LoadOptions) => Promise<Runtime>>> = { onnx: loadOnnx };

export interface ModelFile {
  file: string;
  framework: string;
  tensorFields?: readonly string[];
  /** Where it runs, for a model that needs a Python process; the rest is for such models only. */
  python?: PythonModel;
  /** The name it was uploaded with: its ending may tell the format. */
  fileName?: string;
  inputSchema?: readonly Field[];
  outputSchema?: readonly Field[];
  /** What it prints; the engine's log by default. */
  onLog?: (stream: 'stdout' | 'stderr', line: string) => void;
  /** Once loaded it runs only where nothing else wants the core. */
  yields?: boolean;
  /** Told what becomes of its process and what that writes. */
  sidekick?: SidekickReport;
}

/**
 * Loads a model on this thread and proves it with a warm-up inference.
 * @throws PotorooError `framework_unsupported`, `model_invalid`, `model_unsupported`, `warm_up_failed`
 */
export async function loadHere(model: ModelFile, threads: number): Promise<Runtime> {
  if (model.python !== undefined) return loadInPython(model, model.python, threads);
  const load = loaders[model.framework];
  if (load === undefined) throw new PotorooError('framework_unsupported', `Framework '${model.framework}' is not supported; this engine runs ${Object.keys(loaders).join(', ')}.`);
  const size = await sizeOfFile(model.file);
  if (size <= 0) throw new PotorooError('model_invalid', size === 0 ? 'The model file is empty.' : 'The model file is missing from the bundle.');
  return load(model.file, { threads, ...(model.tensorFields && { tensorFields: model.tensorFields }) });
}

/** Its code is loaded when it is needed: most engines run no Python. */
async function loadInPython(model: ModelFile, python: PythonModel, threads: number): Promise<Runtime> {
  const { loadPython } = await import('./python/python.ts');
  return loadPython({ ...model, python, threads, fileName: model.fileName ?? basename(model.file) });
}

function sizeOfFile(file: string): Promise<number> {
  return stat(file).then((s) => s.size, () => -1);
}

/**
 * Loads a model and decides where it runs: a fast one on the event loop, a slow one in `cpus` worker threads. A slow model
 * is loaded once more, as only a run tells that it is slow; the threads' copies are what stays.
 * @throws PotorooError as `loadHere`
 */
export async function loadModel(model: ModelFile, cpus: number): Promise<Runtime> {
  const cores = Math.max(1, Math.floor(cpus));
  const runtime = await loadHere(model, cores);
  const description = runtime.describe();
  if (model.python !== undefined || description.warmUpMs <= inlineMs) return runtime;
  await runtime.unload();
  const slots = (await sizeOfFile(model.file)) > sharedAboveBytes ? 1 : cores;
  const { file, tensorFields } = model;
  return openPool({ file, threads: Math.max(1, Math.floor(cores / slots)), ...(tensorFields && { tensorFields }) }, description, slots);
}

/**
 * Loads a model that challenges another: always off the event loop, in one thread or process that yields to those that answer.
 * @throws PotorooError as `loadHere`
 */
export async function loadChallenger(model: ModelFile): Promise<Runtime> {
  const runtime = await loadHere({ ...model, yields: true }, 1);
  if (model.python !== undefined) return runtime;
  const description = runtime.describe();
  await runtime.unload();
  const { file, tensorFields } = model;
  return openPool({ file, threads: 1, yields: true, ...(tensorFields && { tensorFields }) }, description, 1);
}
