import type { EngineLimits } from '../host.ts';

/** `memory` in bytes. */
export interface HostAbilities { readonly cpuQuota: boolean; readonly memoryPolled: boolean; readonly cpus: number; readonly memory: number }

/** What each limit of a deployment is worth on this machine, a sentence each. */
export function limitSentences(limits: EngineLimits, can: HostAbilities): string[] {
  const mebibytes = (bytes: number): number => Math.floor(bytes / 2 ** 20);
  const memory = `memory ${mebibytes(limits.memory)} MiB`;
  return [
    can.cpuQuota
      ? `cpus ${limits.cpus} is enforced by a CPU quota of the kernel for each engine.`
      : `cpus ${limits.cpus} is advisory: it sets the thread counts of each engine; this machine lets this user set no CPU quota.`,
    ...(limits.cpus > can.cpus ? [`cpus ${limits.cpus} is more than the ${can.cpus} CPUs of this machine; an engine gets what there is.`] : []),
    can.memoryPolled
      ? `${memory} is enforced: an engine whose resident memory stays above it is ended and replaced.`
      : `${memory} is enforced by the engine's own watchdog only; this machine does not show the memory of other processes.`,
    ...(limits.memory > can.memory ? [`${memory} is more than the ${mebibytes(can.memory)} MiB of this machine: the system may end engines long before that.`] : []),
  ];
}
