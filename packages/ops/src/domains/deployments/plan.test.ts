import type { Reason } from '@potoroo/contract';
import { describe, expect, test } from 'vitest';
import type { EngineView } from '../../hosts/host.ts';
import { backOff, defaultBounds, newMemory, plan, type Action, type Memory, type Plan, type Situation, type Target } from './plan.ts';

const reason = (code: Reason['code']): Reason => ({ code, message: `${code}.` });
const engine = (name: string, phase: EngineView['phase'], more: Partial<EngineView> = {}): EngineView => ({
  name, revision: name.slice(0, 2), slot: Number(name.at(-1)), spool: '', phase, startedAt: 0, readyAt: phase === 'starting' ? null : 0,
  exit: null, pid: 1, models: [], sidekicks: [], log: [], ...more,
});
const crashed = (name: string, at: number, more: { readyAt?: number | null; permanent?: boolean; asked?: boolean } = {}): EngineView =>
  engine(name, 'exited', { readyAt: more.readyAt === undefined ? at - 100 : more.readyAt, exit: { at, reason: reason('engine_crashed'), permanent: more.permanent ?? false, asked: more.asked ?? false } });
const at = (situation: Partial<Situation>): Situation => ({
  now: 1_000, generation: 1, wanted: null, proven: null, refusal: null, engines: [], memory: newMemory(1, 1_000), ...situation,
});
const v1 = (replicas: number): Target => ({ revision: 'v1', replicas });
const v2 = (replicas: number): Target => ({ revision: 'v2', replicas });

/** Actions as words, so that a row of the table reads like a sentence. */
function words({ actions }: Plan): string[] {
  return actions.flatMap((a) => {
    switch (a.do) {
      case 'forget': return [`forget ${a.engine.name}`];
      case 'start': return [`start ${a.revision}-${a.slot}`];
      case 'promote': return ['promote'];
      case 'route': return [`route ${a.routing.engines.join(' ') || 'nowhere'}${a.routing.expect ? ' expecting' : ''}`];
      case 'drain': return [`drain ${a.name}`];
      case 'kill': return [`kill ${a.name}${a.reason === null ? '' : ` ${a.reason.code}`}`];
    }
  });
}
const failed = (code: Reason['code'], generation = 1): Memory => ({ ...newMemory(generation, 1_000), failed: reason(code) });

const table: [string, Partial<Situation>, string[]][] = [
  ['nothing wanted, nothing there', {}, ['route nowhere']],
  ['a first deployment starts every replica', { wanted: v1(2) }, ['route nowhere expecting', 'start v1-0', 'start v1-1']],
  ['a half-started deployment serves with what is up', { wanted: v1(2), engines: [engine('v1-0', 'ready'), engine('v1-1', 'starting')] }, ['route v1-0 expecting']],
  ['all ready: proven', { wanted: v1(2), engines: [engine('v1-0', 'ready'), engine('v1-1', 'ready')] }, ['promote', 'route v1-0 v1-1']],
  ['an update starts the new set beside the old one', { wanted: v2(1), proven: v1(2), engines: [engine('v1-0', 'ready'), engine('v1-1', 'ready')] }, ['route v1-0 v1-1 expecting', 'start v2-0']],
  ['the old set serves until every new engine is ready', { wanted: v2(2), proven: v1(1), engines: [engine('v1-0', 'ready'), engine('v2-0', 'ready'), engine('v2-1', 'starting')] }, ['route v1-0 expecting']],
  ['the new set takes over, the old one is drained', { wanted: v2(1), proven: v1(1), engines: [engine('v1-0', 'ready'), engine('v2-0', 'ready')] }, ['promote', 'route v2-0', 'drain v1-0']],
  ['a crashed old engine is healed while the update goes on', { wanted: v2(1), proven: v1(2), engines: [engine('v1-0', 'ready'), crashed('v1-1', 900), engine('v2-0', 'starting')] }, ['forget v1-1', 'route v1-0 expecting', 'start v1-1']],
  ['with no old engine left the new ones serve at once', { wanted: v2(2), proven: v1(1), engines: [crashed('v1-0', 900), engine('v2-0', 'ready'), engine('v2-1', 'starting')] }, ['forget v1-0', 'route v2-0 expecting', 'start v1-0']],
  ['an engine that cannot serve the bundle ends the update', { wanted: v2(2), proven: v1(1), engines: [engine('v1-0', 'ready'), crashed('v2-0', 900, { readyAt: null, permanent: true }), engine('v2-1', 'starting')] }, ['forget v2-0', 'route v1-0', 'kill v2-1']],
  ['a failed update clears away what had become ready', { wanted: v2(2), proven: v1(1), memory: failed('warm_up_failed'), engines: [engine('v1-0', 'ready'), engine('v2-0', 'ready')] }, ['route v1-0', 'drain v2-0']],
  ['a failed update is not tried again', { wanted: v2(1), proven: v1(1), memory: failed('warm_up_failed'), engines: [engine('v1-0', 'ready')] }, ['route v1-0']],
  ['the old set is healed after a failed update too', { wanted: v2(1), proven: v1(1), memory: failed('warm_up_failed'), engines: [crashed('v1-0', 1_000)] }, ['forget v1-0', 'route nowhere expecting', 'start v1-0']],
  ['a new generation tries again', { generation: 2, wanted: v2(1), proven: v1(1), memory: failed('warm_up_failed'), engines: [engine('v1-0', 'ready')] }, ['route v1-0 expecting', 'start v2-0']],
  ['a host that cannot run it starts nothing', { wanted: v2(1), proven: v1(1), refusal: reason('insufficient_gpus'), engines: [engine('v1-0', 'ready')] }, ['route v1-0']],
  ['an update that takes too long is given up', { now: 1_000 + defaultBounds.update, wanted: v2(1), proven: v1(1), engines: [engine('v1-0', 'ready'), engine('v2-0', 'starting', { startedAt: 300_000 })] }, ['route v1-0', 'kill v2-0']],
  ['an engine that does not get ready is killed', { now: 130_000, wanted: v1(1), engines: [engine('v1-0', 'starting')] }, ['route nowhere expecting', 'kill v1-0 engine_start_timeout']],
  ['scaling up starts the difference', { wanted: v1(3), proven: v1(1), engines: [engine('v1-0', 'ready')] }, ['route v1-0 expecting', 'start v1-1', 'start v1-2']],
  ['scaling down drains the difference', { wanted: v1(1), proven: v1(3), engines: [engine('v1-0', 'ready'), engine('v1-1', 'ready'), engine('v1-2', 'ready')] }, ['promote', 'route v1-0', 'drain v1-1', 'drain v1-2']],
  ['scaling down keeps the ready ones, whatever their slot', { wanted: v1(1), proven: v1(2), engines: [engine('v1-0', 'starting', { startedAt: 900 }), engine('v1-1', 'ready')] }, ['promote', 'route v1-1', 'kill v1-0']],
  ['scaled to zero: nothing serves, nothing is on its way', { wanted: v1(0), proven: v1(1), engines: [engine('v1-0', 'ready')] }, ['promote', 'route nowhere', 'drain v1-0']],
  ['an update to zero replicas drains the old set', { wanted: v2(0), proven: v1(1), engines: [engine('v1-0', 'ready')] }, ['promote', 'route nowhere', 'drain v1-0']],
  ['the first crash is healed at once', { wanted: v1(2), proven: v1(2), engines: [engine('v1-0', 'ready'), crashed('v1-1', 999)] }, ['forget v1-1', 'route v1-0 expecting', 'start v1-1']],
  ['the third crash in a row waits', { wanted: v1(1), proven: v1(1), memory: { ...newMemory(1, 0), crashes: { 'v1/0': { row: 2, restarts: 2, at: 800, engine: 'v1-0', reason: reason('internal') } } }, engines: [crashed('v1-0', 900)] }, ['forget v1-0', 'route nowhere expecting']],
  ['an end that was asked for is no crash', { wanted: v1(1), proven: v1(1), memory: { ...newMemory(1, 0), crashes: { 'v1/0': { row: 5, restarts: 5, at: 800, engine: 'v1-0', reason: reason('internal') } } }, engines: [engine('v1-1', 'ready'), crashed('v1-0', 999, { asked: true })] }, ['forget v1-0', 'promote', 'route v1-1']],
  ['a proven set is tried again whatever it says', { wanted: v1(1), proven: v1(1), engines: [crashed('v1-0', 999, { readyAt: null, permanent: true })] }, ['forget v1-0', 'route nowhere expecting', 'start v1-0']],
  ['undeploy drains what serves and kills what starts', { engines: [engine('v1-0', 'ready'), engine('v1-1', 'starting')] }, ['route nowhere', 'drain v1-0', 'kill v1-1']],
  ['after a restart with an unfinished update both sets come back', { wanted: v2(1), proven: v1(1) }, ['route nowhere expecting', 'start v1-0', 'start v2-0']],
  ['an unproven set serves until the next one is proven', { wanted: v2(1), engines: [engine('v1-0', 'ready')] }, ['route v1-0 expecting', 'start v2-0']],
  ['a rollback in the middle of an update keeps the proven set', { generation: 2, wanted: v1(1), proven: v1(1), engines: [engine('v1-0', 'ready'), engine('v2-0', 'starting')] }, ['promote', 'route v1-0', 'kill v2-0']],
  ['draining engines are left alone', { wanted: v1(1), proven: v1(1), engines: [engine('v1-0', 'draining')] }, ['route nowhere expecting', 'start v1-0']],
];

describe('plan', () => {
  test.each(table)('%s', (_, situation, expected) => {
    expect(words(plan(at(situation)))).toEqual(expected);
  });

  test('a clock that was set back by an hour lengthens no back-off', () => {
    const noted = { row: 3, restarts: 3, at: 3_601_000, engine: 'v1-0', reason: reason('internal') };
    const first = plan(at({ wanted: v1(2), proven: v1(2), memory: { ...newMemory(1, 0), crashes: { 'v1/0': noted } }, engines: [crashed('v1-1', 3_601_000)] }));
    expect(words(first)).toEqual(['forget v1-1', 'route nowhere expecting', 'start v1-1']);
    expect(first.wakeAt).toBe(1_000 + backOff(3));
    const next = plan(at({ now: 1_000 + backOff(3), wanted: v1(2), proven: v1(2), memory: first.memory, engines: [engine('v1-1', 'starting', { startedAt: 1_000 })] }));
    expect(words(next)).toEqual(['route nowhere expecting', 'start v1-0']);
  });

  test('back-off starts with none and doubles to a minute', () => {
    expect([1, 2, 3, 4, 10, 40].map(backOff)).toEqual([0, 250, 500, 1_000, 60_000, 60_000]);
  });

  test('a crash loop slows down, is counted, and starts anew after a time of health', () => {
    let memory = newMemory(1, 0);
    let now = 0;
    const starts: number[] = [];
    for (let n = 0; n < 6; n += 1) {
      let next = plan(at({ now, wanted: v1(1), proven: v1(1), memory, engines: [crashed('v1-0', now, { readyAt: null })] }));
      memory = next.memory;
      for (const from = now; !words(next).includes('start v1-0');) {
        now = next.wakeAt ?? Number.NaN;
        expect(now).toBeGreaterThan(from);
        next = plan(at({ now, wanted: v1(1), proven: v1(1), memory }));
        memory = next.memory;
      }
      starts.push(now);
    }
    expect(starts).toEqual([0, 250, 750, 1_750, 3_750, 7_750]);
    expect(memory.crashes['v1/0']).toMatchObject({ row: 6, restarts: 6 });
    const healthy = plan(at({ now: 100_000, wanted: v1(1), proven: v1(1), memory, engines: [crashed('v1-0', 100_000, { readyAt: 20_000 })] }));
    expect(words(healthy)).toContain('start v1-0');
    expect(healthy.memory.crashes['v1/0']).toMatchObject({ row: 1, restarts: 7 });
  });
});

/** A small random source, so that a failing run can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Engines that start, get ready and end when time passes; nothing is left to the machine. */
class World {
  now = 0;
  engines: EngineView[] = [];
  routed: readonly string[] = [];
  memory = newMemory(0, 0);
  generation = 1;
  wanted: Target | null = null;
  proven: Target | null = null;
  names = 0;

  /** One pass of the loop that dies after `survive` actions. */
  pass(survive: number, bad: string): number | null {
    const { now, generation, wanted, proven, engines, memory } = this;
    const next = plan({ now, generation, wanted, proven, refusal: null, engines, memory });
    this.memory = next.memory;
    for (const action of next.actions.slice(0, survive)) this.act(action, bad);
    return next.wakeAt;
  }

  act(action: Action, bad: string): void {
    switch (action.do) {
      case 'forget': this.engines = this.engines.filter((e) => e.name !== action.engine.name); return;
      case 'promote': this.proven = this.wanted?.replicas === 0 ? null : this.wanted; return;
      case 'route': this.routed = action.routing.engines; return;
      case 'drain': this.set(action.name, { phase: 'draining' }); return;
      case 'kill': this.end(action.name, action.reason === null, false); return;
      case 'start': {
        this.names += 1;
        this.engines.push(engine(`${action.revision}-${this.names}`, 'starting', { revision: action.revision, slot: action.slot, startedAt: this.now }));
        if (action.revision === bad) this.end(`${action.revision}-${this.names}`, false, true);
      }
    }
  }

  set(name: string, change: Partial<EngineView>): void {
    this.engines = this.engines.map((e) => (e.name === name && e.phase !== 'exited' ? { ...e, ...change } : e));
  }

  end(name: string, asked: boolean, permanent: boolean): void {
    this.set(name, { phase: 'exited', exit: { at: this.now, reason: reason('engine_crashed'), asked, permanent } });
  }

  /** What a killed server leaves: its engines die with it, its memory is gone. */
  restart(): void {
    this.engines = [];
    this.routed = [];
    this.memory = newMemory(0, this.now);
  }
}

describe('a deployment under random changes, crashes and kills', () => {
  test.each(Array.from({ length: 200 }, (_, i) => i + 1))('seed %i ends where it should', (seed) => {
    const pick = random(seed);
    const world = new World();
    for (let n = 0; n < 60; n += 1) {
      switch (pick(8)) {
        case 0: {
          world.generation += 1;
          world.wanted = pick(8) === 0 ? null : { revision: `v${1 + pick(4)}`, replicas: pick(4) };
          if (world.wanted === null) world.proven = null;
          break;
        }
        case 1: { const e = world.engines[pick(Math.max(1, world.engines.length))]; if (e !== undefined) world.end(e.name, e.phase === 'draining', false); break; }
        case 2: world.restart(); break;
        case 3: for (const e of world.engines) if (e.phase === 'draining') world.end(e.name, true, false); break;
        default: for (const e of world.engines) if (e.phase === 'starting' && pick(2) === 0) world.set(e.name, { phase: 'ready', readyAt: world.now });
      }
      const before = world.routed.filter((name) => world.engines.some((e) => e.name === name && e.phase === 'ready'));
      const wanted = world.wanted;
      world.pass(pick(10), 'v4');
      world.now += pick(2_000);
      // What serves is never taken away before something else serves in its place.
      const mustServe = before.length > 0 && wanted !== null && wanted.replicas > 0 && world.memory.failed === null;
      const serves = world.engines.some((e) => e.phase === 'ready' && world.routed.includes(e.name));
      expect(mustServe && !serves, `step ${n}: nothing serves`).toBe(false);
    }
    // The world calms down: engines get ready, and the loop runs until there is nothing left to do.
    for (let n = 0; n < 80; n += 1) {
      for (const e of world.engines) {
        if (e.phase === 'starting') world.set(e.name, { phase: 'ready', readyAt: world.now });
        if (e.phase === 'draining') world.end(e.name, true, false);
      }
      world.now = Math.max(world.now + 1, world.pass(Number.POSITIVE_INFINITY, 'v4') ?? 0);
    }
    const serving = world.wanted?.revision === 'v4' && world.wanted.replicas > 0 ? (world.proven?.revision === 'v4' ? null : world.proven) : world.wanted;
    expect(world.memory.failed !== null).toBe(world.wanted?.revision === 'v4' && world.wanted.replicas > 0);
    expect(world.engines.map((e) => `${e.revision} ${e.phase}`)).toEqual(Array(serving?.replicas ?? 0).fill(`${serving?.revision} ready`));
    expect([...world.routed].sort()).toEqual(world.engines.map((e) => e.name).sort());
  });
});
