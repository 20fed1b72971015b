import { fork, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ApiModel, ApiModelVersion, ApiWorkspace, OpsReady } from '@potoroo/contract';
import { exampleModel } from './domains/testing.ts';
import { databases, type TestStorage } from './storage/testing.ts';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
let folder: string;
const started: ChildProcess[] = [];
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'potoroo-main-')); });
afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true, force: true });
});

interface Server { child: ChildProcess; url: string; text: () => string }
const environment = (env: Record<string, string>): NodeJS.ProcessEnv => ({ ...process.env, POTOROO_PORT: '0', POTOROO_DATA_DIR: join(folder, 'data'), LOG_LEVEL: 'warn', ...env });

/** Starts the program; resolves when it says where it listens or when it has ended. */
async function start(env: Record<string, string> = {}): Promise<Server> {
  const child = spawn(process.execPath, [main], { env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let text = '';
  return new Promise((resolve) => {
    const take = (chunk: Buffer) => {
      text += chunk.toString();
      const url = /listens on (http:\S+)/.exec(text)?.[1];
      if (url !== undefined) resolve({ child, url, text: () => text });
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('close', () => resolve({ child, url: '', text: () => text }));
  });
}
async function stop({ child }: Server, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  child.kill(signal);
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}
const signIn = async (url: string, { username, password }: { username: string; password: string }): Promise<string> => {
  const answer = await fetch(`${url}/auth/realms/master/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'password', username, password }) });
  return ((await answer.json()) as { access_token: string }).access_token;
};

test('the first start makes an administrator whose password only its owner can read; the next one keeps them', async () => {
  const first = await start();
  const file = join(folder, 'data', 'admin.json');
  expect(first.text()).toContain(file);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, 'data'))).mode & 0o077).toBe(0);
  const admin = JSON.parse(await readFile(file, 'utf8')) as { username: string; password: string };
  expect(await signIn(first.url, admin)).toBeTruthy();
  expect(await stop(first)).toBe(0);
  const second = await start({ POTOROO_ADMIN_PASSWORD: 'another password' });
  expect(await signIn(second.url, admin)).toBeTruthy();
  expect(await stop(second, 'SIGINT')).toBe(0);
});

test('wrong settings, a taken port, a folder in use or not writable: one line that says what to do', async () => {
  const running = await start();
  const port = await new Promise<{ taken: number; close: () => void }>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => resolve({ taken: (server.address() as AddressInfo).port, close: () => server.close() }));
  });
  const file = join(folder, 'file');
  await writeFile(file, '');
  const other = { POTOROO_DATA_DIR: join(folder, 'other') };
  for (const [env, code, said] of [
    [{ POTOROO_PORT: 'eighty', LOG_LEVEL: 'loud' }, 'settings_invalid', /POTOROO_PORT.*LOG_LEVEL/],
    [{ ...other, POTOROO_PORT: String(port.taken) }, 'port_in_use', new RegExp(`${port.taken}.*POTOROO_PORT`)],
    [{ ...other, POTOROO_PYTHON: '/no/such/python' }, 'settings_invalid', /POTOROO_PYTHON/],
    [{ ...other, POTOROO_HOST: '203.0.113.7' }, 'settings_invalid', /POTOROO_HOST/],
    [{ ...other, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }, 'settings_invalid', /DATABASE_URL/],
    [{}, 'data_dir_in_use', new RegExp(`process id ${running.child.pid}.*POTOROO_DATA_DIR`)],
    [{ POTOROO_DATA_DIR: join(file, 'data') }, 'storage_read_only', /writable/],
    ...(process.platform === 'linux' ? [[{ POTOROO_DATA_DIR: '/proc/potoroo/data' }, 'storage_read_only', /\/proc takes no new folders/] as const] : []),
  ] as const) {
    const failed = await start(env);
    expect([failed.url, failed.child.exitCode], failed.text()).toEqual(['', 1]);
    expect(failed.text()).toMatch(new RegExp(`^${code}: .*\n$`));
    expect(failed.text()).toMatch(said);
  }
  port.close();
  // None of that has touched the server that runs.
  expect((await fetch(`${running.url}/healthz`)).status).toBe(200);
});

test.skipIf(process.getuid?.() === 0)('a folder that may not be written', async () => {
  await chmod(folder, 0o500);
  expect((await start()).text()).toMatch(/^storage_read_only: /);
});

test('a process that started it is told where it serves, and takes it along', async () => {
  const child = fork(main, [], { env: environment({}), stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  started.push(child);
  const [ready] = (await once(child, 'message')) as [OpsReady];
  expect(ready).toMatchObject({ type: 'ready', url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/), dataDir: join(folder, 'data'), adminFile: join(folder, 'data', 'admin.json') });
  child.disconnect();
  expect(await once(child, 'exit')).toEqual([0, null]);
});

describe.each(databases)('killed in the middle of uploads, on $name', ({ open }) => {
  let storage: TestStorage;
  beforeEach(async () => { storage = await open(); });
  afterEach(() => storage.close());

  test('what was acknowledged is there and whole, and nothing half is left', async () => {
    const account = { username: 'admin@potoroo.local', password: 'a password for tests' };
    const env = { POTOROO_ADMIN_PASSWORD: account.password, ...(storage.databaseUrl && { DATABASE_URL: storage.databaseUrl }) };
    const model = readFileSync(exampleModel);
    const acknowledged = new Map<number, string>();
    for (let round = 0; round < 3; round += 1) {
      const before = acknowledged.size;
      const server = await start(env);
      const headers = { authorization: `Bearer ${await signIn(server.url, account)}` };
      const workspace = (await (await fetch(`${server.url}/api/v1/workspaces/default`, { headers })).json()) as ApiWorkspace;
      const uploads = Array.from({ length: 4 }, async (_, i) => {
        for (let n = 0; ; n += 1) {
          // Slow enough that the kill falls into the middle of some; bytes after the graph make each file another one.
          const content = Buffer.concat([model, Buffer.from([0xfa, 0x01, 2 + (n % 100), ...Buffer.alloc(2 + (n % 100), 65 + i + round)])]);
          async function* slowly() { for (let at = 0; at < content.length; at += 200) { yield content.subarray(at, at + 200); await delay(5); } }
          const answer = await fetch(`${server.url}/api/v1/workspaces/${workspace.id}/models/m${i}/versions?framework=onnx`, { method: 'PUT', headers, body: slowly() as never, duplex: 'half' } as RequestInit);
          const { id, sha256 } = (await answer.json()) as ApiModelVersion;
          expect(sha256).toBe(createHash('sha256').update(content).digest('hex'));
          acknowledged.set(id, sha256);
        }
      }).map((upload) => upload.catch((error: unknown) => { if (server.child.signalCode === null && server.child.exitCode === null && !(error instanceof TypeError)) throw error; }));
      // At some moment after the first answer, while others are on their way or being loaded.
      await expect.poll(() => acknowledged.size, { timeout: 30_000 }).toBeGreaterThan(before);
      await delay(Math.random() * 400);
      server.child.kill('SIGKILL');
      await once(server.child, 'exit');
      await Promise.all(uploads);
    }

    const server = await start(env);
    const headers = { authorization: `Bearer ${await signIn(server.url, account)}` };
    const versions = async (): Promise<ApiModelVersion[]> => ((await (await fetch(`${server.url}/api/v1/models?limit=1000`, { headers })).json()) as { items: ApiModel[] }).items.flatMap((m) => m.versions);
    await expect.poll(async () => (await versions()).filter((v) => v.status !== 'ready' && v.status !== 'error'), { timeout: 60_000 }).toEqual([]);
    const stored = new Map((await versions()).map((v) => [v.id, v]));
    for (const [id, sha256] of acknowledged) expect(stored.get(id)?.sha256).toBe(sha256);
    for (const { sha256, size, status, reason } of stored.values()) {
      const bytes = await readFile(join(folder, 'data', 'blobs', sha256.slice(0, 2), sha256.slice(2)));
      expect([createHash('sha256').update(bytes).digest('hex'), bytes.length]).toEqual([sha256, size]);
      expect([status, reason]).toEqual(['ready', null]);
    }
    expect(await readdir(join(folder, 'data', 'blobs', 'incoming'))).toEqual([]);
    expect(await stop(server)).toBe(0);
  }, 120_000);
});
