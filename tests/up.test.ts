import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Potoroo } from '@potoroo/sdk';
import { example, root, temporaryFolder } from './support/server.ts';

const execute = promisify(execFile);

const started: ChildProcess[] = [];

interface Up { process: ChildProcess; output: () => string }

/** `npm start` without npm: the same command line. */
function up(dataDir: string, env: Record<string, string> = {}, args: string[] = ['--example']): Up {
  const child = spawn(process.execPath, [join(root, 'packages/cli/dist/main.js'), 'up', ...args], { env: { ...process.env, POTOROO_PORT: '0', POTOROO_DATA_DIR: dataDir, ...env } });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  started.push(child);
  return { process: child, output: () => text };
}

async function ready(server: Up): Promise<void> {
  await expect.poll(() => server.process.exitCode !== null || server.output().includes('Ctrl-C stops it'), { timeout: 60_000 }).toBe(true);
  expect(server.output()).toContain('Ctrl-C stops it');
}

async function ended({ process: child }: Up): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

async function interrupt(started: Up): Promise<number | null> {
  started.process.kill('SIGINT');
  return await ended(started);
}

/** Node processes whose command line or environment names the folder: what a stop left behind. */
async function leftBehind(folder: string): Promise<string[]> {
  const { stdout } = await execute('ps', ['-eo', 'pid=,stat=,args=']);
  return stdout.split('\n').filter((line) => line.includes(folder) && !/^\s*\d+\s+Z/.test(line) && !line.includes('ps -eo'));
}

/** What a reader does: copies the line and runs it in a shell, from some folder. */
async function paste(started: Up, cwd: string): Promise<{ out: { label: number; probabilities: number[] } }[]> {
  const line = started.output().split('\n').find((text) => text.startsWith('curl ')) ?? '';
  expect(line).not.toBe('');
  const { stdout } = await execute('bash', ['-c', line], { cwd });
  return JSON.parse(stdout) as { out: { label: number; probabilities: number[] } }[];
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => { folder = await temporaryFolder(); });
afterAll(async () => {
  // Only what a failed test left: each ends what it started.
  for (const child of started) child.kill('SIGKILL');
  await folder.remove();
});

describe('potoroo up --example', () => {
  it("prints a curl line that gives scikit-learn's predictions, stops everything on Ctrl-C, and brings it back", { timeout: 180_000 }, async () => {
    const dataDir = join(folder.path, 'first');
    const expected = JSON.parse(await readFile(join(example, 'expected.json'), 'utf8')) as { label: number; probabilities: number[] }[];
    const check = async (started: Up): Promise<void> => {
      const answer = await paste(started, folder.path);
      expect(answer.map(({ out }) => out.label)).toEqual(expected.map((e) => e.label));
      answer.forEach(({ out }, i) => out.probabilities.forEach((p, j) => expect(Math.abs(p - (expected[i]?.probabilities[j] ?? Number.NaN))).toBeLessThan(1e-5)));
    };
    const deploymentOf = async (started: Up) => {
      const url = /runs at (http:\S+)/.exec(started.output())?.[1] ?? '';
      const { email, password } = JSON.parse(await readFile(join(dataDir, 'admin.json'), 'utf8')) as { email: string; password: string };
      const potoroo = new Potoroo({ url, username: email, password });
      const [pipeline] = await (await potoroo.workspaces.default()).pipelines({ name: 'breast-cancer' }).toArray();
      return { potoroo, pipeline, deployment: (await pipeline?.deployment())?.info };
    };

    const first = up(dataDir);
    await ready(first);
    expect(first.output()).toContain(join(dataDir, 'admin.json'));
    for (const name of ['admin.json', 'token.header']) expect((await stat(join(dataDir, name))).mode & 0o777).toBe(0o600);
    await check(first);
    const before = await deploymentOf(first);
    expect(await interrupt(first)).toBe(0);
    expect(first.output()).toContain('Stopped.');
    await expect.poll(() => leftBehind(dataDir)).toEqual([]);

    const second = up(dataDir);
    await ready(second);
    await check(second);
    const after = await deploymentOf(second);
    expect([after.deployment?.id, after.deployment?.generation, after.pipeline?.versions.length]).toEqual([before.deployment?.id, before.deployment?.generation, before.pipeline?.versions.length]);

    // What somebody undeployed is left so.
    await (await after.pipeline?.undeploy())?.waitUntilStopped();
    expect(await interrupt(second)).toBe(0);
    const third = up(dataDir);
    await ready(third);
    expect(third.output()).toContain('is not deployed');
    expect(third.output()).not.toContain('curl ');
    expect(await interrupt(third)).toBe(0);
  });

  it('takes the server and its engines along when it is killed', { timeout: 120_000 }, async () => {
    const dataDir = join(folder.path, 'killed');
    const started = up(dataDir);
    await ready(started);
    expect((await leftBehind(dataDir)).length).toBeGreaterThan(0);
    started.process.kill('SIGKILL');
    await ended(started);
    await expect.poll(() => leftBehind(dataDir), { timeout: 30_000 }).toEqual([]);
  });

  it('stops when npm, which started it through a shell, is ended', { timeout: 120_000 }, async () => {
    const dataDir = join(folder.path, 'npm');
    const shell = spawn('sh', ['-c', '"$0" "$1" up; true', process.execPath, join(root, 'packages/cli/dist/main.js')], { env: { ...process.env, npm_lifecycle_event: 'start', POTOROO_PORT: '0', POTOROO_DATA_DIR: dataDir } });
    started.push(shell);
    let text = '';
    shell.stdout.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    await expect.poll(() => text, { timeout: 60_000 }).toContain('Ctrl-C stops it');
    const url = /runs at (http:\S+)/.exec(text)?.[1] ?? '';
    shell.kill('SIGTERM');
    const gone = () => fetch(`${url}/healthz`).then(() => false, () => true);
    await expect.poll(gone, { timeout: 30_000 }).toBe(true);
  });

  it('with --json prints one JSON document', { timeout: 120_000 }, async () => {
    const child = spawn(process.execPath, [join(root, 'packages/cli/dist/main.js'), 'up', '--json'], { env: { ...process.env, POTOROO_PORT: '0', POTOROO_DATA_DIR: join(folder.path, 'json') }, stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    await expect.poll(() => text.endsWith('}\n'), { timeout: 60_000 }).toBe(true);
    expect(JSON.parse(text)).toMatchObject({ url: expect.stringMatching(/^http:/), username: 'admin@potoroo.local', example: null, curl: null });
    child.kill('SIGTERM');
    await once(child, 'exit');
    expect(child.exitCode).toBe(0);
  });
});

describe('a start that cannot be', () => {
  it.each<[string, () => Promise<Record<string, string>>, RegExp]>([
    ['a port in use', async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      server.unref();
      return { POTOROO_PORT: String((server.address() as AddressInfo).port) };
    }, /Port \d+ .*taken[^]*POTOROO_PORT/],
    ['a port that is none', () => Promise.resolve({ POTOROO_PORT: 'eighty' }), /POTOROO_PORT/],
    ['an address of another machine', () => Promise.resolve({ POTOROO_HOST: '203.0.113.7' }), /POTOROO_HOST/],
    ['a data folder that is a file', async () => {
      await writeFile(join(folder.path, 'file'), '');
      return { POTOROO_DATA_DIR: join(folder.path, 'file') };
    }, /file/],
    ['a data folder that cannot be made', () => Promise.resolve({ POTOROO_DATA_DIR: '/dev/null/potoroo' }), /data folder|POTOROO_DATA_DIR/],
    ['a database that does not answer', () => Promise.resolve({ DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none' }), /DATABASE_URL|database/i],
  ])('%s: says what to do and ends', { timeout: 60_000 }, async (_name, env, message) => {
    const started = up(join(folder.path, `refused-${_name.replaceAll(' ', '-')}`), await env());
    expect(await ended(started)).not.toBe(0);
    expect(started.output()).toMatch(message);
    expect(started.output()).not.toMatch(/^\s+at .*\.js/m);
  });

  it('two servers on one data folder: the second says so, the first goes on', { timeout: 120_000 }, async () => {
    const dataDir = join(folder.path, 'shared');
    await mkdir(dataDir, { recursive: true });
    const first = up(dataDir, {}, []);
    await ready(first);
    const second = up(dataDir, {}, []);
    expect(await ended(second)).not.toBe(0);
    expect(second.output()).toMatch(/is used by the server with process id \d+[^]*POTOROO_DATA_DIR/);
    const url = /runs at (http:\S+)/.exec(first.output())?.[1] ?? '';
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await interrupt(first)).toBe(0);
  });
});
