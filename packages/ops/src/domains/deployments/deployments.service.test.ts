import { createReadStream, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { fixture, infer } from '../../hosts/testing.ts';
import { databases, type TestStorage } from '../../storage/testing.ts';
import type { Actor, Deployment, DeploymentStatus } from '../domains.ts';
import type { DeploymentParts } from './deployments.service.ts';
import { openStage, type Stage } from './testing.ts';

const one = { engine: { replicas: 1, cpu: 1 } };
const replicas = (count: number) => ({ engine: { replicas: count, cpu: 1 } });

describe.each(databases)('deployments on $name', ({ open }) => {
  let storage: TestStorage;
  let stage: Stage;
  const start = async (more: Partial<DeploymentParts> & { engineMain?: string } = {}): Promise<void> => {
    storage = await open();
    stage = await openStage(storage, more);
  };
  afterEach(async () => {
    await stage.close();
  });

  /** Follows the status until it is as wanted; tells what it was when it never is. */
  async function until(id: number, reached: (status: DeploymentStatus) => boolean, seen: DeploymentStatus[] = []): Promise<DeploymentStatus> {
    const { generation } = await stage.deployments.get(stage.admin, id);
    for await (const status of stage.deployments.watch(stage.admin, id, AbortSignal.timeout(20_000))) {
      seen.push(status);
      if (status.observedGeneration >= generation && reached(status)) return status;
    }
    throw new Error(`never reached: ${JSON.stringify(seen.at(-1), null, 1)}`);
  }
  const running = (s: DeploymentStatus): boolean => s.state === 'running' && s.readyReplicas === s.wantedReplicas && s.engines.length === s.wantedReplicas;
  async function deployed(fixture = 'chain-first', config: object = one): Promise<Deployment> {
    const { id: pipelineId } = await stage.pipeline('doubler', fixture);
    const { id } = await stage.deployments.deploy(stage.admin, { pipelineId, config });
    await until(id, running);
    return stage.deployments.get(stage.admin, id);
  }
  const pids = async (id: number): Promise<(number | null)[]> => (await stage.deployments.status(stage.admin, id)).engines.map((e) => e.pid);

  test('deploy, infer by both ways, undeploy, deploy again', async () => {
    await start();
    const seen: DeploymentStatus[] = [];
    const { id: pipelineId } = await stage.pipeline('doubler', 'chain-first');
    const before = await stage.deployments.deploy(stage.admin, { pipelineId, config: replicas(2) });
    expect(before).toMatchObject({ wanted: 'running', generation: 1, pipelineName: 'doubler' });
    const status = await until(before.id, running, seen);
    expect(seen[0]).toMatchObject({ state: 'starting', reason: { code: 'starting' } });
    expect(status).toMatchObject({ reason: null, readyReplicas: 2, engines: [{ state: 'running', restarts: 0, models: [{ name: 'chain-first', status: 'Running' }] }, {}] });
    const { port } = await stage.deployments.get(stage.admin, before.id);
    expect((await infer({ port: port ?? 0 })).status).toBe(200);
    const engine = await stage.deployments.route(stage.admin, before.id, Date.now() + 1_000);
    expect((await infer({ socketPath: engine.socketPath })).status).toBe(200);
    engine.done();

    await stage.deployments.undeploy(stage.admin, before.id);
    await expect(stage.deployments.route(stage.admin, before.id, Date.now() + 1_000)).rejects.toMatchObject({ code: 'not_deployed' });
    expect(await until(before.id, (s) => s.state === 'stopped')).toMatchObject({ engines: [], reason: { code: 'stopped' } });
    await expect(infer({ port: port ?? 0 })).rejects.toThrow('ECONNREFUSED');
    await vi.waitFor(() => expect(stage.adopted).toHaveLength(2));
    await vi.waitFor(() => expect(readdirSync(join(storage.dataDir, 'bundles'))).toEqual([]));
    expect(await stage.deployments.undeploy(stage.admin, before.id)).toMatchObject({ wanted: 'stopped', generation: 2 });

    const again = await stage.deployments.deploy(stage.admin, { pipelineId });
    expect(again).toMatchObject({ id: before.id, generation: 3, config: replicas(2) });
    await until(before.id, running);
  });

  test('the same again changes nothing; another count starts or stops only the difference', async () => {
    await start();
    const { id, pipelineId, port } = await deployed();
    const [first] = await pids(id);
    expect(await stage.deployments.deploy(stage.admin, { pipelineId, config: one })).toMatchObject({ generation: 1 });
    await stage.deployments.deploy(stage.admin, { pipelineId, config: replicas(3) });
    await until(id, running);
    expect(await pids(id)).toContain(first);
    await stage.deployments.deploy(stage.admin, { pipelineId, config: one });
    await until(id, running);
    expect(await pids(id)).toEqual([first]);
    expect((await stage.deployments.get(stage.admin, id)).port).toBe(port);
  });

  test('scaled to zero nothing answers, with the reason; scaled up again it does', async () => {
    await start();
    const { id, pipelineId } = await deployed();
    await stage.deployments.deploy(stage.admin, { pipelineId, config: replicas(0) });
    expect(await until(id, running)).toMatchObject({ reason: { code: 'scaled_to_zero' }, engines: [] });
    await expect(stage.deployments.route(stage.admin, id, Date.now() + 5_000)).rejects.toMatchObject({ code: 'no_engine_ready', message: expect.stringContaining('0 replicas') });
    await stage.deployments.deploy(stage.admin, { pipelineId, config: one });
    // An inference that comes while the first engine starts waits for it.
    const engine = await stage.deployments.route(stage.admin, id, Date.now() + 10_000);
    engine.done();
  });

  test('an update replaces every engine, the old ones serving until the new are proven', async () => {
    await start();
    const { id, pipelineId, port } = await deployed();
    const old = await stage.deployments.status(stage.admin, id);
    await stage.pipeline('doubler', 'identity-float32');
    const seen: DeploymentStatus[] = [];
    await stage.deployments.deploy(stage.admin, { pipelineId });
    const status = await until(id, running, seen);
    expect(status.pipelineVersion).not.toBe(old.pipelineVersion);
    expect(seen.every((s) => s.engines.some((e) => e.state === 'running'))).toBe(true);
    expect(seen.some((s) => s.state === 'updating' && s.reason?.code === 'updating' && s.pipelineVersion === old.pipelineVersion)).toBe(true);
    expect((await infer({ port: port ?? 0, body: [{ x: [1, 2, 3] }] })).status).toBe(200);
  });

  test('an update that cannot work leaves the old version serving, and says why', async () => {
    await start();
    const { id, pipelineId, port } = await deployed();
    const [pid] = await pids(id);
    await stage.deployments.deploy(stage.admin, { pipelineId, config: { engine: { replicas: 2, cpu: 1, resources: { limits: { memory: '20Mi' } } } } });
    const status = await until(id, (s) => s.state === 'degraded');
    expect(status).toMatchObject({ readyReplicas: 1, givenUp: true, reason: { code: 'engine_out_of_memory', message: expect.stringMatching(/^The update of \S+ failed and what ran before serves on: .*20 MiB/) } });
    await until(id, (s) => s.engines.every((e) => e.state === 'running' || e.state === 'error'));
    expect(await pids(id)).toContain(pid);
    expect((await infer({ port: port ?? 0 })).status).toBe(200);
    // The same wish is another try, as somebody asked for it; a good one ends it.
    expect(await stage.deployments.deploy(stage.admin, { pipelineId })).toMatchObject({ generation: 3 });
    await stage.deployments.deploy(stage.admin, { pipelineId, config: one });
    expect(await until(id, running)).toMatchObject({ givenUp: false });
    expect(await pids(id)).toEqual([pid]);
  });

  test.each([
    ['GPUs that are not there', { engine: { gpu: 1 } }, 'insufficient_gpus', /gpus is 1, but this host has no GPU/, {}],
    ['a config of another architecture than the models', { engine: { arch: 'power10' } }, 'arch_mismatch', /uploaded for arch x86 and the deployment config says power10/, {}],
    ['models of an architecture that is not here', {}, 'arch_mismatch', /arch is arm, but engines run on x86 here/, { arch: 'arm' as const }],
    ['models of an architecture that is not here, and a config that says so', { engine: { arch: 'arm' } }, 'arch_mismatch', /arch is arm, but engines run on x86 here/, { arch: 'arm' as const }],
    ['models of ARM with a config of x86', { engine: { arch: 'x86' } }, 'arch_mismatch', /uploaded for arch arm and the deployment config says x86/, { arch: 'arm' as const }],
    ['models for an accelerator that is not here', {}, 'accel_mismatch', /accel is cuda, but engines run with no accelerator here/, { accel: 'cuda' as const }],
  ])('%s are an error with a reason, before anything starts', async (_, config, code, message, of) => {
    await start();
    const model = await stage.models.upload(stage.admin, { workspaceId: stage.workspaceId, name: 'chain-first', fileName: 'm.onnx', framework: 'onnx', content: createReadStream(fixture('chain-first')), ...of });
    const { id: pipelineId } = await stage.pipelines.create(stage.admin, { workspaceId: stage.workspaceId, name: 'doubler', steps: [{ type: 'model', model: { name: model.name, version: model.version } }] });
    const { id } = await stage.deployments.deploy(stage.admin, { pipelineId, config });
    const status = await until(id, (s) => s.state === 'error');
    expect(status).toMatchObject({ engines: [], reason: { code, message: expect.stringMatching(message) } });
    await expect(stage.deployments.route(stage.admin, id, Date.now() + 5_000)).rejects.toMatchObject({ code: 'no_engine_ready', message: expect.stringMatching(message) });
  });

  test('a config that moves a running pipeline to an architecture its models are not for is refused, and what runs serves on', async () => {
    await start();
    const { id, pipelineId, port, arch } = await deployed();
    expect(arch).toBe('x86');
    await stage.deployments.deploy(stage.admin, { pipelineId, config: { engine: { cpu: 1, arch: 'arm' } } });
    expect(await until(id, (s) => s.state === 'degraded')).toMatchObject({ current: false, readyReplicas: 1, reason: { code: 'arch_mismatch' } });
    expect((await infer({ port: port ?? 0 })).status).toBe(200);
    await stage.deployments.deploy(stage.admin, { pipelineId, config: { engine: { cpu: 1, arch: 'x86' } } });
    await until(id, running);
  });

  test('a killed engine is replaced in under two seconds, counted, and its spool taken in', async () => {
    await start();
    const { id, port } = await deployed('chain-first', replicas(2));
    const [victim] = (await stage.deployments.status(stage.admin, id)).engines;
    const at = performance.now();
    process.kill(victim?.pid ?? 0, 'SIGKILL');
    await until(id, (s) => !s.engines.some((e) => e.name === victim?.name && e.state === 'running'));
    const healed = await until(id, running);
    expect(performance.now() - at).toBeLessThan(2_000);
    expect(healed.engines.map((e) => e.restarts).toSorted((a, b) => a - b)).toEqual([0, 1]);
    await vi.waitFor(() => expect(stage.adopted).toEqual([victim?.name]));
    expect((await infer({ port: port ?? 0 })).status).toBe(200);
  });

  test('a crash loop shows as an error with the last lines of the log, and slows down', async () => {
    storage = await open();
    const engineMain = join(storage.dataDir, 'crashing.mjs');
    await writeFile(engineMain, 'console.error("the disk of dreams is full"); process.exit(9);');
    stage = await openStage(storage, { engineMain });
    const { id: pipelineId } = await stage.pipeline('doubler', 'chain-first');
    const { id } = await stage.deployments.deploy(stage.admin, { pipelineId, config: one });
    const status = await until(id, (s) => s.state === 'error');
    expect(status).toMatchObject({ reason: { code: 'engine_crashed', message: expect.stringContaining('code 9'), log: ['the disk of dreams is full'] }, engines: [{ state: 'error', pid: null }] });
    expect(status.engines[0]?.restarts).toBeGreaterThanOrEqual(3);
    await expect(stage.deployments.route(stage.admin, id, Date.now() + 100)).rejects.toMatchObject({ code: 'no_engine_ready', message: expect.stringContaining('code 9') });
  });

  test('an engine that never gets ready is given up after the bound', async () => {
    storage = await open();
    const engineMain = join(storage.dataDir, 'hanging.mjs');
    await writeFile(engineMain, 'setInterval(() => {}, 1000);');
    stage = await openStage(storage, { engineMain, bounds: { start: 300 } });
    const { id: pipelineId } = await stage.pipeline('doubler', 'chain-first');
    const { id } = await stage.deployments.deploy(stage.admin, { pipelineId, config: one });
    expect(await until(id, (s) => s.state === 'error')).toMatchObject({ reason: { code: 'engine_start_timeout', message: expect.stringContaining('0.3 s') } });
  });

  test('a restart brings back what was running, on the same port, and leaves stopped what was stopped', async () => {
    await start();
    const { id, port } = await deployed();
    const { id: other } = await stage.deployments.deploy(stage.admin, { pipelineId: (await stage.pipeline('other', 'chain-first')).id, config: one });
    await stage.deployments.undeploy(stage.admin, other);
    await stage.restart();
    await until(id, running);
    expect(await stage.deployments.get(stage.admin, id)).toMatchObject({ port, generation: 1 });
    expect((await infer({ port: port ?? 0 })).status).toBe(200);
    expect((await stage.deployments.status(stage.admin, other)).state).toBe('stopped');
  });

  test('a port that somebody else took meanwhile is told, and nothing else stops', async () => {
    await start();
    const { id, port } = await deployed();
    const { createServer } = await import('node:net');
    const thief = createServer();
    await stage.deployments.close();
    await new Promise<void>((resolve) => thief.listen(port ?? 0, '127.0.0.1', resolve));
    await stage.restart();
    const status = await until(id, (s) => s.readyReplicas === 1 && s.state === 'degraded');
    expect(status.reason).toMatchObject({ code: 'port_in_use', message: expect.stringContaining(String(port)) });
    const engine = await stage.deployments.route(stage.admin, id, Date.now() + 1_000);
    expect((await infer({ socketPath: engine.socketPath })).status).toBe(200);
    engine.done();
    await new Promise((resolve) => thief.close(resolve));
    await until(id, running);
    expect((await infer({ port: port ?? 0 })).status).toBe(200);
  });

  test('what cannot be deployed is refused before anything changes', async () => {
    await start();
    const { admin, deployments, pipelines } = stage;
    const good = await stage.pipeline('good', 'chain-first');
    const empty = await pipelines.create(admin, { workspaceId: stage.workspaceId, name: 'empty' });
    const chain = await stage.pipeline('chain', 'chain-first', 'multi');
    const broken = () => stage.pipeline('broken', 'bad-opset');
    const refusals: [() => Promise<unknown>, string][] = [
      [() => deployments.deploy(admin, { pipelineId: 999 }), 'pipeline_not_found'],
      [() => deployments.deploy(admin, { pipelineId: empty.id }), 'pipeline_invalid'],
      [() => deployments.deploy(admin, { pipelineId: chain.id }), 'pipeline_invalid'],
      [() => deployments.deploy(admin, { pipelineId: good.id, pipelineVersionId: 999 }), 'pipeline_not_found'],
      [() => deployments.deploy(admin, { pipelineId: good.id, pipelineVersionId: chain.versions[0]?.id ?? 0 }), 'invalid_request'],
      [() => deployments.deploy(admin, { pipelineId: good.id, config: { engine: { resources: { limits: { memory: 'much' } } } } }), 'invalid_request'],
      [() => broken().then((p) => deployments.deploy(admin, { pipelineId: p.id })), 'model_not_ready'],
      [() => deployments.status(admin, 999), 'deployment_not_found'], [() => deployments.undeploy(admin, 999), 'deployment_not_found'], [() => deployments.get(admin, 999), 'deployment_not_found'],
      [() => deployments.route(admin, 999, Date.now()), 'deployment_not_found'],
    ];
    for (const [refusal, code] of refusals) await expect(refusal()).rejects.toMatchObject({ name: 'PotorooError', code });
    await expect(deployments.deploy(admin, { pipelineId: good.id, pipelineVersionId: chain.versions[0]?.id ?? 0 })).rejects.toThrow(`is a version of pipeline chain (${chain.id}), not of good (${good.id}): use one of its own.`);
    expect((await deployments.list(admin)).items).toEqual([]);
  });

  test('somebody who is not in the workspace sees no deployment; a member does everything', async () => {
    await start();
    const { id, pipelineId } = await deployed();
    const { users, workspaces, deployments, admin, workspaceId } = stage;
    const user = await users.create(admin, { email: 'eve@example.com', password: 'long enough', role: 'user' });
    const eve: Actor = { id: user.id, email: user.email, role: 'user' };
    for (const refused of [() => deployments.get(eve, id), () => deployments.status(eve, id), () => deployments.undeploy(eve, id), () => deployments.route(eve, id, Date.now())]) {
      await expect(refused()).rejects.toMatchObject({ code: 'deployment_not_found' });
    }
    await expect(deployments.deploy(eve, { pipelineId })).rejects.toMatchObject({ code: 'pipeline_not_found' });
    expect((await deployments.list(eve)).items).toEqual([]);
    await workspaces.setMember(admin, workspaceId, { userId: user.id, role: 'collaborator' });
    expect((await deployments.list(eve)).items).toMatchObject([{ id }]);
    expect(await deployments.undeploy(eve, id)).toMatchObject({ wanted: 'stopped' });
  });

  test('two that deploy at the same moment end in one deployment', async () => {
    await start();
    const { id: pipelineId } = await stage.pipeline('doubler', 'chain-first');
    const all = await Promise.all([1, 2, 3, 1].map((count) => stage.deployments.deploy(stage.admin, { pipelineId, config: replicas(count) })));
    expect(new Set(all.map((d) => d.id)).size).toBe(1);
    const status = await until(all[0]?.id ?? 0, running);
    expect((await stage.deployments.get(stage.admin, all[0]?.id ?? 0)).config).toEqual(replicas(status.wantedReplicas));
    expect(stage.errors).toEqual([]);
  });
});
