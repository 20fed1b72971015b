import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Leash } from './leash.ts';

const program = resolve(import.meta.dirname, '../../../../../python/potoroo_runtime/contained.py');
const folder = mkdtempSync(join(tmpdir(), 'potoroo-leash-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const path = (): string => join(folder, `leash-${count++}`);

describe('the connection of a container', () => {
  /** One whose first process behaves as `answer` says. */
  async function held(answer: (asked: number) => string): Promise<{ leash: Leash; asked(): number }> {
    const at = path();
    const leash = await Leash.open(at);
    let asked = 0;
    connect(at, function (this: ReturnType<typeof connect>) { this.write('{"memory": 1000, "cpus": null}\n'); }).on('data', function (this: ReturnType<typeof connect>) { this.write(answer(++asked)); }).on('error', () => {});
    await expect.poll(() => leash.held).toEqual({ memory: 1000, cpus: null });
    return { leash, asked: () => asked };
  }

  it('tells what is used, each time anew', async () => {
    const { leash } = await held((asked) => `{"memory": ${asked}00.0, "cpu": ${asked}.5}\n`);
    expect(await leash.usage()).toEqual({ memoryBytes: 100, cpuSeconds: 1.5 });
    expect(await leash.usage()).toEqual({ memoryBytes: 200, cpuSeconds: 2.5 });
    leash.end();
    expect(await leash.usage()).toBeUndefined();
  });
  it('is not asked again before it has answered', async () => {
    const { leash, asked } = await held(() => '');
    expect(await Promise.all([leash.usage(), leash.usage()])).toEqual([undefined, undefined]);
    expect(asked()).toBe(1);
    leash.end();
  });
  it.each(['nonsense\n', '{"memory": -1, "cpu": "much"}\n', 'null\n', '{"memory": 1e999}\n'])('that says %j tells nothing', async (text) => {
    const { leash } = await held(() => text);
    expect(await leash.usage()).toEqual({ memoryBytes: null, cpuSeconds: null });
    leash.end();
  });
  it('that says more than a line keeps none of it', async () => {
    const { leash } = await held((asked) => (asked === 1 ? `${'x'.repeat(1 << 20)}\n` : '{"memory": 7, "cpu": 1}\n'));
    expect(await leash.usage()).toEqual({ memoryBytes: null, cpuSeconds: null });
    expect(await leash.usage()).toEqual({ memoryBytes: 7, cpuSeconds: 1 });
    leash.end();
  });
  it('lets in nobody after the first', async () => {
    const at = path();
    const leash = await Leash.open(at);
    await once(connect(at), 'connect');
    await expect.poll(() => new Promise((done) => { connect(at).once('connect', () => done('let in')).once('error', () => done('refused')); })).toBe('refused');
    leash.end();
  });

  it('is held by the first process of a container, which ends with it', async () => {
    const at = path();
    const leash = await Leash.open(at);
    const child = spawn('python3', ['-I', '-S', program, '--leash', at, '--', 'sleep', '600'], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    await expect.poll(() => leash.held).toBeDefined();
    const usage = await leash.usage();
    expect(Object.keys(usage ?? {})).toEqual(['memoryBytes', 'cpuSeconds']);
    leash.end();
    expect(await ended).toEqual([0, null]);
  });
});

describe('what a container uses', () => {
  const told = (files: Record<string, string>): unknown => {
    const groups = join(folder, `groups-${count++}`);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(groups, name, '..'), { recursive: true });
      writeFileSync(join(groups, name), text);
    }
    const code = `import json, sys; sys.path.insert(0, ${JSON.stringify(join(program, '..'))}); import contained; contained.GROUPS = ${JSON.stringify(groups)}; print(json.dumps(contained.usage()))`;
    return JSON.parse(spawnSync('python3', ['-B', '-c', code], { encoding: 'utf8' }).stdout);
  };
  it.each([
    ['in version 1 of control groups', {
      'memory/memory.usage_in_bytes': '209715200\n', 'memory/memory.stat': 'cache 5\ninactive_file 1\ntotal_inactive_file 9715200\n', 'cpuacct/cpuacct.usage': '2500000000\n',
    }, { memory: 200_000_000, cpu: 2.5 }],
    ['in version 2', { 'memory.current': '209715200\n', 'memory.stat': 'anon 5\ninactive_anon 3\ninactive_file 9715200\n', 'cpu.stat': 'usage_usec 2500000\nuser_usec 1\n' }, { memory: 200_000_000, cpu: 2.5 }],
    ['where more can be let go of than is used', { 'memory.current': '4096\n', 'memory.stat': 'inactive_file 8192\n', 'cpu.stat': 'usage_usec 0\n' }, { memory: 0, cpu: 0 }],
    ['where nothing is told', {}, { memory: null, cpu: null }],
  ])('%s', (_, files, used) => {
    expect(told(files as Record<string, string>)).toEqual(used);
  });
});
