#!/usr/bin/env node
/**
 * What splits cost: `npm run bench:splits [-- --requests 1500 --repeats 5 --engine packages/engine/dist/main.js --variants plain,hash-key]`.
 *
 * The same model in pipelines with and without a split; requests of 1 and of 1,000 rows, one after the other, spool on. What counts is the time on a
 * processor of the engine's whole process for each request, which neighbours on the machine disturb least; the median of repeats in
 * which the variants take turns. `--engine` takes the engine of another checkout, to compare with.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { engineNode } from '../packages/contract/dist/plain.js';
import { freePort, here, median, say, work } from './side-by-side.mjs';

const { values: options } = parseArgs({ options: {
  requests: { type: 'string', default: '1500' }, repeats: { type: 'string', default: '5' }, engine: { type: 'string', default: path.join(here, '../packages/engine/dist/main.js') },
  variants: { type: 'string', default: 'plain,drawn,hash-key,key-split' },
} });
const model = path.join(here, '../packages/engine/fixtures/ccfraud.onnx');
const sha256 = createHash('sha256').update(readFileSync(model)).digest('hex');
const ref = (i) => ({ name: `m${i}`, version: `v${i}` });
const steps = {
  plain: { type: 'model', model: ref(1) },
  drawn: { type: 'random-split', weights: [{ model: ref(1), weight: 1 }, { model: ref(2), weight: 1 }] },
  'hash-key': { type: 'random-split', hashKey: 'who', weights: [{ model: ref(1), weight: 1 }, { model: ref(2), weight: 1 }] },
  'key-split': { type: 'key-split', splitKey: 'who', control: ref(1), routes: { 'customer-1': ref(2), 'customer-2': ref(2) } },
};
const round = (x) => Math.round(x * 1000) / 1000;
const row = (variant, i) => ({ dense_input: Array.from({ length: 29 }, (_, k) => round(Math.sin(i * 29 + k))), ...(variant === 'plain' || variant === 'drawn' ? {} : { who: `customer-${i}` }) });

function bundle(variant) {
  const dir = path.join(work, `bundle-split-${variant}`);
  mkdirSync(path.join(dir, 'models'), { recursive: true });
  if (!existsSync(path.join(dir, 'models', sha256))) writeFileSync(path.join(dir, 'models', sha256), readFileSync(model));
  const models = [1, 2].map((i) => ({ id: i, configId: i, ...ref(i), sha256, file: `models/${sha256}`, framework: 'onnx', fileName: 'm.onnx', config: {} }));
  writeFileSync(path.join(dir, 'pipeline.json'), JSON.stringify({
    format: 1, pipeline: { id: 0, name: 'split', version: 'v', versionId: 0, workspaceId: 0, deploymentId: 0 }, steps: [steps[variant]], models: variant === 'plain' ? models.slice(0, 1) : models,
  }));
  return dir;
}

/** Seconds on a processor so far, of all threads. */
const cpu = (pid) => { const [, , , , , , , , , , , user, system] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' '); return (Number(user) + Number(system)) / 100; };

async function measure(variant, rows, count) {
  const port = await freePort();
  const spool = mkdtempSync(path.join(tmpdir(), 'bench-spool-'));
  const child = spawn(process.execPath, [...engineNode(), options.engine, '--bundle', bundle(variant), '--listen', `127.0.0.1:${port}`, '--spool', spool, '--partition', 'bench', '--cpus', '1'], { stdio: 'ignore' });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = JSON.stringify(Array.from({ length: rows }, (_, i) => row(variant, i)));
  const ask = () => new Promise((resolve, reject) => {
    request({ port, agent, path: '/pipelines/split?dataset[]=out', method: 'POST', headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (answer) => {
      answer.resume().on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode}`))));
    }).on('error', reject).end(body);
  });
  try {
    for (let tries = 0; ; tries++) {
      try { await ask(); break; } catch (error) {
        if (tries > 600 || /status/.test(error.message)) throw error;
        await new Promise((r) => { setTimeout(r, 20); });
      }
    }
    for (let i = 0; i < count / 5; i++) await ask();
    const before = cpu(child.pid);
    for (let i = 0; i < count; i++) await ask();
    return ((cpu(child.pid) - before) * 1e6) / count;
  } finally {
    agent.destroy();
    const gone = new Promise((r) => { child.once('exit', r); });
    child.kill('SIGKILL');
    await gone;
    rmSync(spool, { recursive: true, force: true });
  }
}

const count = Number(options.requests);
const variants = options.variants.split(',');
const cases = [[1, count * 4], [1000, count]];
const results = new Map();
for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
  for (const [rows, requests] of cases) {
    for (const variant of variants) {
      const microseconds = await measure(variant, rows, requests);
      const key = `${rows}/${variant}`;
      results.set(key, [...(results.get(key) ?? []), microseconds]);
      say(`${repeat + 1}: ${variant}, ${rows} rows: ${Math.round(microseconds)} us of processor a request`);
    }
  }
}
console.log('| pipeline | 1 row, us of processor a request | of plain | 1,000 rows | of plain |\n|---|---:|---:|---:|---:|');
for (const variant of variants) {
  const [one, many] = cases.map(([rows]) => median(results.get(`${rows}/${variant}`)));
  const [plainOne, plainMany] = cases.map(([rows]) => median(results.get(`${rows}/plain`) ?? [Number.NaN]));
  console.log(`| ${variant} | ${Math.round(one)} | ${(one / plainOne).toFixed(2)} | ${Math.round(many)} | ${(many / plainMany).toFixed(2)} |`);
}
