import { existsSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { processGivesWay } from '../give-way.ts';
import { ask, lastLine, type ContainerTool } from './tool.ts';

const root = '/sys/fs/cgroup';
/** The least that the kernel takes, in both versions of control groups. */
const least = { shares: '2', weight: '1' };
/** What a model starts later inherits it. */
const mostProcesses = 64;

interface Group { readonly folder: string; readonly unified: boolean }

/** The group that shares out the processor to a process, from its `/proc/<pid>/cgroup`. */
function groupOf(text: string): { path: string; mount: string; unified: boolean } | undefined {
  const lines = text.trim().split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line)).filter((found) => found !== null);
  const [, controllers = '', path] = lines.find(([, names = '']) => names.split(',').includes('cpu')) ?? lines.find(([, names]) => names === '') ?? [];
  return path === undefined ? undefined : { path, mount: controllers === '' ? root : join(root, 'cpu'), unified: controllers === '' };
}

/**
 * Arguments that put a container beside the group of this process. Where each tool puts its containers by itself they share the weight of one
 * group, so that the least weight of one in it would be no less than all of this process.
 */
export function besideThis({ cgroups, rootless }: ContainerTool, text = readOwn()): string[] {
  const path = groupOf(text)?.path;
  if (path === undefined || path.includes('..') || rootless) return [];
  if (cgroups === 'cgroupfs') return ['--cgroup-parent', dirname(path)];
  const slice = path.split('/').findLast((name) => name.endsWith('.slice'));
  return cgroups === 'systemd' && slice !== undefined ? ['--cgroup-parent', slice] : [];
}

function readOwn(): string {
  try {
    return readFileSync('/proc/self/cgroup', 'utf8');
  } catch {
    return '';
  }
}

/**
 * Gives a container the least of the processor where others want it: the weight of its group by the tool, and where the kernel shows that group
 * here, as idle too. Gives why that could not be, where nothing could.
 */
export async function containerGivesWay(tool: ContainerTool, name: string): Promise<string | undefined> {
  const updated = await ask(tool.command, ['update', '--cpu-shares', least.shares, name]);
  const group = await find(tool, name);
  if (group === undefined) return updated.ok ? undefined : lastLine(updated.stderr);
  const { folder, unified } = group;
  // Podman has `update` from 4.3 on. An idle group takes no weight any more.
  const weighed = updated.ok || await written(join(folder, unified ? 'cpu.weight' : 'cpu.shares'), unified ? least.weight : least.shares);
  const idle = await written(join(folder, 'cpu.idle'), '1');
  const processes = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  for (const pid of processes.split('\n').filter((line) => line !== '').slice(0, mostProcesses)) processGivesWay(Number(pid));
  return weighed || idle ? undefined : lastLine(updated.stderr);
}

/** Where the container's group is, if this machine shows it. */
async function find(tool: ContainerTool, name: string): Promise<Group | undefined> {
  const [pid, id = ''] = (await ask(tool.command, ['container', 'inspect', '--format', '{{.State.Pid}} {{.Id}}', name])).stdout.trim().split(' ');
  const group = groupOf(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''));
  // The id may be one of another machine, or of another count of processes, and be something else here.
  if (group === undefined || id === '' || !group.path.includes(id)) return undefined;
  const folder = join(group.mount, group.path);
  return existsSync(folder) ? { folder, unified: group.unified } : undefined;
}

const written = (file: string, text: string): Promise<boolean> => writeFile(file, text, { flag: 'r+' }).then(() => true, () => false);
