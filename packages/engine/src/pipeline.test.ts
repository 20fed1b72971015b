import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Batch, TensorColumn } from '@potoroo/batch';
import type { Bundle } from '@potoroo/contract/plain';
import { describe, expect, test } from 'vitest';
import { readBundle } from './bundle.ts';
import { loadPipeline, type Pipeline, type PipelineRun } from './pipeline.ts';
import { temporaryFolder, writeBundle, type BundleOptions } from './testing/bundle.ts';

async function load(models: string[], options: BundleOptions = {}): Promise<Pipeline> {
  const { folder } = writeBundle(models, options);
  return loadPipeline(await readBundle(folder), folder, 1);
}

const numbers = (batch: Batch, i = 0): number[] => [...((batch.columns[i] as TensorColumn).values as Float32Array)];

test('a chain of two whose only columns have different names', async () => {
  const pipeline = await load(['chain-first', 'chain-second']);
  const run = pipeline.run({ rows: 2, columns: [{ kind: 'tensor', name: 'text', type: 'float32', shape: [3], values: Float32Array.of(1, 2, 3, 4, 5, 6) }] }, []) as PipelineRun;
  expect(numbers(run.outputs)).toEqual([12, 30]);
  expect(run.stepNs).toHaveLength(2);
  expect(run.stepNs.every((ns) => ns > 0)).toBe(true);
  expect(pipeline).toMatchObject({ inputs: [{ name: 'text' }], outputs: [{ name: 'score' }], lastModel: { name: 'chain-second' }, atOnce: Infinity, slots: 0, single: false });
});

test('a chain with several columns goes by name, and what is not asked for is left out', async () => {
  const pipeline = await load(['multi', 'chain-named']);
  const run = pipeline.run({ rows: 1, columns: [
    { kind: 'tensor', name: 'amount', type: 'float32', shape: [2], values: Float32Array.of(5, 1) },
    { kind: 'tensor', name: 'count', type: 'int64', shape: [2], values: BigInt64Array.of(1n, 2n) },
  ] }, []) as PipelineRun;
  expect(numbers(run.outputs)).toEqual([6, 0]);
});

test('steps that do not fit are refused when the pipeline is loaded', async () => {
  await expect(load(['multi', 'ccfraud'])).rejects.toMatchObject({ code: 'pipeline_invalid', message: "Step 2 needs 'dense_input', but the step before gives 'total', 'label', 'above'. Rename the inputs with tensor_fields or the outputs in the model." });
});

test('a model that cannot be loaded is named', async () => {
  await expect(load(['ccfraud', 'bad-opset'])).rejects.toMatchObject({ code: 'model_unsupported', message: expect.stringMatching(/^Model 'bad-opset' \(bad-opset\.onnx\): The model uses opset 99/) });
});

test('batch_config single is never merged', async () => {
  expect(await load(['ccfraud'], { configs: [{ batchConfig: 'single' }] })).toMatchObject({ single: true, atOnce: 1 });
});

describe('a bundle that is not right says which field', () => {
  const change = (f: (b: Record<string, unknown> & Bundle) => void) => (folder: string): void => {
    const path = join(folder, 'pipeline.json');
    const bundle = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown> & Bundle;
    f(bundle);
    writeFileSync(path, JSON.stringify(bundle));
  };
  test.each<[string, (folder: string) => void, RegExp]>([
    ['not JSON', (folder) => writeFileSync(join(folder, 'pipeline.json'), '{"format":1'), /this is not JSON/],
    ['null', (folder) => writeFileSync(join(folder, 'pipeline.json'), 'null'), /format must be 1/],
    ['another format', change((b) => { (b as { format: number }).format = 2; }), /format must be 1/],
    ['no steps', change((b) => { b.steps = []; }), /steps must have at least one/],
    ['no models', change((b) => { b.models = []; }), /models must have at least one/],
    ['an id that is text', change((b) => { (b.pipeline as { id: unknown }).id = '7'; }), /pipeline\.id must be an integer/],
    ['a step without its model', change((b) => { (b.steps[0] as { model: { name: string } }).model.name = 'other'; }), /steps\[0\] runs model 'other'/],
    ['an unknown step', change((b) => { (b.steps[0] as { type: string }).type = 'dance'; }), /steps\[0\]\.type/],
    ['a file outside', change((b) => { (b.models[0] as { file: string }).file = '../../etc/passwd'; }), /models\[0\]\.file must be a path inside the bundle/],
    ['an absolute file', change((b) => { (b.models[0] as { file: string }).file = '/etc/passwd'; }), /models\[0\]\.file must be a path inside the bundle/],
    ['no sha', change((b) => { delete (b.models[0] as { sha256?: string }).sha256; }), /models\[0\]\.sha256 must be a string/],
  ])('%s', async (_, spoil, message) => {
    const { folder } = writeBundle(['ccfraud']);
    spoil(folder);
    await expect(readBundle(folder)).rejects.toMatchObject({ code: 'pipeline_invalid', message: expect.stringMatching(message) });
  });
  test('an empty folder', async () => {
    const folder = join(temporaryFolder(), 'empty');
    mkdirSync(folder);
    await expect(readBundle(folder)).rejects.toMatchObject({ code: 'pipeline_invalid', message: expect.stringMatching(/does not exist.*--bundle/) });
  });
});
