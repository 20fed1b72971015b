import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bundle, BundleModel, ModelConfig, ModelRef, Step } from '@potoroo/contract/plain';
import { afterAll } from 'vitest';

/** A model of `fixtures/`, by its name without the ending. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/${name}.onnx`, import.meta.url));
}

const folders: string[] = [];
afterAll(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true }); });

/** A folder that goes when the tests of the file are over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'potoroo-engine-'));
  folders.push(folder);
  return folder;
}

export interface BundleOptions {
  pipeline?: string;
  /** By model, in order. */
  configs?: ModelConfig[];
  /** A chain of all models unless told; gets them in order. */
  steps?: (models: readonly ModelRef[]) => Step[];
}

/** Writes a bundle that chains these fixtures and gives its folder and content. */
export function writeBundle(models: readonly string[], { pipeline = 'test-pipeline', configs = [], steps }: BundleOptions = {}): { folder: string; bundle: Bundle } {
  const folder = join(temporaryFolder(), 'bundle');
  mkdirSync(folder);
  const written = models.map((name, i): BundleModel => {
    const sha256 = createHash('sha256').update(readFileSync(fixture(name))).digest('hex');
    copyFileSync(fixture(name), join(folder, sha256));
    return { id: 0, configId: 0, name, version: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`, sha256, framework: 'onnx', fileName: `${name}.onnx`, file: sha256, config: configs[i] ?? {} };
  });
  const refs = written.map(({ name, version }) => ({ name, version }));
  const bundle: Bundle = {
    format: 1,
    pipeline: { id: 7, name: pipeline, version: '11111111-0000-4000-8000-000000000000', versionId: 8, workspaceId: 9, deploymentId: 10 },
    steps: steps === undefined ? refs.map((model) => ({ type: 'model', model })) : steps(refs),
    models: written,
  };
  writeFileSync(join(folder, 'pipeline.json'), JSON.stringify(bundle));
  return { folder, bundle };
}
