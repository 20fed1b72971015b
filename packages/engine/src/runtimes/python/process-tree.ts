import { readdirSync, readFileSync } from 'node:fs';

/** How many processes a process has below it, counted no further than just over `most`; 0 where the system does not tell. */
export function processesBelow(pid: number, most: number): number {
  let count = 0;
  const left = [pid];
  for (let next = left.pop(); next !== undefined && count <= most; next = left.pop()) {
    const children = childrenOf(next);
    count += children.length;
    left.push(...children);
  }
  return count;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter((id) => id !== '').map(Number));
  } catch {
    return []; // it has ended in between, or this is not Linux
  }
}
