import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers a request, or gives undefined for the next one to answer it. */
export type Handler = (url: URL, request: IncomingMessage, reply: ServerResponse) => unknown;

export interface TestRegistry { readonly url: string; readonly asked: { path: string; authorization: string | undefined }[]; close(): Promise<void> }

/** A real HTTP server. What a handler returns is sent as JSON; one that has answered by itself returns null. */
export async function serve(...handlers: Handler[]): Promise<TestRegistry> {
  const asked: TestRegistry['asked'] = [];
  const server = createServer((request, reply) => {
    const url = new URL(request.url ?? '/', 'http://registry');
    asked.push({ path: request.url ?? '', authorization: request.headers.authorization });
    const answer = handlers.reduce<unknown>((found, handler) => (found === undefined ? handler(url, request, reply) : found), undefined);
    if (answer === null) return;
    if (answer === undefined) reply.writeHead(404, { 'content-type': 'application/json' });
    reply.end(JSON.stringify(answer ?? { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'nothing here' }));
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked,
    close: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}

const api = '/api/2.0/mlflow';
const version = (name: string, number: string) => ({ name, version: number, creation_timestamp: 1_700_000_000_000 + Number(number), current_stage: 'None', source: `models:/m-${name}`, run_id: 'r1', status: 'READY', extra: { deep: [1] } });

/** Calls of MLflow's registry about the models that it has, with their numbers of versions. */
export const catalog = (models: Readonly<Record<string, number>>, uri = (name: string): string => `mlflow-artifacts:/1/${name}`): Handler => (url) => {
  const names = Object.keys(models);
  const name = url.searchParams.get('name') ?? '';
  const at = Number(url.searchParams.get('page_token') ?? 0);
  const most = Number(url.searchParams.get('max_results') ?? 100);
  if (url.pathname === `${api}/registered-models/search`) return { registered_models: names.slice(at, at + most).map((n) => ({ name: n, creation_timestamp: '1700000000000', latest_versions: [version(n, String(models[n]))] })), ...(at + most < names.length && { next_page_token: String(at + most) }) };
  if (url.pathname === `${api}/model-versions/search`) {
    const wanted = /^name=(['"])(.*)\1$/.exec(url.searchParams.get('filter') ?? '')?.[2] ?? '';
    return { model_versions: Array.from({ length: models[wanted] ?? 0 }, (_, i) => version(wanted, String(i + 1))) };
  }
  if (!(name in models)) return undefined;
  if (url.pathname === `${api}/model-versions/get-download-uri`) return { artifact_uri: uri(name) };
  if (url.pathname === `${api}/model-versions/get`) return { model_version: version(name, url.searchParams.get('version') ?? '1') };
  if (url.pathname === `${api}/registered-models/alias` && url.searchParams.get('alias') === 'champion') return { model_version: version(name, String(models[name])) };
  return undefined;
};

/** The direct children of a folder among paths. */
export function childrenOf(files: Readonly<Record<string, Uint8Array>>, folder: string): { name: string; size: number | undefined }[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  const below = Object.keys(files).filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length).split('/'));
  return [...new Set(below.map(([name]) => name as string))].map((name) => ({ name, size: files[prefix + name]?.length }));
}

const proxy = '/api/2.0/mlflow-artifacts/artifacts';

/** The artifact proxy, with these files. */
export const artifacts = (files: Readonly<Record<string, Uint8Array>>): Handler => (url, _, reply) => {
  if (url.pathname === proxy) return { files: childrenOf(files, url.searchParams.get('path') ?? '').map(({ name, size }) => (size === undefined ? { path: name, is_dir: true } : { path: name, is_dir: false, file_size: String(size) })) };
  const bytes = files[decodeURIComponent(url.pathname.slice(proxy.length + 1))];
  if (!url.pathname.startsWith(`${proxy}/`) || bytes === undefined) return undefined;
  reply.end(bytes);
  return null;
};

/** Databricks' file system, with these files below the root. */
export const dbfs = (files: Readonly<Record<string, Uint8Array>>): Handler => (url) => {
  const path = (url.searchParams.get('path') ?? '').slice(1);
  if (url.pathname === '/api/2.0/dbfs/list') return { files: childrenOf(files, path).map(({ name, size }) => ({ path: `/${path}/${name}`, is_dir: size === undefined, file_size: size ?? 0, modification_time: 1_700_000_000_000 })) };
  const bytes = files[path];
  if (url.pathname !== '/api/2.0/dbfs/read' || bytes === undefined) return undefined;
  const offset = Number(url.searchParams.get('offset'));
  const piece = bytes.subarray(offset, offset + Math.min(1 << 20, Number(url.searchParams.get('length'))));
  return { bytes_read: piece.length, data: Buffer.from(piece).toString('base64') };
};
