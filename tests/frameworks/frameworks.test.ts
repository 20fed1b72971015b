import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Environment } from '../../packages/ops/src/domains/environments/environments.service.ts';
import { loadPython } from '../../packages/engine/src/runtimes/python/python.ts';
import { environmentOf, makeModels, expectSameAnswers, expectConversion, optionsOf, temporary, type Case } from './support.ts';

/** Model-making scripts, the environment each runs in, and the cases that have to come out of it. */
const suites: readonly { script: string; framework: string; requirements: string[]; names: string[] }[] = [
  { script: 'boosted_models.py', framework: 'xgboost', requirements: ['lightgbm==4.7.0'], names: ['xgboost-classifier', 'xgboost-regressor', 'xgboost-json', 'xgboost-ubj', 'xgboost-booster', 'lightgbm-classifier', 'lightgbm-regressor', 'lightgbm-text'] },
  { script: 'mxnet_models.py', framework: 'mxnet', requirements: [], names: ['mxnet-gluon', 'mxnet-float64', 'mxnet-two-inputs', 'mxnet-module'] },
  { script: 'torch_models.py', framework: 'pytorch', requirements: [], names: ['pytorch-single', 'pytorch-pth', 'pytorch-ot', 'pytorch-float64-schema', 'pytorch-two', 'pytorch-branches', 'pytorch-converts-wrongly'] },
  {
    script: 'tensorflow_models.py', framework: 'keras', requirements: ['scikit-learn==1.9.1'],
    names: ['keras-h5', 'keras-keras', 'keras-saved-model', 'tensorflow-saved-model', 'tensorflow-named', 'custom-image-clustering-of-the-guide'],
  },
  {
    script: 'hugging_face_models.py', framework: 'hugging-face-text-generation', requirements: [],
    names: [
      'automatic-speech-recognition', 'feature-extraction', 'image-classification', 'image-segmentation', 'image-to-text', 'object-detection', 'question-answering',
      'sentiment-analysis', 'stable-diffusion-text-2-img', 'summarization', 'text-classification', 'text-generation', 'translation', 'zero-shot-classification',
      'zero-shot-image-classification', 'zero-shot-object-detection',
    ],
  },
];

/** Frameworks whose models are archives, by how their cases begin. */
const framed: Record<string, string> = { 'keras-saved': 'keras', 'tensorflow-saved': 'tensorflow', 'text-generation': 'hugging-face-text-generation', 'mxnet-gluon': 'mxnet' };

describe.each(suites)('$script', ({ script, framework, requirements, names }) => {
  const { folder, remove } = temporary();
  let environment: Environment;
  let cases: Case[];
  beforeAll(async () => {
    environment = await environmentOf(framework, requirements);
    cases = makeModels(script, environment.python, folder);
  }, 1_200_000);
  afterAll(remove);

  it('makes the cases that are named here', () => expect(cases.map((c) => c.name).sort()).toEqual(names.toSorted()));
  it.each(names)('%s answers as its framework does', async (name) => {
    const runtime = await expectSameAnswers(cases.find((c) => c.name === name) as Case, environment, folder);
    await runtime.unload();
  });
  const archived = [...new Set(names.map((name) => framed[name.split('-').slice(0, 2).join('-')] ?? '').filter((name) => name !== ''))];
  it.runIf(archived.length > 0)('an archive of something else is refused', async () => {
    const file = join(folder, 'something-else.zip');
    spawnSync(environment.python, ['-c', "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w'); z.writestr('model/readme.txt', 'hello'); z.writestr('model/data/more.txt', ''); z.close()", file]);
    for (const name of archived) {
      const found = cases.find((c) => c.framework === name) as Case;
      const refused = await loadPython({ onLog: () => {}, ...optionsOf({ ...found, file }, environment) }).then((runtime) => runtime.unload(), (error: { code: string; message: string }) => error);
      expect(refused, name).toMatchObject({ code: 'model_invalid' });
    }
  });
  it('models become ONNX where that is promised, and where it is not a reason is given', async () => {
    const promised = cases.filter((c) => c.convert !== undefined);
    for (const found of promised) await expectConversion(found, environment, folder);
    expect(promised.every((c) => names.includes(c.name))).toBe(true);
  });
});
