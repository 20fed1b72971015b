import { readFile } from 'node:fs/promises';
import type { BundleModel, EngineSidekick, EngineSidekickLines, EngineSidekicks, ErrorCode, SidekickLine } from '@potoroo/contract/plain';

/** What a sidekick uses of memory, in bytes, and has used of the processor, in seconds; null where it cannot be told. */
export interface Usage { readonly memoryBytes: number | null; readonly cpuSeconds: number | null }

/** How a runtime tells what becomes of the process, or container, that runs its model beside the engine. */
export interface SidekickReport {
  line(stream: SidekickLine['stream'], text: string): void;
  /** One was started; `pid` is null where there is none of this machine, and `usage` tells what it uses then. */
  starting(pid: number | null, usage?: () => Promise<Usage | undefined>): void;
  /** It has answered its warm-up inference. */
  running(): void;
  failed(reason: { code: ErrorCode; message: string }): void;
}

const flushMs = 200;
const sampleMs = 5_000;
/** What one sidekick may say between two flushes; the rest is counted and left out. */
const flushBytes = 256 * 1024;
const lastLines = 20;

/** Clock ticks a second in `/proc/<pid>/stat`; the same on every Linux. */
const ticks = 100;

/** Every sidekick of this engine. What changes and what they write goes to the host in messages; nothing else depends on it. */
export class Sidekicks {
  readonly #engine: string;
  readonly #tell: (message: EngineSidekicks | EngineSidekickLines) => Promise<void>;
  readonly #clock: () => number;
  readonly #all: Sidekick[] = [];
  #flush: NodeJS.Timeout | undefined;

  /** @param engine its name, which those of its sidekicks are made of */
  constructor(engine: string, tell: (message: EngineSidekicks | EngineSidekickLines) => Promise<void>, clock: () => number = Date.now) {
    this.#engine = engine.replace(/^engine-/, '');
    this.#tell = tell;
    this.#clock = clock;
  }

  add({ name, version, id, sha256 }: BundleModel, step: number, challenger: boolean): SidekickReport {
    const sidekick = new Sidekick({
      name: `engine-sidekick-${name}-${id}-${this.#engine}${challenger ? '-challenger' : ''}`, model: name, version, modelVersionId: id, sha: sha256, step, challenger,
      state: 'starting', reason: null, restarts: 0, failures: 0, since: this.#clock(), pid: null, memoryBytes: null, cpuSeconds: null,
    }, this.#clock, () => this.#changed(), () => { this.#flush ??= setTimeout(() => { void this.flush(); }, flushMs); });
    this.#all.push(sidekick);
    if (this.#all.length === 1) setInterval(() => { void this.#measure(); }, sampleMs).unref();
    this.#changed();
    return sidekick;
  }

  list(): EngineSidekick[] {
    return this.#all.map((sidekick) => sidekick.view);
  }

  /** Hands on what was said and not handed on yet; resolves when it is on its way. */
  async flush(): Promise<void> {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    await Promise.all(this.#all.map(async (sidekick) => {
      const lines = sidekick.take();
      if (lines.length > 0) await this.#tell({ type: 'sidekick-lines', sidekick: sidekick.view.name, lines });
    }));
  }

  #changed(): void {
    void this.#tell({ type: 'sidekicks', sidekicks: this.list() });
  }

  async #measure(): Promise<void> {
    await Promise.all(this.#all.map((sidekick) => sidekick.measure()));
    this.#changed();
  }
}

class Sidekick implements SidekickReport {
  view: EngineSidekick;
  readonly #clock: () => number;
  readonly #changed: () => void;
  readonly #said: () => void;
  readonly #last: string[] = [];
  #lines: SidekickLine[] = [];
  #bytes = 0;
  #left = 0;
  #started = false;
  #usage: () => Promise<Usage | undefined> = none;

  constructor(view: EngineSidekick, clock: () => number, changed: () => void, said: () => void) {
    this.view = view;
    this.#clock = clock;
    this.#changed = changed;
    this.#said = said;
  }

  line(stream: SidekickLine['stream'], text: string): void {
    this.#last.push(text);
    if (this.#last.length > lastLines) this.#last.shift();
    this.#bytes += text.length + 40;
    if (this.#bytes > flushBytes) this.#left += 1;
    else this.#lines.push({ time: this.#clock(), stream, text });
    this.#said();
  }

  take(): SidekickLine[] {
    if (this.#left > 0) this.#lines.push({ time: this.#clock(), stream: 'engine', text: `(${this.#left} lines left out: at most ${flushBytes} bytes every ${flushMs} ms are kept)` });
    const lines = this.#lines;
    [this.#lines, this.#bytes, this.#left] = [[], 0, 0];
    return lines;
  }

  starting(pid: number | null, usage: () => Promise<Usage | undefined> = pid === null ? none : () => usageOf(pid)): void {
    this.#usage = usage;
    const restarts = this.view.restarts + (this.#started ? 1 : 0);
    // A start after a failure keeps its reason until it has succeeded: so long, the model does not answer because of it.
    const state = this.view.state === 'error' ? 'error' : 'starting';
    this.#set({ pid, restarts, state, memoryBytes: null, cpuSeconds: null });
    if (this.#started) this.line('engine', `Starting it again (restart ${restarts}).`);
    this.#started = true;
  }

  running(): void {
    this.#set({ state: 'running', reason: null, failures: 0 });
    void this.measure().then(() => this.#changed());
  }

  failed({ code, message }: { code: ErrorCode; message: string }): void {
    const log = [...this.#last];
    this.#usage = none;
    this.line('engine', message);
    this.#set({ state: 'error', failures: this.view.failures + 1, reason: { code, message, ...(log.length > 0 && { log }) }, pid: null, memoryBytes: null, cpuSeconds: null });
  }

  /** Notes what it uses, where that can be told; what cannot be told just now stays. */
  async measure(): Promise<void> {
    const asked = this.#usage;
    const usage = await asked();
    if (usage !== undefined && this.#usage === asked) this.view = { ...this.view, ...usage };
  }

  #set(change: Partial<EngineSidekick>): void {
    const since = change.state !== undefined && change.state !== this.view.state ? { since: this.#clock() } : {};
    this.view = { ...this.view, ...change, ...since };
    this.#changed();
  }
}

const none = (): Promise<undefined> => Promise.resolve(undefined);

/** What a process of this machine uses. */
async function usageOf(pid: number): Promise<Usage> {
  const [status, stat] = await Promise.all(['status', 'stat'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')));
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(status ?? '')?.[1];
  // The name, second, may hold spaces and brackets; user and system time are the 12th and 13th after it.
  const times = stat?.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13).map(Number) ?? [];
  return { memoryBytes: resident === undefined ? null : Number(resident) * 1024, cpuSeconds: times.length === 2 ? ((times[0] ?? 0) + (times[1] ?? 0)) / ticks : null };
}
