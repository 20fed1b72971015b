import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { utf8At, type Column, type Utf8 } from '@potoroo/batch';
import type { PythonModel } from '@potoroo/contract';
import { describe, expect, it } from 'vitest';
import type { Runtime } from '../../packages/engine/src/runtimes/runtime.ts';
import { Sidekicks } from '../../packages/engine/src/runtimes/sidekicks.ts';
import { floats, Models, refusal, scalar, type More } from '../support/models.ts';
import { containers, podman, runArgs } from './podman.ts';

const built = (name: string): string => fileURLToPath(new URL(`../../packages/engine/dist/${name}`, import.meta.url));
const models = new Models({ outputSchema: [scalar('y', 'string')] });
const load = (body: string, python: Partial<PythonModel> = {}, more: More = {}): Promise<Runtime> => models.step(body, { ...more, python });
/** What a step found out, as it says it in its answer. */
async function told(runtime: Runtime, value = 1): Promise<unknown> {
  const { values } = (await runtime.run(floats(value))).columns[0] as Column & { values: Utf8 };
  return JSON.parse(utf8At(values, 0));
}
const tells = (expression: string): string => `def wallaroo_json(data):\n    found = {}\n    ${expression.split('\n').join('\n    ')}\n    return {'y': [json.dumps(found)] * len(data['x'])}`;

describe('the limits of a container', () => {
  it('memory is hard: what is over it is ended by the kernel, which is said, and the next request is served', async () => {
    // Shared memory, which no limit on a process counts.
    const runtime = await load(`import mmap\n${tells('if data["x"][0] < 0:\n    held = mmap.mmap(-1, 1 << 30)\n    for at in range(0, 1 << 30, 4096): held[at] = 1')}`, { memoryBytes: 300 << 20 });
    expect(await refusal(runtime.run(floats(-1)))).toMatchObject({ code: 'engine_out_of_memory', message: expect.stringContaining('all of its 300 MiB of memory') as string });
    expect(await told(runtime)).toEqual({});
  });

  it('a model that cannot even load within it is refused with that reason', async () => {
    const error = await refusal(load(`import mmap\nheld = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096): held[at] = 1\n${tells('pass')}`, { memoryBytes: 200 << 20 }));
    expect(error).toMatchObject({ code: 'engine_out_of_memory', message: expect.stringContaining('200 MiB') as string });
  });

  it('cpus are a quota of the kernel: a busy model gets no more', async () => {
    const runtime = await load(tells('start, used = time.monotonic(), time.process_time()\nwhile time.monotonic() - start < 2: pass\nfound["share"] = (time.process_time() - used) / 2'), { cpus: 0.25 });
    const { share } = await told(runtime) as { share: number };
    expect(share).toBeLessThan(0.35);
  });

  it('what the kernel enforces is not called advisory', async () => {
    const runtime = await load(tells('pass'), { memoryBytes: 400 << 20, cpus: 0.5 });
    expect(runtime.describe().notes.join(' ')).not.toContain('advisory');
  });

  it('its environment has what the deployment says, exactly, and nothing of ours', async () => {
    process.env['POTOROO_TEST_SECRET'] = 'do-not-tell';
    try {
      const value = '"a" \'b\' #c $HOME \\n = d';
      const runtime = await load(tells('found = dict(os.environ)'), { env: { GREETING: value, EMPTY: '' } });
      const found = await told(runtime) as Record<string, string>;
      expect(found).toMatchObject({ GREETING: value, EMPTY: '' });
      expect(JSON.stringify(found)).not.toContain('do-not-tell');
    } finally {
      delete process.env['POTOROO_TEST_SECRET'];
    }
  });

  it('a value with a line break is refused by its name', async () => {
    expect(await refusal(load(tells('pass'), { env: { TWO: 'a\nb' } }))).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('TWO') as string });
  });
});

describe('what a container uses', () => {
  it('of memory and the processor is told as it is of a process, and again when it was started again', async () => {
    const sidekicks = new Sidekicks('engine-1', () => Promise.resolve());
    const sidekick = sidekicks.add({ id: 1, name: 'step', version: 'v', configId: 1, sha256: '', file: '', fileName: 'step.py', framework: 'python', config: {} }, 0, false);
    const runtime = await load(`held = b'x' * (200 << 20)\n${tells('if data["x"][0] < 0: os._exit(7)')}`, {}, { sidekick });
    const told = () => sidekicks.list()[0];
    const mebibytes = (): number => (told()?.memoryBytes ?? 0) / 2 ** 20;
    await expect.poll(mebibytes).toBeGreaterThan(200);
    expect(mebibytes()).toBeLessThan(400);
    expect(told()).toMatchObject({ state: 'running', pid: null });
    expect(told()?.cpuSeconds).toBeGreaterThan(0.05);
    expect(await refusal(runtime.run(floats(-1)))).toMatchObject({ code: 'model_process_lost' });
    expect(told()).toMatchObject({ state: 'error', memoryBytes: null, cpuSeconds: null });
    await runtime.run(floats(1));
    await expect.poll(mebibytes).toBeGreaterThan(200);
    expect(told()?.restarts).toBe(1);
  });
});

describe('a challenger in a container', () => {
  const groups = 'groups = ("cpu.weight", "cpu.idle") if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else ("cpu/cpu.shares", "cpu/cpu.idle")';
  const rank = tells(`${groups}\nfound = [int(open("/sys/fs/cgroup/" + name).read()) for name in groups] + [os.sched_getscheduler(0)]`);
  const challenger = (body: string): Promise<Runtime> => load(body, {}, { yields: true });

  it('has the least weight there is, and its processes the lowest rank; others have what is usual', async () => {
    const runtime = await challenger(rank);
    await expect.poll(async () => told(runtime), { timeout: 20_000 }).toEqual([expect.toSatisfy((weight: number) => weight <= 3), 1, 5]);
    expect(await told(await load(rank))).toEqual([expect.toSatisfy((weight: number) => weight >= 100), 0, 0]);
  });

  it('takes no core from what answers outside of it', async () => {
    const runtime = await challenger(tells('if data["x"][0] < 0:\n    os.sched_setaffinity(0, {0})\n    start, used = time.monotonic(), time.process_time()\n    while time.monotonic() - start < 2: pass\n    found["share"] = (time.process_time() - used) / 2\nelse: found["rank"] = os.sched_getscheduler(0)'));
    await expect.poll(async () => told(runtime), { timeout: 20_000 }).toEqual({ rank: 5 });
    const answering = spawn('python3', ['-c', 'import os\nos.sched_setaffinity(0, {0})\nprint("on", flush=True)\nwhile True: pass'], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(answering.stdout, 'data');
      const { share } = await told(runtime, -1) as { share: number };
      expect(share).toBeLessThan(0.15);
    } finally {
      answering.kill('SIGKILL');
    }
  });
});

describe('what is in a container', () => {
  it('is nobody, without rights, in a system that it cannot write, with its own folder', async () => {
    const runtime = await load(tells('status = open("/proc/self/status").read()\nfound["user"] = os.getuid()\nfound["rights"] = int(status.split("CapEff:")[1].split()[0], 16)\nfound["more"] = int(status.split("NoNewPrivs:")[1].split()[0])\ntry:\n    open("/usr/mark", "w"); found["system"] = "written"\nexcept OSError as e: found["system"] = "refused"\nopen("mine", "w").write("x"); found["own"] = os.listdir(".")\nfound["processes"] = len([p for p in os.listdir("/proc") if p.isdigit()])'));
    expect(await told(runtime)).toEqual({ user: 65534, rights: 0, more: 1, system: 'refused', own: expect.arrayContaining(['mine']) as string[], processes: 2 });
  });

  it('has no network, unless its deployment says so', async () => {
    const server = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const { port } = server.address() as { port: number };
    try {
      const runtime = await load(tells(`import socket\ntry:\n    socket.create_connection(("127.0.0.1", ${port}), 2); found["reached"] = True\nexcept OSError: found["reached"] = False\nfound["devices"] = [name for _, name in socket.if_nameindex()]`));
      expect(await told(runtime)).toEqual({ reached: false, devices: ['lo'] });
    } finally {
      server.close();
    }
  });
});

describe('containers do not outlive what they are for', () => {
  const mine = (): string[] => containers().filter((name) => name.startsWith(`potoroo-${process.pid}-`));

  it('one that is unloaded is gone, with its folder', async () => {
    const before = mine().length;
    const runtime = await load(tells('pass'));
    expect(mine().length).toBe(before + 1);
    const folders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith(`potoroo-model-${process.pid}-`));
    const held = folders().length;
    await runtime.unload();
    await expect.poll(() => mine().length).toBe(before);
    expect(folders().length).toBe(held - 1);
  });

  it.each([
    ['that waits', 'pass'],
    ['in the middle of work that never lets go', 'if data["x"][0] < 0:\n    import ctypes, signal\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\n    ctypes.PyDLL(None).pause()'],
  ])('one of an engine that is killed %s ends by itself', async (_, body) => {
    const setup = JSON.stringify(models.options(models.script(tells(body)), 'python'));
    const program = `import { loadPython } from ${JSON.stringify(new URL(`file://${built('runtimes/python/python.js')}`).href)};
      const runtime = await loadPython(${setup});
      void runtime.run({ rows: 1, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.of(-1) }] }).catch(() => {});
      setTimeout(() => console.log('ready'), 200);`;
    const engine = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const theirs = (): string[] => containers().filter((name) => name.startsWith(`potoroo-${engine.pid}-`));
    await new Promise<void>((resolve) => { engine.stdout.on('data', (data: Buffer) => { if (data.toString().includes('ready')) resolve(); }); });
    expect(theirs()).toHaveLength(1);
    engine.kill('SIGKILL');
    await expect.poll(theirs, { timeout: 20_000 }).toEqual([]);
  });

  it('what a killed engine has left all the same is swept away; what lives, and what others run, stays', async () => {
    const living = await load(tells('pass'));
    const [own = ''] = mine();
    const labels = JSON.parse(podman('inspect', '--format', '{{json .Config.Labels}}', own)) as Record<string, string>;
    const idle = (name: string, ...args: readonly string[]): string => podman('run', '--detach', '--network', 'none', ...runArgs, '--name', name, ...args, 'localhost/base', 'sleep', '600');
    const dead = spawn('true');
    await new Promise((resolve) => { dead.once('exit', resolve); });
    idle(`potoroo-${dead.pid}-1-1-x`, '--label', `potoroo.machine=${labels['potoroo.machine']}`);
    idle(`potoroo-${dead.pid}-1-2-x`, '--label', 'potoroo.machine=another');
    idle('bystander');
    try {
      const swept = await new Promise<string>((resolve) => {
        let out = '';
        spawn(process.execPath, [built('image.js'), '--sweep'], { stdio: ['pipe', 'pipe', 'inherit'] }).on('close', () => resolve(out)).stdout.on('data', (data: Buffer) => { out += data.toString(); });
      });
      expect(JSON.parse(swept)).toEqual({ ok: true, removed: [`potoroo-${dead.pid}-1-1-x`] });
      expect(containers()).toEqual(expect.arrayContaining([own, `potoroo-${dead.pid}-1-2-x`, 'bystander']));
      expect(await told(living)).toEqual({});
    } finally {
      podman('rm', '--force', '--time', '0', `potoroo-${dead.pid}-1-2-x`, 'bystander');
    }
  });
});

describe('a machine that cannot run it says what is missing', () => {
  const inChild = (env: Record<string, string>): Promise<{ ok: boolean; code: string; message: string }> => new Promise((resolve) => {
    let out = '';
    const child = spawn(process.execPath, [built('image.js'), '--sweep'], { env: { PATH: process.env['PATH'], ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdout.on('data', (data: Buffer) => { out += data.toString(); });
    child.once('close', () => resolve(JSON.parse(out) as { ok: boolean; code: string; message: string }));
  });
  /** A PATH with these programs alone. */
  const path = (programs: Record<string, string>): string => {
    const bin = models.path('');
    mkdirSync(bin);
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(bin, name), text, { mode: 0o755 });
    return bin;
  };

  it('no tool at all', async () => {
    expect(await inChild({ PATH: models.folder })).toMatchObject({ ok: false, code: 'container_unavailable', message: expect.stringMatching(/podman: it is not installed; docker: it is not installed.*apt-get install podman/) as string });
  });
  it('a docker without its daemon is not taken for one that works', async () => {
    const bin = path({ docker: '#!/bin/sh\necho "Cannot connect to the Docker daemon. Is the docker daemon running?" >&2\nexit 1\n' });
    expect(await inChild({ PATH: bin })).toMatchObject({ ok: false, code: 'container_unavailable', message: expect.stringContaining('Is the docker daemon running') as string });
  });
  it('switched off', async () => {
    expect(await inChild({ POTOROO_CONTAINERS: 'off' })).toMatchObject({ code: 'container_unavailable', message: expect.stringContaining('switched off') as string });
  });
  it('a name that is none', async () => {
    expect(await inChild({ POTOROO_CONTAINERS: 'lxc' })).toMatchObject({ code: 'settings_invalid', message: expect.stringContaining('lxc') as string });
  });
  it('no image to run models in', async () => {
    const kept = process.env['POTOROO_RUNTIME_IMAGE'] ?? '';
    process.env['POTOROO_RUNTIME_IMAGE'] = 'localhost/not-built';
    try {
      expect(await refusal(load(tells('pass')))).toMatchObject({ code: 'container_unavailable', message: expect.stringMatching(/not-built.*deploy\/runtime/) as string });
    } finally {
      process.env['POTOROO_RUNTIME_IMAGE'] = kept;
    }
  });
});
