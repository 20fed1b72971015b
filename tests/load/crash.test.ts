import { randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { DeploymentConfigBuilder, Potoroo, type Deployment, type Pipeline } from '@potoroo/sdk';
import { fixture, settled, System } from './system.ts';

const kills = 20;
const names = ['first', 'second'] as const;
const config = (replicas: number) => new DeploymentConfigBuilder().replicaCount(replicas).cpus(1).memory('1Gi').build();

/** What the server has acknowledged, and so must still have after it was killed. */
interface Acknowledged {
  /** Model version id to the UUID and digest it was given. */
  readonly models: Map<number, { version: string; sha256: string }>;
  readonly pipelineVersions: Map<number, Set<string>>;
  /** Deployment id to what was last asked for and answered; unknown while an answer is missing. */
  readonly wanted: Map<number, { state: 'running' | 'stopped'; pipelineVersionId: number; replicas: number } | 'unknown'>;
  /** Pipeline id to the ids of answered inferences. */
  readonly inferences: Map<number, Set<string>>;
}

/** The model with other bytes each time: its producer's name, which nothing reads, is another one. */
async function variant(): Promise<Buffer> {
  const bytes = await readFile(fixture('identity-float32'));
  const at = bytes.indexOf('potoroo-fixtures');
  if (at < 0) throw new Error('the fixture has lost its producer name');
  bytes.write(randomUUID().slice(0, 16), at, 'latin1');
  return bytes;
}

/** Uploads, deploys, infers and undeploys until the server is gone. */
async function script(client: Potoroo, url: string, known: Acknowledged, gone: AbortSignal): Promise<void> {
  const { id: workspaceId } = await client.workspaces.default();
  const pipelines = await Promise.all(names.map((name) => client.pipelines.build(workspaceId, name)));
  for (let n = 0; !gone.aborted; n += 1) {
    const pipeline = pipelines[n % pipelines.length] as Pipeline;
    const model = await client.models.upload(workspaceId, `model-${n % 2}`, await variant(), { framework: 'onnx', fileName: 'identity.onnx' });
    known.models.set(model.id, { version: model.version, sha256: model.info.sha256 });
    const version = await pipeline.clear().addModelStep(model).createVersion();
    (known.pipelineVersions.get(pipeline.id) ?? known.pipelineVersions.set(pipeline.id, new Set()).get(pipeline.id))?.add(version.version);
    const deployment = await change(known, pipeline, async () => {
      const replicas = 1 + (n % 2);
      const answer = await pipeline.deploy({ config: config(replicas), pipelineVersionId: version.id });
      return { answer, state: 'running', pipelineVersionId: version.id, replicas };
    });
    const answered = known.inferences.get(pipeline.id) ?? new Set();
    known.inferences.set(pipeline.id, answered);
    for (let i = 0; i < 40; i += 1) await inferOnce(client, url, deployment.id, answered);
    if (n % 5 === 4) {
      await change(known, pipeline, async () => ({ answer: await deployment.undeploy(), state: 'stopped', pipelineVersionId: version.id, replicas: 0 }));
    }
  }
}

async function change(known: Acknowledged, pipeline: Pipeline, ask: () => Promise<{ answer: Deployment; state: 'running' | 'stopped'; pipelineVersionId: number; replicas: number }>): Promise<Deployment> {
  const before = pipeline.info.deploymentId;
  if (before !== null) known.wanted.set(before, 'unknown');
  const { answer, ...wanted } = await ask();
  known.wanted.set(answer.id, wanted);
  return answer;
}

/** Only a 200 counts as answered; while engines are on their way others are right, too. */
async function inferOnce(client: Potoroo, url: string, deploymentId: number, answered: Set<string>): Promise<number> {
  const id = randomUUID();
  const response = await fetch(`${url}/api/v1/deployments/${deploymentId}/infer`, {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${await client.token()}`, 'x-request-id': id }, body: JSON.stringify([{ x: [1, 2, 3] }]), signal: AbortSignal.timeout(20_000),
  });
  await response.arrayBuffer();
  if (response.status === 200) answered.add(id);
  return response.status;
}

async function check(client: Potoroo, url: string, known: Acknowledged): Promise<void> {
  for (const [id, { version, sha256 }] of known.models) {
    const model = await (await client.models.version(id)).waitUntilReady();
    expect(model.info).toMatchObject({ version, sha256 });
  }
  for (const [id, versions] of known.pipelineVersions) {
    const there = (await client.pipelines.get(id)).versions.map((v) => v.version);
    expect(there).toEqual(expect.arrayContaining([...versions]));
  }
  for (const [id, wanted] of known.wanted) {
    const deployment = await client.deployments.get(id);
    expect(deployment.info).toMatchObject(wanted === 'unknown' ? { id } : { wanted: wanted.state, pipelineVersionId: wanted.pipelineVersionId });
    if (deployment.info.wanted === 'stopped') continue;
    const status = await settled(deployment);
    expect(status.engines).toHaveLength(wanted === 'unknown' ? status.wantedReplicas : wanted.replicas);
    const answered = known.inferences.get(deployment.info.pipelineId) ?? new Set();
    known.inferences.set(deployment.info.pipelineId, answered);
    expect(await inferOnce(client, url, id, answered)).toBe(200);
  }
  for (const [id, answered] of known.inferences) {
    const pipeline = await client.pipelines.get(id);
    await vi.waitFor(async () => {
      const logged = new Map<string, number>();
      for await (const record of pipeline.logs({ order: 'asc' })) {
        const request = String(record['metadata.request_id']);
        logged.set(request, (logged.get(request) ?? 0) + 1);
      }
      expect([...answered].filter((request) => logged.get(request) !== 1).map((request) => [request, logged.get(request) ?? 0])).toEqual([]);
    }, { timeout: 20_000, interval: 200 });
  }
}

let system: System;
beforeAll(async () => { system = await System.create(); });
afterAll(() => system.remove());

test(`after each of ${kills} kills of ops at random moments everything acknowledged is there, and what ran comes back`, async () => {
  const known: Acknowledged = { models: new Map(), pipelineVersions: new Map(), wanted: new Map(), inferences: new Map() };
  const open = (): Potoroo => new Potoroo({ url: system.url, username: 'admin@potoroo.local', password: 'only for this test', retries: 0 });
  for (let n = 0; n < kills; n += 1) {
    // Now and then it is killed while it starts.
    if (n % 5 === 4) {
      system.launch();
      await pause(Math.random() * 1_000);
      await system.kill();
    }
    await system.start();
    await check(open(), system.url, known);
    const gone = new AbortController();
    const running = script(open(), system.url, known, gone.signal).catch((error: unknown) => {
      // Before the kill nothing may fail; after it everything does.
      if (!gone.signal.aborted) throw error;
    });
    await Promise.race([pause(100 + Math.random() * 3_400), running]);
    gone.abort();
    await system.kill();
    await running;
  }
  await system.start();
  await check(open(), system.url, known);
  // The kills left enough to check.
  expect(known.models.size).toBeGreaterThan(kills / 4);
  expect([...known.inferences.values()].reduce((sum, ids) => sum + ids.size, 0)).toBeGreaterThan(kills * 5);

  await system.stop();
  const database = new Sqlite(join(system.dataDir, 'potoroo.db'), { readonly: true });
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
  expect(database.pragma('foreign_key_check')).toEqual([]);
  const blobs = new Set(database.prepare('select sha256 from model_versions').pluck().all() as string[]);
  database.close();
  for (const sha256 of blobs) expect(await readdir(join(system.dataDir, 'blobs', sha256.slice(0, 2)))).toContain(sha256.slice(2));
  // Every spool was taken in.
  const spools = join(system.dataDir, 'spools');
  for (const deployment of await readdir(spools)) expect(await readdir(join(spools, deployment))).toEqual([]);
});
