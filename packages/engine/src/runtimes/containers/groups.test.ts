import { describe, expect, it } from 'vitest';
import { besideThis } from './groups.ts';
import type { ContainerTool } from './tool.ts';

const tool = (more: Partial<ContainerTool>): ContainerTool => ({ name: 'podman', command: ['podman'], runArgs: [], rootless: false, cgroups: 'cgroupfs', ...more });

describe('a container beside the group of its engine', () => {
  it.each([
    ['at the root', '1:cpu:/\n0::/\n', {}, ['--cgroup-parent', '/']],
    ['in a group of version 1, where that of the processor counts', '4:memory:/a/b\n1:cpu,cpuacct:/c/d\n0::/\n', {}, ['--cgroup-parent', '/c']],
    ['in a group of version 2', '0::/a/b/c\n', {}, ['--cgroup-parent', '/a/b']],
    ['in a service of systemd', '0::/system.slice/potoroo.service\n', { cgroups: 'systemd' }, ['--cgroup-parent', 'system.slice']],
    ['in a slice of a slice', '0::/a.slice/a-b.slice/potoroo.service/engines\n', { name: 'docker', cgroups: 'systemd' }, ['--cgroup-parent', 'a-b.slice']],
    ['in a group that systemd has not made', '0::/potoroo\n', { cgroups: 'systemd' }, []],
    ['that cannot be seen from here', '0::/../other\n', {}, []],
    ['of a user who may make none', '0::/user.slice/a/b\n', { rootless: true }, []],
    ['under who knows what', '0::/a/b\n', { cgroups: '' }, []],
    ['on a system without groups', '', {}, []],
  ] as const)('%s', (_, text, more, args) => {
    expect(besideThis(tool(more), text)).toEqual(args);
  });
});
