import { spawnSync } from 'node:child_process';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeArrowSchema } from '@potoroo/batch';
import type { ModelConfig } from '@potoroo/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelStatus, ModelVersion } from '../packages/ops/src/domains/domains.ts';
import { inspectInChild } from '../packages/ops/src/domains/models/inspection.ts';
import { loadWithPython, type Loaded, type PythonLoadParts } from '../packages/ops/src/domains/models/python-loads.ts';
import { openBlobFolder } from '../packages/ops/src/storage/blobs.ts';
import { environmentOf, environments, makeModels, temporary, type Case } from './frameworks/support.ts';

const { folder, remove } = temporary();
let cases: Case[];
let parts: PythonLoadParts;
beforeAll(async () => {
  const { python } = await environmentOf('sklearn', ['pillow==11.3.0']);
  cases = makeModels('light.py', python, folder);
  const inspector = fileURLToPath(new URL('../packages/engine/dist/inspect.js', import.meta.url));
  parts = { environments, blobs: await openBlobFolder(join(folder, 'blobs')), inspect: inspectInChild(inspector, 60_000), timeoutMs: 60_000 };
}, 600_000);
afterAll(remove);

interface Upload { loaded: Loaded; statuses: ModelStatus[]; log: string[] }

/** What becomes of an uploaded file, with the states and log lines on the way. */
async function upload(framework: string, file: string, config: ModelConfig = {}, conversion: Record<string, unknown> = {}): Promise<Upload> {
  const { sha256, size } = await parts.blobs.put(createReadStream(file));
  const version: ModelVersion = {
    id: 1, modelId: 1, workspaceId: 1, name: 'm', version: 'v', sha256, size, fileName: file.split('/').at(-1) ?? '', framework, runtime: 'onnx', arch: 'x86', accel: 'none', visibility: 'private',
    status: 'pending_load_native', reason: null, inputs: null, outputs: null, convertedSha256: null, environment: null, conversion: { python_version: '3.11', ...conversion }, createdAt: new Date(0), updatedAt: new Date(0), createdBy: 'u',
  };
  const [statuses, log]: [ModelStatus[], string[]] = [[], []];
  const loading = { status: async (status: ModelStatus) => { statuses.push(status); }, say: (text: string) => { log.push(text); }, signal: new AbortController().signal };
  return { loaded: await loadWithPython(parts, version, config, loading), statuses, log };
}
const config = ({ inputSchema, outputSchema }: Case): ModelConfig => ({
  ...(inputSchema !== null && { inputSchema: decodeArrowSchema(Buffer.from(inputSchema, 'base64')) }), ...(outputSchema !== null && { outputSchema: decodeArrowSchema(Buffer.from(outputSchema, 'base64')) }),
});
const named = (name: string): Case => cases.find((c) => c.name === name) as Case;
const zip = (name: string, files: Record<string, string>): string => {
  const path = join(folder, name);
  spawnSync('python3', ['-c', 'import json, sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], "w") as z:\n    for n, t in json.loads(sys.argv[2]).items(): z.writestr(n, t)', path, JSON.stringify(files)]);
  return path;
};

describe('an uploaded model', () => {
  it('that converts is native', { timeout: 120_000 }, async () => {
    const { loaded, statuses, log } = await upload('sklearn', named('sklearn-probabilities').file, config(named('sklearn-probabilities')), { requirements: ['pillow==11.3.0'] });
    expect(loaded).toMatchObject({
      ok: true, runtime: 'onnx', environment: null, convertedSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      inputs: [{ name: 'inputs', type: 'float64', shape: [4] }], outputs: [{ name: 'predictions', type: 'int32', shape: [] }, { name: 'probabilities', type: 'float64', shape: [3] }],
    });
    expect(statuses).toEqual(['pending_load_native', 'attempting_load_native']);
    expect(log.join('\n')).toContain('agrees with the framework on 128 rows');
  });

  it.each([['sklearn-does-not-convert', 'is not supported'], ['sklearn-converts-wrongly', 'does not agree']])('%s is containerized, and the log says why', { timeout: 120_000 }, async (name, reason) => {
    const { loaded, statuses, log } = await upload('sklearn', named(name).file, config(named(name)), { requirements: ['pillow==11.3.0'] });
    expect(loaded).toMatchObject({ ok: true, runtime: 'flight', convertedSha256: null, environment: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
    expect(statuses).toEqual(['pending_load_native', 'attempting_load_native', 'attempting_load_container']);
    expect(log.find((line) => line.startsWith('Not converted'))).toContain(reason);
  });

  it('that is a Python step stays Python, and what it prints is in the log', { timeout: 120_000 }, async () => {
    const found = named('python-step-of-the-guide');
    const { loaded, statuses, log } = await upload('python', found.file, config(found));
    expect(loaded).toMatchObject({ ok: true, runtime: 'python', inputs: [{ name: 'dense_2', type: 'float64', shape: [-1] }], outputs: [{ name: 'output', type: 'float64', shape: [-1] }] });
    expect(statuses).toEqual(['pending_load_native', 'attempting_load_native']);
    expect(log.some((line) => line.includes('dense_2'))).toBe(true);
  });

  it.each([['loads', ''], ['fails', "raise ValueError('y' * 5_000_000)\n"]])('that prints without measure while it %s says little of it in its log', { timeout: 120_000 }, async (_, end) => {
    const script = join(folder, 'loud.py');
    writeFileSync(script, `import sys
print('first')
for i in range(200_000):
    print('x' * 1000)
    print('z' * 10, file=sys.stderr)
sys.stdout.write('w' * 20_000_000)
print()
print('last', flush=True)
${end}
def wallaroo_json(data: dict):
    return {'y': data['x']}
`);
    const fields = { inputSchema: [{ name: 'x', type: 'float64', shape: [] }], outputSchema: [{ name: 'y', type: 'float64', shape: [] }] } satisfies ModelConfig;
    const { loaded, log } = await upload('python', script, fields);
    expect(loaded.ok).toBe(end === '');
    expect(log.length).toBeLessThan(600);
    expect(JSON.stringify([loaded, log]).length).toBeLessThan(1_000_000);
  });

  it('that brings its own code takes the requirements of its archive', { timeout: 120_000 }, async () => {
    const found = named('custom-reshaper-of-the-guide');
    const { loaded, statuses, log } = await upload('custom', found.file, config(found));
    expect(loaded).toMatchObject({ ok: true, runtime: 'flight' });
    expect(statuses).toEqual(['pending_load_container', 'attempting_load_container']);
    const environment = await environments.find(loaded.ok ? (loaded.environment ?? '') : '');
    expect(environment?.packages.some((p) => p.startsWith('pillow=='))).toBe(true);
    expect(log.length).toBeGreaterThan(0);
  });

  it.each([
    ['two requirements.txt', { 'a.py': '', 'requirements.txt': 'six', 'lib/requirements.txt': 'six' }, 'model_invalid', 'Keep one'],
    ['a requirement there is none of', { 'a.py': '', 'requirements.txt': 'six==99.99.99' }, 'environment_failed', 'six==99.99.99'],
    ['a requirement that is an address', { 'a.py': '', 'requirements.txt': 'https://example.com/x.whl' }, 'environment_failed', 'address'],
    ['an option instead of a requirement', { 'a.py': '', 'requirements.txt': '--index-url http://example.com' }, 'environment_failed', 'option'],
    ['no class to run', { 'a.py': 'x = 1' }, 'model_invalid', 'InferenceBuilder'],
    ['code that fails', { 'a.py': 'from mac.inference.creation import InferenceBuilder\nclass A(InferenceBuilder):\n    pass\nraise RuntimeError("no luck")' }, 'model_invalid', 'no luck'],
  ])('with %s is refused with the reason', { timeout: 120_000 }, async (name, files, code, message) => {
    const { loaded } = await upload('custom', zip(`${name.replaceAll(' ', '-')}.zip`, files));
    expect(loaded).toMatchObject({ ok: false, reason: { code, message: expect.stringContaining(message) as string } });
  });

  it('is called by its name where it is at fault, not by the digest that its file is kept under', { timeout: 120_000 }, async () => {
    const script = join(folder, 'halver.py');
    const fields = { inputSchema: [{ name: 'x', type: 'float64', shape: [] }], outputSchema: [{ name: 'y', type: 'float64', shape: [] }] } satisfies ModelConfig;
    writeFileSync(script, 'def wallaroo_json(data)\n    return data\n');
    expect((await upload('python', script, fields)).loaded).toMatchObject({ ok: false, reason: { message: expect.stringContaining('(halver.py, line 1)') as string } });
    writeFileSync(script, 'def wallaroo_json(data):\n    return {"y": [1 / 0]}\n');
    const { log } = await upload('python', script, fields);
    const at = log.findIndex((line) => line.endsWith('File "halver.py", line 2, in wallaroo_json'));
    expect(log[at + 1]).toContain('return {"y": [1 / 0]}');
  });

  it('is loaded again without building anything', { timeout: 120_000 }, async () => {
    const found = named('python-step-dataframe');
    const { loaded, log } = await upload('python', found.file, config(found));
    expect(loaded.ok).toBe(true);
    expect(log[0]).toContain('is there already');
  });
});
