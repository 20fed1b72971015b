import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setUpClientPython } from './setup.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const opsMain = join(here, '..', '..', 'packages', 'ops', 'dist', 'main.js');
const admin = { email: 'admin@example.com', password: 'the-first-password' };

interface Step { step: string; ok: boolean; seconds: number; error?: string }
interface Server { process: ChildProcess; url: string; folder: string; output: () => string }

/** Ops as users start it, on a free port and a data folder of its own. */
async function startOps(): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'potoroo-client-'));
  const child = spawn(process.execPath, [opsMain], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, POTOROO_DATA_DIR: join(folder, 'data'), POTOROO_PORT: '0', POTOROO_ADMIN_EMAIL: admin.email, POTOROO_ADMIN_PASSWORD: admin.password, LOG_LEVEL: 'warn' },
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

async function stopOps({ process: child, folder }: Server): Promise<void> {
  if (child.exitCode === null) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
}

/** Runs one script with the client; gives the steps it reported and, for a failure's message, all it wrote. */
async function run(python: string, script: string, server: Server): Promise<{ steps: Step[]; code: number | null; text: string }> {
  const work = join(server.folder, script.replace('.py', ''));
  await mkdir(work, { recursive: true });
  const child = spawn(python, [join(here, script)], {
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'], HOME: work, POTOROO_URL: server.url, POTOROO_TEST_DIR: work, XDG_CACHE_HOME: join(work, 'cache'), MPLBACKEND: 'Agg', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1',
      WALLAROO_USER: admin.email, WALLAROO_PASSWORD: admin.password,
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

describe('the published Python client', () => {
  let python: string;
  let server: Server;
  beforeAll(async () => {
    python = setUpClientPython();
    server = await startOps();
  });
  afterAll(() => stopOps(server));

  it.each([['documents.py', 3], ['flow.py', 30], ['errors.py', 18], ['experiments.py', 11], ['tags_connections.py', 14], ['sign_in.py', 8]])('%s', async (script, atLeast) => {
    const { steps, code, text } = await run(python, script, server);
    const failed = steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`);
    expect(failed, `${text}\n--- ops\n${server.output()}`).toEqual([]);
    expect(code, text).toBe(0);
    expect(steps.length).toBeGreaterThanOrEqual(atLeast);
  });
});
