import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Environment } from '../packages/ops/src/domains/environments/environments.service.ts';
import { environmentOf, makeModels, expectSameAnswers, expectConversion, temporary, type Case } from './frameworks/support.ts';

const names = [
  'sklearn-logistic', 'sklearn-probabilities', 'sklearn-pipeline-joblib', 'sklearn-columns', 'sklearn-kmeans', 'sklearn-does-not-convert', 'sklearn-converts-wrongly',
  'python-step-of-the-guide', 'python-step-with-json-text', 'python-step-dataframe', 'python-step-dictionary', 'python-step-records',
  'python-step-json-text-returned', 'python-step-text', 'python-step-arrow', 'custom-reshaper-of-the-guide', 'custom-clusters',
];
const { folder, remove } = temporary();
let environment: Environment;
let cases: Case[];
beforeAll(async () => {
  environment = await environmentOf('sklearn', ['pillow==11.3.0']);
  cases = makeModels('light.py', environment.python, folder);
}, 600_000);
afterAll(remove);

describe('a model in its own process answers as its framework does', () => {
  it.each(names)('%s', async (name) => {
    const found = cases.find((c) => c.name === name);
    expect(found).toBeDefined();
    const runtime = await expectSameAnswers(found as Case, environment, folder);
    await runtime.unload();
  });
  it.each(['sklearn-columns', 'sklearn-kmeans', 'sklearn-pipeline-joblib'])('%s becomes ONNX and agrees', async (name) => {
    await expectConversion(cases.find((c) => c.name === name) as Case, environment, folder);
  });
  it('and every case that was made is among these', () => expect(cases.map((c) => c.name).sort()).toEqual([...names].sort()));
});
