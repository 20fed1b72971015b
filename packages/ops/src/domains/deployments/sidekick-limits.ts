import type { Bundle } from '@potoroo/contract';

/** What each limit of the models with a process of their own is worth, a sentence for each model that has one. */
export function sidekickLimits({ models }: Pick<Bundle, 'models'>): string[] {
  return models.flatMap(({ name, python }) => {
    if (python === undefined) return [];
    const { isolation, cpus, memoryBytes } = python;
    const mebibytes = memoryBytes === undefined ? '' : `${Math.floor(memoryBytes / 2 ** 20)} MiB`;
    const parts = isolation === 'container'
      ? [...(memoryBytes === undefined ? [] : [`memory ${mebibytes} is enforced by the kernel, which ends it above that`]), ...(cpus === undefined ? [] : [`cpus ${cpus} is enforced by the kernel`])]
      : [...(memoryBytes === undefined ? [] : [`memory ${mebibytes} is enforced for what each of its processes allocates`]), ...(cpus === undefined ? [] : [`cpus ${cpus} is advisory: it sets thread counts`])];
    if (parts.length === 0 && isolation !== 'container') return [];
    return [`Model ${name} runs in a ${isolation === 'container' ? 'container' : 'process'} of its own${parts.length === 0 ? '' : `: ${parts.join('; ')}`}.`];
  });
}
