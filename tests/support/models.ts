import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Batch, Column } from '@potoroo/batch';
import type { Field } from '@potoroo/contract';
import { afterAll, beforeAll } from 'vitest';
import { loadPython, type PythonModelOptions } from '../../packages/engine/src/runtimes/python/python.ts';
import type { Runtime } from '../../packages/engine/src/runtimes/runtime.ts';
import type { Environment } from '../../packages/ops/src/domains/environments/environments.service.ts';
import { environmentOf, isolation, temporary } from '../frameworks/support.ts';

export type More = Partial<Omit<PythonModelOptions, 'python'>> & { python?: Partial<PythonModelOptions['python']> };

export const scalar = (name: string, type: Field['type'] = 'float64'): Field => ({ name, type, shape: [] });
/** A batch with one column, `x`. */
export const floats = (...values: number[]): Batch => ({ rows: values.length, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.from(values) }] });
export const numbers = (batch: Batch, at = 0): number[] => [...((batch.columns[at] as Column & { values: Float64Array }).values)];
/** What a call was refused with; it is an error when it was not. */
export const refusal = (of: unknown): Promise<{ code: string; message: string }> => Promise.resolve(of).then((v) => { throw new Error(`was not refused: ${JSON.stringify(v)}`); }, (error: { code: string; message: string }) => error);

/** Models that run beside the engine, for the tests of one file: a folder and an environment of theirs, and an end to all that was loaded. */
export class Models {
  readonly folder: string;
  /** Of every model that its test says nothing else of. */
  readonly #usual: More;
  readonly #running: Runtime[] = [];
  #environment: Environment | undefined;
  #count = 0;

  constructor(usual: More = {}) {
    const { folder, remove } = temporary();
    this.folder = folder;
    this.#usual = { threads: 1, inputSchema: [scalar('x')], outputSchema: [scalar('y')], onLog: () => {}, ...usual };
    beforeAll(async () => { this.#environment = await environmentOf('sklearn', ['pillow==11.3.0']); }, 600_000);
    afterAll(async () => {
      await Promise.all(this.#running.map((runtime) => runtime.unload()));
      remove();
    });
  }

  get environment(): Environment {
    if (this.#environment === undefined) throw new Error('there is an environment once the tests run');
    return this.#environment;
  }

  /** A path of its own for a file that ends so. */
  path(end: string): string {
    return join(this.folder, `file-${this.#count++}${end}`);
  }

  /** The file of a Python step. */
  script(body: string): string {
    const file = this.path('.py');
    writeFileSync(file, `import json, os, sys, time\n${body}\n`);
    return file;
  }

  options(file: string, framework: string, { python, ...more }: More = {}): PythonModelOptions {
    const { python: interpreter, hash } = this.environment;
    return { file, fileName: basename(file), framework, threads: 1, ...this.#usual, ...more, python: { environment: hash, python: interpreter, isolation, ...this.#usual.python, ...python } };
  }

  async load(file: string, framework: string, more: More = {}): Promise<Runtime> {
    const runtime = await loadPython(this.options(file, framework, more));
    this.#running.push(runtime);
    return runtime;
  }

  step(body: string, more: More = {}): Promise<Runtime> {
    return this.load(this.script(body), 'python', more);
  }
}
