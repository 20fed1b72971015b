import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, BundleModel, Field } from '@potoroo/contract';
import { plainEnvironment, runChild } from '../../packages/ops/src/domains/environments/child.ts';
import { pythonRoot, type Environment } from '../../packages/ops/src/domains/environments/environments.service.ts';
import { environmentOf } from '../frameworks/support.ts';

const field = (name: string, shape: number[] = []): Field => ({ name, type: 'float64', shape });

const pre = "import pandas as pd\ndef wallaroo_json(data: pd.DataFrame):\n    return {'inputs': [[a, b, a * b, 1.0] for a, b in zip(data['a'], data['b'])]}\n";
const custom = `import os
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder

class Doubler(Inference):
    @property
    def expected_model_types(self):
        return {int}

    def _predict(self, input_data):
        if (input_data["output"] > 1e6).any():
            os.kill(os.getpid(), 9)
        return {"doubled": input_data["output"] * self.model}

class Builder(InferenceBuilder):
    @property
    def inference(self):
        return Doubler

    def create(self, config):
        made = self.inference()
        made.model = 2
        return made
`;
const post = "def wallaroo_json(data):\n    rows = [{'answer': value + 1} for value in data['doubled'].to_list()]\n    return rows[1:] if rows[0]['answer'] < -1000 else rows\n";
const train = `import pickle, sys
import numpy as np
from sklearn.linear_model import LinearRegression
X = np.random.default_rng(1).normal(size=(50, 4))
pickle.dump(LinearRegression().fit(X, X @ [1.0, 2.0, 3.0, 4.0]), open(sys.argv[1], "wb"))
`;

async function file(folder: string, environment: Environment, name: string): Promise<string> {
  const path = join(folder, name);
  if (name === 'pre.py' || name === 'post.py') writeFileSync(path, name === 'pre.py' ? pre : post);
  else if (name === 'custom.zip') spawnSync('python3', ['-c', 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], "w"); z.writestr("m/a.py", sys.argv[2]); z.close()', path, custom]);
  else {
    const [pickled, work] = [join(folder, 'model.pkl'), join(folder, 'convert')];
    mkdirSync(work);
    spawnSync(environment.python, ['-c', train, pickled]);
    const config = JSON.stringify({ fileName: 'model.pkl', inputSchema: [field('inputs', [4])], outputSchema: [field('output')] });
    const end = await runChild(environment.python, ['-m', 'potoroo_runtime.convert', '--model', pickled, '--framework', 'sklearn', '--out', join(work, 'm.onnx'), '--work', work, '--config', config], { env: plainEnvironment({ PYTHONPATH: pythonRoot, HOME: work }), silenceMs: 60_000, timeoutMs: 60_000 });
    if (!end.stdout.includes('"ok": true')) throw new Error(`The model did not convert: ${end.stdout}${end.lines.join('\n')}`);
    copyFileSync(join(work, 'm.onnx'), path);
  }
  return path;
}

/** Answers of the pipeline to a row. */
export const expected = (a: number, b: number): number => 2 * (a + 2 * b + 3 * a * b + 4) + 1;

/**
 * A bundle, below `folder`, of a Python step, an ONNX model, own code and a Python step, each in a process of its own but the second.
 * Own code kills its process for very large values; the last step drops the first row where its answer is below -1000.
 */
export async function mixedBundle(folder: string): Promise<string> {
  const environment = await environmentOf('sklearn', ['pillow==11.3.0']);
  const steps: [string, string, Field[], Field[]][] = [
    ['pre.py', 'python', [field('a'), field('b')], [field('inputs', [4])]], ['model.onnx', 'onnx', [], []], ['custom.zip', 'custom', [field('output')], [field('doubled')]], ['post.py', 'python', [field('doubled')], [field('answer')]],
  ];
  const bundled = join(folder, 'bundle');
  mkdirSync(bundled);
  const models: BundleModel[] = [];
  for (const [i, [name, framework, inputSchema, outputSchema]] of steps.entries()) {
    const path = await file(folder, environment, name);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    copyFileSync(path, join(bundled, sha256));
    const native = framework === 'onnx';
    models.push({
      id: i, configId: i, name: name.split('.')[0] ?? '', version: `v${i}`, sha256, framework, fileName: name, file: sha256, config: native ? {} : { inputSchema, outputSchema },
      ...(!native && { python: { environment: environment.hash, python: environment.python } }),
    });
  }
  const bundle: Bundle = { format: 1, pipeline: { id: 1, name: 'mixed', version: 'v', versionId: 1, workspaceId: 1, deploymentId: 1 }, steps: models.map(({ name, version }) => ({ type: 'model', model: { name, version } })), models };
  writeFileSync(join(bundled, 'pipeline.json'), JSON.stringify(bundle));
  return bundled;
}
