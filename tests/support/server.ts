import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OpsToParent } from '@potoroo/contract';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const example = join(root, 'examples', 'breast-cancer');
export const admin = { username: 'admin@example.com', password: 'the-first-password' };

export interface Server {
  readonly url: string;
  readonly dataDir: string;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** A folder that is removed at the end. */
export async function temporaryFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'potoroo-test-'));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Ops as `potoroo up` starts it: real processes, a free port, the given data folder. */
export async function startServer(dataDir: string, env: Record<string, string> = {}): Promise<Server> {
  const child = fork(join(root, 'packages', 'ops', 'dist', 'main.js'), [], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env, POTOROO_PORT: '0', POTOROO_DATA_DIR: dataDir, POTOROO_ADMIN_EMAIL: admin.username, POTOROO_ADMIN_PASSWORD: admin.password, LOG_LEVEL: 'warn', ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => { output = (output + chunk.toString()).slice(-20_000); });
  const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit').then(([code]) => { throw new Error(`ops ended with ${code}:\n${output}`); })])) as [OpsToParent];
  if (message.type === 'failed') throw new Error(`${message.code}: ${message.message}`);
  return {
    url: message.url, dataDir, process: child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
