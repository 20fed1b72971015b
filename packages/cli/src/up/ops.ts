import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PotorooError } from '@potoroo/sdk';
import type { OpsReady, OpsToParent } from '@potoroo/contract';

/** The built entry of ops, which lies beside this package; it is started, never imported. */
const opsMain = fileURLToPath(new URL('../../../ops/dist/main.js', import.meta.url));

export interface Ops extends Omit<OpsReady, 'type'> {
  /** How it ended, once it has: `exit code 1`, or the signal. */
  readonly exited: Promise<string>;
  /** Asks it to stop in order; harmless when it has stopped. */
  stop(): void;
  kill(): void;
}

/**
 * Starts ops as a child and waits until it serves. It has a process group of its own: Ctrl-C reaches only this process,
 * which then asks ops to stop; when this process goes away in any other way, ops notices and stops too.
 * @throws PotorooError as ops reported it
 */
export async function startOps(env: NodeJS.ProcessEnv, say: (line: string) => void): Promise<Ops> {
  const child = fork(opsMain, [], { env: { ...env, LOG_LEVEL: env['LOG_LEVEL'] || 'warn' }, stdio: ['ignore', 'pipe', 'inherit', 'ipc'], detached: true });
  const exited = new Promise<string>((resolve) => { child.once('exit', (code, by) => resolve(by === null ? `exit code ${code}` : by)); });
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => say(readable(line)));
  const message = await firstMessage(child, exited);
  if (message.type === 'failed') {
    await exited;
    throw new PotorooError(message.code, message.message);
  }
  const { url, dataDir, adminFile } = message;
  const signal = (name: NodeJS.Signals): void => { if (child.exitCode === null && child.signalCode === null) child.kill(name); };
  return { url, dataDir, adminFile, exited, stop: () => signal('SIGTERM'), kill: () => signal('SIGKILL') };
}

function firstMessage(child: ChildProcess, exited: Promise<string>): Promise<OpsToParent> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new PotorooError('internal', `The server could not be started: ${cause.message}.`, { cause })));
    child.once('message', (message) => resolve(message as OpsToParent));
    void exited.then((how) => reject(new PotorooError('internal', `The server stopped with ${how} before it was ready; its last lines are above.`)));
  });
}

interface LogLine {
  level?: unknown;
  time?: unknown;
  msg?: unknown;
  err?: { message?: unknown };
}

const levels: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warning', 50: 'error', 60: 'fatal' };

/** A line of ops' log (JSON) for people; anything else as it is. */
export function readable(line: string): string {
  let entry: LogLine;
  try {
    entry = JSON.parse(line) as LogLine;
  } catch {
    return line;
  }
  if (typeof entry !== 'object' || entry === null || typeof entry.msg !== 'string') return line;
  const at = new Date(typeof entry.time === 'number' || typeof entry.time === 'string' ? entry.time : Date.now());
  const time = Number.isNaN(at.getTime()) ? '' : `${at.toTimeString().slice(0, 8)} `;
  const level = typeof entry.level === 'number' ? (levels[entry.level] ?? String(entry.level)) : 'info';
  const cause = typeof entry.err?.message === 'string' && entry.err.message !== entry.msg ? `: ${entry.err.message}` : '';
  return `${time}${level} ${entry.msg}${cause}`;
}
