import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bundle } from '@potoroo/contract';
import { openBundles, type Bundles } from './bundle.ts';

let folder: string;
let bundles: Bundles;
const bytes = Buffer.from('a model');
const sha256 = createHash('sha256').update(bytes).digest('hex');
const bundle = (version: string): Bundle => ({
  format: 1,
  pipeline: { id: 1, name: 'p', version, versionId: 1, workspaceId: 1, deploymentId: 1 },
  steps: [{ type: 'model', model: { name: 'm', version: 'mv' } }],
  models: [{ id: 1, configId: 1, name: 'm', version: 'mv', sha256, framework: 'onnx', fileName: 'm.onnx', file: `models/${sha256}`, config: {} }],
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'potoroo-bundle-'));
  await writeFile(join(folder, sha256), bytes);
  bundles = openBundles(join(folder, 'bundles'), (digest) => join(folder, digest));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('bundles', () => {
  test('a bundle is a folder with pipeline.json and its models, linked rather than copied', async () => {
    const path = await bundles.folder(bundle('a'));
    expect(JSON.parse(await readFile(join(path, 'pipeline.json'), 'utf8'))).toEqual(bundle('a'));
    expect(await readFile(join(path, 'models', sha256))).toEqual(bytes);
    expect((await stat(join(path, 'models', sha256))).ino).toBe((await stat(join(folder, sha256))).ino);
  });

  test('the same bundle is the same folder, also when asked for at the same moment', async () => {
    const paths = await Promise.all([bundles.folder(bundle('a')), bundles.folder(bundle('a')), bundles.folder(bundle('b'))]);
    expect(paths[0]).toBe(paths[1]);
    expect(paths[2]).not.toBe(paths[0]);
  });

  test('what a power cut left half written is written again', async () => {
    const path = await bundles.folder(bundle('a'));
    await truncate(join(path, 'pipeline.json'), 0);
    expect(await bundles.folder(bundle('a'))).toBe(path);
    expect(JSON.parse(await readFile(join(path, 'pipeline.json'), 'utf8'))).toEqual(bundle('a'));
  });

  test('collecting removes what is not used and leaves the rest', async () => {
    const kept = await bundles.folder(bundle('a'));
    await bundles.folder(bundle('b'));
    await bundles.collect(async () => [bundle('a')]);
    expect(await readdir(join(folder, 'bundles'))).toEqual([kept.split('/').at(-1)]);
  });

  test('a bundle made while collecting is under way stays', async () => {
    const collecting = bundles.collect(async () => []);
    const path = await bundles.folder(bundle('a'));
    await collecting;
    expect(await readdir(path)).toContain('pipeline.json');
  });

  test('a model file that is missing is an error, and leaves no half bundle', async () => {
    await rm(join(folder, sha256));
    await expect(bundles.folder(bundle('a'))).rejects.toMatchObject({ name: 'PotorooError', message: expect.stringContaining('pipeline p') });
    await bundles.collect(async () => []);
    expect(await readdir(join(folder, 'bundles'))).toEqual([]);
  });
});
