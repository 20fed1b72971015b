import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Batch, Column } from '@potoroo/batch';
import type { Field } from '@potoroo/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPython, type PythonModelOptions } from '../../packages/engine/src/runtimes/python/python.ts';
import type { Runtime } from '../../packages/engine/src/runtimes/runtime.ts';
import { temporary } from '../frameworks/support.ts';
import { buildMlflowImages, buildServerImage, descriptor, type Release } from './images.ts';
import { containers } from './podman.ts';

const { folder, remove } = temporary();
const running: Runtime[] = [];
beforeAll(() => { buildServerImage('server', 'well'); }, 300_000);
afterAll(async () => {
  await Promise.all(running.map((r) => r.unload()));
  remove();
});

const scalar = (name: string, type: Field['type'] = 'float64'): Field => ({ name, type, shape: [] });
const floats = (...values: number[]): Batch => ({ rows: values.length, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.from(values) }] });
const numbers = (batch: Batch, at = 0): number[] => [...((batch.columns[at] as Column & { values: Float64Array }).values)];
const refusal = (of: unknown): Promise<{ code: string; message: string }> => Promise.resolve(of).then((v) => { throw new Error(`was not refused: ${JSON.stringify(v)}`); }, (error: { code: string; message: string }) => error);

type More = Partial<Omit<PythonModelOptions, 'python'>> & { python?: Partial<PythonModelOptions['python']> };
async function load(image: string, { python, ...more }: More = {}): Promise<Runtime> {
  const runtime = await loadPython({
    file: descriptor(image, folder), fileName: image, framework: 'mlflow-image', threads: 1, inputSchema: [scalar('x')], outputSchema: [scalar('y')], onLog: () => {}, ...more,
    python: { isolation: 'container', ...python },
  });
  running.push(runtime);
  return runtime;
}
/** The server of the tests, behaving as it is told. */
const server = (behaves: string, more: More = {}): Promise<Runtime> => load('server', { ...more, python: { ...more.python, env: { BEHAVES: behaves, ...more.python?.env } } });

describe.each(['current', 'guide'] as const)('an image of MLflow (%s)', (release: Release) => {
  let expected: ReturnType<typeof buildMlflowImages>;
  beforeAll(() => { expected = buildMlflowImages(release, folder); }, 900_000);

  it('answers a frame as the model itself does', async () => {
    const runtime = await load(`${release}-bikes`, { inputSchema: [scalar('temp', 'float32'), scalar('workingday', 'int32')], outputSchema: [scalar('predicted_mean', 'float32')] });
    const { rows, answers } = expected.bikes;
    const batch: Batch = { rows: answers.length, columns: [
      { kind: 'tensor', name: 'temp', type: 'float32', shape: [], values: Float32Array.from(rows.temp) }, { kind: 'tensor', name: 'workingday', type: 'int32', shape: [], values: Int32Array.from(rows.workingday) },
    ] };
    expect(numbers(await runtime.run(batch))).toEqual(answers.map(Math.fround));
    expect(runtime.describe()).toMatchObject({ notes: expect.arrayContaining([expect.stringMatching(release === 'guide' ? /version 1\.30\.0/ : /version 3\./)]) as string[] });
  });

  it('answers a tensor, without a name for what it gives', async () => {
    const runtime = await load(`${release}-matrix`, { inputSchema: [{ name: 'values', type: 'float32', shape: [4] }], outputSchema: [scalar('prediction')] });
    const { rows, answers } = expected.matrix;
    const given = numbers(await runtime.run({ rows: rows.length, columns: [{ kind: 'tensor', name: 'values', type: 'float32', shape: [4], values: Float32Array.from(rows.flat()) }] }));
    given.forEach((value, i) => expect(value).toBeCloseTo(answers[i] as number, 5));
    expect(given).toHaveLength(answers.length);
  });

  it('is ready without schemas when it answers its ping', async () => {
    const runtime = await loadPython({ file: descriptor(`${release}-bikes`, folder), fileName: 'bikes', framework: 'mlflow-image', threads: 1, onLog: () => {}, python: { isolation: 'container' } });
    running.push(runtime);
    expect(runtime.describe()).toMatchObject({ inputs: [], outputs: [] });
  });
});

describe('a server in an image', () => {
  it('takes nulls and many rows, in one order', async () => {
    const runtime = await server('well', { inputSchema: [scalar('x')], outputSchema: [scalar('y')] });
    const many = Array.from({ length: 2000 }, (_, i) => i / 3);
    expect(numbers(await runtime.run(floats(...many)))).toEqual(many.map((v) => 2 * v));
  });

  it('works on requests at the same time', async () => {
    const runtime = await server('slow');
    const start = performance.now();
    const answers = await Promise.all(Array.from({ length: 4 }, (_, i) => runtime.run(floats(i))));
    expect(answers.map((a) => numbers(a)[0])).toEqual([0, 2, 4, 6]);
    expect(performance.now() - start).toBeLessThan(1100); // four one after the other would be 1200
    expect(runtime.slots).toBeGreaterThanOrEqual(4);
  });

  it('that dies loses what was in flight, and is started again', async () => {
    const runtime = await server('dies');
    expect(await refusal(runtime.run(floats(-1)))).toMatchObject({ code: 'model_process_lost', message: expect.stringContaining('SIGKILL') as string });
    expect(numbers(await runtime.run(floats(3)))).toEqual([6]);
  });

  it('that hangs is ended, and the next request is served', async () => {
    const runtime = await server('hangs', { runMs: 1000 });
    expect(await refusal(runtime.run(floats(-1)))).toMatchObject({ code: 'deadline_exceeded' });
    expect(numbers(await runtime.run(floats(3)))).toEqual([6]);
  });

  it('that refuses says why, without its stack', async () => {
    const runtime = await server('refuses');
    const error = await refusal(runtime.run(floats(-1)));
    expect(error).toMatchObject({ code: 'inference_failed', message: "The model's container answered 500: INTERNAL_ERROR: negative" });
    expect(numbers(await runtime.run(floats(3)))).toEqual([6]);
  });

  it.each([
    ['other-names', /"z"/], ['too-few', /2 rows for 1/], ['text', /much|string|number/i], ['lists', /list/i], ['nothing', /null|list/i], ['nonsense', /not fit/],
  ])('that answers %s does not pass its warm-up', async (behaves, message) => {
    expect(await refusal(server(behaves))).toMatchObject({ code: 'warm_up_failed', message: expect.stringMatching(message) as string });
  });

  it('that never gets ready is given up, with what it last did', async () => {
    expect(await refusal(server('never-ready', { startMs: 3000 }))).toMatchObject({ code: 'engine_start_timeout', message: expect.stringContaining('answers /ping with 503') as string });
    expect(await refusal(server('well', { startMs: 3000, python: { env: { PORT: '9' } } }))).toMatchObject({ code: expect.stringMatching(/engine_start_timeout|model_process_lost/) as string });
  });

  it('that exits is refused with its last line', async () => {
    expect(await refusal(server('exits'))).toMatchObject({ code: 'model_process_lost', message: expect.stringContaining('there is nothing to serve') as string });
  });

  it.each([
    ['is not JSON', 'hello'], ['names no image', '{"image": 3}'], ['names a tag', '{"image": "localhost/server:latest"}'],
  ])('whose file %s is refused', async (_, text) => {
    const file = join(folder, 'bad.json');
    writeFileSync(file, text);
    expect(await refusal(loadPython({ file, fileName: 'bad', framework: 'mlflow-image', threads: 1, python: { isolation: 'container' } }))).toMatchObject({ code: 'model_invalid' });
  });

  it('that is not on this machine is refused', async () => {
    const file = join(folder, 'gone.json');
    writeFileSync(file, JSON.stringify({ image: `localhost/gone@sha256:${'0'.repeat(64)}` }));
    expect(await refusal(loadPython({ file, fileName: 'gone', framework: 'mlflow-image', threads: 1, python: { isolation: 'container' } }))).toMatchObject({ code: 'image_unavailable' });
  });

  it('leaves nothing behind when it is unloaded', async () => {
    const before = containers().length;
    const runtime = await server('well');
    expect(containers()).toHaveLength(before + 1);
    await runtime.unload();
    await expect.poll(() => containers().length).toBe(before);
  });
});
