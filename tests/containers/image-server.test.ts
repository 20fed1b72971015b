import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Batch } from '@potoroo/batch';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Runtime } from '../../packages/engine/src/runtimes/runtime.ts';
import { Sidekicks } from '../../packages/engine/src/runtimes/sidekicks.ts';
import { floats, Models, numbers, refusal, scalar, type More } from '../support/models.ts';
import { buildMlflowImages, buildServerImage, descriptor, type Release } from './images.ts';
import { containers, podman } from './podman.ts';

const models = new Models();
const { folder } = models;
beforeAll(() => { buildServerImage('server', 'well'); }, 300_000);

const load = (image: string, more?: More): Promise<Runtime> => models.load(descriptor(image, folder), 'mlflow-image', more);
const refused = (file: string): Promise<{ code: string; message: string }> => refusal(models.load(file, 'mlflow-image'));
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
    const runtime = await load(`${release}-bikes`, { inputSchema: [], outputSchema: [] });
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
    expect(await refused(file)).toMatchObject({ code: 'model_invalid' });
  });

  it('that is not on this machine is refused', async () => {
    const file = join(folder, 'gone.json');
    writeFileSync(file, JSON.stringify({ image: `localhost/gone@sha256:${'0'.repeat(64)}` }));
    expect(await refused(file)).toMatchObject({ code: 'image_unavailable' });
  });

  it('that challenges gives way to what answers, and what it uses is told', async () => {
    const sidekicks = new Sidekicks('engine-1', () => Promise.resolve());
    const sidekick = sidekicks.add({ id: 1, name: 'server', version: 'v', configId: 1, sha256: '', file: '', fileName: 'server', framework: 'mlflow-image', config: {} }, 0, true);
    const before = containers();
    const runtime = await load('server', { yields: true, sidekick });
    const [own = ''] = containers().filter((name) => !before.includes(name));
    const idle = (): string => podman('exec', own, 'sh', '-c', 'cat /sys/fs/cgroup/cpu.idle /sys/fs/cgroup/cpu/cpu.idle 2>/dev/null || true');
    await expect.poll(idle, { timeout: 20_000 }).toBe('1');
    await expect.poll(() => sidekicks.list()[0]?.memoryBytes ?? 0).toBeGreaterThan(1 << 20);
    await runtime.unload();
  });

  it('leaves nothing behind when it is unloaded', async () => {
    const before = containers().length;
    const runtime = await server('well');
    expect(containers()).toHaveLength(before + 1);
    await runtime.unload();
    await expect.poll(() => containers().length).toBe(before);
  });
});
