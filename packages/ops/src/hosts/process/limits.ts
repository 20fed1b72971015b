import type { EngineLimits } from '../host.ts';

export interface HostAbilities { readonly cpuQuota: boolean; readonly memoryPolled: boolean; readonly cpus: number }

/** What each limit of a deployment is worth on this machine, a sentence each. */
export function limitSentences(limits: EngineLimits, can: HostAbilities): string[] {
  const mebibytes = Math.floor(limits.memory / 2 ** 20);
  return [
    can.cpuQuota
      ? `cpus ${limits.cpus} is enforced by a CPU quota of the kernel for each engine.`
      : `cpus ${limits.cpus} is advisory: it sets the thread counts of each engine; this machine lets this user set no CPU quota.`,
    ...(limits.cpus > can.cpus ? [`cpus ${limits.cpus} is more than the ${can.cpus} CPUs of this machine; an engine gets what there is.`] : []),
    can.memoryPolled
      ? `memory ${mebibytes} MiB is enforced: an engine whose resident memory stays above it is ended and replaced.`
      : `memory ${mebibytes} MiB is enforced by the engine's own watchdog only; this machine does not show the memory of other processes.`,
  ];
}
