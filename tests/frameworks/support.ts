import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeArrow, type Batch, type Column } from '@potoroo/batch';
import { expect } from 'vitest';
import { loadPython, type PythonModelOptions } from '../../packages/engine/src/runtimes/python/python.ts';
import type { Runtime } from '../../packages/engine/src/runtimes/runtime.ts';
import { plainEnvironment, runChild } from '../../packages/ops/src/domains/environments/child.ts';
import { Environments, pythonRoot, type Environment } from '../../packages/ops/src/domains/environments/environments.service.ts';

/** Environments and downloads are kept between runs; the first run needs a package index. */
const kept = fileURLToPath(new URL('../../.venv', import.meta.url));
export const environmentsFolder = join(kept, 'environments');
export const environments = new Environments({ root: environmentsFolder, cache: join(kept, 'cache') });

/** Where models run: the suite of containers runs the same tests as the plain one. */
export const isolation = process.env['POTOROO_TEST_ISOLATION'] === 'container' ? 'container' : 'process';

/** One case as `making.py` writes it down. */
export interface Case {
  name: string; framework: string; file: string; inputSchema: string | null; outputSchema: string | null; rows: string; expected: string;
  tolerance?: number; options?: Record<string, unknown>;
  /** Whether it becomes ONNX, and what the reason has to say when it does not. */
  convert?: boolean; reason?: string;
}

export async function environmentOf(framework: string, requirements: readonly string[]): Promise<Environment> {
  return environments.ensure(await environments.plan({ framework, requirements, pythonVersion: process.env['POTOROO_TEST_PYTHON'] ?? '3.11' }));
}

export function temporary(): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'potoroo-frameworks-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Runs a model-making script and gives its cases. */
export function makeModels(script: string, python: string, folder: string): Case[] {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const env = { ...process.env, HF_HUB_OFFLINE: '1', TF_CPP_MIN_LOG_LEVEL: '3', PYTHONPATH: pythonRoot, PYTHONWARNINGS: 'ignore' };
  const done = spawnSync(python, [path, folder], { encoding: 'utf8', cwd: folder, env, timeout: 1_200_000 });
  if (done.status !== 0) throw new Error(`${script} failed:\n${done.stderr.slice(-4000)}`);
  return JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Case[];
}

export function optionsOf(found: Case, environment: Environment, more: Partial<PythonModelOptions> = {}): PythonModelOptions {
  const { python, ...rest } = more;
  return {
    file: found.file, fileName: found.file.split('/').at(-1) ?? '', framework: found.framework, threads: 1,
    ...rest,
    python: {
      environment: environment.hash, python: environment.python, isolation, ...python,
      ...(found.inputSchema !== null && { inputSchema: found.inputSchema }), ...(found.outputSchema !== null && { outputSchema: found.outputSchema }),
      ...(found.options && { options: found.options }),
    },
  };
}

export const readBatch = (folder: string, name: string): Batch => decodeArrow(new Uint8Array(readFileSync(join(folder, name)))).batch;

/** Loads the case's model, sends its rows and holds the answer against what the framework said. */
export async function expectSameAnswers(found: Case, environment: Environment, folder: string): Promise<Runtime> {
  const runtime = await loadPython({ onLog: () => {}, ...optionsOf(found, environment) });
  try {
    const answer = await runtime.run(readBatch(folder, found.rows));
    const expected = readBatch(folder, found.expected);
    expect(answer.columns.map((c) => c.name)).toEqual(expected.columns.map((c) => c.name));
    expect(answer.rows).toBe(expected.rows);
    expected.columns.forEach((c, i) => { sameColumn(answer.columns[i] as Column, c, found.tolerance ?? 1e-6); });
  } catch (error) {
    await runtime.unload();
    throw error;
  }
  return runtime;
}

/** Tries to convert the case's model, as an upload does, and expects what the case says. */
export async function expectConversion(found: Case, environment: Environment, folder: string): Promise<void> {
  const work = mkdtempSync(join(folder, 'convert-'));
  const config = JSON.stringify({ fileName: found.file.split('/').at(-1), inputSchema: found.inputSchema, outputSchema: found.outputSchema, options: found.options });
  const end = await runChild(environment.python, ['-m', 'potoroo_runtime.convert', '--model', found.file, '--framework', found.framework, '--out', join(work, 'model.onnx'), '--work', work, '--config', config], {
    env: plainEnvironment({ PYTHONPATH: pythonRoot, HOME: work, TMPDIR: work, TF_CPP_MIN_LOG_LEVEL: '3' }), cwd: work, silenceMs: 200_000, timeoutMs: 200_000,
  });
  const answer = JSON.parse(end.stdout.trim().split('\n').at(-1) ?? '') as { ok: boolean; reason?: string };
  expect({ ok: answer.ok, reason: answer.reason }).toEqual({ ok: found.convert, reason: found.convert === true ? undefined : expect.stringContaining(found.reason ?? '') as string });
  expect(existsSync(join(work, 'model.onnx'))).toBe(found.convert);
}

function sameColumn(given: Column, wanted: Column, tolerance: number): void {
  expect({ kind: given.kind, name: given.name }).toEqual({ kind: wanted.kind, name: wanted.name });
  if (given.kind === 'list' && wanted.kind === 'list') {
    expect([...given.offsets]).toEqual([...wanted.offsets]);
    sameColumn(given.items, wanted.items, tolerance);
  } else if (given.kind === 'struct' && wanted.kind === 'struct') {
    wanted.fields.forEach((field, i) => { sameColumn(given.fields[i] as Column, field, tolerance); });
  } else if (given.kind === 'tensor' && wanted.kind === 'tensor') {
    expect({ type: given.type, shape: given.shape }).toEqual({ type: wanted.type, shape: wanted.shape });
    const [a, b] = [given.values, wanted.values];
    if ('offsets' in a || 'offsets' in b) return expect(a).toEqual(b);
    expect(a.length).toBe(b.length);
    const wrong = Array.from(b as ArrayLike<number | bigint>).findIndex((want, i) => {
      const [x, y] = [Number(a[i]), Number(want)];
      return !(x === y || (Number.isNaN(x) && Number.isNaN(y)) || Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(y)));
    });
    expect(wrong === -1 ? 'all values agree' : `${given.name}[${wrong}] is ${a[wrong]} and should be ${b[wrong]}`).toBe('all values agree');
  }
}
