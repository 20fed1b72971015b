import { spawn } from 'node:child_process';
import { constants, existsSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, constants as system } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { PotorooError } from '@potoroo/contract/plain';
import { log } from '../../log.ts';
import { besideThis, containerGivesWay } from './groups.ts';
import { Leash, type Held } from './leash.ts';
import { containerTool, identity, lastLine, removeContainers, sweepContainers, type ContainerTool } from './tool.ts';
import type { Launched, Limits, Start } from '../python/launch.ts';

export interface ContainerStart extends Start {
  readonly image: string;
  /** The program in the container that runs `contained.py`. */
  readonly interpreter: string;
  /** The user that its image names, instead of one without rights. */
  readonly ownUser?: boolean;
  readonly network?: boolean;
  /** Carries connections to this socket to the first open one of the ports in the container. */
  readonly forward?: { readonly socket: string; readonly ports: readonly number[] };
}

/** Folder with `contained.py`. */
const pythonRoot = process.env['POTOROO_PYTHON_ROOT'] ?? resolve(import.meta.dirname, '../../../../../python');
/** As `contained.py` says; 125 to 127 are said by the tools themselves. */
const outOfMemory = 117;
const nobody = '65534:65534';
const lateMs = 2000;
/** A larger file is not worth a copy. */
const copyBelow = 1 << 29;

let swept: Promise<unknown> | undefined;

/**
 * Starts it in a container of its own: nothing of this machine but what it reads and its folder, a root that it cannot write, no
 * rights, no network unless it is asked for.
 * @throws PotorooError `container_unavailable`, `environment_failed`, `invalid_request`
 */
export async function launchContainer(start: ContainerStart): Promise<Launched> {
  const tool = await containerTool();
  void (swept ??= sweepContainers(tool));
  const program = join(pythonRoot, 'potoroo_runtime', 'contained.py');
  const reads = [...new Set([...start.reads, ...interpreterFolders(start.interpreter), program])];
  const missing = [start.interpreter.startsWith('/') ? start.interpreter : program, ...reads].find((path) => !existsSync(path));
  if (missing !== undefined) throw new PotorooError('environment_failed', `${missing} is to be given to the model's container and does not exist. Upload the model again.`);
  const { name, args } = identity();
  const leashPath = join(start.folder, 'leash');
  const envFile = join(dirname(start.folder), 'env');
  await writeFile(envFile, envLines(start.env), { mode: 0o600 });
  const { user, sources } = start.ownUser === true ? { user: [], sources: new Map<string, string>() } : await userFor(tool, reads, dirname(start.folder));
  const mounted = mounts(reads, sources, [...await openRoot(reads, dirname(start.folder)), [start.folder, start.folder]]);
  const leash = await Leash.open(leashPath);

  const forward = start.forward === undefined ? [] : ['--forward', start.forward.socket, start.forward.ports.join(',')];
  const child = spawn(tool.command[0] ?? '', [
    ...tool.command.slice(1), 'run', '--rm', '--pull', 'never', '--log-driver', 'none', ...args,
    ...defaultsBeside(tool.runArgs, [...confinement(start), user, start.yields === true ? besideThis(tool) : [], ...limitArgs(tool, start.limits)].filter((option) => option.length > 0)),
    '--env-file', envFile, '--workdir', start.work,
    ...mounted, ...tool.runArgs, '--entrypoint', start.interpreter, start.image,
    '-I', '-S', program, '--leash', leashPath, ...forward, '--', ...start.command,
    // podman's monitor notes an end for want of memory in a file where it was started
  ], { stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: dirname(start.folder) });

  let killed = false;
  let said = '';
  child.stderr.on('data', (data: Buffer) => { said = (said + data.toString()).slice(-4000); });
  const over = new Promise<void>((done) => { child.once('close', () => done()).once('error', () => done()); });
  void over.then(() => leash.end());
  return {
    child,
    pid: null,
    usage: () => leash.usage(),
    giveWay() {
      void containerGivesWay(tool, name).then((why) => {
        if (why !== undefined && !killed && child.exitCode === null) log.warn('a challenger takes as much of the processor as those that answer: the container tool could not change that', { container: name, reason: why });
      });
    },
    kill() {
      if (killed) return;
      killed = true;
      leash.end();
      const late = setTimeout(() => { void removeContainers(tool, [name]); }, lateMs);
      void over.then(() => clearTimeout(late));
    },
    end: (code, signal) => endOf(code, signal),
    reason(code) {
      if (code === outOfMemory) {
        const most = start.limits.memoryBytes === undefined ? 'all the memory there is' : `all of its ${Math.floor(start.limits.memoryBytes / 2 ** 20)} MiB of memory`;
        return new PotorooError('engine_out_of_memory', `The model's container used ${most}, and the kernel ended it. Raise the memory of its sidekick, or send fewer rows a request.`);
      }
      if (leash.held !== undefined || code === null || code < 125 || code > 127) return undefined;
      return new PotorooError('container_unavailable', `${tool.name} could not start a container of ${start.image}: ${lastLine(said) || `it ended with status ${code}`}.${start.ownUser === true ? '' : ' It is built from deploy/runtime.'}`);
    },
    notes: () => notesOn(start.limits, leash.held ?? {}),
  };
}

function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `was lost: its container tool was ended by ${signal}`;
  const inside = Object.entries(system.signals).find(([, number]) => code === 128 + number)?.[0];
  return inside === undefined ? `ended with status ${code}` : `was ended by ${inside}`;
}

function envLines(env: Readonly<Record<string, string>>): string {
  const broken = Object.entries(env).find(([, value]) => /[\r\n\0]/.test(value));
  if (broken !== undefined) throw new PotorooError('invalid_request', `The environment variable ${broken[0]} of a model in a container has a line break, which container tools do not take. Leave it out.`);
  return Object.entries(env).map(([name, value]) => `${name}=${value}\n`).join('');
}

function confinement({ network = false }: ContainerStart): string[][] {
  return [
    ['--read-only'], ['--tmpfs', '/tmp'], ['--cap-drop', 'ALL'], ['--security-opt', 'no-new-privileges'], ['--security-opt', 'label=disable'], ['--pids-limit', '2048'],
    ...(network ? [] : [['--network', 'none']]),
  ];
}

/**
 * A user without rights that can still read what it is given. Files of root that nobody else may read are copied for it; where
 * they are too large for that it is root, which in there has no rights beyond reading its own.
 */
async function userFor(tool: ContainerTool, reads: readonly string[], holder: string): Promise<{ user: string[]; sources: Map<string, string> }> {
  const [user, group] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const sources = new Map<string, string>();
  if (user !== 0 && tool.name === 'podman') return { user: ['--userns', 'keep-id'], sources };
  if (user !== 0) return { user: ['--user', tool.rootless ? '0:0' : `${user}:${group}`], sources };
  for (const path of reads) {
    const { mode, size } = await stat(path);
    if ((mode & 0o4) !== 0) continue;
    if ((mode & constants.S_IFMT) !== constants.S_IFREG || size > copyBelow) return { user: ['--user', '0:0'], sources };
    const copy = join(holder, `copy-${sources.size}`);
    await copyFile(path, copy, constants.COPYFILE_FICLONE);
    await chmod(copy, 0o444);
    sources.set(path, copy);
  }
  return { user: ['--user', nobody], sources };
}

function limitArgs(tool: ContainerTool, { cpus, memoryBytes, gpus = 0 }: Limits): string[][] {
  return [
    ...(cpus === undefined ? [] : [['--cpus', String(Math.min(cpus, availableParallelism()))]]),
    ...(memoryBytes === undefined ? [] : [['--memory', `${memoryBytes}b`, '--memory-swap', `${memoryBytes}b`]]),
    ...(gpus === 0 ? [] : tool.name === 'docker' ? [['--gpus', String(gpus)]] : Array.from({ length: gpus }, (_, i) => ['--device', `nvidia.com/gpu=${i}`])),
  ];
}

/** What `POTOROO_CONTAINER_ARGS` says of an option goes instead of what we say of it. */
function defaultsBeside(given: readonly string[], defaults: readonly string[][]): string[] {
  const names = new Set(given.filter((arg) => arg.startsWith('--') && arg !== '--security-opt').map((arg) => arg.split('=')[0]));
  if (names.has('--net')) names.add('--network');
  return defaults.filter(([option = '']) => !names.has(option)).flat();
}

/** The image's own /root, which its root alone can enter, must not stand before what lies below ours. */
async function openRoot(reads: readonly string[], holder: string): Promise<[string, string][]> {
  if (!reads.some((path) => path.startsWith('/root/'))) return [];
  const folder = join(holder, 'root');
  await mkdir(folder);
  return [[folder, '/root']];
}

function mounts(reads: readonly string[], sources: ReadonlyMap<string, string>, writes: readonly [string, string][]): string[] {
  const comma = [...reads, ...writes.flat()].find((path) => path.includes(','));
  if (comma !== undefined) throw new PotorooError('invalid_request', `${comma} cannot be given to a container: its path has a comma. Use another data folder.`);
  return [...writes.map(([source, target]) => `type=bind,source=${source},target=${target}`), ...reads.map((path) => `type=bind,source=${sources.get(path) ?? path},target=${path},readonly`)].flatMap((mount) => ['--mount', mount]);
}

/** Where the interpreter of an environment really lies: its folders, unless they are the system's, which the image has its own of. */
function interpreterFolders(program: string): string[] {
  const folders: string[] = [];
  for (let at = program, hops = 0; at.startsWith('/') && hops < 10; hops++) {
    try {
      at = resolve(dirname(at), readlinkSync(at));
    } catch {
      break;
    }
    const folder = dirname(dirname(at));
    if (!['/', '/usr', '/usr/local'].includes(folder)) folders.push(folder);
  }
  return folders;
}

/** What the container said of the limits that it found set, where that is not what was asked for. */
function notesOn(asked: Limits, found: Held): string[] {
  const notes: string[] = [];
  if (asked.memoryBytes !== undefined && (found.memory ?? Infinity) > asked.memoryBytes) notes.push('The memory of its container is advisory: the container tool could not have the kernel enforce it.');
  if (asked.cpus !== undefined && (found.cpus ?? Infinity) > asked.cpus) notes.push('The cpus of its container are advisory: the container tool could not have the kernel enforce them.');
  return notes;
}
