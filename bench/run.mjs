#!/usr/bin/env node
/**
 * Benchmarks, side by side in one run: `npm run bench [-- --seconds 5 --repeats 3 --servers potoroo,limit --cases row-c32]`.
 *
 * Every server is pinned to core 0 and wrk to core 1, so a figure is requests a second a core. Each server's answer to each
 * body is compared with the model's own before it is measured. Within a repeat the servers take turns case by case, so that
 * a slow minute of the machine hits all of them; the table shows medians and each server's share of the C limit.
 * Peers that cannot be installed here are named and left out. Closed loop: see RESULTS.md for what that means.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { engineArgs, freePort, has, here, median, need, proportional, resident, say, shown, startPinned, stop, venv, work, wrk } from './side-by-side.mjs';

const data = path.join(work, 'data');
const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' }, repeats: { type: 'string', default: '3' },
    servers: { type: 'string', default: 'potoroo,limit,limit-merge,fastapi,mlserver' }, cases: { type: 'string' }, out: { type: 'string' },
  },
});
const seconds = Number(options.seconds);
const repeats = Number(options.repeats);

need('wrk', 'taskset', 'python3');

// ---- what is needed, made once into .work ----
const ortVersion = JSON.parse(readFileSync(path.join(here, '../node_modules/onnxruntime-node/package.json'), 'utf8')).version;

function limitBinary() {
  const file = path.join(work, 'limit');
  if (existsSync(file)) return file;
  if (!has('go') || !has('gcc')) throw new Error('needs gcc, and go for the ONNX Runtime C header');
  const mod = path.join(work, 'gomod');
  mkdirSync(mod, { recursive: true });
  if (!existsSync(path.join(mod, 'go.mod'))) execFileSync('go', ['mod', 'init', 'x'], { cwd: mod, stdio: 'ignore' });
  execFileSync('go', ['get', 'github.com/yalue/onnxruntime_go@v1.27.0'], { cwd: mod, stdio: 'ignore' }); // carries the C API's header
  const include = execFileSync('go', ['list', '-m', '-f', '{{.Dir}}', 'github.com/yalue/onnxruntime_go'], { cwd: mod, encoding: 'utf8' }).trim();
  const lib = path.join(here, '../node_modules/onnxruntime-node/bin/napi-v6/linux', process.arch);
  execFileSync('gcc', ['-O2', '-march=native', `-I${include}`, '-o', file, path.join(here, 'limit.c'), path.join(lib, 'libonnxruntime.so.1'), `-Wl,-rpath,${lib}`]);
  return file;
}

function bundle(name) {
  const dir = path.join(work, `bundle-${name}`);
  const sha256 = createHash('sha256').update(readFileSync(path.join(data, `${name}.onnx`))).digest('hex');
  mkdirSync(path.join(dir, 'models'), { recursive: true });
  cpSync(path.join(data, `${name}.onnx`), path.join(dir, 'models', sha256));
  const version = '00000000-0000-4000-8000-000000000001';
  writeFileSync(path.join(dir, 'pipeline.json'), JSON.stringify({
    format: 1, pipeline: { id: 0, name, version, versionId: 0, workspaceId: 0, deploymentId: 0 },
    steps: [{ type: 'model', model: { name, version } }],
    models: [{ id: 0, configId: 0, name, version, sha256, framework: 'onnx', fileName: `${name}.onnx`, file: `models/${sha256}`, config: {} }],
  }));
  return dir;
}

function mlserverFolder(bin) {
  const dir = path.join(work, 'mlserver');
  mkdirSync(dir, { recursive: true });
  cpSync(path.join(here, 'peers/mlserver_model.py'), path.join(dir, 'mlserver_model.py'));
  for (const name of ['mlp', 'cnn']) {
    mkdirSync(path.join(dir, name), { recursive: true });
    writeFileSync(path.join(dir, name, 'model-settings.json'), JSON.stringify({ name, implementation: 'mlserver_model.Onnx', parameters: { uri: path.join(data, `${name}.onnx`) } }));
  }
  return { dir, bin };
}

// ---- the servers: how to start one, and where each body goes ----
const json = { 'content-type': 'application/json' };
const arrowType = 'application/vnd.apache.arrow.file';
const arrow = { 'content-type': arrowType, accept: arrowType };
const lengths = () => JSON.parse(readFileSync(path.join(data, 'lengths.json'), 'utf8'));
const v2 = (c) => ({ 'inference-header-content-length': String(lengths()[c]) });
const servers = {
  potoroo: {
    what: 'Potoroo engine, spool on',
    start(port, model) {
      const spool = mkdtempSync(path.join(tmpdir(), 'bench-spool-'));
      return { command: process.execPath, args: [...engineArgs, '--bundle', bundle(model), '--listen', `127.0.0.1:${port}`, '--spool', spool, '--partition', 'bench', '--cpus', '1'], spool };
    },
    perModel: true,
    target: (form, model, c) => form === 'v2bin' ? [`/v2/models/${model}/infer`, v2(c)] : [`/pipelines/${model}?dataset[]=out`, form === 'arrow' ? arrow : json],
  },
  limit: { what: 'C limit: epoll and the ONNX Runtime C API', start: (port) => ({ command: limitBinary(), args: [data, port] }), target: limitTarget },
  'limit-merge': { what: 'the same, merging requests of one epoll round', start: (port) => ({ command: limitBinary(), args: [data, port, 'merge'] }), target: limitTarget },
  fastapi: {
    what: 'FastAPI and uvicorn', forms: { v2bin: 'raw' },
    start(port) { return { command: path.join(venv('fastapi', ['fastapi', 'uvicorn[standard]', 'numpy', `onnxruntime==${ortVersion}`]), 'uvicorn'), args: ['fastapi_app:app', '--port', port, '--log-level', 'warning'], cwd: path.join(here, 'peers'), env: { DATA: data } }; },
    target: (form, model) => form === 'raw' ? [`/${model}/raw`, {}] : [`/${model}`, json],
  },
  mlserver: {
    what: 'MLServer, v2 JSON (it has no binary REST body)', forms: { records: 'v2', v2bin: 'v2' },
    start(port) {
      const { dir, bin } = mlserverFolder(venv('mlserver', ['mlserver', 'uvloop<0.22', 'numpy', `onnxruntime==${ortVersion}`]));
      writeFileSync(path.join(dir, 'settings.json'), JSON.stringify({ http_port: Number(port), grpc_port: Number(port) + 1, metrics_port: Number(port) + 2, parallel_workers: 0, debug: false }));
      return { command: path.join(bin, 'mlserver'), args: ['start', '.'], cwd: dir };
    },
    target: (form, model) => [`/v2/models/${model}/infer`, json],
  },
};
function limitTarget(form, model, c) { return [`/${model}`, form === 'v2bin' ? v2(c) : form === 'arrow' ? arrow : json]; }

const cases = {
  'row-c1': { body: 'row', form: 'records', model: 'mlp', connections: 1, title: '1 row, JSON, 1 connection' },
  'row-c32': { body: 'row', form: 'records', model: 'mlp', connections: 32, title: '1 row, JSON, 32 connections' },
  'rows-json': { body: 'rows', form: 'records', model: 'mlp', connections: 4, title: '1,000 rows, JSON, 4 connections' },
  'rows-arrow': { body: 'rows', form: 'arrow', model: 'mlp', connections: 4, title: '1,000 rows, Arrow, 4 connections' },
  'rows-v2': { body: 'rows', form: 'v2bin', model: 'mlp', connections: 4, title: '1,000 rows, v2 binary, 4 connections' },
  image: { body: 'image', form: 'v2bin', model: 'cnn', connections: 4, title: 'one 3x224x224 image, v2 binary, 4 connections' },
};

function request(name, key) {
  const server = servers[name];
  const c = cases[key];
  const form = server.forms?.[c.form] ?? c.form;
  const file = form === 'raw' ? path.join(data, `${c.body}.raw`) : path.join(data, `${c.body}.${form}`);
  if (form === 'raw' && !existsSync(file)) writeFileSync(file, readFileSync(path.join(data, `${c.body}.v2bin`)).subarray(lengths()[c.body]));
  const [url, headers] = server.target(form, c.model, c.body);
  return { url, headers, file, expected: path.join(data, `${c.body}.expected`) };
}

/** The answer holds the model's own output, bit for bit or as decimals close to it. */
async function right(base, { url, headers, file, expected }) {
  const answer = await fetch(base + url, { method: 'POST', headers, body: readFileSync(file), signal: AbortSignal.timeout(10_000) });
  const body = Buffer.from(await answer.arrayBuffer());
  if (answer.status !== 200) throw new Error(`${answer.status} ${body.toString('utf8', 0, 200)}`);
  const bytes = readFileSync(expected);
  if (body.includes(bytes)) return;
  const want = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  let text;
  try { text = JSON.parse(body.toString('utf8')); } catch { text = undefined; }
  if (text !== undefined) {
    const numbers = [];
    const walk = (v) => { if (typeof v === 'number') numbers.push(v); else if (v && typeof v === 'object') Object.values(v).forEach(walk); };
    walk(Array.isArray(text) ? text.map((r) => r.out ?? r) : text.outputs?.map((o) => o.data) ?? text);
    if (numbers.length === want.length && numbers.every((v, i) => Math.abs(v - want[i]) < 1e-4)) return;
  } else { // binary, but another ONNX Runtime build may differ in the last bits: find the first value near enough
    for (let at = 0; at + bytes.length <= body.length; at++) if (want.every((v, i) => Math.abs(body.readFloatLE(at + 4 * i) - v) < 1e-4)) return;
  }
  throw new Error('wrong answer');
}

async function start(name, model) {
  const port = await freePort();
  const key = Object.keys(cases).find((k) => cases[k].model === model);
  return Object.assign(await startPinned(servers[name].start(port, model), port, (base) => right(base, request(name, key))), { name, model });
}

// ---- the run ----
if (!existsSync(path.join(data, 'lengths.json'))) execFileSync(path.join(venv('data', ['onnx', 'numpy', 'pyarrow', `onnxruntime==${ortVersion}`]), 'python'), [path.join(here, 'data.py'), data], { stdio: 'inherit' });
const wanted = options.servers.split(',').filter((name) => { if (!servers[name]) { say(`no server ${name}; there are ${Object.keys(servers).join(', ')}`); process.exit(2); } return true; });
const keys = options.cases?.split(',') ?? Object.keys(cases);
const results = {};
const idle = {};
const left = {};

for (const name of wanted) {
  try {
    const starts = [];
    for (let i = 0; i < 5; i++) {
      const instance = await start(name, 'mlp');
      starts.push(instance.started);
      if (i === 4) idle[name] = { rss: resident(instance.child.pid), pss: proportional(instance.child.pid) };
      await stop(instance);
    }
    idle[name].cold = median(starts);
    say(`${name}: first right answer after ${Math.round(idle[name].cold)} ms`);
  } catch (error) { left[name] = error.message; say(`${name} left out: ${error.message}`); }
}
const instances = new Map();
for (const name of wanted.filter((n) => !left[n])) {
  const models = [...new Set(keys.map((k) => cases[k].model))];
  for (const model of servers[name].perModel ? models : models.slice(0, 1)) instances.set(`${name}/${model}`, await start(name, model));
}
const find = (name, model) => instances.get(`${name}/${model}`) ?? [...instances.values()].find((i) => i.name === name);
for (const key of keys) {
  results[key] = {};
  const names = [];
  for (const name of wanted.filter((n) => !left[n])) {
    const r = request(name, key);
    if (!existsSync(r.file) || (cases[key].form === 'arrow' && !['potoroo', 'limit', 'limit-merge'].includes(name))) continue;
    try { await right(find(name, cases[key].model).base, r); names.push(name); } catch (error) { say(`${key} ${name}: ${error.message}`); }
  }
  for (const name of names) wrk(find(name, cases[key].model).base, request(name, key), cases[key].connections, seconds); // warm-up
  for (let i = 0; i < repeats; i++) for (const name of names) (results[key][name] ??= []).push(wrk(find(name, cases[key].model).base, request(name, key), cases[key].connections, seconds));
  for (const name of names) results[key][name].loaded = resident(find(name, cases[key].model).child.pid);
}
for (const instance of instances.values()) await stop(instance);
const loop = JSON.parse(execFileSync('taskset', ['-c', '0', process.execPath, path.join(here, 'loop.mjs'), data, String(seconds)], { encoding: 'utf8' }));

const lines = [];
for (const key of keys) {
  const base = results[key].limit && median(results[key].limit.map((r) => r.rate));
  lines.push('', `### ${cases[key].title}`, '', '| server | requests/s (min-max) | of limit | p50 ms | p99 ms | failed | RSS MB after |', '|---|---:|---:|---:|---:|---:|---:|');
  for (const [name, runs] of Object.entries(results[key])) {
    const rates = runs.map((r) => r.rate);
    const rate = median(rates);
    lines.push(`| ${name} | ${shown(rate)} (${shown(Math.min(...rates))}-${shown(Math.max(...rates))}) | ${base ? `${Math.round((100 * rate) / base)} %` : '-'} | ${median(runs.map((r) => r.p50)).toFixed(2)} | ${median(runs.map((r) => r.p99)).toFixed(2)} | ${runs.reduce((a, r) => a + r.failed, 0)} | ${Math.round(runs.loaded)} |`);
  }
  lines.push(`| loop over session.run (no server) | ${loop[cases[key].body].toFixed(1)} | ${base ? `${Math.round((100 * loop[cases[key].body]) / base)} %` : '-'} | | | | |`);
}
lines.push('', '### Cold start to the first right answer, and memory while idle', '', '| server | ms | RSS MB | PSS MB |', '|---|---:|---:|---:|');
for (const [name, i] of Object.entries(idle)) if (i.cold) lines.push(`| ${name} | ${Math.round(i.cold)} | ${Math.round(i.rss)} | ${Math.round(i.pss)} |`);
for (const [name, why] of Object.entries(left)) lines.push('', `${name} was left out: ${why.split('\n')[0]}`);
console.log(lines.join('\n'));
if (options.out) writeFileSync(options.out, `${lines.join('\n')}\n`);
