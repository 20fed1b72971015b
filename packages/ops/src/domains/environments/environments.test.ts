import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryLock } from '../../storage/file-lock.ts';
import { runChild } from './child.ts';
import { Environments } from './environments.service.ts';

// Downloads are kept between runs; the first run of these tests needs a package index.
const cache = fileURLToPath(new URL('../../../../../.venv/cache', import.meta.url));
let root: string;
let environments: Environments;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'potoroo-environments-'));
  environments = new Environments({ root, cache });
});
afterAll(async () => {
  await environments.close();
  await rm(root, { recursive: true, force: true });
});

const refusal = (of: Promise<unknown>): Promise<{ code: string; message: string }> => of.then(() => { throw new Error('was not refused'); }, (error: { code: string; message: string }) => error);

it('knows of which frameworks an upload has to say what the model takes: not where the file tells or a config may come later', async () => {
  const { frameworks } = await environments.catalog();
  const needs = Object.keys(frameworks).filter((name) => frameworks[name]?.needsInputSchema === true && !name.startsWith('hugging-face-'));
  expect(needs.toSorted()).toEqual(['keras', 'lightgbm', 'mxnet', 'pytorch', 'sklearn', 'xgboost']);
  expect(frameworks['hugging-face-text-classification']?.needsInputSchema).toBe(true);
});

describe('a plan', () => {
  it('is the same for the same packages and another for other ones', async () => {
    const a = await environments.plan({ framework: 'python', requirements: [] });
    const b = await environments.plan({ framework: 'custom', requirements: ['# nothing more'] });
    const c = await environments.plan({ framework: 'python', requirements: ['six==1.17.0'] });
    expect(b.hash).toBe(a.hash);
    expect(c.hash).not.toBe(a.hash);
  });
  it('takes the versions of the guide when they are asked for', async () => {
    const { requirements } = await environments.plan({ framework: 'sklearn', requirements: [], versions: 'guide' });
    expect(requirements).toContain('scikit-learn==1.3.0');
    expect(requirements.filter((r) => r.startsWith('scikit-learn'))).toHaveLength(1);
    const old = new Environments({ root, versions: 'guide' });
    expect((await old.plan({ framework: 'sklearn', requirements: [] })).requirements).toEqual(requirements);
    expect((await old.plan({ framework: 'sklearn', requirements: [], versions: 'current' })).requirements).not.toContain('scikit-learn==1.3.0');
  });
  it('is of a Python that the framework installs on, and refused for one that it does not', async () => {
    const pythons = await environments.pythons();
    const mxnet = environments.plan({ framework: 'mxnet', requirements: [] });
    if (pythons.some((version) => ['3.9', '3.10', '3.11'].includes(version))) expect(['3.9', '3.10', '3.11']).toContain((await mxnet).interpreter.version);
    else expect(await refusal(mxnet)).toMatchObject({ code: 'environment_failed', message: expect.stringContaining('3.11, 3.10, 3.9') as string });
    expect(await refusal(environments.plan({ framework: 'mxnet', requirements: [], pythonVersion: '3.12' }))).toMatchObject({ code: 'environment_failed' });
  });
  it('is refused for a framework that there is none of', async () => {
    expect(await refusal(environments.plan({ framework: 'fortran', requirements: [] }))).toMatchObject({ code: 'framework_unsupported' });
  });
});

describe('an environment', () => {
  it('is built once for all who ask at the same time, is used again, and goes when nothing needs it', { timeout: 300_000 }, async () => {
    const plan = await environments.plan({ framework: 'python', requirements: ['six==1.17.0'] });
    const lines: string[][] = [[], []];
    const [a, b] = await Promise.all(lines.map((mine) => environments.ensure(plan, (line) => mine.push(line))));
    expect(a).toEqual(b);
    expect(lines[0]).toEqual(lines[1]);
    expect(lines[0]?.filter((line) => line.startsWith('Making environment'))).toHaveLength(1);
    expect(a?.packages).toContain('six==1.17.0');
    // Compiled at once: the processes of models, which import it, may not write there.
    const compiled = await readdir(join(root, plan.hash, 'lib', `python${plan.interpreter.version}`, 'site-packages', '__pycache__'));
    expect(compiled.some((name) => name.startsWith('six.'))).toBe(true);
    const made = (await stat(join(root, plan.hash, 'environment.json'))).mtimeMs;

    const again = await new Environments({ root, cache }).ensure(plan);
    expect(again).toEqual(a);
    expect((await stat(join(root, plan.hash, 'environment.json'))).mtimeMs).toBe(made);

    // A data folder that has moved.
    const moved = `${root}-moved`;
    await rename(root, moved);
    const there = await new Environments({ root: moved, cache }).find(plan.hash);
    expect((await runChild(there?.python ?? '', ['-c', 'import six; print(six.__version__)'], { env: {}, silenceMs: 20_000, timeoutMs: 20_000 })).stdout.trim()).toBe('1.17.0');
    await rename(moved, root);

    expect(await environments.collect(() => Promise.resolve(new Set([plan.hash])))).toEqual([]);
    expect(await environments.collect(() => Promise.resolve(new Set<string>()))).toEqual([plan.hash]);
    expect(existsSync(join(root, plan.hash))).toBe(false);
    expect(await environments.find(plan.hash)).toBeUndefined();
  });

  it('is made by one of two servers that share the folder, and the other waits', { timeout: 300_000 }, async () => {
    const others = [new Environments({ root, cache }), new Environments({ root, cache })];
    const plan = await environments.plan({ framework: 'python', requirements: ['six==1.16.0'] });
    const lines: string[] = [];
    const [a, b] = await Promise.all(others.map((other) => other.ensure(plan, (line) => lines.push(line))));
    expect(a).toEqual(b);
    expect(lines.filter((line) => line.startsWith('Making environment'))).toHaveLength(1);
    expect(lines).toContain(`Another server is making environment ${plan.hash}; waiting for it.`);

    const release = tryLock(join(root, `${plan.hash}.lock`));
    expect(await environments.collect(() => Promise.resolve(new Set<string>()))).not.toContain(plan.hash);
    release?.();
    expect(await environments.collect(() => Promise.resolve(new Set<string>()))).toContain(plan.hash);
  });

  it('that waits for another server gives up when nobody wants it any more', async () => {
    const plan = await environments.plan({ framework: 'python', requirements: ['six==1.15.0'] });
    const release = tryLock(join(root, `${plan.hash}.lock`));
    const stop = new AbortController();
    const asked = environments.ensure(plan, (line) => { if (line.startsWith('Another server')) stop.abort(); }, stop.signal);
    expect(await refusal(asked)).toMatchObject({ code: 'draining' });
    release?.();
  });

  it('that cannot be built says which requirement and why, and leaves nothing behind', { timeout: 120_000 }, async () => {
    const plan = await environments.plan({ framework: 'python', requirements: ['six==99.99.99'] });
    const error = await refusal(environments.ensure(plan));
    expect(error.code).toBe('environment_failed');
    expect(error.message).toContain('six==99.99.99');
    expect(existsSync(join(root, plan.hash))).toBe(false);
  });

  it('whose installer hangs is given up', { timeout: 60_000 }, async () => {
    // An index that takes connections and never answers.
    const { createServer } = await import('node:net');
    const server = createServer(() => {});
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const { port } = server.address() as { port: number };
    const before = { pip: process.env['PIP_INDEX_URL'], uv: process.env['UV_INDEX_URL'] };
    process.env['PIP_INDEX_URL'] = process.env['UV_INDEX_URL'] = `http://127.0.0.1:${port}/simple`;
    const emptyCache = await mkdtemp(join(tmpdir(), 'potoroo-cache-'));
    try {
      const slow = new Environments({ root, cache: emptyCache, silenceMs: 8000 });
      const error = await refusal(slow.ensure(await slow.plan({ framework: 'python', requirements: ['six==1.16.0'] })));
      expect(error).toMatchObject({ code: 'environment_failed', message: expect.stringMatching(/installer said nothing for 8 s|could not be installed/) as string });
    } finally {
      for (const [name, value] of [['PIP_INDEX_URL', before.pip], ['UV_INDEX_URL', before.uv]] as const) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      server.close();
      server.unref();
      await rm(emptyCache, { recursive: true, force: true });
    }
  });
});

describe('requirements of an archive', () => {
  const zip = async (files: Record<string, string>): Promise<string> => {
    const path = join(root, `${Math.random().toString(36).slice(2)}.zip`);
    const script = 'import json, sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], "w") as z:\n    for name, text in json.load(open(sys.argv[2])).items(): z.writestr(name, text.encode("latin-1"))';
    await writeFile(`${path}.json`, JSON.stringify(files));
    expect((await runChild('python3', ['-c', script, path, `${path}.json`], { env: { PATH: process.env['PATH'] ?? '' }, silenceMs: 20_000, timeoutMs: 20_000 })).code).toBe(0);
    return path;
  };
  it('are the lines that are neither empty nor comments, wherever the file lies', async () => {
    expect(await environments.requirementsOf(await zip({ 'model/requirements.txt': '# x\ntensorflow==2.8.0\r\n\npillow>=10.0.0\n', '__MACOSX/model/requirements.txt': 'junk' }))).toEqual(['tensorflow==2.8.0', 'pillow>=10.0.0']);
  });
  it('may be written by another system', async () => {
    expect(await environments.requirementsOf(await zip({ 'requirements.txt': '\xff\xfes\x00i\x00x\x00' }))).toEqual(['six']);
  });
  it.each([
    ['two of them', { 'requirements.txt': 'six', 'lib/requirements.txt': 'six' }, 'Keep one'],
    ['too large', { 'requirements.txt': 'a'.repeat(300_000) }, 'at most'],
    ['not text', { 'requirements.txt': '\xff\xfa\xfb\x80' }, 'cannot be read'],
  ])('%s are refused', async (_, files, message) => {
    expect(await refusal(environments.requirementsOf(await zip(files)))).toMatchObject({ code: 'model_invalid', message: expect.stringContaining(message) as string });
  });
  const env = { 'python_env.yaml': 'python: 3.10.4\nbuild_dependencies:\n- pip==24.0\ndependencies:\n- -r requirements.txt\n' };
  const conda = 'channels:\n- conda-forge\ndependencies:\n- python=3.9.18\n- pip<=24.0\n- pip:\n  - mlflow==1.30.0\n  - "cloudpickle==2.2.1"\nname: mlflow-env\n';
  it.each([
    ['its own, not those of its code', { MLmodel: '', 'requirements.txt': 'mlflow==3.1.0\nsix', 'code/requirements.txt': 'junk', ...env }, { lines: ['mlflow==3.1.0', 'six'], python: '3.10' }],
    ['in a folder', { 'm/MLmodel': '', 'm/requirements.txt': 'six', 'm/code/MLmodel': '', 'm/code/requirements.txt': 'junk' }, { lines: ['six'], python: null }],
    ['from its conda.yaml, as old ones say it', { MLmodel: '', 'conda.yaml': conda, 'artifacts/requirements.txt': 'junk' }, { lines: ['mlflow==1.30.0', 'cloudpickle==2.2.1'], python: '3.9' }],
    ['none', { MLmodel: '' }, { lines: [], python: null }],
  ])('of an MLflow model: %s', async (_, files, needs) => {
    expect(await environments.needsOf(await zip(files))).toMatchObject(needs);
  });
  it('are none when the file is no archive', async () => {
    const path = join(root, 'x.zip');
    await writeFile(path, 'not a zip');
    expect(await environments.requirementsOf(path)).toEqual([]);
  });
});
