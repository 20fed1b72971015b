// The log store with many rows: writes them as an engine ships them, then reads the newest, pages, and exports all of it.
//
//   npm run build && node bench/logs.mjs [--rows 10000000] [--engines 4] [--data <folder>] [--keep]
//
// In one process with a real SQLite database and real segment files in a temporary folder; what is measured is the log domain
// and what the native API encodes from it, without HTTP. Peak memory is the largest resident set of
// the whole process so far, the writing engines included.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { encodeArrowStream, encodeLines, slice } from '../packages/batch/dist/index.js';
import { FrameEncoder, logTypeOf } from '../packages/batch/dist/frames/index.js';
import { openLogs } from '../packages/ops/dist/domains/logs/logs.service.js';
import { createDatabase } from '../packages/ops/dist/storage/database.js';

const { values: options } = parseArgs({ options: {
  rows: { type: 'string', default: '10000000' }, engines: { type: 'string', default: '4' }, width: { type: 'string', default: '10' }, data: { type: 'string' }, keep: { type: 'boolean', default: false },
} });
const [total, engines, width] = [options.rows, options.engines, options.width].map(Number);
const rowsAFrame = 500;
const framesAShipment = 40;
const dataDir = options.data ?? mkdtempSync(join(tmpdir(), 'potoroo-bench-logs-'));
const mib = (bytes) => Math.round(bytes / 1024 / 1024);
/** Peak resident set of the process so far: the kernel counts it, so that nothing between two samples is missed. */
const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
/** Beside others the processor time says more than the clock. */
const cpuSeconds = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)].toFixed(1);
const figures = [];
const tell = (what, figure) => {
  figures.push([what, figure, mib(peak())]);
  console.log(`${what.padEnd(62)} ${String(figure).padEnd(44)} peak ${mib(peak())} MiB`);
};
const timed = async (work) => {
  const start = performance.now();
  const result = await work();
  return { result, ms: performance.now() - start };
};

const { db, close } = await createDatabase({ dataDir });
const open = () => openLogs({ db, folder: join(dataDir, 'logs'), clock: Date.now, onError: console.error, retention: { days: 0, bytes: 0 }, access: { require: () => Promise.resolve() }, pipelines: { get: () => Promise.resolve({}) } });
const actor = { id: 'bench', email: 'bench@example.com', role: 'admin' };
const ids = await pipelineIn(db);
const pipelineId = ids.pipeline;

async function pipelineIn(database) {
  const known = await database.selectFrom('deployments').select(['id', 'pipelineId']).executeTakeFirst();
  if (known !== undefined) return { pipeline: known.pipelineId, deployment: known.id };
  const workspace = await database.insertInto('workspaces').values({ name: 'bench', archived: 0, createdAt: 1, createdBy: 'bench' }).returning('id').executeTakeFirstOrThrow();
  const pipeline = await database.insertInto('pipelines').values({ workspaceId: workspace.id, name: 'bench', ownerId: 'bench', createdAt: 1, updatedAt: 1 }).returning('id').executeTakeFirstOrThrow();
  const deployment = await database.insertInto('deployments').values({
    pipelineId: pipeline.id, workspaceId: workspace.id, pipelineVersionId: 1, wanted: 'running', generation: 1, config: '{}', spec: '{}',
    provenSpec: null, provenGeneration: null, port: null, createdAt: 1, updatedAt: 1,
  }).returning('id').executeTakeFirstOrThrow();
  return { pipeline: pipeline.id, deployment: deployment.id };
}

function* shipments(partition, rows, startTime) {
  const encoder = new FrameEncoder();
  const columns = [
    { kind: 'tensor', name: 'in.tensor', type: 'float32', shape: [width], values: new Float32Array(rowsAFrame * width) },
    { kind: 'tensor', name: 'out.y', type: 'float32', shape: [], values: new Float32Array(rowsAFrame) },
  ];
  const schema = {
    format: 1, partition, pipeline: { id: pipelineId, name: 'bench', version: 'v1', versionId: 1, workspaceId: 1, deploymentId: ids.deployment },
    models: [{ name: 'm', sha: 'f00' }], columns: columns.map((c) => ({ name: c.name, ...logTypeOf(c) })),
  };
  for (let first = 0; first < rows;) {
    const frames = [encoder.schema(schema)];
    for (let i = 0; i < framesAShipment && first < rows; i += 1) {
      const count = Math.min(rowsAFrame, rows - first);
      const some = columns.map((c) => ({ ...c, values: c.values.subarray(0, count * (c.shape[0] ?? 1)) }));
      for (let k = 0; k < some[0].values.length; k += 1) some[0].values[k] = Math.random();
      for (let k = 0; k < count; k += 1) some[1].values[k] = first + k;
      // Requests of one row each, as most are.
      const requests = Array.from({ length: count }, (_, k) => ({ rows: 1, timeMs: startTime + first + k, requestId: `${partition}-${first + k}`, elapsedNs: [120_000 + k, 40_000] }));
      frames.push(...encoder.rows({ firstRow: first, rows: count, requests, model: 0, columns: some }).map((part) => part.slice()));
      first += count;
    }
    yield Buffer.concat(frames);
  }
}

let logs = await open();
console.log(`${total} rows of ${width + 1} numbers from ${engines} engines; ${cpus().length} cores, load ${loadavg().map((l) => l.toFixed(1)).join(' ')}, Node ${process.version}\n`);
tell('before', '');

if (Object.keys(await logs.partitions(actor, pipelineId)).length === 0) {
  const each = Math.ceil(total / engines);
  let slowest = 0;
  const { ms } = await timed(() => Promise.all(Array.from({ length: engines }, async (_, e) => {
    const partition = `engine-${e}`;
    for (const frames of shipments(partition, each, 1_700_000_000_000)) slowest = Math.max(slowest, (await timed(() => logs.ingest(ids.deployment, partition, frames))).ms);
  })));
  tell('write', `${Math.round(total / ms)} k rows/s, slowest shipment ${slowest.toFixed(0)} ms`);
  await logs.close();
}
const manifest = await db.selectFrom('logSegments').select(({ fn }) => [fn.countAll().as('segments'), fn.sum('bytes').as('bytes'), fn.sum('rows').as('rows')]).executeTakeFirstOrThrow();
const stored = Number(manifest.rows);
tell('stored', `${stored} rows, ${mib(Number(manifest.bytes))} MiB, ${manifest.segments} segments`);

// A server that has just started knows nothing of where rows lie.
logs = await open();
const newest = { pipelineId, order: 'desc', limit: 100 };
const cold = await timed(() => logs.read(actor, newest));
if (cold.result.batch.rows !== 100) throw new Error('there should be 100 rows');
tell('newest 100, first read after a start', `${cold.ms.toFixed(1)} ms`);
const warm = [];
for (let i = 0; i < 50; i += 1) warm.push((await timed(() => logs.read(actor, newest))).ms);
tell('newest 100, again', `median ${median(warm)} ms, slowest ${Math.max(...warm).toFixed(1)} ms`);
const somewhere = [];
for (let i = 0; i < 50; i += 1) {
  const start = new Date(1_700_000_000_000 + Math.floor(Math.random() * stored / engines));
  somewhere.push((await timed(() => logs.read(actor, { pipelineId, limit: 100, start }))).ms);
}
tell('100 from a time somewhere, segments not met before among them', `median ${median(somewhere)} ms, slowest ${Math.max(...somewhere).toFixed(1)} ms`);
let cursor;
const pages = [];
for (let i = 0; i < 200; i += 1) {
  const { result, ms } = await timed(() => logs.read(actor, { ...newest, limit: 1000, ...(cursor && { cursor }) }));
  pages.push(ms);
  if (result.next === null) break;
  cursor = result.next;
}
tell('pages of 1,000 backwards', `median ${median(pages)} ms, slowest ${Math.max(...pages).toFixed(1)} ms`);

const sizeOf = async (parts) => { let bytes = 0; for await (const part of parts) bytes += part.length; return bytes; };
const forms = {
  Arrow: (batch) => encodeArrowStream(batch).length,
  // In pieces, as the native API writes them.
  NDJSON: (batch) => sizeOf((async function* () {
    for (let from = 0; from < batch.rows; from += 1000) {
      await setImmediate();
      yield encodeLines(slice(batch, from, Math.min(batch.rows, from + 1000)), '.');
    }
  })()),
};
for (const [form, encode] of Object.entries(forms)) {
  let [rows, bytes, slowest, spent] = [0, 0, 0, 0];
  const turns = monitorEventLoopDelay({ resolution: 1 });
  turns.enable();
  const { ms } = await timed(async () => {
    const cpu = cpuSeconds();
    for (let next = {}; next !== null;) {
      const page = await timed(async () => {
        const { batch, next: after } = await logs.read(actor, { pipelineId, cursor: next });
        rows += batch.rows;
        bytes += await encode(batch);
        return after;
      });
      slowest = Math.max(slowest, page.ms);
      next = page.result;
    }
    spent = cpuSeconds() - cpu;
  });
  turns.disable();
  if (rows !== stored) throw new Error(`${rows} of ${stored} rows came out`);
  tell(`export of all as ${form}`, `${Math.round(rows / ms)} k rows/s, ${mib(bytes)} MiB, slowest page ${slowest.toFixed(0)} ms, longest turn ${(turns.max / 1e6).toFixed(0)} ms, ${Math.round(rows / spent / 1000)} k rows a CPU second`);
}
await logs.close();
await close();
if (!options.keep) rmSync(dataDir, { recursive: true, force: true });
console.log(`\n| | | peak memory |\n|---|---|---|\n${figures.map(([what, figure, memory]) => `| ${what} | ${figure} | ${memory} MiB |`).join('\n')}`);
