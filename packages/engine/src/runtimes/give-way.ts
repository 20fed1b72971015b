import { execFile } from 'node:child_process';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';

/**
 * Lets this thread run only where no other wants the core: a challenger must not take it from those that answer. Linux has a
 * scheduling policy for that, which Node cannot set but `chrt`, a part of every distribution, can; where that is missing the lowest
 * priority, which still makes others wait for the end of a time slice, is what there is. On Linux both are of threads.
 */
export function threadGivesWay(): void {
  if (process.platform !== 'linux') return;
  const id = basename(readlinkSync('/proc/thread-self'));
  lowest(Number(id));
  idle('--pid', '0', id);
}

/** The same for all threads of another process, and those that they begin. */
export function processGivesWay(pid: number): void {
  if (process.platform !== 'linux') return;
  try {
    for (const id of readdirSync(`/proc/${pid}/task`)) lowest(Number(id));
    // It leads a session, and where Linux shares cores between sessions first, its threads' rank tells among themselves alone.
    writeFileSync(`/proc/${pid}/autogroup`, '19');
  } catch {
    // it has ended, or this Linux knows no such thing
  }
  idle('--all-tasks', '--pid', '0', String(pid));
}

function lowest(id: number): void {
  try {
    setPriority(id, 19);
  } catch {
    // it has ended, or may not be slowed down: nothing depends on it
  }
}

function idle(...whom: string[]): void {
  execFile('chrt', ['--idle', ...whom], () => {
    // without it the lowest priority stays
  });
}
