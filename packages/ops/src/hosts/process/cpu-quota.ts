import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Holds a process to a number of CPUs by force of the kernel. */
export interface CpuQuota {
  /** Puts the process under the quota; gives back how to take the quota away once the process is gone. */
  hold(pid: number, name: string, cpus: number): () => void;
}

const period = 100_000;

/**
 * A quota by control groups (version 1 or 2) where this user may create them, else null. `instance` tells apart the groups
 * of different data folders; those that a killed server left are removed in passing. Found out by doing it, as permissions lie.
 */
export function openCpuQuota(instance: string, root = '/sys/fs/cgroup'): CpuQuota | null {
  for (const [base, version] of candidates(root)) {
    const prefix = `potoroo-${instance}-`;
    const held = new Set<string>();
    // A group can be removed a moment after its last process has ended, so each change tries what is left over.
    const sweep = (): void => {
      for (const left of readdirSync(base)) if (left.startsWith(prefix) && !held.has(left)) remove(join(base, left));
    };
    const quota: CpuQuota = {
      hold(pid, name, cpus) {
        const group = join(base, prefix + name);
        sweep();
        mkdirSync(group);
        try {
          const microseconds = Math.max(1_000, Math.round(cpus * period));
          if (version === 2) writeFileSync(join(group, 'cpu.max'), `${microseconds} ${period}`);
          else writeFileSync(join(group, 'cpu.cfs_quota_us'), String(microseconds));
          writeFileSync(join(group, 'cgroup.procs'), String(pid));
        } catch (error) {
          remove(group);
          throw error;
        }
        held.add(prefix + name);
        return () => {
          held.delete(prefix + name);
          sweep();
        };
      },
    };
    if (works(base, prefix, version)) return quota;
  }
  return null;
}

function candidates(root: string): [string, 1 | 2][] {
  let own: string;
  try {
    own = readFileSync('/proc/self/cgroup', 'utf8');
  } catch {
    return [];
  }
  const found: [string, 1 | 2][] = [];
  for (const line of own.trim().split('\n')) {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers.split(',').includes('cpu')) found.push([join(root, controllers, path), 1], [join(root, 'cpu', path), 1]);
    if (controllers === '') found.push([join(root, path), 2]);
  }
  return found;
}

function works(base: string, prefix: string, version: 1 | 2): boolean {
  const probe = join(base, `${prefix}probe`);
  try {
    if (version === 2 && !readFileSync(join(base, 'cgroup.subtree_control'), 'utf8').split(/\s/).includes('cpu')) {
      writeFileSync(join(base, 'cgroup.subtree_control'), '+cpu');
    }
    mkdirSync(probe);
    if (version === 2) writeFileSync(join(probe, 'cpu.max'), `${period} ${period}`);
    else writeFileSync(join(probe, 'cpu.cfs_quota_us'), String(period));
    return true;
  } catch {
    return false;
  } finally {
    remove(probe);
  }
}

/** A group goes only when it is empty; one that is not is tried again. */
function remove(group: string): void {
  try {
    rmdirSync(group);
  } catch {
    // Busy or never made.
  }
}
