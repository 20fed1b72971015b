import { spawn, type ChildProcess } from 'node:child_process';
import type { PotorooError, PythonModel } from '@potoroo/contract/plain';
import type { Usage } from '../sidekicks.ts';

/** What a runtime is started with, wherever it runs. */
export interface Start {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** All that it sees of an environment, but what programs need to start on this machine. */
  readonly env: Readonly<Record<string, string>>;
  /** A folder of this start's own that it may read and write; its working folder is `work`, in it. */
  readonly folder: string;
  readonly work: string;
  /** Files and folders that it reads. */
  readonly reads: readonly string[];
  readonly limits: Limits;
  /** Once loaded it is to run only where nothing else wants the core. */
  readonly yields?: boolean | undefined;
}

export interface Limits {
  readonly cpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly gpus?: number | undefined;
}

/** A runtime that was started. `child` writes what the runtime writes, and exits when that has ended. */
export interface Launched {
  readonly child: ChildProcess;
  /** Its process on this machine, where it has one that this machine can show. */
  readonly pid: number | null;
  /** What it uses, where that is not told by its process; undefined when it cannot be told now. */
  readonly usage?: () => Promise<Usage | undefined>;
  /** From here on it runs only where nothing else wants the core; where its process alone cannot be made to. */
  giveWay?(): void;
  /** Ends it and all that it started. */
  kill(): void;
  /** What became of it, to follow "The model's process". */
  end(code: number | null, signal: NodeJS.Signals | null): string;
  /** What only the way it was started can tell of its end. */
  reason(code: number | null): PotorooError | undefined;
  /** What a person should know about how it runs, once it does. */
  notes(): string[];
}
/** @throws PotorooError `container_unavailable` */
export type Launch = (start: Start) => Promise<Launched>;

/** How a model's runtime is started: as a child of this process, unless it is to be in a container. */
export function launcherOf({ isolation, network = false }: PythonModel): Launch {
  if (isolation !== 'container') return launchProcess;
  return async (start) => {
    const { launchContainer } = await import('../containers/container.ts');
    return launchContainer({ ...start, image: process.env['POTOROO_RUNTIME_IMAGE'] ?? 'potoroo-runtime', interpreter: start.command[0] ?? '', network });
  };
}

const pass = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'LD_LIBRARY_PATH', 'CUDA_VISIBLE_DEVICES', 'SSL_CERT_FILE'];

/** Starts it as a child of this process, in a process group of its own. */
async function launchProcess({ command: [program = '', ...args], env, work }: Start): Promise<Launched> {
  const child = spawn(program, args, {
    cwd: work, stdio: ['pipe', 'pipe', 'pipe'], detached: true,
    env: { ...Object.fromEntries(pass.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))), ...env },
  });
  child.stdin.on('error', () => {});
  return {
    child,
    pid: child.pid ?? null,
    kill: () => killGroup(child),
    end: (code, signal) => (signal === null ? `ended with status ${code}` : `was ended by ${signal}`),
    reason: () => undefined,
    notes: () => [],
  };
}

/** The process and what it started; it leads a group of its own. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // already gone
  }
}
