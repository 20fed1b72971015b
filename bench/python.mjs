#!/usr/bin/env node
/**
 * Models that Python runs, side by side in one run: `npm run bench:python [-- --seconds 4 --repeats 3 --servers potoroo,mlserver --cases linear-c32]`.
 *
 * A Python step and scikit-learn models that do not convert, in our containerized runtime (the engine and the model's process
 * on one core), in MLServer and in BentoML (each on that core, with the same versions of scikit-learn, numpy and pandas), and
 * called in a bare Python loop on it. wrk has the other core. Servers take turns case by case; each answer is compared
 * with the model's own before it is measured. Requests a CPU second are those of the server's processes together: they say
 * the same as requests a second on an idle machine, and more than those on a shared one. At the end ops deploys a model whose environment it knows, and how long that takes.
 */
import { execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Environments } from '../packages/ops/dist/domains/environments/environments.service.js';
import { DeploymentConfigBuilder, Potoroo } from '../packages/sdk/dist/index.js';
import { cpuSeconds, engineArgs, freePort, here, median, need, resident, say, shown, startPinned, stop, venv, work, wrk } from './side-by-side.mjs';

const { values: options } = parseArgs({ options: {
  seconds: { type: 'string', default: '4' }, repeats: { type: 'string', default: '3' }, servers: { type: 'string', default: 'potoroo,mlserver,mlserver-batch,bentoml,bentoml-batch' },
  cases: { type: 'string' }, out: { type: 'string' },
} });
const [seconds, repeats] = [Number(options.seconds), Number(options.repeats)];
const data = path.join(work, 'python');
const peers = path.join(here, 'peers');
need('wrk', 'taskset', 'python3');

// ---- what is needed, made once into .work: our environment as an upload makes it, and the peers' with the same versions ----
const environments = new Environments({ root: path.join(work, 'environments') });
const environment = await environments.ensure(await environments.plan({ framework: 'sklearn', requirements: [] }), say);
const same = environment.packages.filter((p) => /^(numpy|pandas|scikit-learn|scipy)==/.test(p));
if (!existsSync(path.join(data, 'step.1000.expected'))) execFileSync(environment.python, [path.join(here, 'python_data.py'), data], { stdio: 'inherit' });

const field = (name, type, shape = []) => ({ name, type, shape });
const sklearn = { framework: 'sklearn', inputSchema: [field('inputs', 'float64', [30])], outputSchema: [field('predictions', 'int64')] };
const models = {
  linear: { ...sklearn, file: path.join(data, 'linear.pkl') },
  forest: { ...sklearn, file: path.join(data, 'forest.pkl') },
  step: { framework: 'python', file: path.join(peers, 'step.py'), inputSchema: ['amount', 'income', 'age', 'years'].map((n) => field(n, 'float64')), outputSchema: ['ratio', 'risk'].map((n) => field(n, 'float64')) },
};
function bundle(name) {
  const { file, framework, inputSchema, outputSchema } = models[name];
  const [dir, version] = [path.join(work, `bundle-${name}`), '00000000-0000-4000-8000-000000000001'];
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  mkdirSync(path.join(dir, 'models'), { recursive: true });
  cpSync(file, path.join(dir, 'models', sha256));
  writeFileSync(path.join(dir, 'pipeline.json'), JSON.stringify({
    format: 1, pipeline: { id: 0, name, version, versionId: 0, workspaceId: 0, deploymentId: 0 }, steps: [{ type: 'model', model: { name, version } }],
    models: [{ id: 0, configId: 0, name, version, sha256, framework, fileName: path.basename(file), file: `models/${sha256}`, config: { inputSchema, outputSchema }, python: { environment: environment.hash, python: environment.python } }],
  }));
  return dir;
}

// ---- the servers ----
const json = { 'content-type': 'application/json' };
const arrowType = 'application/vnd.apache.arrow.file';
function mlserver(batch) {
  return {
    form: (model) => (model === 'step' ? 'v2pd' : 'v2'), url: (model) => `/v2/models/${model}/infer`,
    start(port) {
      const dir = mkdtempSync(path.join(work, 'mlserver-'));
      for (const file of ['step.py', 'mlserver_step.py']) cpSync(path.join(peers, file), path.join(dir, file));
      writeFileSync(path.join(dir, 'settings.json'), JSON.stringify({ http_port: Number(port), grpc_port: Number(port) + 1, metrics_port: Number(port) + 2, parallel_workers: 0, debug: false }));
      for (const name of Object.keys(models)) {
        mkdirSync(path.join(dir, name));
        const implementation = name === 'step' ? 'mlserver_step.Step' : 'mlserver_sklearn.SKLearnModel';
        writeFileSync(path.join(dir, name, 'model-settings.json'), JSON.stringify({ name, implementation, parameters: { uri: path.join(data, `${name}.pkl`) }, ...(batch && name !== 'step' && { max_batch_size: 64, max_batch_time: 0.002 }) }));
      }
      return { command: path.join(venv('mlserver-sklearn', ['mlserver', 'mlserver-sklearn', 'uvloop<0.22', ...same]), 'mlserver'), args: ['start', '.'], cwd: dir, spool: dir };
    },
  };
}
function bentoml(batch) {
  return {
    form: () => 'kw', url: (model) => `/${model}`,
    start(port) {
      const home = mkdtempSync(path.join(tmpdir(), 'bench-bentoml-'));
      return {
        command: path.join(venv('bentoml', ['bentoml', ...same]), 'bentoml'), args: ['serve', 'bentoml_service:Models', '--host', '127.0.0.1', '--port', port, '-q'], cwd: peers, spool: home,
        env: { DATA: data, BENTOML_DO_NOT_TRACK: 'True', BENTOML_HOME: home, ...(batch && { BATCH: '1' }) },
      };
    },
  };
}
const servers = {
  potoroo: {
    perModel: true, form: (_, c) => c.form, url: (model) => `/pipelines/${model}?dataset[]=out`,
    start(port, model) {
      const spool = mkdtempSync(path.join(tmpdir(), 'bench-spool-'));
      return { command: process.execPath, args: [...engineArgs, '--bundle', bundle(model), '--listen', `127.0.0.1:${port}`, '--spool', spool, '--partition', 'bench', '--cpus', '1'], spool };
    },
  },
  mlserver: mlserver(false), 'mlserver-batch': mlserver(true), bentoml: bentoml(false), 'bentoml-batch': bentoml(true),
};

const one = { rows: 1, form: 'records' };
const thousand = { rows: 1000, form: 'arrow', connections: 4 };
const cases = {
  'linear-c1': { ...one, model: 'linear', connections: 1, title: 'scikit-learn pipeline with a linear model, 1 row, 1 connection' },
  'linear-c32': { ...one, model: 'linear', connections: 32, title: 'scikit-learn pipeline with a linear model, 1 row, 32 connections' },
  'forest-c32': { ...one, model: 'forest', connections: 32, title: 'scikit-learn pipeline with 100 trees, 1 row, 32 connections' },
  'step-c1': { ...one, model: 'step', connections: 1, title: 'Python step over a DataFrame, 1 row, 1 connection' },
  'step-c32': { ...one, model: 'step', connections: 32, title: 'Python step over a DataFrame, 1 row, 32 connections' },
  'linear-rows': { ...thousand, model: 'linear', title: 'scikit-learn pipeline with a linear model, 1,000 rows (Arrow; peers JSON), 4 connections' },
  'forest-rows': { ...thousand, model: 'forest', title: 'scikit-learn pipeline with 100 trees, 1,000 rows (Arrow; peers JSON), 4 connections' },
  'step-rows': { ...thousand, model: 'step', title: 'Python step over a DataFrame, 1,000 rows (Arrow; peers JSON), 4 connections' },
};
const request = (name, c) => {
  const form = servers[name].form(c.model, c);
  return { url: servers[name].url(c.model), headers: form === 'arrow' ? { 'content-type': arrowType, accept: arrowType } : json, file: path.join(data, `${c.model}.${c.rows}.${form}`), expected: path.join(data, `${c.model}.${c.rows}.expected`) };
};

/** Every number that the model gave is in the answer, in its order. Arrow is asked for as JSON here: it is the same run. */
async function right(base, { url, headers, file, expected }) {
  const answer = await fetch(base + url, { method: 'POST', headers: { ...headers, accept: 'application/json' }, body: readFileSync(file), signal: AbortSignal.timeout(20_000) });
  if (answer.status !== 200) throw new Error(`${answer.status} ${(await answer.text()).slice(0, 300)}`);
  const given = await answer.json();
  const columns = Object.entries(JSON.parse(readFileSync(expected, 'utf8')));
  const of = ([name], i) => {
    if (given.outputs) return given.outputs[i].data.flat();
    if (!Array.isArray(given)) return given[name] ?? Object.values(given)[i];
    return given.map((row) => row.out?.[name] ?? row[`out.${name}`] ?? row[name] ?? row);
  };
  for (const [i, column] of columns.entries()) {
    const numbers = of(column, i);
    if (numbers?.length !== column[1].length || !column[1].every((v, k) => Math.abs(v - numbers[k]) < 1e-6)) throw new Error('wrong answer');
  }
}
const start = async (name, model) => {
  const port = await freePort();
  const c = Object.values(cases).find((x) => x.model === model && x.rows === 1);
  return Object.assign(await startPinned(servers[name].start(port, model), port, (base) => right(base, request(name, c))), { name, model });
};
const loop = (c) => JSON.parse(execFileSync('taskset', ['-c', '0', environment.python, path.join(peers, 'python_loop.py'), data, c.model, String(c.rows), String(seconds)], { encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' } }));

// ---- the run ----
const wanted = options.servers.split(',');
const keys = options.cases?.split(',') ?? Object.keys(cases);
for (const [given, known] of [[wanted, servers], [keys, cases]]) for (const name of given) if (!known[name]) { say(`no ${name}; there are ${Object.keys(known).join(', ')}`); process.exit(2); }
const left = {};
const instances = new Map();
for (const name of wanted) {
  try {
    const used = [...new Set(keys.map((k) => cases[k].model))];
    for (const model of servers[name].perModel ? used : used.slice(0, 1)) instances.set(`${name}/${model}`, await start(name, model));
    say(`${name} answers`);
  } catch (error) { left[name] = error.message; say(`${name} left out: ${error.message}`); }
}
const find = (name, model) => instances.get(`${name}/${model}`) ?? [...instances.values()].find((i) => i.name === name);
const lines = [`Load average at the start: ${loadavg()[0].toFixed(1)} on ${cpus().length} cores.`];
for (const key of keys) {
  const c = cases[key];
  const rates = { loop: [] };
  const names = [];
  for (const name of wanted.filter((n) => !left[n] && (c.model !== 'step' || !n.endsWith('-batch')))) {
    try { await right(find(name, c.model).base, request(name, c)); names.push(name); } catch (error) { say(`${key} ${name}: ${error.message}`); }
  }
  for (const name of names) { wrk(find(name, c.model).base, request(name, c), 32, Math.max(3, seconds)); rates[name] = []; } // warm-up: the engine's code is compiled as it runs
  for (let i = 0; i < repeats; i++) {
    for (const name of names) {
      const { base, child } = find(name, c.model);
      const before = cpuSeconds(child.pid);
      const run = wrk(base, request(name, c), c.connections, seconds);
      rates[name].push({ ...run, perCpu: run.requests / (cpuSeconds(child.pid) - before) });
    }
    rates.loop.push(loop(c));
  }
  const rate = (name) => median(rates[name].map((r) => r.rate));
  const perCpu = (name) => median(rates[name].map((r) => r.perCpu));
  const of = (figure, name, other) => (rates[other] ? (figure(name) / figure(other)) : NaN);
  lines.push('', `### ${c.title}`, '', '| server | requests/s (min-max) | of a bare loop | potoroo is | requests a CPU second | of a bare loop | potoroo is | p50 ms | p99 ms | failed | RSS MB after |', `|---|${'---:|'.repeat(10)}`);
  for (const name of [...names, 'loop']) {
    const all = rates[name].map((r) => r.rate);
    const share = (figure) => `${shown(figure(name))}${figure === rate ? ` (${shown(Math.min(...all))}-${shown(Math.max(...all))})` : ''} | ${Math.round(100 * of(figure, name, 'loop'))} % | ${name === 'potoroo' || name === 'loop' || !rates.potoroo ? '' : `${of(figure, 'potoroo', name).toFixed(1)}x`}`;
    const figures = name === 'loop' ? '| | | |' : `| ${median(rates[name].map((r) => r.p50)).toFixed(2)} | ${median(rates[name].map((r) => r.p99)).toFixed(2)} | ${rates[name].reduce((a, r) => a + r.failed, 0)} | ${Math.round(resident(find(name, c.model).child.pid))} |`;
    lines.push(`| ${name === 'loop' ? 'the model in a bare Python loop' : name} | ${share(rate)} | ${share(perCpu)} ${figures}`);
  }
  say(lines.slice(-names.length - 1).join('\n'));
}
for (const instance of instances.values()) await stop(instance);

// ---- a deployment whose environment is known ----
async function deployments() {
  const dir = mkdtempSync(path.join(tmpdir(), 'bench-ops-'));
  symlinkSync(path.join(work, 'environments'), path.join(dir, 'environments'));
  const ops = fork(path.join(here, '../packages/ops/dist/main.js'), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: { ...process.env, POTOROO_PORT: '0', POTOROO_DATA_DIR: dir, POTOROO_ADMIN_EMAIL: 'admin@example.com', POTOROO_ADMIN_PASSWORD: 'only for this run', LOG_LEVEL: 'error' } });
  try {
    const [{ url }] = await once(ops, 'message');
    const potoroo = new Potoroo({ url, username: 'admin@example.com', password: 'only for this run' });
    const workspace = await potoroo.workspaces.default();
    const figuresOf = [];
    for (const name of ['linear', 'step']) {
      const { framework, file, inputSchema, outputSchema } = models[name];
      const uploads = performance.now();
      const model = await workspace.uploadModel(name, file, { framework, inputSchema, outputSchema });
      await model.waitUntilReady();
      const uploaded = performance.now() - uploads;
      const times = [];
      for (let i = 0; i < 5; i++) {
        const pipeline = (await workspace.buildPipeline(`${name}-${i}`)).addModelStep(model);
        const called = performance.now();
        const deployment = await pipeline.deploy({ config: new DeploymentConfigBuilder().replicaCount(1).cpus(1).memory('1Gi').build() });
        await deployment.waitUntilRunning();
        times.push(performance.now() - called);
        await (await pipeline.undeploy()).waitUntilStopped();
      }
      figuresOf.push(`| ${name} | ${(uploaded / 1000).toFixed(2)} | ${(median(times) / 1000).toFixed(2)} (${(Math.min(...times) / 1000).toFixed(2)}-${(Math.max(...times) / 1000).toFixed(2)}) |`);
    }
    return figuresOf;
  } finally {
    if (ops.exitCode === null) { ops.kill('SIGTERM'); await once(ops, 'exit'); }
    rmSync(dir, { recursive: true, force: true });
  }
}
lines.push('', '### A model whose environment is known, from the call to ready', '', '| model | upload s | deploy s, median of 5 (min-max) |', '|---|---:|---:|', ...await deployments());
for (const [name, why] of Object.entries(left)) lines.push('', `${name} was left out: ${why.split('\n')[0]}`);
lines.push('', `Load average at the end: ${loadavg()[0].toFixed(1)}.`);
console.log(lines.join('\n'));
if (options.out) writeFileSync(options.out, `${lines.join('\n')}\n`);
