import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { frameworks, imageFramework, isPotorooError, type Field, type ModelConfig, type Reason } from '@potoroo/contract';
import type { Blobs } from '../../storage/blobs.ts';
import type { ModelStatus, ModelVersion } from '../domains.ts';
import { plainEnvironment, runChild } from '../environments/child.ts';
import { pythonRoot, type Environment, type Environments } from '../environments/environments.service.ts';
import type { Finding, Inspect } from './inspection.ts';

/** How a load is going, as it goes. */
export interface Loading { status(status: ModelStatus): Promise<void>; say(text: string): void; readonly signal: AbortSignal }
/** What a model version turned out to be, and how an engine runs it. */
export type Loaded =
  | { ok: true; inputs: Field[]; outputs: Field[]; runtime: string; convertedSha256: string | null; environment: string | null }
  | { ok: false; reason: Reason };

export interface PythonLoadParts { readonly environments: Environments; readonly blobs: Blobs; readonly inspect: Inspect; readonly timeoutMs: number }

type Schemas = Pick<ModelConfig, 'inputSchema' | 'outputSchema'>;

/**
 * Decides what becomes of a model that Python has to load: makes its environment, tries it as ONNX where its framework can be
 * converted, and else loads it in a Python process. Everything that touches its bytes is a confined child process. Never throws.
 */
export async function loadWithPython(parts: PythonLoadParts, version: ModelVersion, config: ModelConfig, loading: Loading): Promise<Loaded> {
  try {
    return await decide(parts, version, config, loading);
  } catch (error) {
    if (!isPotorooError(error)) throw error;
    return { ok: false, reason: { code: error.code, message: error.message } };
  }
}

async function decide(parts: PythonLoadParts, version: ModelVersion, config: ModelConfig, loading: Loading): Promise<Loaded> {
  const { environments, blobs, inspect } = parts;
  const facts = (await environments.catalog()).frameworks[version.framework];
  const converts = facts?.converts === true && version.conversion['convert'] !== false;
  if (facts?.converts === true && !converts) loading.say('Not converted to ONNX: the upload says convert: false.');
  const native = converts || (facts !== undefined && facts.runtime !== 'flight');
  await loading.status(native ? 'pending_load_native' : 'pending_load_container');
  const file = blobs.path(version.sha256);
  const environment = await environmentOf(environments, version, file, loading);
  await loading.status(native ? 'attempting_load_native' : 'attempting_load_container');
  if (converts) {
    const converted = await convert(parts, version, config, environment, loading);
    if (converted !== undefined) return converted;
    await loading.status('attempting_load_container');
  }
  loading.say(`Loading the model in a Python process with environment ${environment.hash}.`);
  const python = { environment: environment.hash, python: environment.python, options: optionsOf(version) };
  const finding = await inspect(file, version.framework, loading.signal, { python, fileName: version.fileName, ...schemasOf(config) });
  for (const line of finding.log) loading.say(line);
  if (!finding.ok) return { ok: false, reason: finding.reason };
  return { ok: true, inputs: finding.inputs, outputs: finding.outputs, runtime: facts?.runtime ?? 'flight', convertedSha256: null, environment: environment.hash };
}

/** What a config says of the columns. */
export const schemasOf = ({ inputSchema, outputSchema }: ModelConfig): Schemas => ({ ...(inputSchema && { inputSchema }), ...(outputSchema && { outputSchema }) });

/** The settings of the upload's `framework_config`, by its framework. */
export function optionsOf({ conversion }: Pick<ModelVersion, 'conversion'>): Record<string, unknown> {
  const given = conversion['framework_config'] as { framework?: unknown; config?: unknown } | null | undefined;
  return typeof given?.framework === 'string' ? { [given.framework]: given.config } : {};
}

/** How many requests it works on at once: its config says it, else its upload. */
export function concurrencyOf({ conversion }: Pick<ModelVersion, 'conversion'>, config: Pick<ModelConfig, 'concurrency'>): number | undefined {
  return config.concurrency ?? (typeof conversion['concurrency'] === 'number' ? conversion['concurrency'] : undefined);
}

/** Whether the engine runs it by itself; undefined while that is not decided. */
export function runsInEngine({ framework, status, environment }: Pick<ModelVersion, 'framework' | 'status' | 'environment'>): boolean | undefined {
  if (framework === imageFramework) return false;
  if ((frameworks as readonly string[]).includes(framework)) return true;
  return status === 'ready' ? environment === null : undefined;
}

async function environmentOf(environments: Environments, version: ModelVersion, file: string, loading: Loading): Promise<Environment> {
  const { conversion, framework } = version;
  const given = Array.isArray(conversion['requirements']) ? conversion['requirements'].filter((line) => typeof line === 'string') : [];
  const needs = await environments.needsOf(file);
  const requirements = [...given, ...needs.lines];
  // A model that says which Python it was made with knows better than what clients say of themselves.
  const pythonVersion = needs.python ?? (typeof conversion['python_version'] === 'string' ? conversion['python_version'] : undefined);
  const versions = conversion['versions'] === 'guide' || conversion['versions'] === 'current' ? conversion['versions'] : undefined;
  const plan = await environments.plan({ framework, requirements, pythonVersion, versions });
  if (pythonVersion !== undefined && pythonVersion !== plan.interpreter.version) loading.say(`Python ${pythonVersion} was asked for and is not here; the model runs on Python ${plan.interpreter.version}.`);
  const found = await environments.find(plan.hash);
  if (found !== undefined) loading.say(`Environment ${plan.hash} with Python ${found.pythonVersion} is there already.`);
  return found ?? environments.ensure(plan, loading.say, loading.signal);
}

/** Undefined: it is to be run by its framework, and the log says why. */
async function convert(parts: PythonLoadParts, version: ModelVersion, config: ModelConfig, environment: Environment, loading: Loading): Promise<Loaded | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'potoroo-convert-'));
  try {
    const work = join(folder, 'work');
    const out = join(work, 'model.onnx');
    await mkdir(work);
    const settings = JSON.stringify({ fileName: version.fileName, options: optionsOf(version), ...schemasOf(config) });
    const end = await runChild(environment.python, ['-m', 'potoroo_runtime.convert', '--model', parts.blobs.path(version.sha256), '--framework', version.framework, '--out', out, '--work', work, '--config', settings], {
      env: plainEnvironment({ PYTHONPATH: pythonRoot, PYTHONNOUSERSITE: '1', HOME: work, TMPDIR: work, TF_CPP_MIN_LOG_LEVEL: '2' }),
      cwd: work, signal: loading.signal, silenceMs: parts.timeoutMs, timeoutMs: parts.timeoutMs,
    });
    const answer = answerOf(end.stdout) ?? { ok: false, reason: end.ended === undefined ? `the process that tried ended with status ${end.code}: ${end.lines.at(-1) ?? ''}` : `it took longer than ${parts.timeoutMs / 1000} s` };
    if (!answer.ok) {
      loading.say(`Not converted to ONNX: ${answer.reason}`);
      return undefined;
    }
    const blob = await parts.blobs.put(createReadStream(out));
    const finding: Finding = await parts.inspect(parts.blobs.path(blob.sha256), 'onnx', loading.signal);
    if (!finding.ok) {
      loading.say(`Converted to ONNX, but the engine cannot run the result: ${finding.reason.message}`);
      return undefined;
    }
    loading.say(`Converted to ONNX; it agrees with the framework on ${answer.rows} rows of made-up data (largest difference ${answer.largestDifference}).`);
    const concurrency = concurrencyOf(version, config);
    if (concurrency !== undefined) loading.say(`The concurrency ${concurrency} has no effect: the engine runs the model, without Python. Upload with convert: false to have Python run it.`);
    return { ok: true, inputs: finding.inputs, outputs: finding.outputs, runtime: 'onnx', convertedSha256: blob.sha256, environment: null };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Answer = { ok: true; rows: number; largestDifference: number } | { ok: false; reason: string };

function answerOf(stdout: string): Answer | undefined {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer;
  } catch {
    return undefined;
  }
}
