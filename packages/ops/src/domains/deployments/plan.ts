import type { Reason } from '@potoroo/contract';
import type { EngineView, Routing } from '../../hosts/host.ts';

/** One set of engines that should be: `replicas` ready engines of a revision. */
export interface Target { readonly revision: string; readonly replicas: number }

/** What went wrong in one slot: `row` crashes without a time of health between them, `restarts` since it exists. */
export interface Crash { readonly row: number; readonly restarts: number; readonly at: number; readonly engine: string; readonly reason: Reason }

/** What the loop remembers between two passes. Losing it loses no more than back-off and counts. */
export interface Memory {
  readonly generation: number;
  /** When this generation was first seen. */
  readonly since: number;
  /** Why the wanted set was given up. Only a new generation tries it again. */
  readonly failed: Reason | null;
  /** By `revision/slot`. */
  readonly crashes: Readonly<Record<string, Crash>>;
}

export interface Situation {
  readonly now: number;
  readonly generation: number;
  /** Null: nothing should run. */
  readonly wanted: Target | null;
  /** The last set of which every engine was ready. */
  readonly proven: Target | null;
  /** Why this host cannot run the wanted set at all. */
  readonly refusal: Reason | null;
  readonly engines: readonly EngineView[];
  readonly memory: Memory;
}

export type Action =
  | { readonly do: 'forget'; readonly engine: EngineView }
  | { readonly do: 'start'; readonly revision: string; readonly slot: number }
  /** The wanted set is whole: keep it as the proven one. A set of no engines proves nothing. */
  | { readonly do: 'promote' }
  | { readonly do: 'route'; readonly routing: Routing }
  | { readonly do: 'drain'; readonly name: string }
  | { readonly do: 'kill'; readonly name: string; readonly reason: Reason | null };

export interface Plan {
  readonly actions: readonly Action[];
  readonly memory: Memory;
  /** When to look again even if nothing happens; null when only an event can change something. */
  readonly wakeAt: number | null;
}

export interface Bounds {
  /** From start to ready of one engine, ms. */
  readonly start: number;
  /** From the first try of an update to its end, ms; then the old set stays. */
  readonly update: number;
}
export const defaultBounds: Bounds = { start: 120_000, update: 300_000 };

/** An engine that was ready this long starts the count of crashes in a row anew. */
const healthyAfter = 10_000;

/** Wait before the next start after that many crashes in a row: none at first, then doubling from 250 ms to a minute. */
export const backOff = (row: number): number => (row <= 1 ? 0 : Math.min(60_000, 250 * 2 ** (row - 2)));

export const newMemory = (generation: number, now: number): Memory => ({ generation, since: now, failed: null, crashes: {} });

/**
 * What to do next, from nothing but what should be and what is. Carrying out any part of it, or none, and planning again
 * leads to the same end.
 */
export function plan(situation: Situation, bounds: Bounds = defaultBounds): Plan {
  const { now, wanted } = situation;
  const wakes: number[] = [];
  const starts: Action[] = [];
  const actions: Action[] = situation.engines.filter((e) => e.phase === 'exited').map((engine) => ({ do: 'forget', engine }));
  const live = situation.engines.filter((e) => e.phase === 'starting' || e.phase === 'ready');
  const of = (target: Target | null): EngineView[] => (target === null ? [] : live.filter((e) => e.revision === target.revision));
  const ready = (engines: readonly EngineView[]): EngineView[] => engines.filter((e) => e.phase === 'ready');

  // An update keeps the proven set whole beside the wanted one.
  const old = wanted !== null && situation.proven !== null && situation.proven.revision !== wanted.revision ? situation.proven : null;
  const complete = wanted === null || ready(of(wanted)).length >= wanted.replicas;
  if (wanted !== null && complete) actions.push({ do: 'promote' });
  const noted = remember(situation, bounds);
  // It may have become whole at the very moment it was given up.
  const memory = complete ? { ...noted, failed: null } : noted;

  const keep = new Set<EngineView>();
  const crashes: Record<string, Crash> = {};
  let coming = false;
  const targets = [complete ? null : old, wanted].filter((t) => t !== null);
  for (const target of targets) {
    const given = target === wanted && memory.failed !== null;
    const engines = best(of(target)).slice(0, target.replicas);
    for (const engine of engines) {
      if (!given || engine.phase === 'ready') keep.add(engine);
      const crash = memory.crashes[`${target.revision}/${engine.slot}`];
      if (crash !== undefined) crashes[`${target.revision}/${engine.slot}`] = crash;
    }
    coming ||= !given && engines.some((e) => e.phase === 'starting');
    for (const slot of freeSlots(engines, target, memory)) {
      const key = `${target.revision}/${slot}`;
      const crash = memory.crashes[key];
      if (crash !== undefined) crashes[key] = crash;
      if (given) continue;
      const at = crash === undefined ? now : crash.at + backOff(crash.row);
      if (at <= now) starts.push({ do: 'start', revision: target.revision, slot });
      wakes.push(at <= now ? now + bounds.start : at);
      // What arrives may wait for an engine that is about to start, not for one in a crash loop.
      coming ||= at - now < 2_000;
    }
  }
  // A failed update is cleared away, the old set serves on; with no old set, what did become ready serves.
  if (memory.failed !== null && old !== null) for (const engine of of(wanted)) keep.delete(engine);

  // Engines of neither set go, but serve on while there is nothing better.
  const strays = live.filter((e) => !targets.some((t) => t.revision === e.revision));
  const wantedReady = ready(of(wanted)).filter((e) => keep.has(e));
  const isProven = wanted !== null && situation.proven?.revision === wanted.revision;
  const serving = complete ? wantedReady : [ready(of(old)), isProven ? wantedReady : [], ready(strays), wantedReady].find((engines) => engines.length > 0) ?? [];
  for (const engine of serving) keep.add(engine);
  actions.push({ do: 'route', routing: { engines: serving.map((e) => e.name), expect: wanted !== null && coming } });

  for (const engine of live) {
    if (!keep.has(engine)) actions.push(engine.phase === 'ready' ? { do: 'drain', name: engine.name } : { do: 'kill', name: engine.name, reason: null });
    else if (engine.phase === 'starting') {
      const until = engine.startedAt + bounds.start;
      if (until > now) wakes.push(until);
      else actions.push({ do: 'kill', name: engine.name, reason: { code: 'engine_start_timeout', message: `Engine ${engine.name} was not ready after ${bounds.start / 1000} s.` } });
    }
  }
  if (old !== null && !complete && memory.failed === null) wakes.push(memory.since + bounds.update);
  // Starting can fail, on a full disk say; what serves is in order by then.
  return { actions: [...actions, ...starts], memory: { ...memory, crashes }, wakeAt: wakes.length === 0 ? null : Math.min(...wakes) };
}

/** Takes in what has exited since the last pass, and gives up what cannot succeed. */
function remember({ now, generation, wanted, proven, refusal, engines, memory: before }: Situation, bounds: Bounds): Memory {
  const memory = before.generation === generation ? before : { ...newMemory(generation, now), crashes: before.crashes };
  // A clock that was set back must not make the back-off as long as that.
  const crashes = Object.fromEntries(Object.entries(memory.crashes).map(([key, crash]) => [key, crash.at > now ? { ...crash, at: now } : crash]));
  const isProven = wanted !== null && proven?.revision === wanted.revision;
  let failed = memory.failed ?? (wanted === null ? null : refusal);
  for (const { name, revision, slot, readyAt, exit } of engines) {
    if (exit === null || exit.asked) continue;
    const last = crashes[`${revision}/${slot}`];
    const healthy = readyAt !== null && exit.at - readyAt >= healthyAfter;
    crashes[`${revision}/${slot}`] = { row: healthy ? 1 : (last?.row ?? 0) + 1, restarts: (last?.restarts ?? 0) + 1, at: Math.min(exit.at, now), engine: name, reason: exit.reason };
    // A set that was proven once is tried again for ever: what stops it now is the machine, not the bundle.
    if (exit.permanent && !isProven && revision === wanted?.revision) failed ??= exit.reason;
  }
  if (failed === null && wanted !== null && proven !== null && !isProven && now >= memory.since + bounds.update) {
    const last = Object.entries(crashes).find(([key]) => key.startsWith(`${wanted.revision}/`))?.[1];
    failed = { code: last?.reason.code ?? 'engine_start_timeout', message: `The update was given up after ${bounds.update / 1000} s${last === undefined ? '' : `: ${last.reason.message}`}`, ...(last?.reason.log && { log: last.reason.log }) };
  }
  return { ...memory, failed, crashes };
}

/** Ready before starting, older before younger: the order in which engines are kept. */
function best(engines: readonly EngineView[]): EngineView[] {
  return engines.toSorted((a, b) => Number(b.phase === 'ready') - Number(a.phase === 'ready') || a.startedAt - b.startedAt || a.slot - b.slot);
}

/** Slots of the engines that are missing: first those that crashed, so that their back-off holds. */
function freeSlots(engines: readonly EngineView[], target: Target, memory: Memory): number[] {
  const taken = new Set(engines.map((e) => e.slot));
  const crashed = Object.keys(memory.crashes).filter((key) => key.startsWith(`${target.revision}/`)).map((key) => Number(key.slice(target.revision.length + 1)));
  const slots: number[] = [];
  for (const slot of [...crashed.sort((a, b) => a - b), ...Array(engines.length + target.replicas).keys()]) {
    if (slots.length + engines.length >= target.replicas) break;
    if (taken.has(slot)) continue;
    taken.add(slot);
    slots.push(slot);
  }
  return slots;
}
