/**
 * What benchmarks of servers side by side have in common: environments of peers, servers pinned to core 0, wrk on core 1,
 * and the rule that a server's answer is compared before it is measured.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { engineNode } from '../packages/contract/dist/plain.js';

export const here = import.meta.dirname;
export const work = path.join(here, '.work');
mkdirSync(work, { recursive: true });
process.env['ORT_DISABLE_TELEMETRY'] ??= '1'; // of all servers: what they report to its makers is no part of serving

/** How a host starts an engine: arguments for Node. */
export const engineArgs = [...engineNode(), path.join(here, '../packages/engine/dist/main.js')];

export const median = (xs) => [...xs].sort((a, b) => a - b)[Math.floor(xs.length / 2)];
export const has = (command) => { try { execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' }); return true; } catch { return false; } };
export const say = (text) => process.stderr.write(`${text}\n`);
export const shown = (x) => x >= 1000 ? Math.round(x).toLocaleString('en') : x.toFixed(1);

export function need(...tools) {
  for (const tool of tools) if (!has(tool)) { say(`${tool} is missing: install it first (Debian: apt-get install wrk util-linux python3).`); process.exit(1); }
}

/** The `bin` folder of a virtual environment with these packages, made once into `.work`. */
export function venv(name, packages) {
  const dir = path.join(work, `venv-${name}`);
  if (!existsSync(path.join(dir, 'ok'))) {
    say(`installing ${name}: ${packages.join(' ')}`);
    rmSync(dir, { recursive: true, force: true });
    execFileSync('python3', ['-m', 'venv', dir]);
    execFileSync(path.join(dir, 'bin/pip'), ['install', '-q', ...packages], { stdio: 'inherit' });
    writeFileSync(path.join(dir, 'ok'), '');
  }
  return path.join(dir, 'bin');
}

export const freePort = () => new Promise((resolve) => { const s = createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => resolve(String(port))); }); });

const running = new Set();
process.on('exit', () => { for (const { child } of running) try { process.kill(-child.pid, 'SIGKILL'); } catch { /* gone */ } });
process.on('SIGINT', () => process.exit(130));

/** Starts a command on core 0 and waits until `answers(base)` throws no more. It leads a group, so that its children end with it. */
export async function startPinned({ command, args, cwd, env, spool, cores = '0' }, port, answers) {
  const begun = performance.now();
  const child = spawn('taskset', ['-c', cores, command, ...args], { cwd, env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', ...env }, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let errors = '';
  child.stderr.on('data', (d) => { errors = (errors + d).slice(-2000); });
  const instance = { child, base: `http://127.0.0.1:${port}`, spool, started: 0 };
  running.add(instance);
  const deadline = begun + 60_000;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`exited with ${child.exitCode}: ${errors}`);
    try { await answers(instance.base); break; } catch (error) {
      if (performance.now() > deadline || error.message === 'wrong answer') throw new Error(`no right answer: ${error.message} ${errors}`);
      await new Promise((r) => setTimeout(r, 5));
    }
  }
  instance.started = performance.now() - begun;
  return instance;
}

export async function stop(instance) {
  if (instance.child.exitCode === null) {
    const gone = new Promise((r) => instance.child.once('exit', r));
    instance.child.kill('SIGTERM');
    const timer = setTimeout(() => instance.child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }
  try { process.kill(-instance.child.pid, 'SIGKILL'); } catch { /* nothing is left of it */ }
  if (instance.spool) rmSync(instance.spool, { recursive: true, force: true });
  running.delete(instance);
}

const rollup = (pid, key) => { try { return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024; } catch { return 0; } };
const childrenOf = (pid) => { try { return readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean)); } catch { return []; } };
const tree = (pid) => [pid, ...childrenOf(pid).flatMap(tree)];
/** MB of a process and all it started. */
export const resident = (pid) => tree(pid).reduce((sum, one) => sum + rollup(one, 'Rss'), 0);
export const proportional = (pid) => tree(pid).reduce((sum, one) => sum + rollup(one, 'Pss'), 0);

const tick = 100; // what the kernel counts processor time in, on every Linux
/** Seconds of processor time that a process and all it started have used. */
export const cpuSeconds = (pid) => tree(pid).reduce((sum, one) => { try { const [user, system] = readFileSync(`/proc/${one}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ').slice(11, 13); return sum + (Number(user) + Number(system)) / tick; } catch { return sum; } }, 0);

/** `request`: url, headers, file with the body. */
export function wrk(base, { url, headers, file }, connections, seconds) {
  const text = execFileSync('taskset', ['-c', '1', 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', path.join(here, 'post.lua'), base + url], {
    encoding: 'utf8', env: { ...process.env, BODY: file, HEADERS: Object.entries(headers).map(([k, v]) => `${k}: ${v}`).join('\n') },
  });
  const r = JSON.parse(/RESULT (.*)/.exec(text)[1]);
  return { requests: r.requests, rate: r.requests / r.seconds, p50: r.p50 / 1000, p99: r.p99 / 1000, failed: r.failed };
}

