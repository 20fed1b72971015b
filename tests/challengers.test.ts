import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeArrowFile } from '@potoroo/batch';
import type { Bundle, BundleModel, ModelRef, Step } from '@potoroo/contract';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { fixture, temporaryFolder } from '../packages/engine/src/testing/bundle.ts';
import { endEngines, EngineProcess } from '../packages/engine/src/testing/process.ts';
import { environmentOf } from './frameworks/support.ts';
import type { Environment } from '../packages/ops/src/domains/environments/environments.service.ts';

/** What a Python challenger does with the rows of this test; it is well-behaved with those that are made up to prove it. */
const misdeeds: Readonly<Record<string, string>> = {
  raises: "raise ValueError('always')",
  sleeps: 'time.sleep(2)',
  prints: "[print('x' * 300) for _ in range(2000)]",
  computes: 'end = time.monotonic() + 0.3\n        while time.monotonic() < end: pass',
  exits: 'os._exit(7)',
  'gives-another-shape': "return {'y': [[1.0, 2.0]] * len(data)}",
  'gives-too-many-rows': "return {'y': [[0.0, 0.0, 0.0]] * (len(data) + 1)}",
  'takes-memory': "globals()['kept'] = [bytearray(50_000_000)]",
};
const code = (misdeed: string): string => `import os, time\nimport pandas as pd\n\ndef wallaroo_json(data: pd.DataFrame):\n    if any(row[0] >= 50 for row in data['x']):\n        ${misdeed}\n    return {'y': [[0.0, 0.0, 0.0]] * len(data)}\n`;

let environment: Environment;
let alone: string[];
beforeAll(async () => {
  environment = await environmentOf('sklearn', ['pillow==11.3.0']);
  alone = await ask(await engine([]));
}, 600_000);
afterAll(endEngines, 120_000); // a disk that is busy holds up the end of what writes to it

/** A pipeline of one champion, shown to these challengers. */
function bundle(challengers: readonly string[]): string {
  const folder = join(temporaryFolder(), 'bundle');
  mkdirSync(folder);
  const models = ['times-2', ...challengers].map((name, i): BundleModel => {
    const misdeed = misdeeds[name];
    const file = join(folder, `model-${i}`);
    if (misdeed === undefined) copyFileSync(fixture(name), file);
    else writeFileSync(file, code(misdeed));
    const python = misdeed !== undefined && {
      framework: 'python', fileName: 'challenger.py', python: { environment: environment.hash, python: environment.python },
      config: { inputSchema: [{ name: 'x', type: 'float32' as const, shape: [3] }], outputSchema: [{ name: 'y', type: 'float64' as const, shape: [3] }] },
    };
    return { id: i, configId: i, name, version: `v${i}`, sha256: createHash('sha256').update(readFileSync(file)).digest('hex'), file: `model-${i}`, framework: 'onnx', fileName: `${name}.onnx`, config: {}, ...python };
  });
  const [champion, ...others] = models.map(({ name, version }) => ({ name, version })) as [ModelRef, ...ModelRef[]];
  const steps: Step[] = [others.length === 0 ? { type: 'model', model: champion } : { type: 'shadow', champion, challengers: others.map((model) => ({ model })) }];
  writeFileSync(join(folder, 'pipeline.json'), JSON.stringify({ format: 1, pipeline: { id: 1, name: 'line', version: 'v', versionId: 1, workspaceId: 1, deploymentId: 1 }, steps, models } satisfies Bundle));
  return folder;
}

interface Engine { port: number; pid: number }
async function engine(challengers: readonly string[]): Promise<Engine> {
  const process = new EngineProcess(['--bundle', bundle(challengers), '--listen', '127.0.0.1:0', '--cpus', '1', '--spool', join(temporaryFolder(), 'spool'), '--partition', 'e', '--queue-rows', '40']);
  return { port: await process.port(), pid: process.child.pid as number };
}

/** Every form of request and answer that has nothing of its moment in it. */
function requests(): { path: string; headers: Record<string, string>; body: string | Uint8Array }[] {
  const arrow = 'application/vnd.apache.arrow.file';
  const query = '/pipelines/line?dataset[]=in&dataset[]=out&dataset[]=anomaly';
  return Array.from({ length: 12 }, (_, i) => Array.from({ length: 1 + (i % 4) }, (__, k) => [50 + i + k, 0.1 * i, -k])).flatMap((rows, i) => [
    { path: `${query}&dataset.separator=.`, headers: { 'content-type': 'application/json' }, body: JSON.stringify(rows.map((x) => ({ x }))) },
    { path: query, headers: { 'content-type': arrow, accept: i % 2 === 0 ? arrow : 'application/vnd.apache.arrow.stream' }, body: encodeArrowFile({ rows: rows.length, columns: [{ kind: 'tensor', name: 'x', type: 'float32', shape: [3], values: Float32Array.from(rows.flat()) }] }) },
    { path: '/v2/models/line/infer', headers: {}, body: JSON.stringify({ id: 'q', inputs: [{ name: 'x', datatype: 'FP32', shape: [rows.length, 3], data: rows.flat() }], parameters: { binary_data_output: i % 2 === 0 } }) },
    // What is wrong is refused alike, too.
    { path: query, headers: { 'content-type': 'application/json' }, body: JSON.stringify([{ x: [i] }]) },
  ]);
}
async function ask({ port }: Engine): Promise<string[]> {
  const answers: string[] = [];
  for (const { path, headers, body } of requests()) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body: body as string });
    answers.push(`${answer.status} ${answer.headers.get('content-type')} ${Buffer.from(await answer.arrayBuffer()).toString('latin1')}`);
  }
  return answers;
}
const countsOf = async ({ port }: Engine): Promise<Record<string, { done: number; failed: number; shed: number }>> => ((await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as { shadows: never }).shadows;

test.each([[['times-3', 'slow', 'raises']], [['sleeps', 'prints']], [['exits', 'gives-another-shape', 'gives-too-many-rows']], [['computes', 'takes-memory']]])('beside challengers %j the answers are the same to the byte', async (challengers) => {
  expect(new Set(alone.map((answer) => answer.slice(0, 3)))).toEqual(new Set(['200', '400']));
  const beside = await engine(challengers);
  const answers = await ask(beside);
  answers.forEach((answer, i) => expect(answer, `request ${i}`).toBe(alone[i]));
  // Each did see rows: what it does has happened.
  await vi.waitFor(async () => {
    const counts = await countsOf(beside);
    expect(Object.keys(counts)).toEqual(challengers.map((name) => `out_${name}`));
    for (const [name, { done, failed }] of Object.entries(counts)) {
      if (/raises|exits|gives/.test(name)) expect({ name, done, tried: failed > 0 }).toEqual({ name, done: 0, tried: true });
      else expect(done, name).toBeGreaterThan(0);
    }
  }, { timeout: 30_000 });
});

/** Policies of the threads of a process (`man 7 sched`): 0 is the usual one, 5 is for what runs where no other wants the core. */
function policies(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[38]));
}
const childrenOf = (pid: number): number[] => readdirSync(`/proc/${pid}/task`).flatMap((id) => readFileSync(`/proc/${pid}/task/${id}/children`, 'latin1').split(' ').filter((text) => text !== '').map(Number));

test.runIf(process.platform === 'linux')('challengers run where nothing else wants the core, and what answers does not', async () => {
  const { pid } = await engine(['times-3', 'computes']);
  await vi.waitFor(() => {
    expect(policies(pid).filter((policy) => policy === 5)).toHaveLength(1);
    const [python] = childrenOf(pid);
    expect(new Set(policies(python as number))).toEqual(new Set([5]));
  }, { timeout: 10_000 });
  expect(Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[38])).toBe(0);
});
