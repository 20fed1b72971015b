#!/usr/bin/env node
/**
 * What challengers cost a champion: `npm run bench:shadow [-- --seconds 3 --warm 6 --repeats 8 --rates 1000,6000 --variants alone,throws]`.
 *
 * The same engine, spool on, with the champion alone and with one challenger of each bad kind, in turns within every repeat. The engine and all
 * that it starts share core 0 (`--cores 0,1`: both), so that whatever a challenger takes is taken from the champion; the client has core 1. Requests of one row
 * come at a steady rate, answered or not. Every answer is compared, byte for byte, with that of the champion alone. Percentiles are those of
 * the best of the repeats, which a neighbour on the machine has disturbed least; the last ratio is the median of those within a repeat.
 * `--first` (Linux, root) ranks engine and client before what else runs on the machine; challengers still make way for everything.
 */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Environments } from '../packages/ops/dist/domains/environments/environments.service.js';
import { engineArgs, freePort, here, median, need, say, shown, startPinned, stop, venv, work } from './side-by-side.mjs';

const kinds = {
  alone: { title: 'no challenger' },
  onnx: { title: 'the same model' },
  slow: { title: 'an ONNX model that takes 20 ms', model: 'slow' },
  throws: { title: 'Python that throws', python: "raise ValueError('always')" },
  sleeps: { title: 'Python that sleeps 2 s', python: 'time.sleep(2)' },
  prints: { title: 'Python that prints 1,000 lines a run', python: "for _ in range(1000): print('x' * 200)" },
  spins: { title: 'Python that computes 0.2 s', python: 'end = time.monotonic() + 0.2\n        while time.monotonic() < end: pass' },
};
const { values: options } = parseArgs({ options: {
  seconds: { type: 'string', default: '3' }, repeats: { type: 'string', default: '8' }, rates: { type: 'string', default: '1000,6000' }, variants: { type: 'string', default: Object.keys(kinds).join() }, out: { type: 'string' }, first: { type: 'boolean', default: false }, warm: { type: 'string', default: '6' }, cores: { type: 'string', default: '0' },
} });
/** Where Linux shares cores between sessions first, a rank among threads is not enough. */
const rankFirst = (pid) => { if (options.first) try { writeFileSync(`/proc/${pid}/autogroup`, '-20'); } catch { /* no such thing here */ } };
const ranked = (command, args) => (options.first ? ['nice', ['-n', '-20', command, ...args]] : [command, args]);
rankFirst('self');
const [seconds, repeats, rates, variants] = [Number(options.seconds), Number(options.repeats), options.rates.split(',').map(Number), options.variants.split(',')];
need('taskset', 'python3');

const data = path.join(work, 'data');
const ortVersion = JSON.parse(readFileSync(path.join(here, '../node_modules/onnxruntime-node/package.json'), 'utf8')).version;
if (!existsSync(path.join(data, 'slow.onnx'))) execFileSync(path.join(venv('data', ['onnx', 'numpy', 'pyarrow', `onnxruntime==${ortVersion}`]), 'python'), [path.join(here, 'data.py'), data], { stdio: 'inherit' });
const environments = new Environments({ root: path.join(work, 'environments') });
const environment = await environments.ensure(await environments.plan({ framework: 'python', requirements: [] }), say);

const field = (name, type, shape) => ({ name, type, shape });
const version = (i) => `00000000-0000-4000-8000-00000000000${i}`;
function bundle(name) {
  const dir = path.join(work, `bundle-shadow-${name}`);
  mkdirSync(path.join(dir, 'models'), { recursive: true });
  const add = (i, modelName, bytes, more) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(path.join(dir, 'models', sha256), bytes);
    return { id: i, configId: 0, name: modelName, version: version(i), sha256, file: `models/${sha256}`, framework: 'onnx', fileName: `${modelName}.onnx`, config: {}, ...more };
  };
  const { python, model } = kinds[name];
  const models = [add(1, 'mlp', readFileSync(path.join(data, 'mlp.onnx')))];
  if (python !== undefined) {
    // Well-behaved on the zeros of its warm-up.
    const code = `import time\nimport pandas as pd\n\ndef wallaroo_json(data: pd.DataFrame):\n    if any(x != 0 for row in data['dense_input'] for x in row):\n        ${python}\n    return pd.DataFrame({'y': [0.0] * len(data)})\n`;
    models.push(add(2, 'challenger', Buffer.from(code), {
      framework: 'python', fileName: 'challenger.py', config: { inputSchema: [field('dense_input', 'float32', [29])], outputSchema: [field('y', 'float64', [])] }, python: { environment: environment.hash, python: environment.python },
    }));
  } else if (name !== 'alone') models.push(add(2, 'challenger', readFileSync(path.join(data, `${model ?? 'mlp'}.onnx`))));
  const refs = models.map((m) => ({ name: m.name, version: m.version }));
  writeFileSync(path.join(dir, 'pipeline.json'), JSON.stringify({
    format: 1, pipeline: { id: 0, name: 'mlp', version: version(9), versionId: 0, workspaceId: 0, deploymentId: 0 }, models,
    steps: [models.length === 1 ? { type: 'model', model: refs[0] } : { type: 'shadow', champion: refs[0], challengers: [{ model: refs[1] }] }],
  }));
  return dir;
}
const json = { 'content-type': 'application/json' };
const where = '/pipelines/mlp?dataset[]=out';
const bodyFile = path.join(data, 'row.records');
const expectedFile = path.join(work, 'shadow.expected');

async function run(name, rate) {
  const port = await freePort();
  const spool = mkdtempSync(path.join(tmpdir(), 'bench-spool-'));
  const args = [...engineArgs, '--bundle', bundle(name), '--listen', `127.0.0.1:${port}`, '--spool', spool, '--partition', 'bench', '--cpus', '1'];
  const [command, ranks] = ranked(process.execPath, args);
  const server = await startPinned({ command, args: ranks, spool, cores: options.cores }, port, async (base) => {
    const answer = await fetch(base + where, { method: 'POST', headers: json, body: readFileSync(bodyFile), signal: AbortSignal.timeout(20_000) });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (answer.status !== 200) throw new Error(`${answer.status} ${bytes.toString().slice(0, 300)}`);
    if (!existsSync(expectedFile) || name === 'alone') writeFileSync(expectedFile, bytes);
  });
  rankFirst(server.child.pid);
  try {
    const load = async (length) => JSON.parse((await promisify(execFile)(...ranked('taskset', ['-c', '1', process.execPath, path.join(here, 'steady.mjs'), server.base + where, bodyFile, String(rate), String(length), expectedFile, 'Content-Type: application/json']))).stdout);
    await load(Number(options.warm)); // until its code is compiled, which takes a part of the core as well
    const result = await load(seconds);
    const { shadows } = await (await fetch(`${server.base}/status`)).json();
    return { ...result, seen: Object.values(shadows ?? {})[0] };
  } finally {
    await stop(server);
  }
}

const results = Object.fromEntries(rates.map((rate) => [rate, Object.fromEntries(variants.map((name) => [name, []]))]));
say(`load average ${loadavg().map((x) => x.toFixed(1)).join(' ')}`);
for (let repeat = 0; repeat < repeats; repeat++) {
  for (const rate of rates) {
    for (const name of variants) {
      const result = await run(name, rate);
      results[rate][name].push(result);
      say(`${repeat + 1}/${repeats} ${name} at ${rate}/s: p50 ${result.p50.toFixed(3)} p95 ${result.p95.toFixed(3)} p99 ${result.p99.toFixed(3)} ms, wrong ${result.wrong}, not answered ${result.missing}, challenger ${JSON.stringify(result.seen)}, client late ${result.late.toFixed(1)} ms`);
    }
  }
}
const lines = [`${cpus()[0]?.model.trim()}, ${cpus().length} cores, load average at the end ${loadavg()[0].toFixed(1)}; Node ${process.version}; ${repeats} repeats of ${seconds} s.`, ''];
for (const rate of rates) {
  lines.push(`### 1 row a request, ${shown(rate)} requests/s`, '', '| challenger | p50 ms | p95 ms | p99 ms | of alone: p50 | p95 | p99 | p50 within a repeat | wrong answers | its rows: done, failed, left out |', '|---|---:|---:|---:|---:|---:|---:|---:|---:|---|');
  const alone = results[rate].alone;
  for (const name of variants) {
    const mine = results[rate][name];
    const best = (of, key) => Math.min(...of.map((r) => r[key]));
    const ratio = (key) => (alone === undefined ? '' : (best(mine, key) / best(alone, key)).toFixed(2));
    const within = alone === undefined ? '' : median(mine.map((r, i) => r.p50 / alone[i].p50)).toFixed(2);
    const { seen } = mine.at(-1);
    lines.push(`| ${kinds[name].title} | ${best(mine, 'p50').toFixed(3)} | ${best(mine, 'p95').toFixed(3)} | ${best(mine, 'p99').toFixed(3)} | ${ratio('p50')} | ${ratio('p95')} | ${ratio('p99')} | ${within} | ${mine.reduce((n, r) => n + r.wrong, 0)} | ${seen === undefined ? '' : `${seen.done}, ${seen.failed}, ${seen.shed}`} |`);
  }
  lines.push('');
}
console.log(lines.join('\n'));
if (options.out !== undefined) writeFileSync(options.out, JSON.stringify(results, null, 1));
