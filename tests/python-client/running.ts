import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const opsMain = join(here, '..', '..', 'packages', 'ops', 'dist', 'main.js');
const admin = { email: 'admin@example.com', password: 'the-first-password' };

export interface Step { step: string; ok: boolean; seconds: number; error?: string }
export interface Server { process: ChildProcess; url: string; folder: string; output: () => string }

/** Ops as users start it, on a free port and a data folder of its own. `prepare` fills the folder before it starts. */
export async function startOps(prepare: (data: string) => Promise<void> = async () => {}, env: Record<string, string> = {}): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'potoroo-client-'));
  await prepare(join(folder, 'data'));
  const child = spawn(process.execPath, [opsMain], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, POTOROO_DATA_DIR: join(folder, 'data'), POTOROO_PORT: '0', POTOROO_ADMIN_EMAIL: admin.email, POTOROO_ADMIN_PASSWORD: admin.password, LOG_LEVEL: 'warn', ...env },
  });
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    const take = (chunk: Buffer) => {
      text += chunk.toString();
      const found = /listens on (http:\/\/\S+)/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('exit', (code) => reject(new Error(`ops ended with ${code}:\n${text}`)));
  });
  return { process: child, url, folder, output: () => text };
}

export async function stopOps({ process: child, folder }: Server): Promise<void> {
  if (child.exitCode === null) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
}

/** Runs one script with the client; gives the steps it reported and, for a failure's message, all it wrote. */
export async function run(python: string, script: string, server: Server, args: readonly string[] = []): Promise<{ steps: Step[]; code: number | null; text: string }> {
  const work = join(server.folder, basename(script, '.py'));
  await mkdir(work, { recursive: true });
  const child = spawn(python, [join(here, script), ...args], {
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'], HOME: work, POTOROO_URL: server.url, POTOROO_TEST_DIR: work, XDG_CACHE_HOME: join(work, 'cache'), MPLBACKEND: 'Agg', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1',
      PYTHONPATH: here, WALLAROO_USER: admin.email, WALLAROO_PASSWORD: admin.password,
    },
  });
  const steps: Step[] = [];
  let text = '';
  createInterface({ input: child.stdout }).on('line', (line) => {
    text += `${line}\n`;
    if (line.startsWith('{"step"')) steps.push(JSON.parse(line) as Step);
  });
  child.stderr.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  const [code] = (await once(child, 'close')) as [number | null];
  return { steps, code, text };
}
