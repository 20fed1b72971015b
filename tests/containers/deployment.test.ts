import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Field } from '@potoroo/contract';
import { Potoroo, shadow, type ModelVersion, type Workspace } from '@potoroo/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentOf, environmentsFolder, temporary } from '../frameworks/support.ts';
import { admin, startServer, type Server } from '../support/server.ts';
import { containers, podman } from './podman.ts';

const { folder, remove } = temporary();
const data = join(folder, 'data');
let server: Server;
let workspace: Workspace;
let model: ModelVersion;
let challenger: ModelVersion;

async function start(): Promise<void> {
  server = await startServer(data, { POTOROO_ISOLATION: 'container', POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11' });
  workspace = await new Potoroo({ url: server.url, ...admin }).workspaces.default();
}
beforeAll(async () => {
  await environmentOf('python', []);
  mkdirSync(data, { mode: 0o700 });
  symlinkSync(environmentsFolder, join(data, 'environments'));
  await start();
  const step = join(folder, 'step.py');
  writeFileSync(step, "import os\nimport pandas as pd\nheld = b'x' * (200 << 20)\ndef wallaroo_json(data: pd.DataFrame):\n    return pd.DataFrame({'y': data['x'] * 2, 'user': [os.getuid()] * len(data)})\n");
  const field = (name: string, type: Field['type']): Field => ({ name, type, shape: [] });
  const upload = (name: string): Promise<ModelVersion> => workspace.uploadModel(name, step, { framework: 'python', inputSchema: [field('x', 'float64')], outputSchema: [field('y', 'float64'), field('user', 'int64')] });
  model = await upload('doubler');
  challenger = await upload('challenger');
}, 900_000);
afterAll(async () => {
  await server?.stop();
  remove();
});

const running = (): string[] => containers().filter((name) => name.startsWith('potoroo-'));
async function deploy(engineAux: object, replicas = 1) {
  const pipeline = await workspace.buildPipeline('doubler');
  if (pipeline.steps.length === 0) pipeline.addModelStep(model);
  const deployment = await pipeline.deploy({ config: { engine: { replicas, cpu: 1, resources: { limits: { cpu: 1, memory: '1Gi' } } }, engineAux } });
  await deployment.waitUntilRunning();
  return deployment;
}
const key = (): string => `doubler-${model.id}`;

describe('a Python model of a server that has containers for all', () => {
  it('runs in one for each replica, with the limits and the environment of its sidekick, which the status says', async () => {
    const deployment = await deploy({ images: { [key()]: { resources: { limits: { cpu: 0.5, memory: '400Mi' }, requests: {} } } } }, 2);
    expect(running()).toHaveLength(2);
    expect((await deployment.status()).limits.join('\n')).toContain('Model doubler runs in a container of its own: memory 400 MiB is enforced by the kernel, which ends it above that; cpus 0.5 is enforced by the kernel.');
    const used = async () => (await deployment.status()).engines.flatMap((e) => e.sidekicks).map((s) => (s.memoryBytes ?? 0) / 2 ** 20);
    await expect.poll(used, { timeout: 20_000 }).toEqual([expect.toSatisfy((mib: number) => mib > 200 && mib <= 400), expect.toSatisfy((mib: number) => mib > 200 && mib <= 400)]);
    expect(await deployment.infer([{ x: 1.5 }, { x: -2 }])).toMatchObject([{ 'out.y': 3, 'out.user': 65534 }, { 'out.y': -4, 'out.user': 65534 }]);
  });

  it('is a child of its engine again where its deployment says so, without a failed request between', async () => {
    const deployment = await deploy({ images: { [key()]: { isolation: 'process' } } });
    await expect.poll(running, { timeout: 30_000 }).toEqual([]);
    expect(await deployment.infer([{ x: 2 }])).toMatchObject([{ 'out.y': 4, 'out.user': process.getuid?.() }]);
  });

  it('that challenges another gives way, and the other does not', async () => {
    const pipeline = await workspace.buildPipeline('shadowed');
    const deployment = await pipeline.addStep(shadow(model, [{ model: challenger }])).deploy({ config: { engine: { replicas: 1, cpu: 1 } } });
    await deployment.waitUntilRunning();
    const idle = (): string[] => running().map((name) => podman('exec', name, 'sh', '-c', 'cat /sys/fs/cgroup/cpu.idle /sys/fs/cgroup/cpu/cpu.idle 2>/dev/null || true')).sort();
    await expect.poll(idle, { timeout: 20_000 }).toEqual(['0', '1']);
    expect((await deployment.status()).engines.flatMap((e) => e.sidekicks).map((s) => [s.model, s.name.endsWith('-challenger')])).toEqual(expect.arrayContaining([['challenger', true], ['doubler', false]]));
    expect(await deployment.infer([{ x: 1.5 }])).toMatchObject([{ 'out.y': 3 }]);
    await deployment.undeploy();
    await expect.poll(running, { timeout: 30_000 }).toEqual([]);
  });

  it('is refused a GPU that is not here, and an architecture', async () => {
    const refused = async (image: object) => {
      const pipeline = await workspace.buildPipeline('doubler');
      const deployment = await pipeline.deploy({ config: { engine: { replicas: 1 }, engineAux: { images: { [key()]: image } } } });
      await expect.poll(async () => (await deployment.status()).reason?.code, { timeout: 30_000 }).toMatch(/insufficient_gpus|arch_mismatch/);
      return (await deployment.status()).reason?.code;
    };
    expect(await refused({ resources: { limits: { 'nvidia.com/gpu': 1 }, requests: {} } })).toBe('insufficient_gpus');
    expect(await refused({ arch: process.arch === 'arm64' ? 'x86' : 'arm' })).toBe('arch_mismatch');
  });

  it('leaves no container when the server itself is killed, and is back in one after its next start', async () => {
    await deploy({ images: {} });
    expect(running()).toHaveLength(1);
    const ended = once(server.process, 'exit');
    server.process.kill('SIGKILL');
    await ended;
    // Its engines finish what is under way first.
    await expect.poll(running, { timeout: 60_000 }).toEqual([]);
    await start();
    const deployment = await (await workspace.buildPipeline('doubler')).deployment();
    await deployment.waitUntilRunning();
    expect(running()).toHaveLength(1);
    expect(await deployment.infer([{ x: 3 }])).toMatchObject([{ 'out.y': 6, 'out.user': 65534 }]);
    await deployment.undeploy();
    await expect.poll(running, { timeout: 30_000 }).toEqual([]);
  });
});
