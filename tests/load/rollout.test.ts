import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { DeploymentConfigBuilder, type Deployment, type ModelVersion, type Pipeline, type Potoroo } from '@potoroo/sdk';
import { steady } from './client.ts';
import { fixture, settled, System } from './system.ts';
import { requireWrk, underLoad } from './wrk.ts';

const body = JSON.stringify([{ x: [1, 2, 3] }]);
const config = (replicas: number) => new DeploymentConfigBuilder().replicaCount(replicas).cpus(1).memory('1Gi').build();

describe('a deployment under steady load', () => {
  let system: System;
  let client: Potoroo;
  let models: [ModelVersion, ModelVersion];
  let pipeline: Pipeline;
  let deployment: Deployment;
  let load: Parameters<typeof underLoad>[0];

  beforeAll(async () => {
    requireWrk();
    system = await System.create();
    await system.start();
    client = system.client();
    const workspace = await client.workspaces.default();
    const upload = (name: string): Promise<ModelVersion> => client.models.upload(workspace.id, name, fixture(name), { framework: 'onnx' });
    models = [await upload('identity-float32'), await upload('identity-float64')];
    pipeline = (await client.pipelines.build(workspace.id, 'steady')).addModelStep(models[0]);
    deployment = await pipeline.deploy({ config: config(2) });
    await settled(deployment);
    deployment = await client.deployments.get(deployment.id);
    load = { url: `http://127.0.0.1:${deployment.info.port}/pipelines/steady`, token: await client.token(), body, connections: 16, folder: system.dataDir };
  });
  afterAll(() => system.remove());

  test('ten hot swaps fail no request', async () => {
    const versions = new Set<string>();
    const result = await underLoad(load, async () => {
      for (let n = 1; n <= 10; n += 1) {
        const status = await settled(await pipeline.replaceWithModelStep(0, models[n % 2] as ModelVersion).deploy({ config: config(2) }));
        versions.add(status.pipelineVersion);
      }
    });
    expect(versions.size).toBe(10);
    expect(result.requests).toBeGreaterThan(1_000);
    expect(result.failed, result.errors).toBe(0);
  });

  test('ten redeploys with other replica counts fail no request', async () => {
    const result = await underLoad(load, async () => {
      for (const count of [1, 3, 2, 4, 1, 2, 3, 1, 4, 2]) {
        const status = await settled(await pipeline.deploy({ config: config(count) }));
        expect(status.engines).toHaveLength(count);
      }
    });
    expect(result.requests).toBeGreaterThan(1_000);
    expect(result.failed, result.errors).toBe(0);
  });

  test('after five kills of single replicas every answered request is in the log exactly once', async () => {
    const start = new Date();
    const { answered, errors, stop } = steady({ ...load, connections: 8 });
    for (let n = 0; n < 5; n += 1) {
      const before = answered.size;
      const { engines } = await settled(deployment);
      const victim = engines[n % engines.length];
      process.kill(victim?.pid ?? 0, 'SIGKILL');
      await vi.waitFor(async () => expect((await deployment.status()).engines.map((e) => [e.name, e.state])).not.toContainEqual([victim?.name, 'running']), { timeout: 10_000 });
      await settled(deployment);
      await vi.waitFor(() => expect(answered.size).toBeGreaterThan(before + 100), { timeout: 10_000 });
    }
    await stop();
    expect(answered.size).toBeGreaterThan(500);
    // A connection to a killed engine breaks; that is all that may go wrong.
    expect(errors.filter((error) => !/ECONNRESET|socket hang up|EPIPE/.test(error))).toEqual([]);

    const missing = async (): Promise<string[]> => {
      const logged = new Map<string, number>();
      for await (const record of pipeline.logs({ order: 'asc', start })) {
        const id = String(record['metadata.request_id']);
        logged.set(id, (logged.get(id) ?? 0) + 1);
      }
      expect([...answered].filter((id) => (logged.get(id) ?? 0) > 1), 'logged more than once').toEqual([]);
      return [...answered].filter((id) => !logged.has(id));
    };
    // Shipping follows the answers.
    await vi.waitFor(async () => expect((await missing()).slice(0, 5)).toEqual([]), { timeout: 60_000, interval: 500 });
  });
});
