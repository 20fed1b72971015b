import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { PotorooError } from '@potoroo/contract/plain';

/**
 * The container tool of this machine and how it is called. `POTOROO_CONTAINERS` says which (off, auto, podman, docker) and
 * `POTOROO_CONTAINER_ARGS` what to give it beside our own: `[arguments of the tool] [-- arguments of run]`.
 */
export interface ContainerTool {
  readonly name: 'podman' | 'docker';
  /** The program and the arguments that come before its command. */
  readonly command: readonly string[];
  /** Arguments of every `run`. */
  readonly runArgs: readonly string[];
  /** Its containers run as a user of this system that is not root, or are mapped to one. */
  readonly rootless: boolean;
  /** Who makes its control groups: `cgroupfs` or `systemd`; '' where it does not say. */
  readonly cgroups: string;
}

export interface Answer { readonly ok: boolean; readonly stdout: string; readonly stderr: string }

const names = ['podman', 'docker'] as const;
const askMs = 20_000;

/** Runs the tool to its end. Never rejects; `input` goes to its standard input. */
export function ask(command: readonly string[], args: readonly string[], { timeoutMs = askMs, input = '', signal }: { timeoutMs?: number; input?: string; signal?: AbortSignal } = {}): Promise<Answer> {
  const [program = '', ...before] = command;
  return new Promise((resolve) => {
    const child = execFile(program, [...before, ...args], { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 16 * 1024 * 1024, ...(signal && { signal }) }, (error, stdout, stderr) => {
      const why = error === null ? '' : error.killed === true ? `it said nothing for ${timeoutMs / 1000} s` : (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it is not installed' : error.message;
      resolve({ ok: error === null, stdout, stderr: stderr.trim() === '' ? why : stderr });
    });
    child.stdin?.on('error', () => {}).end(input);
  });
}

/** The last thing that a tool said, in one line without its full stop; docker ends with where to read on. */
export const lastLine = (text: string): string => (text.trim().split('\n').findLast((line) => !line.startsWith("See 'docker")) ?? '').trim().replace(/^(Error|error|docker): /, '').replace(/\.$/, '').slice(0, 500);

let found: Promise<ContainerTool> | undefined;

/**
 * The tool that works here, looked for once.
 * @throws PotorooError `container_unavailable` saying what to install or set
 */
export function containerTool(): Promise<ContainerTool> {
  found ??= find(process.env['POTOROO_CONTAINERS'] ?? 'auto', process.env['POTOROO_CONTAINER_ARGS'] ?? '');
  found.catch(() => { found = undefined; });
  return found;
}

async function find(wanted: string, extra: string): Promise<ContainerTool> {
  if (wanted === 'off') throw new PotorooError('container_unavailable', 'Containers are switched off on this server: set POTOROO_CONTAINERS to auto, podman or docker.');
  const candidates = names.filter((name) => wanted === 'auto' || wanted === name);
  if (candidates.length === 0) throw new PotorooError('settings_invalid', `POTOROO_CONTAINERS is ${JSON.stringify(wanted)}: use off, auto, podman or docker.`);
  const words = extra.split(/\s+/).filter((word) => word !== '');
  const split = words.includes('--') ? words.indexOf('--') : words.length;
  const problems: string[] = [];
  for (const name of candidates) {
    const command = [name, ...words.slice(0, split)];
    // The client of docker is often there without its daemon.
    const answer = await ask(command, ['info', '--format', name === 'docker' ? '{{.SecurityOptions}} {{.CgroupDriver}}' : '{{.Host.Security.Rootless}} {{.Host.CgroupManager}}']);
    if (answer.ok && answer.stdout.trim() !== '') {
      return { name, command, runArgs: words.slice(split + 1), rootless: /rootless|true/.test(answer.stdout), cgroups: answer.stdout.trim().split(' ').at(-1) ?? '' };
    }
    problems.push(`${name}: ${lastLine(answer.stderr)}`);
  }
  throw new PotorooError('container_unavailable', `A container is needed, and no container tool works on this machine (${problems.join('; ')}). Install podman (\`apt-get install podman\`), or start docker, and see POTOROO_CONTAINERS.`);
}

/** Marks the containers of this machine: process ids mean something only where they are counted. */
function machine(): string {
  let namespace = '';
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // not Linux
  }
  return createHash('sha256').update(`${hostname()} ${namespace}`).digest('hex').slice(0, 16);
}

/** A process and when it began: ids are used again. */
function incarnation(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid}-${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return undefined;
  }
}

let count = 0;
/** Name and labels of a container of this process; by them it is found when this process could not remove it. */
export function identity(): { name: string; args: string[] } {
  const name = `potoroo-${incarnation(process.pid) ?? `${process.pid}-0`}-${++count}-${Date.now().toString(36)}`;
  return { name, args: ['--name', name, '--label', `potoroo.machine=${machine()}`] };
}

/** Removes the containers of engines of this machine that are no more. Gives their names; never rejects. */
export async function sweepContainers(tool: ContainerTool): Promise<string[]> {
  if (incarnation(process.pid) === undefined) return []; // no telling who lives
  const listed = await ask(tool.command, ['ps', '--all', '--filter', `label=potoroo.machine=${machine()}`, '--format', '{{.Names}}']);
  const left = listed.stdout.split('\n').filter((name) => {
    const owner = /^potoroo-((\d+)-\d+)-/.exec(name.trim());
    return owner !== null && incarnation(Number(owner[2])) !== owner[1];
  }).map((name) => name.trim());
  if (left.length > 0) await removeContainers(tool, left);
  return left;
}

/** At once, without asking what runs in them. */
export async function removeContainers(tool: ContainerTool, containers: readonly string[]): Promise<void> {
  await ask(tool.command, ['kill', '--signal', 'KILL', ...containers]);
  await ask(tool.command, ['rm', '--force', ...containers]);
}
