import { run } from './setup.ts';

/** The tool as the suite's set-up has found it to work: the arguments that come before its command, and those of `run`. */
const [before = '', after = ''] = (process.env['POTOROO_CONTAINER_ARGS'] ?? '').split(' -- ');
const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
export const runArgs = words(after);

export function podman(...args: readonly string[]): string {
  return run(['podman', ...words(before), ...args], 600_000).trim();
}

/** Names of all containers that there are. */
export const containers = (): string[] => podman('ps', '--all', '--format', '{{.Names}}').split('\n').filter((name) => name !== '');

/** Builds an image from a folder with a Containerfile; it can reach the network of this machine. */
export const build = (tag: string, folder: string, ...args: readonly string[]): string => podman('build', '--quiet', '--isolation', 'chroot', '--network', 'host', '--tag', tag, ...args, folder);
