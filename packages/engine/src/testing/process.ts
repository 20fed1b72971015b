import { fork, type ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EngineFailed, EngineReady } from '@potoroo/contract/plain';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const running = new Set<EngineProcess>();

/** The built engine as a process of its own, as a host starts it. */
export class EngineProcess {
  readonly child: ChildProcess;
  readonly said: Promise<EngineReady | EngineFailed | undefined>;
  readonly exited: Promise<number | null>;
  output = '';

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    this.child = fork(main, [...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...process.env, ...env } });
    this.child.stdout?.on('data', (d: Buffer) => { this.output += d.toString(); });
    this.child.stderr?.on('data', (d: Buffer) => { this.output += d.toString(); });
    this.exited = once(this.child, 'exit').then(([code]) => {
      running.delete(this);
      return code as number | null;
    });
    this.said = Promise.race([this.#verdict(), this.exited.then(() => undefined)]);
    running.add(this);
  }

  /** Whether it is ready or failed, among all that it tells its host. */
  async #verdict(): Promise<EngineReady | EngineFailed | undefined> {
    for await (const [message] of on(this.child, 'message', { close: ['exit'] })) {
      const said = message as EngineReady | EngineFailed;
      if (said.type === 'ready' || said.type === 'failed') return said;
    }
    return undefined;
  }

  /** Waits until it is ready and gives the port of its public side. */
  async port(): Promise<number> {
    const said = await this.said;
    const address = /"address":"[^"]*:(\d+)"/.exec(this.output)?.[1];
    if (said?.type !== 'ready' || address === undefined) throw new Error(`The engine is not ready: ${JSON.stringify(said)}\n${this.output}`);
    return Number(address);
  }
}

/** For `afterEach`: ends what a test started. */
export async function endEngines(): Promise<void> {
  for (const engine of running) engine.child.kill('SIGKILL');
  await Promise.all([...running].map((e) => e.exited));
}
