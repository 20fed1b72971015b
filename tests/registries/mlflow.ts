import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface MlflowServer { readonly url: string; stop(): Promise<void> }

/** What the models of `make_models.py` were asked and answered. */
export interface Expected {
  iris_rows: number[][]; iris_1: number[]; iris_2: number[];
  wine_rows: Record<string, number>[]; wine: number[];
  scaled_rows: { a: number; b: number }[]; scaled: number[]; labels: string[];
}

const quiet = { MLFLOW_DISABLE_TELEMETRY: 'true', MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false', DO_NOT_TRACK: 'true', GIT_PYTHON_REFRESH: 'quiet', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' };

/** A real `mlflow server` on a free port; with `proxy`, clients get artifacts through it, without, where they lie on the disk is told. */
export async function startMlflow(python: string, folder: string, { proxy }: { proxy: boolean }): Promise<MlflowServer> {
  const artifacts = join(folder, 'artifacts');
  const child = spawn(join(dirname(python), 'mlflow'), [
    'server', '--host', '127.0.0.1', '--port', '0', '--workers', '1', '--backend-store-uri', `sqlite:///${join(folder, 'mlflow.sqlite')}`,
    ...(proxy ? ['--artifacts-destination', artifacts] : ['--no-serve-artifacts', '--default-artifact-root', artifacts]),
  ], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { PATH: `${dirname(python)}:${process.env['PATH'] ?? ''}`, HOME: folder, ...quiet } });
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        text = (text + chunk.toString()).slice(-20_000);
        // MLflow 3 is served by uvicorn, MLflow 2 by gunicorn.
        const found = /(?:running on|Listening at:) (http:\/\/127\.0\.0\.1:\d+)/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      });
    }
    child.once('exit', (code) => reject(new Error(`mlflow server ended with ${code}:\n${text}`)));
  });
  return { url, stop: () => stopGroup(child) };
}

/** It has workers of its own. */
async function stopGroup(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  process.kill(-child.pid, 'SIGKILL');
  await once(child, 'exit');
}

/** Trains, logs and registers models as a user's script does. */
export async function makeModels(python: string, folder: string, url: string): Promise<Expected> {
  const child = spawn(python, [fileURLToPath(new URL('make_models.py', import.meta.url)), folder], {
    cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: folder, MLFLOW_TRACKING_URI: url, PYTHONWARNINGS: 'ignore', ...quiet },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`make_models.py failed:\n${text.slice(-4000)}`);
  return JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;
}

/** A way to an MLflow server that breaks in the first two answers with a file, after some bytes; and what was asked and answered for files. */
export async function startUnsteady(target: string): Promise<{ url: string; asked: { range: string | undefined; status: number }[]; stop(): Promise<void> }> {
  const asked: { range: string | undefined; status: number }[] = [];
  const server: Server = createServer((incoming, reply) => {
    incoming.pipe(request(target + incoming.url, { method: incoming.method, headers: { ...incoming.headers, host: new URL(target).host } }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      if (!incoming.url?.includes('model.pkl')) return void answer.pipe(reply);
      asked.push({ range: incoming.headers.range, status: answer.statusCode ?? 502 });
      if (asked.length > 2) return void answer.pipe(reply);
      answer.once('data', (piece: Buffer) => {
        answer.destroy();
        reply.write(piece.subarray(0, 100), () => incoming.socket.end());
      });
    }).on('error', () => reply.destroy()));
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked,
    stop: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}

/** A proxy before an MLflow server that wants a token, as a company's does; `prefix` is the path that it stands below. */
export async function startProxy(target: string, authorization: string, prefix: string): Promise<{ url: string; refused: () => number; stop(): Promise<void> }> {
  let refused = 0;
  const server: Server = createServer((incoming, reply) => {
    if (incoming.headers.authorization !== authorization || !incoming.url?.startsWith(`${prefix}/`)) {
      refused += 1;
      reply.writeHead(401, { 'content-type': 'text/html' }).end('<h1>Sign in</h1>');
      return;
    }
    const headers = { ...incoming.headers, host: new URL(target).host };
    incoming.pipe(request(target + incoming.url.slice(prefix.length), { method: incoming.method, headers }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(reply);
    }).on('error', () => reply.destroy()));
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`, refused: () => refused,
    stop: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}
