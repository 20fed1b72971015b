import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { openCpuQuota } from './cpu-quota.ts';
import { limitSentences } from './limits.ts';

const limits = { cpus: 0.5, memory: 2 ** 30, gpus: 0 };

test('where the kernel lets this user, a process is held to its quota, and the group goes with it; elsewhere that is said', async () => {
  const quota = openCpuQuota('unit-test');
  const [said] = limitSentences(limits, { cpuQuota: quota !== null, memoryPolled: true, cpus: 8, memory: 2 ** 40 });
  expect(said).toMatch(quota === null ? /advisory/ : /enforced/);
  if (quota === null) return;
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  const release = quota.hold(child.pid ?? 0, 'engine', 0.5);
  const line = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8').split('\n').find((l) => l.endsWith('/potoroo-unit-test-engine'));
  expect(line).toBeDefined();
  const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line ?? '') ?? [];
  const group = join('/sys/fs/cgroup', controllers, path);
  expect(readFileSync(join(group, controllers === '' ? 'cpu.max' : 'cpu.cfs_quota_us'), 'utf8').trim()).toBe(controllers === '' ? '50000 100000' : '50000');
  child.kill('SIGKILL');
  await once(child, 'exit');
  await vi.waitFor(() => {
    release();
    expect(existsSync(group)).toBe(false);
  });
});

test('where there are no control groups there is no quota', async () => {
  const root = await mkdtemp(join(tmpdir(), 'potoroo-cgroup-'));
  expect(openCpuQuota('unit-test', root)).toBeNull();
  expect(readdirSync(root)).toEqual([]);
  await rm(root, { recursive: true });
});

test('more than the machine has, and memory that cannot be watched, are said', () => {
  expect(limitSentences({ ...limits, cpus: 16 }, { cpuQuota: false, memoryPolled: false, cpus: 2, memory: 2 ** 29 }).join('\n')).toMatch(/cpus 16 is advisory.*\ncpus 16 is more than the 2 CPUs.*\nmemory 1024 MiB .*own watchdog.*\nmemory 1024 MiB is more than the 512 MiB/);
});
