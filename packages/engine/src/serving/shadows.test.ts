import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ListColumn, TensorColumn } from '@potoroo/batch';
import { decodeRows, decodeSchema, FrameReader, rowsToBatch, type LogSchema } from '@potoroo/batch/frames';
import type { Step } from '@potoroo/contract/plain';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { temporaryFolder, writeBundle, type BundleOptions } from '../testing/bundle.ts';
import type { Challenger } from '../pipeline.ts';
import { endEngines, EngineProcess } from '../testing/process.ts';
import { Shadows, type ShadowTask } from './shadows.ts';

// Challengers run in threads, and those are of the built engine.
afterAll(endEngines);

function engine(models: string[], steps: BundleOptions['steps'], args: string[] = []): { process: EngineProcess; spool: string } {
  const { folder } = writeBundle(models, { ...(steps && { steps }) });
  const spool = join(temporaryFolder(), 'spool');
  return { process: new EngineProcess(['--bundle', folder, '--listen', '127.0.0.1:0', '--cpus', '1', '--spool', spool, '--partition', 'e1', ...args]), spool };
}
const shadow = (fraction?: number): BundleOptions['steps'] => (models): Step[] => [
  { type: 'shadow', champion: models[0]!, challengers: models.slice(1).map((model) => ({ model, ...(fraction !== undefined && { fraction }) })) },
];

type Row = Record<string, unknown>;
async function infer(port: number, rows: number[], datasets: string[] = ['*'], id?: string): Promise<Row[]> {
  const query = datasets.map((d) => `dataset[]=${d}`).join('&');
  const response = await fetch(`http://127.0.0.1:${port}/pipelines/test-pipeline?${query}&dataset.separator=.`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...(id !== undefined && { 'x-request-id': id }) }, body: JSON.stringify(rows.map((r) => ({ x: [r, r, r] }))),
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as Row[];
}
const status = async (port: number): Promise<{ shadows: Record<string, { done: number; failed: number; shed: number }>; shadowSpool: { rows: number } }> => (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as never;

/** First values of a column in the frames of a folder, by offset; null where the row is null. */
function logged(folder: string, name: string): (number | null)[] {
  const values: (number | null)[] = [];
  for (const file of readdirSync(folder).filter((f) => f.endsWith('.spool')).toSorted()) {
    const reader = new FrameReader(readFileSync(join(folder, file)));
    let schema: LogSchema | undefined;
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      if (frame.kind === 'schema') schema = decodeSchema(frame.payload);
      else {
        const rows = decodeRows(frame.payload, schema!);
        expect(rows.firstRow).toBe(values.length);
        const column = rowsToBatch([rows], schema!).columns.find((c) => c.name === name) as TensorColumn | ListColumn;
        for (let i = 0; i < rows.rows; i++) {
          if (column.kind === 'tensor') values.push((column.values as Float32Array)[i * 3]!);
          else values.push(column.nulls?.[i] === 1 ? null : ((column.items as TensorColumn).values as Float32Array)[column.offsets[i]!]!);
        }
      }
    }
  }
  return values;
}

/** A challenger that takes requests together and refuses those with a 13 in them; the others' rows it gives times ten. */
function refusing13(seen: number[][]): Challenger {
  return {
    dataset: 'out_c', step: 0, fraction: 1, outputs: [{ name: 'y', type: 'float64', shape: [] }], atOnce: () => 5, single: false,
    async run({ columns: [x] }, rows) {
      const values = [...(x as TensorColumn).values as Float64Array];
      let from = 0;
      const requests = rows.map((n) => values.slice(from, from += n));
      seen.push(...requests);
      const failed = new Map(requests.flatMap((request, i) => (request.includes(13) ? [[i, new Error('unlucky')] as const] : [])));
      const good = requests.filter((_, i) => !failed.has(i)).flat().map((v) => v * 10);
      return { batch: { rows: good.length, columns: [{ kind: 'tensor', name: 'y', type: 'float64', shape: [], values: Float64Array.from(good) }] }, rows: rows.map((n, i) => (failed.has(i) ? 0 : n)), failed };
    },
  };
}

describe('what came in one after the other', () => {
  const offered = (values: number[], firstRow: number): ShadowTask => ({
    firstRow, rows: values.length, bytes: 8 * values.length, requests: [{ rows: values.length, timeMs: 0, requestId: `r${firstRow}` }],
    inputs: [{ step: 0, batch: { rows: values.length, columns: [{ kind: 'tensor', name: 'x', type: 'float64', shape: [], values: Float64Array.from(values) }] } }],
  });

  test('is shown together, each request with its own answer, and kept in its place', async () => {
    const seen: number[][] = [];
    const kept: [firstRow: number, values: (number | null)[]][] = [];
    const shadows = new Shadows({
      challengers: [refusing13(seen)], flushed: () => undefined, maxRows: 1000, maxBytes: 1e6,
      record: (task, firstRow, [column]) => kept.push([firstRow, Array.from({ length: task.rows }, (_, i) => (column?.nulls?.[i] ? null : ((column as TensorColumn).values as Float64Array)[i]!))]),
    });
    const requests = [[1], [2, 3], [13], [4, 13], [5], [6], [7, 8, 9]];
    let row = 0;
    for (const values of requests) {
      shadows.offer(offered(values, row));
      row += values.length;
    }
    // One whose rows do not come right after: the log between them is somebody else's.
    shadows.offer(offered([20], row + 4));
    await shadows.settle(10_000);
    expect(seen).toEqual([...requests, [20]]);
    expect(kept).toEqual([[0, [10, 20, 30, null, null, null, 50, 60, 70, 80, 90]], [row + 4, [200]]]);
    expect(shadows.counts.get('out_c')).toEqual({ done: 9, failed: 3, shed: 0 });
  });

  test('is as much as is shown at once, and the rest after it', async () => {
    const seen: number[][] = [];
    const kept: number[] = [];
    const shadows = new Shadows({ challengers: [refusing13(seen)], flushed: () => undefined, maxRows: 10_000, maxBytes: 1e6, record: ({ rows }) => kept.push(rows) });
    for (let i = 0; i < 600; i++) shadows.offer(offered([i === 13 ? 14 : i], i));
    await shadows.settle(10_000);
    expect(seen).toHaveLength(600);
    expect(kept.reduce((sum, n) => sum + n, 0)).toBe(600);
    expect(Math.max(...kept)).toBeLessThanOrEqual(256);
    expect(kept.length).toBeLessThan(10);
  });

  test('is for a challenger that fails on everything only now and then, and for one that recovers again always', async () => {
    const seen: number[][] = [];
    const shadows = new Shadows({ challengers: [refusing13(seen)], flushed: () => undefined, maxRows: 1000, maxBytes: 1e6, record: () => undefined });
    let row = 0;
    const show = async (value: number, waits = false): Promise<boolean> => {
      const before = seen.length;
      const task = offered([value], row++);
      shadows.offer(waits ? { ...task, requests: task.requests.map((r) => ({ ...r, waitsUntil: performance.now() + 10_000, done: () => undefined })) } : task);
      await shadows.settle(10_000);
      return seen.length > before;
    };
    for (let i = 0; i < 16; i++) expect(await show(13, true), `failure ${i + 1}`).toBe(true);
    expect(await show(1), 'after sixteen').toBe(false);
    expect(shadows.counts.get('out_c')).toEqual({ done: 0, failed: 16, shed: 1 });
    expect(await show(13, true), 'whoever waits for it').toBe(true);
    await vi.waitFor(async () => expect(await show(13), 'a second later').toBe(true), { timeout: 10_000, interval: 0 });
    expect(await show(13), 'and no better').toBe(false);
    expect(await show(2, true)).toBe(true);
    expect(await show(3), 'once it has an answer').toBe(true);
    const { done, failed, shed } = shadows.counts.get('out_c')!;
    expect([done, failed, done + failed + shed]).toEqual([2, 18, row]);
  });
});

describe('challengers', () => {
  test('that fail, sleep or wait their turn change no answer; what they say is logged row by row', async () => {
    const { process: e, spool } = engine(['times-2', 'times-3', 'fails-above-9', 'slow'], shadow());
    const port = await e.port();
    const sent: number[] = [];
    // Eight callers at once, so that runs are merged: one bad row must not cost its neighbours their challenger's answer.
    await Promise.all(Array.from({ length: 8 }, async (_, caller) => {
      for (let i = 0; i < 3; i++) {
        const rows = Array.from({ length: 1 + (caller + i) % 3 }, (__, k) => (caller * 3 + i * 5 + k) % 14);
        const got = await infer(port, rows);
        expect(got.map((r) => r['out.y'])).toEqual(rows.map((r) => [2 * r, 2 * r, 2 * r]));
        expect(Object.keys(got[0]!)).toEqual(['time', 'in.x', 'out.y', 'anomaly.count']);
        sent.push(...rows);
      }
    }));
    await vi.waitFor(async () => expect((await status(port)).shadowSpool.rows).toBe(sent.length), { timeout: 20_000 });
    const inputs = logged(spool, 'in.x') as number[];
    const sorted = (values: number[]): number[] => values.toSorted((a, b) => a - b);
    expect(sorted(inputs)).toEqual(sorted(sent));
    expect(logged(join(spool, 'shadow'), 'out_times-3.y')).toEqual(inputs.map((r) => r * 3));
    expect(logged(join(spool, 'shadow'), 'out_slow.y').map((v) => v === null ? null : Math.round(v))).toEqual(inputs);
    const tens = logged(join(spool, 'shadow'), 'out_fails-above-9.y');
    inputs.forEach((r, i) => {
      // A request fails as one: its good rows with it.
      if (r > 9) expect(tens[i]).toBeNull();
      else expect([r * 10, null]).toContain(tens[i]);
    });
    expect(tens.filter((v) => v !== null).length).toBeGreaterThan(inputs.length / 4);
    const { shadows } = await status(port);
    expect(shadows['out_times-3']).toEqual({ done: inputs.length, failed: 0, shed: 0 });
    expect(shadows['out_fails-above-9']!.failed).toBe(tens.filter((v) => v === null).length);
  });

  test('that sleep hold up nobody but who asks for them', async () => {
    const { process: e } = engine(['times-2', 'slow'], shadow());
    const port = await e.port();
    let waited = false;
    const waiting = infer(port, Array.from({ length: 60 }, (_, i) => i), ['out', 'out_slow']).then((rows) => {
      waited = true;
      return rows;
    });
    // Asked after the one that waits, and behind the same challenger: answered before it.
    for (let i = 0; i < 10; i++) {
      expect((await infer(port, [i]))[0]!['out.y']).toEqual([2 * i, 2 * i, 2 * i]);
      expect(waited, `after ${i + 1} answers`).toBe(false);
    }
    const rows = await waiting;
    expect(Object.keys(rows[0]!)).toEqual(['out.y', 'out_slow.y']);
    rows.forEach((row, i) => {
      expect(row['out.y']).toEqual([2 * i, 2 * i, 2 * i]);
      expect((row['out_slow.y'] as number[])[0]).toBeCloseTo(i, 3);
    });
  });

  test('that are behind are left out and counted, with the champion as quick and right as ever', async () => {
    const { process: e, spool } = engine(['times-2', 'slow', 'times-3'], shadow(), ['--queue-rows', '20']);
    const port = await e.port();
    for (let i = 0; i < 100; i++) expect((await infer(port, [i]))[0]!['out.y']).toEqual([2 * i, 2 * i, 2 * i]);
    // One more that is seen, so that the log tells of all before it.
    const [last] = await vi.waitFor(async () => {
      const rows = await infer(port, [7], ['out_']);
      expect(rows[0]!['out_times-3.y']).toEqual([21, 21, 21]);
      return rows;
    }, { timeout: 20_000 });
    expect((last!['out_slow.y'] as number[])[0]).toBeCloseTo(7, 3);
    const { shed, done } = (await status(port)).shadows['out_slow']!;
    expect(shed).toBeGreaterThan(0);
    const inputs = logged(spool, 'in.x');
    expect(shed + done).toBe(inputs.length);
    await vi.waitFor(async () => expect((await status(port)).shadowSpool.rows).toBe(inputs.length));
    const triples = logged(join(spool, 'shadow'), 'out_times-3.y');
    expect(triples.filter((v) => v === null)).toHaveLength(shed);
    triples.forEach((v, i) => { if (v !== null) expect(v).toBe(inputs[i]! * 3); });
  });

  test('that are too late for a request that waits leave it its answer, and nulls', async () => {
    const { process: e } = engine(['times-2', 'slow'], shadow());
    const port = await e.port();
    await infer(port, Array.from({ length: 200 }, (_, i) => i));
    // The challenger is busy with two hundred rows for longer than this request has.
    const response = await fetch(`http://127.0.0.1:${port}/pipelines/test-pipeline?dataset[]=out&dataset[]=out_slow&dataset.separator=.`, {
      method: 'POST', headers: { 'content-type': 'application/json', 'x-potoroo-timeout-ms': '300' }, body: '[{"x":[5,5,5]}]',
    });
    expect([response.status, await response.json()]).toEqual([200, [{ 'out.y': [10, 10, 10], 'out_slow.y': null }]]);
  });

  test('see the share of the requests that they are to see, chosen by the ids of those', async () => {
    const seen = async (): Promise<(number | null)[]> => {
      const { process: e, spool } = engine(['times-2', 'times-3'], shadow(0.3));
      const port = await e.port();
      for (let i = 0; i < 200; i++) await infer(port, [i], ['out'], `request-${i}`);
      await infer(port, [1], ['out_times-3'], 'the-last');
      await vi.waitFor(async () => expect((await status(port)).shadowSpool.rows).toBe(201));
      return logged(join(spool, 'shadow'), 'out_times-3.y');
    };
    const first = await seen();
    const count = first.filter((v) => v !== null).length;
    expect(count).toBeGreaterThan(30);
    expect(count).toBeLessThan(95);
    first.slice(0, 200).forEach((v, i) => { if (v !== null) expect(v).toBe(i * 3); });
    expect(await seen()).toEqual(first);
  });

  test.each<[string, string[], RegExp]>([
    ['other inputs', ['times-2', 'multi'], /'times-2' and 'multi'.*'amount'/],
    ['other shapes', ['times-2', 'ccfraud'], /'times-2' and 'ccfraud'/],
  ])('with %s are refused by name', async (_, models, message) => {
    expect(await engine(models, shadow()).process.said).toMatchObject({ type: 'failed', code: 'pipeline_invalid', message: expect.stringMatching(message) });
  });
});

test('splits, validations and keys through HTTP, and in the log', async () => {
  const get0 = { Function: { input: [{ Column: 'out.y' }, { Literal: { Int32: 0 } }], function: { ListExpr: 'Get' }, options: {} } };
  const { process: e, spool } = engine(['times-2', 'times-3'], (m) => [
    { type: 'random-split', hashKey: 'who', weights: m.map((model) => ({ model, weight: 1 })) },
    { type: 'validations', validations: [{ name: 'large', expression: { BinaryExpr: { left: get0, op: 'Gt', right: { Literal: { Float64: 10 } } } } }] },
  ]);
  const port = await e.port();
  const post = async (path: string, body: unknown): Promise<{ status: number; json: never }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return { status: response.status, json: (await response.json()) as never };
  };
  const path = '/pipelines/test-pipeline';
  const rows = [{ x: [1, 1, 1], who: 0.2 }, { x: [4, 4, 4], who: 0.9 }, { x: [9, 9, 9], who: 0.1 }];
  const { json: answer } = await post(`${path}?dataset[]=*&dataset[]=metadata.last_model&dataset.separator=.`, rows) as { json: Row[] };
  expect(answer.map((r) => r['out.y'])).toEqual([[2, 2, 2], [12, 12, 12], [18, 18, 18]]);
  expect(answer.map((r) => r['in.who'])).toEqual(['0.2', '0.9', '0.1']);
  expect(answer.map((r) => [r['anomaly.count'], r['anomaly.large']])).toEqual([[0, false], [1, true], [1, true]]);
  const names = ['times-2', 'times-3', 'times-2'];
  expect(answer.map((r) => (JSON.parse(r['out._model_split'] as string) as { name: string }[])[0]!.name)).toEqual(names);
  expect(answer.map((r) => (JSON.parse(r['metadata.last_model'] as string) as { model_name: string }).model_name)).toEqual(names);
  // The edge's form tells the first row's model, and what is wrong.
  const [edge] = (await post(path, rows.slice(1))).json as [{ model_name: string; check_failures: unknown }];
  expect(edge).toMatchObject({ model_name: 'times-3', check_failures: [{ False: { expr: 'anomaly.large' } }] });
  const columns = (await post(`${path}?dataset[]=out`, { x: [[1, 1, 1]], who: ['0.95'] })).json as { out: { y: number[] } }[];
  expect(columns[0]!.out.y).toEqual([3, 3, 3]);
  const v2 = (await post('/v2/models/test-pipeline/infer', { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 1, 1] }, { name: 'who', datatype: 'FP64', shape: [1], data: [0.95] }] })).json as { outputs: { name: string; data: number[] }[] };
  expect(v2.outputs).toMatchObject([{ name: 'y', data: [3, 3, 3] }]);
  expect(await post(path, [{ x: [1, 1, 1] }])).toMatchObject({ status: 400, json: { error: expect.stringContaining("'who'"), type: 'schema_mismatch' } });
  const schemas = readdirSync(spool).filter((f) => f.endsWith('.spool')).map((file) => new FrameReader(readFileSync(join(spool, file))).next()!.payload).map(decodeSchema);
  expect(schemas[0]!.columns.map((c) => c.name)).toEqual(['in.x', 'in.who', 'out.y', 'out._model_split', 'anomaly.count', 'anomaly.large']);
});
