import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeArrowSchema, type TensorColumn } from '@potoroo/batch';
import type { Field } from '@potoroo/contract';
import { DeploymentConfigBuilder, Potoroo } from '@potoroo/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setUpClientPython } from '../python-client/setup.mjs';
import { environmentOf, environmentsFolder, makeModels, readBatch, temporary } from './support.ts';

/** By model-making script: what makes its models, and what is uploaded with the published client. */
const suites: readonly { script: string; framework: string; requirements: string[]; runtimes: Record<string, string> }[] = [
  {
    script: 'light.py', framework: 'sklearn', requirements: ['pillow==11.3.0'],
    runtimes: { 'sklearn-probabilities': 'onnx', 'sklearn-does-not-convert': 'flight', 'sklearn-converts-wrongly': 'flight', 'python-step-dataframe': 'python', 'python-step-of-the-guide': 'python', 'custom-reshaper-of-the-guide': 'flight' },
  },
  { script: 'boosted_models.py', framework: 'xgboost', requirements: ['lightgbm==4.7.0'], runtimes: { 'xgboost-classifier': 'onnx', 'xgboost-booster': 'flight' } },
  { script: 'torch_models.py', framework: 'pytorch', requirements: [], runtimes: { 'pytorch-single': 'onnx', 'pytorch-float64-schema': 'flight', 'pytorch-converts-wrongly': 'flight' } },
  { script: 'tensorflow_models.py', framework: 'keras', requirements: ['scikit-learn==1.9.1'], runtimes: { 'keras-h5': 'onnx', 'keras-saved-model': 'onnx', 'tensorflow-named': 'tensorflow' } },
  {
    script: 'hugging_face_models.py', framework: 'hugging-face-text-generation', requirements: [],
    runtimes: Object.fromEntries([
      'automatic-speech-recognition', 'feature-extraction', 'image-classification', 'image-segmentation', 'image-to-text', 'object-detection', 'question-answering', 'sentiment-analysis', 'stable-diffusion-text-2-img',
      'summarization', 'text-classification', 'text-generation', 'translation', 'zero-shot-classification', 'zero-shot-image-classification', 'zero-shot-object-detection',
    ].map((name) => [name, 'flight'])),
  },
];
const admin = { email: 'admin@example.com', password: 'the-first-password' };

const { folder, remove } = temporary();
let ops: ChildProcess;
let url: string;
let client: string;
beforeAll(async () => {
  client = setUpClientPython();
  const data = join(folder, 'data');
  mkdirSync(data, { mode: 0o700 });
  symlinkSync(environmentsFolder, join(data, 'environments')); // those that are there need not be made again
  const main = fileURLToPath(new URL('../../packages/ops/dist/main.js', import.meta.url));
  ops = spawn(process.execPath, [main], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, POTOROO_DATA_DIR: data, POTOROO_PORT: '0', POTOROO_ADMIN_EMAIL: admin.email, POTOROO_ADMIN_PASSWORD: admin.password, LOG_LEVEL: 'warn', POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11' },
  });
  let text = '';
  url = await new Promise<string>((resolve, reject) => {
    ops.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /listens on (http:\/\/\S+)/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    ops.once('exit', (code) => reject(new Error(`ops ended with ${code}: ${text}`)));
  });
}, 1_200_000);
afterAll(async () => {
  if (ops?.exitCode === null) {
    ops.kill('SIGTERM');
    await once(ops, 'exit');
  }
  remove();
});

interface Done { name: string; ok: boolean; runtime?: string; error?: string }

describe('through the published client', () => {
  it.each(suites)('the models of $script answer as their frameworks do', async ({ script, framework, requirements, runtimes }) => {
    const models = join(folder, script);
    mkdirSync(models);
    const { python } = await environmentOf(framework, requirements);
    makeModels(script, python, models);
    const flow = fileURLToPath(new URL('client_flow.py', import.meta.url));
    const child = spawn(client, [flow, models, ...Object.keys(runtimes)], {
      cwd: models, stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: models, POTOROO_URL: url, MPLBACKEND: 'Agg', PYTHONUNBUFFERED: '1', WALLAROO_USER: admin.email, WALLAROO_PASSWORD: admin.password },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    await once(child, 'close');
    const done = output.split('\n').filter((line) => line.startsWith('{"name"')).map((line) => JSON.parse(line) as Done);
    expect(done.filter((d) => !d.ok)).toEqual([]);
    expect(Object.fromEntries(done.map((d) => [d.name, d.runtime]))).toEqual(runtimes);
  });
});

describe('through the SDK, as the published client has no name for it', () => {
  it('a LightGBM model answers as its framework does', async () => {
    const models = join(folder, 'lightgbm');
    mkdirSync(models);
    const { python } = await environmentOf('xgboost', ['lightgbm==4.7.0']);
    const potoroo = new Potoroo({ url, username: admin.email, password: admin.password });
    const workspace = await potoroo.workspaces.default();
    for (const found of makeModels('boosted_models.py', python, models).filter((c) => ['lightgbm-classifier', 'lightgbm-text'].includes(c.name))) {
      const [rows, expected] = [readBatch(models, found.rows), readBatch(models, found.expected)];
      const schema = (text: string | null): Field[] => decodeArrowSchema(Buffer.from(text ?? '', 'base64'));
      const model = await workspace.uploadModel(found.name, found.file, { framework: found.framework, inputSchema: schema(found.inputSchema), outputSchema: schema(found.outputSchema) });
      expect(model.info).toMatchObject({ status: 'ready', runtime: 'onnx' });
      const pipeline = (await workspace.buildPipeline(found.name)).addModelStep(model);
      await (await pipeline.deploy({ config: new DeploymentConfigBuilder().replicaCount(1).cpus(1).memory('1Gi').build() })).waitUntilRunning();
      const inputs = (rows.columns[0] as TensorColumn).values as Float32Array;
      const records = await pipeline.infer(Array.from({ length: rows.rows }, (_, i) => ({ inputs: [...inputs.subarray(4 * i, 4 * i + 4)] })), { dataset: ['out'] });
      const batch = await pipeline.infer(rows, { dataset: ['out'] });
      for (const column of expected.columns) {
        const { values, shape } = column as TensorColumn & { values: Float32Array };
        const width = shape[0] ?? 1;
        const arrow = batch.columns.find((c) => c.name === `out.${column.name}`) as TensorColumn & { values: Float32Array };
        expect(arrow.values).toHaveLength(values.length);
        values.forEach((value, i) => {
          const cell = records[Math.floor(i / width)]?.[`out.${column.name}`];
          expect(Number(Array.isArray(cell) ? cell[i % width] : cell)).toBeCloseTo(value, 5);
          expect(Number(arrow.values[i])).toBeCloseTo(value, 5);
        });
      }
      await (await pipeline.undeploy()).waitUntilStopped();
    }
  });
});
