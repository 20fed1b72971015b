import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { PotorooError } from '@potoroo/contract';

/** Processes whose arguments name a path below `folder`. Empty where there is no /proc. */
export function processesNaming(folder: string): number[] {
  const found: number[] = [];
  for (const entry of list('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const args = read(`/proc/${pid}/cmdline`).split('\0');
    if (args.includes('--spool') && args.some((arg) => arg.startsWith(`${folder}/`)) && !/^State:\s+Z/m.test(read(`/proc/${pid}/status`))) found.push(pid);
  }
  return found;
}

/**
 * Waits until no engine of a killed server writes below `folder` any more. They end by themselves when the channel to it
 * closes; those that have not after `patience` ms are killed.
 */
export async function outliveOrphans(folder: string, patience = 1_500): Promise<void> {
  const start = Date.now();
  for (let left = processesNaming(folder); left.length > 0; left = processesNaming(folder)) {
    const waited = Date.now() - start;
    if (waited > 2 * patience) throw new PotorooError('data_dir_in_use', `Process ${left.join(', ')} still writes below ${folder} and cannot be killed. End it, then start again.`);
    if (waited > patience) for (const pid of left) signal(pid, 'SIGKILL');
    await pause(20);
  }
}

/** Sends the signal; a process that is gone is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

/** Resident memory of a process in bytes; null where it cannot be told. */
export function residentBytes(pid: number): number | null {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`));
  return match === null ? null : Number(match[1]) * 1024;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
