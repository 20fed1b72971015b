import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { EngineProcess, endEngines } from '../../packages/engine/src/testing/process.ts';
import { temporary } from '../frameworks/support.ts';
import { expected, mixedBundle } from '../support/mixed-pipeline.ts';

const connections = 16;
const kills = 9;
const { folder, remove } = temporary();
let engine: EngineProcess;
let port: number;
beforeAll(async () => {
  const bundled = await mixedBundle(folder);
  engine = new EngineProcess(['--bundle', bundled, '--listen', '127.0.0.1:0', '--spool', `${folder}/spool`, '--partition', 'load', '--cpus', '1']);
  port = await engine.port();
});
afterAll(async () => {
  await endEngines();
  remove();
});

/** What became of requests, by what they ended with. */
interface Count { right: number; lost: number; readonly others: string[] }

/** Requests of two rows of their own over kept connections, each answer checked, until stopped. */
function load(count: Count): { stop: () => Promise<void> } {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let stopped = false;
  let next = 0;
  const one = (n: number): Promise<void> => new Promise((resolve) => {
    const rows = [{ a: n, b: 2 }, { a: 3, b: -n }];
    const other = (what: string): void => {
      count.others.push(what);
      resolve();
    };
    request({ port, path: '/pipelines/mixed?dataset[]=out', method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => { text += piece; }).on('error', (error) => other(error.message)).on('end', () => {
        if (response.statusCode !== 200) {
          if (!text.includes('model_process_lost')) return other(`${response.statusCode} ${text.slice(0, 200)}`);
          count.lost += 1;
          return resolve();
        }
        const answers = (JSON.parse(text) as { out: { answer: number } }[]).map((row) => row.out.answer);
        const wanted = rows.map(({ a, b }) => expected(a, b));
        if (answers.length !== 2 || wanted.some((w, i) => Math.abs(w - (answers[i] ?? NaN)) > 1e-6 * Math.max(1, Math.abs(w)))) return other(`rows ${n}: ${text} instead of ${wanted.join()}`);
        count.right += 1;
        resolve();
      });
    }).on('error', (error) => other(error.message)).end(JSON.stringify(rows));
  });
  const loops = Array.from({ length: connections }, async () => {
    while (!stopped) await one(next++ % 10_000);
  });
  return { async stop() {
    stopped = true;
    await Promise.all(loops);
    agent.destroy();
  } };
}

/** Processes of models by the name of their file: children of the engine. */
function modelProcesses(): Map<string, number> {
  const pid = engine.child.pid ?? 0;
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean));
  return new Map(children.map((child) => [/"fileName":"([^"]+)"/.exec(readFileSync(`/proc/${child}/cmdline`, 'utf8'))?.[1] ?? child, Number(child)]));
}

test.runIf(process.platform === 'linux')(`${kills} kills of model processes under load cost what they worked on, with a typed error, and nothing else`, async () => {
  const count: Count = { right: 0, lost: 0, others: [] };
  const going = (more: number): Promise<void> => {
    const from = count.right;
    return vi.waitFor(() => expect(count.right).toBeGreaterThan(from + more), { timeout: 60_000, interval: 20 });
  };
  const { stop } = load(count);
  await going(200);
  expect([...modelProcesses().keys()].sort()).toEqual(['custom.zip', 'post.py', 'pre.py']);
  expect({ lost: count.lost, others: count.others }).toEqual({ lost: 0, others: [] });
  for (let n = 0; n < kills; n++) {
    const name = ['pre.py', 'custom.zip', 'post.py'][n % 3] ?? '';
    const before = count.lost;
    process.kill(modelProcesses().get(name) ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(modelProcesses().has(name)).toBe(true), { timeout: 30_000, interval: 20 });
    await going(100);
    // Those that the process had begun, handed over together, and no other: those that waited in its socket are served by its successor.
    expect(count.lost - before).toBeLessThanOrEqual(connections);
  }
  await stop();
  expect(count.others).toEqual([]);
  expect(count.lost).toBeGreaterThan(0);
  // The engine counted the same.
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(Number(/^tensor_throughput_batch_count\{[^}]*\} (\d+)/m.exec(metrics)?.[1])).toBe(2 * count.right);
  expect(Number(/model_process_lost"[^}]*\} (\d+)/.exec(metrics)?.[1])).toBe(count.lost);
  console.log(`${count.right} answered, ${count.lost} lost with a typed error in ${kills} kills, none wrong`);
});
