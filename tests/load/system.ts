import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Potoroo, type ApiDeploymentStatus, type Deployment } from '@potoroo/sdk';
import type { OpsToParent } from '@potoroo/contract';

const main = fileURLToPath(new URL('../../packages/ops/dist/main.js', import.meta.url));
export const fixture = (name: string): string => fileURLToPath(new URL(`../../packages/engine/fixtures/${name}.onnx`, import.meta.url));
const administrator = { username: 'admin@potoroo.local', password: 'only for this test' };

/** A server as users start it: a process of its own, on free ports, with a data folder that outlives it. */
export class System {
  readonly dataDir: string;
  #child: ChildProcess | null = null;
  #url = '';
  #output = '';

  private constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  static async create(): Promise<System> {
    return new System(await mkdtemp(join(tmpdir(), 'potoroo-system-')));
  }

  get url(): string { return this.#url; }

  /** Starts the process without waiting for it. */
  launch(): ChildProcess {
    const child = fork(main, [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], POTOROO_PORT: '0', POTOROO_DATA_DIR: this.dataDir, POTOROO_ADMIN_PASSWORD: administrator.password, LOG_LEVEL: 'warn' },
    });
    const keep = (text: Buffer): void => { this.#output = (this.#output + text.toString()).slice(-20_000); };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.#child = child;
    return child;
  }

  /** Starts it and resolves when it serves. Throws what it said when it does not. */
  async start(): Promise<void> {
    const child = this.launch();
    const said = await Promise.race([
      once(child, 'message').then(([message]) => message as OpsToParent),
      once(child, 'exit').then(([code, signal]) => { throw new Error(`ops ended with ${code ?? signal}: ${this.#output}`); }),
    ]);
    if (said.type === 'failed') throw new Error(`ops failed: ${said.message}`);
    this.#url = said.url;
  }

  client(): Potoroo {
    return new Potoroo({ url: this.#url, ...administrator });
  }

  /** As the power cut does it: no warning. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}

/** Whole again: every wanted engine is ready and no other is left. */
export async function settled(deployment: Deployment, timeoutMs = 30_000): Promise<ApiDeploymentStatus> {
  let last: ApiDeploymentStatus | undefined;
  const { generation } = deployment.info;
  try {
    for await (const status of deployment.watch({ signal: AbortSignal.timeout(timeoutMs) })) {
      last = status;
      if (status.observedGeneration >= generation && status.state === 'running' && status.engines.length === status.wantedReplicas) return status;
    }
  } catch (error) {
    throw new Error(`The deployment did not settle: ${JSON.stringify(last, null, 1)}`, { cause: error });
  }
  throw new Error(`The stream of events ended: ${JSON.stringify(last)}`);
}
