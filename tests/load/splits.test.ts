import { spawnSync } from 'node:child_process';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { DeploymentConfigBuilder, type Deployment, type ModelVersion, type Pipeline } from '@potoroo/sdk';
import { fixture, settled, System } from './system.ts';

const config = (replicas: number) => new DeploymentConfigBuilder().replicaCount(replicas).cpus(1).memory('1Gi').build();
const names = ['times-2', 'times-3', 'identity-float32'] as const;
const weights = [5, 3, 2];

interface Row { 'out._model_split': string; 'metadata.partition': string }
interface Seen { readonly partition: string; readonly models: readonly number[] }

/** One kept connection: all its requests go to the same engine. */
class Connection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = `${url}?dataset[]=out._model_split&dataset[]=metadata.partition&dataset.separator=.`;
    this.#token = token;
  }

  /** Which engine answered, and the model that each row met. */
  async infer(rows: readonly object[]): Promise<Seen> {
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      request(this.#url, { method: 'POST', agent: this.#agent, headers: { 'content-type': 'application/json', authorization: `Bearer ${this.#token}` } }, (response) => {
        let said = '';
        response.setEncoding('utf8').on('data', (piece: string) => { said += piece; }).on('error', reject).on('end', () => resolve({ status: response.statusCode ?? 0, text: said }));
      }).on('error', reject).end(JSON.stringify(rows));
    });
    if (status !== 200) throw new Error(`${status} ${text.slice(0, 300)}`);
    const answer = JSON.parse(text) as Row[];
    const models = answer.map((row) => names.indexOf((JSON.parse(row['out._model_split']) as [{ name: (typeof names)[number] }])[0].name));
    return { partition: answer[0]?.['metadata.partition'] ?? '', models };
  }

  close(): void { this.#agent.destroy(); }
}

let system: System;
let models: ModelVersion[];
beforeAll(async () => {
  system = await System.create();
  await system.start();
  const client = system.client();
  const { id } = await client.workspaces.default();
  models = await Promise.all(names.map((name) => client.models.upload(id, name, fixture(name), { framework: 'onnx' })));
});
afterAll(() => system.remove());

async function deploySplit(name: string, hashKey?: string): Promise<{ pipeline: Pipeline; deployment: Deployment }> {
  const client = system.client();
  const pipeline = await client.pipelines.build((await client.workspaces.default()).id, name);
  pipeline.addStep({ type: 'random-split', weights: models.map((model, i) => ({ model: { name: model.name, version: model.version }, weight: weights[i] as number })), ...(hashKey !== undefined && { hashKey }) });
  const deployment = await pipeline.deploy({ config: config(2) });
  await settled(deployment);
  return { pipeline, deployment: await client.deployments.get(deployment.id) };
}

/** Chi-square of what was counted against shares. */
function chiSquare(counts: readonly number[], shares: readonly number[]): number {
  const total = counts.reduce((a, b) => a + b, 0);
  const whole = shares.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * (shares[i] as number) / whole;
    return sum + (count - expected) ** 2 / expected;
  }, 0);
}
/** Exceeded once in 10^9 runs by a split that is right, by degrees of freedom; one that is 2.5 points of a hundred off exceeds it nearly always. */
const bound = { 2: 41.4, 4: 48.1 };

test('20,000 inferences over two replicas are split as the weights say, and none tells of the next', async () => {
  const { pipeline, deployment } = await deploySplit('drawn');
  const token = await system.client().token();
  const direct = `http://127.0.0.1:${deployment.info.port}/pipelines/${pipeline.name}`;
  const connections = Array.from({ length: 16 }, (_, i) => new Connection(i < 12 ? direct : `${system.url}/api/v1/deployments/${deployment.id}/infer`, token));
  let left = 20_000;
  const drawn = await Promise.all(connections.map(async (connection) => {
    const sequence: Seen[] = [];
    while (left-- > 0) {
      // Also requests of several rows: all of them go to one model.
      const seen = await connection.infer(Array.from({ length: 1 + (left % 3) }, () => ({ x: [1, 2, 3] })));
      expect(new Set(seen.models).size).toBe(1);
      sequence.push(seen);
    }
    connection.close();
    return sequence;
  }));
  const all = drawn.flat();
  expect(all).toHaveLength(20_000);
  const count = (of: readonly Seen[]): number[] => weights.map((_, i) => of.filter((seen) => seen.models[0] === i).length);
  expect(chiSquare(count(all), weights), count(all).join()).toBeLessThan(bound[2]);
  const partitions = [...new Set(all.map((seen) => seen.partition))];
  expect(partitions).toHaveLength(2);
  for (const partition of partitions) {
    const own = all.filter((seen) => seen.partition === partition);
    expect(own.length).toBeGreaterThan(1_000);
    expect(chiSquare(count(own), weights), `${partition}: ${count(own).join()}`).toBeLessThan(bound[2]);
  }
  // What follows what: as often as the shares alone say.
  const pairs = new Array<number>(9).fill(0);
  const froms = new Array<number>(3).fill(0);
  const tos = new Array<number>(3).fill(0);
  for (const sequence of drawn) {
    for (let i = 1; i < sequence.length; i += 1) {
      const [from, to] = [sequence[i - 1]?.models[0] as number, sequence[i]?.models[0] as number];
      pairs[3 * from + to]! += 1;
      froms[from]! += 1;
      tos[to]! += 1;
    }
  }
  expect(chiSquare(pairs, froms.flatMap((a) => tos.map((b) => a * b)))).toBeLessThan(bound[4]);
});

/** Keys of many kinds, each kind a request's column. Texts for the comparison are what docs/experiments.md says. */
function keysOfAllKinds(): { sent: unknown; text: string }[][] {
  const texts = [
    ...Array.from({ length: 1_500 }, (_, i) => `customer-${i}`), ...Array.from({ length: 200 }, (_, i) => `${i}@example.com`), ...Array.from({ length: 50 }, (_, i) => 'x'.repeat(i)),
    'Zürich', '日本', '🦊', ' ', '\n', '"', 'e\u0301', '\u00e9', 'x'.repeat(5_000),
    // Numbers of [0, 1], as texts, and what only looks like one.
    ...Array.from({ length: 100 }, (_, i) => String(i / 100)), '0', '1', '1.0', '.5', '0.50', '5e-1', '5E-1', '1e-7', '0.49999999999999994', '+0.5', '-0.5', '0.5 ', '0,5', '0x1', '1.1', '1e1', '1.', 'NaN', 'Infinity', '٠',
  ];
  const whole = [...Array.from({ length: 300 }, (_, i) => i * 7), -1, -17, 2_147_483_647, 9_007_199_254_740_991];
  const fractions = Array.from({ length: 200 }, (_, i) => (i + 0.5) / 200);
  const beyond = Array.from({ length: 100 }, (_, i) => i + 1.5);
  const as = (values: readonly (string | number)[]): { sent: unknown; text: string }[] => values.map((value) => ({ sent: value, text: String(value) }));
  const kinds = [as(texts), as(whole), as(fractions), as(beyond)];
  // Requests of at most 250 rows, the last kinds in single rows too.
  return kinds.flatMap((kind) => Array.from({ length: Math.ceil(kind.length / 250) }, (_, i) => kind.slice(250 * i, 250 * (i + 1)))).concat(kinds.map((kind) => kind.slice(0, 1)));
}

test('a key meets the same model in every replica, after a new deployment, a killed engine and a killed server, and as Python computes it', async () => {
  const { pipeline, deployment } = await deploySplit('sticky', 'who');
  const batches = keysOfAllKinds();
  const python = spawnSync('python3', [fileURLToPath(new URL('places.py', import.meta.url))], { input: JSON.stringify({ keys: batches.flat().map((key) => key.text), weights }), encoding: 'utf8' });
  expect(python.stderr).toBe('');
  const expected = JSON.parse(python.stdout) as number[];
  for (const i of weights.keys()) expect(expected.filter((index) => index === i).length).toBeGreaterThan(100);

  const gone = new Set<string>();
  /** What all keys meet in each of the engines that run; none of them ran when this was asked before, where `fresh` says so. */
  const everywhere = async (replicas: number, fresh: boolean): Promise<void> => {
    const client = system.client();
    const { info } = await client.deployments.get(deployment.id);
    const token = await client.token();
    const reached = new Map<string, Connection>();
    for (let tries = 0; reached.size < replicas && tries < 500; tries += 1) {
      const connection = new Connection(`http://127.0.0.1:${info.port}/pipelines/${pipeline.name}`, token);
      const { partition } = await connection.infer([{ x: [1, 2, 3], who: 'anybody' }]);
      if (reached.has(partition)) connection.close();
      else reached.set(partition, connection);
    }
    expect(reached.size).toBe(replicas);
    if (fresh) expect([...reached.keys()].filter((partition) => gone.has(partition))).toEqual([]);
    const proxied = new Connection(`${system.url}/api/v1/deployments/${deployment.id}/infer`, token);
    for (const [partition, connection] of [...reached, ['the server', proxied] as const]) {
      gone.add(partition);
      const met: number[] = [];
      for (const batch of batches) met.push(...(await connection.infer(batch.map(({ sent }) => ({ x: [1, 2, 3], who: sent })))).models);
      connection.close();
      expect(met.flatMap((model, i) => (model === expected[i] ? [] : [`${batches.flat()[i]?.text}: ${model}`])), partition).toEqual([]);
    }
  };
  await everywhere(2, true);

  await (await pipeline.undeploy()).waitUntilStopped();
  await settled(await pipeline.deploy({ config: config(2) }));
  await everywhere(2, true);

  const { engines } = await deployment.status();
  process.kill(engines[0]?.pid ?? 0, 'SIGKILL');
  await vi.waitFor(async () => expect((await deployment.status()).engines.map((e) => [e.pid, e.state])).not.toContainEqual([engines[0]?.pid, 'running']), { timeout: 10_000 });
  await settled(await system.client().deployments.get(deployment.id));
  await everywhere(2, false);

  await system.kill();
  await system.start();
  await settled(await system.client().deployments.get(deployment.id));
  await everywhere(2, false);

  const again = await system.client().pipelines.get(pipeline.id);
  await settled(await again.deploy({ config: config(3) }));
  await everywhere(3, false);
});
