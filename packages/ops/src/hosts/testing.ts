import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { request as httpRequest, type Agent } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bundle } from '@potoroo/contract';

/** A model file of the engine's tests: `chain-first` doubles the three floats of column `text` into `embedding`. */
export const fixture = (name: string): string => fileURLToPath(new URL(`../../../engine/fixtures/${name}.onnx`, import.meta.url));

/** Writes a bundle of one model by hand. */
export async function writeBundle(folder: string, model: string, pipeline = 'doubler'): Promise<string> {
  const bytes = await readFile(fixture(model));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const bundle: Bundle = {
    format: 1,
    pipeline: { id: 1, name: pipeline, version: '00000000-0000-4000-8000-000000000001', versionId: 1, workspaceId: 1, deploymentId: 1 },
    steps: [{ type: 'model', model: { name: model, version: '00000000-0000-4000-8000-000000000002' } }],
    models: [{ id: 1, configId: 1, name: model, version: '00000000-0000-4000-8000-000000000002', sha256, framework: 'onnx', fileName: `${model}.onnx`, file: `models/${sha256}`, config: {} }],
  };
  await mkdir(join(folder, 'models'), { recursive: true });
  await copyFile(fixture(model), join(folder, 'models', sha256));
  await writeFile(join(folder, 'pipeline.json'), JSON.stringify(bundle));
  return folder;
}

export interface Reply { readonly status: number; readonly text: string; readonly closes: boolean }
export interface To { readonly port?: number; readonly socketPath?: string; readonly agent?: Agent; readonly token?: string; readonly body?: unknown; readonly path?: string }

/** One inference of three floats, with Node's own client, so that connections are kept or not as the agent says. */
export function infer({ port, socketPath, agent, token, body = [{ text: [1, 2, 3] }], path = '/pipelines/doubler?dataset[]=out&dataset[]=metadata' }: To): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      ...(socketPath === undefined ? { host: '127.0.0.1', port } : { socketPath }), ...(agent && { agent }), method: 'POST', path,
      headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => { text += piece; })
        .on('end', () => resolve({ status: response.statusCode ?? 0, text, closes: response.headers.connection === 'close' })).on('error', reject);
    });
    request.on('error', reject).end(JSON.stringify(body));
  });
}
