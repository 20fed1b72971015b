import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Field, FixedSizeList, Float32, makeData, RecordBatch, Schema, Struct, Table, tableFromIPC, tableToIPC, type Int64, type List, type Vector } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeploymentConfigBuilder, Potoroo, type ApiDeploymentStatus, type Batch, type Pipeline } from '@potoroo/sdk';
import { admin, example, startServer, temporaryFolder, type Server } from './support/server.ts';

interface Expected { label: number; probabilities: number[] }

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let potoroo: Potoroo;
let rows: { tensor: number[] }[];
let expected: Expected[];

beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
  potoroo = new Potoroo({ url: server.url, ...admin });
  rows = JSON.parse(await readFile(join(example, 'rows.json'), 'utf8')) as typeof rows;
  expected = JSON.parse(await readFile(join(example, 'expected.json'), 'utf8')) as Expected[];
});
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

/** Rows as an Arrow table with one column of fixed-size lists, as the Python client sends tensors. */
function arrowRows(): Table {
  const values = makeData({ type: new Float32(), data: Float32Array.from(rows.flatMap((row) => row.tensor)) });
  const type = new FixedSizeList(30, new Field('item', new Float32(), true));
  const column = makeData({ type, length: rows.length, nullCount: 0, child: values });
  const schema = new Schema([new Field('tensor', type)]);
  return new Table(schema, [new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length: rows.length, children: [column] }))]);
}

const close = (actual: ArrayLike<number>, wanted: readonly number[]) => {
  expect(actual.length).toBe(wanted.length);
  wanted.forEach((value, i) => expect(Math.abs(Number(actual[i]) - value)).toBeLessThan(1e-5));
};

describe('from a file to predictions', () => {
  let pipeline: Pipeline;

  it('uploads with progress, configures, deploys and waits until it runs', async () => {
    const workspace = await potoroo.workspaces.default();
    const sent: number[] = [];
    const model = await workspace.uploadModel('breast-cancer', join(example, 'model.onnx'), { framework: 'onnx', onProgress: (p) => sent.push(p.sent) });
    const { length } = await readFile(join(example, 'model.onnx'));
    expect([sent[0], sent.at(-1)]).toEqual([0, length]);
    expect(model.info).toMatchObject({ status: 'ready', fileName: 'model.onnx', size: length, framework: 'onnx' });
    await model.configure({ tensorFields: ['tensor'] });
    expect((await model.config()).tensorFields).toEqual(['tensor']);

    pipeline = (await workspace.buildPipeline('breast-cancer')).addModelStep(model);
    const states: ApiDeploymentStatus['state'][] = [];
    const deployment = await pipeline.deploy({ config: new DeploymentConfigBuilder().replicaCount(1).cpus(0.5).memory('512Mi').build() });
    const status = await deployment.waitUntilRunning({ onProgress: (s) => states.push(s.state) });
    expect(status).toMatchObject({ state: 'running', wantedReplicas: 1, readyReplicas: 1, reason: null });
    expect(states.at(-1)).toBe('running');
    expect(status.engines[0]?.models[0]).toMatchObject({ name: 'breast-cancer', version: model.version, sha: model.info.sha256, status: 'Running' });
  });

  it('uploads the same bytes once, from memory and from a stream', async () => {
    const bytes = new Uint8Array(await readFile(join(example, 'model.onnx')));
    const { id } = await potoroo.workspaces.default();
    const before = (await potoroo.models.list({ workspaceId: id, name: 'breast-cancer' }).toArray())[0];
    const again = await potoroo.models.upload(id, 'breast-cancer', bytes, { framework: 'onnx' });
    async function* pieces() { for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100); }
    const streamed = await potoroo.models.upload(id, 'breast-cancer', pieces(), { framework: 'onnx' });
    expect([again.version, streamed.version]).toEqual([before?.latest.version, before?.latest.version]);
  });

  it("answers rows with scikit-learn's predictions", async () => {
    const answer = await pipeline.infer(rows);
    expect(answer.map((row) => row['out.label'])).toEqual(expected.map((e) => e.label));
    answer.forEach((row, i) => close(row['out.probabilities'] as number[], expected[i]?.probabilities ?? []));
    expect(Object.keys(answer[0] ?? {})).toEqual(['time', 'in.tensor', 'out.label', 'out.probabilities', 'anomaly.count']);
  });

  it('answers an Arrow table with an Arrow table', async () => {
    const answer = await pipeline.infer(arrowRows(), { dataset: ['out'] });
    expect(answer).toBeInstanceOf(Table);
    expect(answer.numRows).toBe(rows.length);
    expect([...(answer.getChild('out.label') as Vector<Int64>)].map(Number)).toEqual(expected.map((e) => e.label));
    const probabilities = answer.getChild('out.probabilities') as Vector<List<Float32>>;
    expected.forEach((e, i) => close(probabilities.get(i)?.toArray() as Float32Array, e.probabilities));
  });

  it('answers a batch with a batch', async () => {
    const batch: Batch = { rows: rows.length, columns: [{ kind: 'tensor', name: 'tensor', type: 'float32', shape: [30], values: Float32Array.from(rows.flatMap((row) => row.tensor)) }] };
    const answer = await pipeline.infer(batch, { dataset: ['out.probabilities'] });
    expect(answer.rows).toBe(rows.length);
    const [column] = answer.columns;
    if (column?.kind !== 'tensor') throw new Error('probabilities are no tensor');
    close(column.values as Float32Array, expected.flatMap((e) => e.probabilities));
  });

  it('gives the columns that were asked for, with the separator that was asked for', async () => {
    const [row] = await pipeline.infer(rows.slice(0, 1), { dataset: ['time', 'out.label', 'metadata'], datasetSeparator: '_' });
    expect(Object.keys(row ?? {}).filter((name) => !name.startsWith('metadata'))).toEqual(['time', 'out_label']);
    expect(Object.keys(row ?? {}).some((name) => name.startsWith('metadata_'))).toBe(true);
  });

  it('names a request as it is told to, in the answer and in the log', async () => {
    const ids = ['of-records', 'of-a-table'];
    const [row] = await pipeline.infer(rows.slice(0, 1), { dataset: ['metadata.request_id'], requestId: ids[0]!, timeoutMs: 100_000 });
    expect(row).toEqual({ 'metadata.request_id': ids[0] });
    await pipeline.infer(arrowRows(), { dataset: ['out'], requestId: ids[1]! });
    await expect(pipeline.infer(rows, { requestId: 'two words' })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('"two words"') });
    const logged = async (): Promise<unknown[]> => (await pipeline.logs({ limit: 100_000 }).toArray()).map((record) => record['metadata.request_id']);
    await expect.poll(logged, { timeout: 10_000 }).toEqual(expect.arrayContaining(ids));
  });

  it('logs equal what was inferred, row by row, as records and as Arrow', async () => {
    const since = new Date();
    const inferred: Record<string, unknown>[] = [];
    for (const row of rows) inferred.push(...(await pipeline.infer([row])));
    const read = () => pipeline.logs({ start: since, order: 'asc' });
    await expect.poll(async () => (await read().toArray()).length, { timeout: 10_000 }).toBe(rows.length);
    const records = await read().toArray();
    records.forEach((record, i) => expect(record).toMatchObject(inferred[i] ?? {}));
    const tables: Table[] = [];
    for await (const table of read().tables()) tables.push(table);
    expect(tables.reduce((sum, table) => sum + table.numRows, 0)).toBe(rows.length);

    const newest = await pipeline.logs({ limit: 3 }).toArray();
    expect(newest.map((record) => record['time'])).toEqual(records.slice(-3).map((record) => record['time']).toReversed());
    const page = await read().page(undefined, 3);
    expect(page.content).toHaveLength(3);
    const next = await read().page(page.cursor ?? '', 100);
    expect([...page.content, ...next.content].map((record) => record['out.probabilities'])).toEqual(records.map((record) => record['out.probabilities']));
  });

  it('updates to more replicas and back without losing one answer', async () => {
    let asking = true;
    const answers = (async () => {
      let count = 0;
      while (asking) {
        const [row] = await pipeline.infer(rows.slice(0, 1), { dataset: ['out'] });
        expect(row?.['out.label']).toBe(expected[0]?.label);
        count += 1;
      }
      return count;
    })();
    for (const replicas of [2, 1]) {
      const deployment = await pipeline.deploy({ config: new DeploymentConfigBuilder().replicaCount(replicas).cpus(0.5).memory('512Mi').build() });
      expect((await deployment.waitUntilRunning()).readyReplicas).toBe(replicas);
    }
    asking = false;
    expect(await answers).toBeGreaterThan(0);
  });

  it('undeploys; then inference says what to do, and deploying again brings it back', async () => {
    const deployment = await pipeline.undeploy();
    expect((await deployment.waitUntilStopped()).state).toBe('stopped');
    await expect(pipeline.infer(rows)).rejects.toMatchObject({ code: 'not_deployed' });
    await (await pipeline.deploy()).waitUntilRunning();
    expect(pipeline.versions.filter((version) => version.steps.length > 0)).toHaveLength(1);
    expect(await pipeline.infer(rows)).toHaveLength(rows.length);
  });

  it.each<[string, () => unknown, string]>([
    ['no rows', () => [], 'empty_batch'],
    ['a wrong column', () => [{ tensr: rows[0]?.tensor }], 'schema_mismatch'],
    ['a row that is too short', () => [{ tensor: [1, 2, 3] }], 'schema_mismatch'],
    ['ragged rows', () => [rows[0], { tensor: [1] }], 'schema_mismatch'],
    ['a text instead of numbers', () => [{ tensor: 'abc' }], 'schema_mismatch'],
    ['a table without its column', () => tableFromIPC(tableToIPC(arrowRows().slice(0, 0))), 'empty_batch'],
  ])('refuses %s with a code and a sentence', async (_name, input, code) => {
    await expect(pipeline.infer(input() as never)).rejects.toMatchObject({ name: 'PotorooError', code, message: expect.stringMatching(/\.$/) });
  });

  // The last one: the engine may have begun, and log its rows a moment later.
  it('waits no longer for an answer than it is told to', async () => {
    await expect(pipeline.infer(rows, { timeoutMs: 1 })).rejects.toMatchObject({ code: 'deadline_exceeded' });
  });
});

describe('what is refused', () => {
  it('wrong credentials, and a token that is none', async () => {
    await expect(new Potoroo({ url: server.url, username: admin.username, password: 'wrong' }).token()).rejects.toMatchObject({ code: 'invalid_credentials' });
    await expect(new Potoroo({ url: server.url, token: 'made.up.token' }).workspaces.default()).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('unknown things, and names outside the rules', async () => {
    const workspace = await potoroo.workspaces.default();
    await expect(potoroo.pipelines.get(2_000_000_000)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await expect(potoroo.models.get(2_000_000_000)).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(potoroo.deployments.get(2_000_000_000)).rejects.toMatchObject({ code: 'deployment_not_found' });
    await expect(potoroo.workspaces.get(2_000_000_000)).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(workspace.buildPipeline('Not_A_Name')).rejects.toMatchObject({ code: 'invalid_name', message: expect.stringContaining('Not_A_Name') });
    await expect(workspace.uploadModel('no/slash', join(example, 'model.onnx'), { framework: 'onnx' })).rejects.toMatchObject({ code: 'invalid_name' });
  });

  it('a file that is not there, a folder, and a file that is no model', async () => {
    const workspace = await potoroo.workspaces.default();
    await expect(workspace.uploadModel('m', join(folder.path, 'missing.onnx'), { framework: 'onnx' })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('missing.onnx') });
    await expect(workspace.uploadModel('m', folder.path, { framework: 'onnx' })).rejects.toMatchObject({ code: 'invalid_request' });
    await writeFile(join(folder.path, 'text.onnx'), 'this is not a model');
    await expect(workspace.uploadModel('m', join(folder.path, 'text.onnx'), { framework: 'onnx' })).rejects.toMatchObject({ code: 'model_invalid' });
  });

  it('a pipeline without steps', async () => {
    const empty = await (await potoroo.workspaces.default()).buildPipeline('no-steps');
    await expect(empty.deploy()).rejects.toMatchObject({ code: 'pipeline_invalid' });
    expect(() => empty.removeStep(0)).toThrow(expect.objectContaining({ code: 'pipeline_invalid' }));
  });
});

describe('workspaces and users', () => {
  it('lists page after page', async () => {
    const names = Array.from({ length: 5 }, (_, i) => `page-${i}`);
    for (const name of names) await potoroo.workspaces.create(name);
    const found: string[] = [];
    for await (const workspace of potoroo.workspaces.list()) found.push(workspace.name);
    expect(found).toEqual(expect.arrayContaining(names));
  });

  it('another user sees what is shared with them and nothing else', async () => {
    const user = await potoroo.users.create({ email: 'ada@example.com', password: 'another-password' });
    const ada = new Potoroo({ url: server.url, username: 'ada@example.com', password: 'another-password' });
    const shared = await potoroo.workspaces.create('shared');
    await expect(ada.workspaces.get(shared.id)).rejects.toMatchObject({ code: 'workspace_not_found' });
    await shared.setMember(user.id, 'collaborator');
    expect((await ada.workspaces.get(shared.id)).name).toBe('shared');
    await expect(ada.users.create({ email: 'eve@example.com', password: 'another-password' })).rejects.toMatchObject({ code: 'forbidden' });
    await shared.removeMember(user.id);
    await expect(ada.workspaces.get(shared.id)).rejects.toMatchObject({ code: 'workspace_not_found' });
  });
});
