import { spawnSync } from 'node:child_process';
import { createReadStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeArrowSchema, utf8At, type Column, type Utf8 } from '@potoroo/batch';
import type { ModelConfig } from '@potoroo/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPython } from '../../packages/engine/src/runtimes/python/python.ts';
import type { ModelVersion } from '../../packages/ops/src/domains/domains.ts';
import { Environments, type Environment } from '../../packages/ops/src/domains/environments/environments.service.ts';
import { inspectInChild } from '../../packages/ops/src/domains/models/inspection.ts';
import { loadWithPython, type Loaded } from '../../packages/ops/src/domains/models/python-loads.ts';
import { openBlobFolder } from '../../packages/ops/src/storage/blobs.ts';
import { environments, expectSameAnswers, makeModels, temporary, type Case } from './support.ts';

const { folder, remove } = temporary();
afterAll(remove);
const guide = async (framework: string): Promise<Environment> => environments.ensure(await environments.plan({ framework, requirements: [], pythonVersion: '3.11', versions: 'guide' }));

/** What becomes of an uploaded file. */
async function upload({ file, framework, inputSchema, outputSchema }: Case, conversion: Record<string, unknown>): Promise<{ loaded: Loaded; log: string[] }> {
  const blobs = await openBlobFolder(join(folder, 'blobs'));
  const { sha256, size } = await blobs.put(createReadStream(file));
  const version: ModelVersion = {
    id: 1, modelId: 1, workspaceId: 1, name: 'm', version: 'v', sha256, size, fileName: file.split('/').at(-1) ?? '', framework, runtime: 'onnx', arch: 'x86', accel: 'none', visibility: 'private',
    status: 'pending_load_native', reason: null, inputs: null, outputs: null, convertedSha256: null, environment: null, conversion: { python_version: '3.11', ...conversion }, createdAt: new Date(0), updatedAt: new Date(0), createdBy: 'u',
  };
  const read = (text: string | null): ModelConfig['inputSchema'] => (text === null ? [] : decodeArrowSchema(Buffer.from(text, 'base64')));
  const log: string[] = [];
  const inspector = fileURLToPath(new URL('../../packages/engine/dist/inspect.js', import.meta.url));
  const loaded = await loadWithPython({ environments, blobs, inspect: inspectInChild(inspector, 120_000), timeoutMs: 120_000 }, version, { inputSchema: read(inputSchema), outputSchema: read(outputSchema) } as ModelConfig, {
    status: async () => {}, say: (text) => { log.push(text); }, signal: new AbortController().signal,
  });
  return { loaded, log };
}

describe.each([
  ['sklearn', ['sklearn-1.3.0-logistic', 'sklearn-1.3.0-forest'], 'scikit-learn==1.3.0'],
  ['xgboost', ['sklearn-1.3.0-logistic', 'sklearn-1.3.0-forest', 'xgboost-1.7.4', 'xgboost-1.7.4-booster'], 'xgboost==1.7.4'],
])('pickles of the versions that the guide names, %s', (framework, names, pin) => {
  let environment: Environment;
  let cases: Case[];
  beforeAll(async () => {
    environment = await guide(framework);
    const models = join(folder, framework);
    mkdirSync(models);
    cases = makeModels('guide_versions.py', environment.python, models);
  }, 1_200_000);

  it('are those of the environment that "guide" asks for', () => {
    expect(environment.packages).toContain(pin);
    expect(cases.map((c) => c.name)).toEqual(names);
  });
  it.each(names.filter((name) => name.startsWith(framework)))('%s answers as it did where it was made', async (name) => {
    const found = cases.find((c) => c.name === name) as Case;
    const runtime = await expectSameAnswers(found, environment, join(folder, framework));
    await runtime.unload();
  });
  it('are loaded as an upload asks: with versions "guide", or with the versions as requirements', async () => {
    const found = cases.findLast((c) => c.framework === framework) as Case;
    const asked = await upload(found, { versions: 'guide' });
    expect(asked.loaded, asked.log.join('\n')).toMatchObject({ ok: true });
    const pinned = await upload(found, { requirements: ['scikit-learn==1.3.0', 'numpy<2', 'pandas<2.3', ...(framework === 'xgboost' ? ['xgboost==1.7.4'] : [])] });
    expect(pinned.loaded, pinned.log.join('\n')).toMatchObject({ ok: true });
    // The same packages are the same environment.
    if (asked.loaded.ok && pinned.loaded.ok) expect(pinned.loaded.environment).toBe(asked.loaded.environment);
  });
});

describe('Python', () => {
  it('is the one that the upload asks for, of those that are here', async () => {
    const file = join(folder, 'which.py');
    writeFileSync(file, "import sys\ndef wallaroo_json(data):\n    return {'python': ['%d.%d' % sys.version_info[:2]] * len(data)}\n");
    const pythons = await environments.pythons();
    expect(pythons).toContain('3.11');
    for (const pythonVersion of pythons) {
      const environment = await environments.ensure(await environments.plan({ framework: 'python', requirements: [], pythonVersion }));
      const runtime = await loadPython({
        file, fileName: 'which.py', framework: 'python', threads: 1, inputSchema: [{ name: 'x', type: 'float64', shape: [] }], outputSchema: [{ name: 'python', type: 'string', shape: [] }], onLog: () => {},
        python: { environment: environment.hash, python: environment.python },
      });
      const answer = await runtime.run({ rows: 1, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.of(1) }] });
      expect(utf8At((answer.columns[0] as Column & { values: Utf8 }).values, 0)).toBe(pythonVersion);
      await runtime.unload();
    }
  });
});

describe('a package that comes without a wheel', () => {
  const cache = join(folder, 'cache');
  const kept = process.env['PIP_FIND_LINKS'];
  beforeAll(() => {
    const source = join(cache, 'potoroo_probe-1.0');
    mkdirSync(join(source, 'potoroo_probe'), { recursive: true });
    writeFileSync(join(source, 'setup.py'), "from setuptools import setup\nsetup(name='potoroo-probe', version='1.0', packages=['potoroo_probe'])\n");
    writeFileSync(join(source, 'PKG-INFO'), 'Metadata-Version: 2.1\nName: potoroo-probe\nVersion: 1.0\n');
    writeFileSync(join(source, 'potoroo_probe', '__init__.py'), '');
    if (spawnSync('tar', ['-czf', 'potoroo_probe-1.0.tar.gz', 'potoroo_probe-1.0'], { cwd: cache }).status !== 0) throw new Error('tar failed');
    process.env['PIP_FIND_LINKS'] = [cache, ...(kept === undefined ? [] : [kept])].join(' ');
  });
  afterAll(() => {
    if (kept === undefined) delete process.env['PIP_FIND_LINKS'];
    else process.env['PIP_FIND_LINKS'] = kept;
  });
  const made = async (sourceBuilds: boolean): Promise<Environment> => {
    const own = new Environments({ root: join(folder, `environments-${sourceBuilds}`), cache, uv: false, sourceBuilds });
    return own.ensure(await own.plan({ framework: 'python', requirements: ['potoroo-probe==1.0'], pythonVersion: '3.11' }));
  };

  it('is refused with the requirement and the reason', async () => {
    await expect(made(false)).rejects.toMatchObject({ code: 'environment_failed', message: expect.stringMatching(/potoroo-probe==1\.0.*wheel/) as string });
  });
  it('is built where the server allows it', async () => {
    expect((await made(true)).packages).toContain('potoroo-probe==1.0');
  });
});
