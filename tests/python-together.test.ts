import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join, relative } from 'node:path';
import type { Batch, Column } from '@potoroo/batch';
import type { Bundle, BundleModel, Field } from '@potoroo/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBundle } from '../packages/engine/src/bundle.ts';
import { loadPipeline, type Pipeline, type PipelineRun } from '../packages/engine/src/pipeline.ts';
import type { Environment } from '../packages/ops/src/domains/environments/environments.service.ts';
import { environmentOf, isolation, temporary } from './frameworks/support.ts';

/** Steps of Python whose requests are handed over together: each of them must see its own rows only, once, and fail alone. */

const { folder, remove } = temporary();
const loaded: Pipeline[] = [];
let environment: Environment;
let count = 0;
beforeAll(async () => { environment = await environmentOf('sklearn', ['pillow==11.3.0']); }, 600_000);
afterAll(async () => {
  await Promise.all(loaded.map((pipeline) => pipeline.unload()));
  remove();
});

const field = (name: string, shape: number[] = []): Field => ({ name, type: 'float64', shape });

/** A pipeline of such steps: code, outputs; each takes what the one before gives. */
async function pipelineOf(...steps: [code: string, outputs: string[]][]): Promise<Pipeline> {
  const bundled = join(folder, `bundle-${count++}`);
  mkdirSync(bundled);
  const models: BundleModel[] = steps.map(([code, outputs], i) => {
    const path = join(bundled, `step-${i}.py`);
    writeFileSync(path, code);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    copyFileSync(path, join(bundled, sha256));
    const inputSchema = (steps[i - 1]?.[1] ?? ['x']).map((name) => field(name));
    return { id: i, configId: i, name: `step-${i}`, version: `v${i}`, sha256, framework: 'python', fileName: `step-${i}.py`, file: sha256, config: { inputSchema, outputSchema: outputs.map((name) => field(name)) }, python: { environment: environment.hash, python: environment.python, isolation } };
  });
  const bundle: Bundle = { format: 1, pipeline: { id: 1, name: 'together', version: 'v', versionId: 1, workspaceId: 1, deploymentId: 1 }, steps: models.map(({ name, version }) => ({ type: 'model', model: { name, version } })), models };
  writeFileSync(join(bundled, 'pipeline.json'), JSON.stringify(bundle));
  // As somebody who starts an engine by hand may name it; the process has a working folder of its own.
  const pipeline = await loadPipeline(await readBundle(bundled), relative(process.cwd(), bundled), 1);
  loaded.push(pipeline);
  return pipeline;
}
const floats = (values: readonly number[]): Batch => ({ rows: values.length, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.from(values) }] });
const run = async (pipeline: Pipeline, ...requests: number[][]): Promise<PipelineRun> =>
  pipeline.run(floats(requests.flat()), requests.map((rows, i) => ({ batch: { rows: rows.length }, requestId: `r${i}` })));
const column = ({ outputs }: PipelineRun, name: string): number[] => [...(outputs.columns.find((c) => c.name === name) as Column & { values: Float64Array }).values];

/** Gives how many rows it saw, and which call of it this was; where x is -1 it fails, where it is -2 its process dies. */
const counting = `import os, sys
calls = 0
def wallaroo_json(data: dict):
    global calls
    if -1.0 in data['x']: raise ValueError('minus one')
    if -2.0 in data['x']: os.kill(os.getpid(), 9)
    calls += 1
    return {'x': data['x'], 'rows': [float(len(data['x']))] * len(data['x']), 'call': [float(calls)] * len(data['x'])}
`;
const outputs = ['x', 'rows', 'call'];

describe('requests that are handed over to a step of Python together', () => {
  it('are run one by one, each once, with its own rows', async () => {
    const pipeline = await pipelineOf([counting, outputs]);
    expect(pipeline.atOnce).toBeGreaterThan(1);
    const requests = Array.from({ length: 40 }, (_, i) => Array.from({ length: 1 + (i % 3) }, (__, k) => i * 10 + k));
    const answer = await run(pipeline, ...requests);
    expect(column(answer, 'x')).toEqual(requests.flat());
    expect(column(answer, 'rows')).toEqual(requests.flatMap((r) => r.map(() => r.length)));
    const calls = column(answer, 'call');
    expect(new Set(calls).size).toBe(requests.length);
    expect(calls).toEqual(calls.toSorted((a, b) => a - b));
  });

  it('fail alone, and their neighbours are not run again', async () => {
    const pipeline = await pipelineOf([counting, outputs]);
    const answer = await run(pipeline, [1], [2, -1, 3], [4, 5], [-1], [6]);
    expect([...answer.failed ?? []].map(([i, error]) => [i, (error as { code?: string }).code])).toEqual([[1, 'inference_failed'], [3, 'inference_failed']]);
    expect(answer.failed?.get(1)?.message).toContain('ValueError: minus one');
    expect(column(answer, 'x')).toEqual([1, 4, 5, 6]);
    expect(column(await run(pipeline, [7]), 'call')).toEqual([Math.max(...column(answer, 'call')) + 1]);
    const none = await run(pipeline, [-1], [-1]);
    expect([none.outputs.rows, [...none.failed?.keys() ?? []]]).toEqual([0, [0, 1]]);
  });

  it('that were not begun when the process dies are run by its successor', async () => {
    const pipeline = await pipelineOf([counting, outputs]);
    await run(pipeline, ...Array.from({ length: 16 }, (_, i) => [i])); // so many are handed over at once now
    const answer = await run(pipeline, [1], [2], [-2], [3], [4]);
    expect([...answer.failed ?? []].map(([i, error]) => [i, (error as { code?: string }).code])).toEqual([[0, 'model_process_lost'], [1, 'model_process_lost'], [2, 'model_process_lost']]);
    expect(column(answer, 'x')).toEqual([3, 4]);
  });

  it('keep their own rows where a step gives another number of them', async () => {
    const twice = "def wallaroo_json(data: dict):\n    x = [v for v in data['x'] if v >= 0]\n    return {'x': x + x}\n";
    const totals = "def wallaroo_json(data: dict):\n    n = len(data['x']) // 2\n    return {'total': [sum(data['x'])] * n}\n";
    const pipeline = await pipelineOf([twice, ['x']], [totals, ['total']]);
    const answer = await run(pipeline, [1, 2], [3], [4, -5], [6, 7, 8]);
    // The third comes out with one row for two.
    expect([...answer.failed ?? []].map(([i, error]) => [i, error.message])).toEqual([[2, expect.stringContaining('gave 1 rows for the 2 rows')]]);
    expect(column(answer, 'total')).toEqual([6, 6, 6, 42, 42, 42]);
  });

  it('that are slow are handed over a few at a time', async () => {
    const slow = "import time\ncalls = 0\ndef wallaroo_json(data: dict):\n    global calls\n    calls += 1\n    time.sleep(0.02)\n    return {'x': data['x'], 'call': [float(calls)] * len(data['x'])}\n";
    const pipeline = await pipelineOf([slow, ['x', 'call']]);
    const answer = await run(pipeline, ...Array.from({ length: 12 }, (_, i) => [i]));
    expect(column(answer, 'x')).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect(new Set(column(answer, 'call')).size).toBe(12);
    expect(pipeline.atOnce).toBe(1);
  });

  it('that do not fit say so each for itself', async () => {
    const strict = "def wallaroo_json(data: dict):\n    return {'y': [10 ** 400 if v == 1 else v for v in data['x']]}\n";
    const answer = await run(await pipelineOf([strict, ['y']]), [0], [1], [2]);
    expect([...answer.failed ?? []].map(([i, error]) => [i, (error as { code?: string }).code])).toEqual([[1, 'schema_mismatch']]);
    expect(column(answer, 'y')).toEqual([0, 2]);
  });

  it('are run once by the first step whatever becomes of them in the next', async () => {
    const pipeline = await pipelineOf(["calls = 0\ndef wallaroo_json(data: dict):\n    global calls\n    calls += 1\n    return {'x': [v + calls / 1000 for v in data['x']]}\n", ['x']], ["def wallaroo_json(data: dict):\n    if min(data['x']) < 0: raise ValueError('below')\n    return {'x': data['x']}\n", ['x']]);
    const call = (value: number): number => Math.round((value % 1) * 1000);
    const [first] = column(await run(pipeline, [1]), 'x').map(call) as [number];
    const some = await run(pipeline, [1], [-5], [2]);
    expect([[...some.failed?.keys() ?? []], column(some, 'x').map(call)]).toEqual([[1], [first + 1, first + 3]]);
    expect([...(await run(pipeline, [-5], [-6])).failed?.keys() ?? []]).toEqual([0, 1]);
    expect(column(await run(pipeline, [1]), 'x').map(call)).toEqual([first + 6]);
  });

  it('that all fail in the first step are not shown to the next, nor again to the first', async () => {
    const pipeline = await pipelineOf([counting, outputs], ["def wallaroo_json(data: dict):\n    return {'call': data['call']}\n", ['call']]);
    const [first] = column(await run(pipeline, [1]), 'call') as [number];
    expect([...(await run(pipeline, [-1], [-1])).failed?.values() ?? []].map((error) => (error as { code?: string }).code)).toEqual(['inference_failed', 'inference_failed']);
    expect(column(await run(pipeline, [1]), 'call')).toEqual([first + 1]);
  });
});
