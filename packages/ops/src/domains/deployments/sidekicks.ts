import { PotorooError, type EngineSidekick, type EngineSidekickLines, type EngineSidekicks, type Reason, type SidekickLine } from '@potoroo/contract';
import type { Host } from '../../hosts/host.ts';
import { isForeignKeyViolation } from '../../storage/errors.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { date } from '../../storage/values.ts';
import type { Page, PageQuery, SidekickLogLine, SidekickRecord } from '../domains.ts';
import { Changes } from './changes.ts';
import { recordOf, type LineFilter, type NumberedLine, type SidekickRow, type SidekickStore } from './sidekicks.store.ts';

export interface SidekickBounds {
  /** Days that a sidekick is kept after its end, and bytes of what each wrote. */
  readonly days: number; readonly bytes: number;
}
export const defaultSidekickBounds: SidekickBounds = { days: 7, bytes: 8 * 1024 * 1024 };

const flushMs = 300;
/** After a failure, of a full disk say. */
const retryMs = 5_000;
/** Of one sidekick, in memory: beyond it the database is too slow and the oldest go. */
const waitingBytes = 2 * 1024 * 1024;
/** Ended sidekicks of one deployment. */
const mostEnded = 10_000;
const dayMs = 86_400_000;
const pruneMs = 3_600_000;
/** A follower looks again that often without a cause. */
const lookMs = 10_000;

interface Known {
  readonly deploymentId: number; readonly engine: string;
  /** As its engine told of it last. */
  view: EngineSidekick;
  /** Of its row, once there is one; null when its deployment is gone. */
  id: number | null | undefined;
  lines: SidekickLine[]; bytes: number; left: number;
  ended: { at: number; reason: Reason | null } | null;
  dirty: boolean;
}

export interface SidekickParts { readonly store: SidekickStore; readonly clock: () => number; readonly bounds: SidekickBounds; readonly onError: (error: unknown) => void }

/** Writes down which sidekicks there are and what they write; a moment's news in one transaction. */
export class Sidekicks {
  readonly #parts: SidekickParts;
  readonly #known = new Map<string, Known>();
  readonly #changes = new Changes();
  #timer: NodeJS.Timeout | null = null;
  #work: Promise<void> = Promise.resolve();
  #prunedAt = 0;

  constructor(parts: SidekickParts) {
    this.#parts = parts;
  }

  /** Hears what the engines of this host say, and that they ended. */
  listen(host: Pick<Host, 'onSidekicks' | 'onChange' | 'engines'>): void {
    host.onSidekicks(({ deploymentId, name }, said) => this.#hear(deploymentId, name, said));
    host.onChange((deploymentId) => {
      for (const { name, exit } of host.engines(deploymentId)) if (exit !== null) this.#end(deploymentId, name, exit.asked ? null : exit.reason, exit.at);
    });
  }

  /** For the start: those of the time before have ended. */
  async start(): Promise<void> {
    await this.#parts.store.endAll(this.#parts.clock());
    await this.#prune();
  }

  async list(deploymentId: number, query: PageQuery & { current?: boolean; model?: string }): Promise<Page<SidekickRecord>> {
    const window = pageWindow(query);
    await this.flush();
    return pageFrom(await this.#parts.store.list(deploymentId, window, query), window, (row) => row.id, recordOf);
  }

  /** Newest line first. @throws sidekick_not_found */
  async log(deploymentId: number, name: string, query: PageQuery & LineFilter): Promise<Page<SidekickLogLine>> {
    const window = pageWindow(query);
    const { id } = await this.#find(deploymentId, name);
    return pageFrom(await this.#parts.store.lines(id, window, query), window, (line) => line.number, lineOf);
  }

  /**
   * The last `tail` lines, oldest first, then what is written, until the sidekick has ended or `signal` aborts. `check` is asked
   * before every look. @throws sidekick_not_found, what `check` throws
   */
  async *follow(deploymentId: number, name: string, tail: number, signal: AbortSignal, check: () => Promise<void>): AsyncGenerator<SidekickLogLine[]> {
    await check();
    const { id, nextLine } = await this.#find(deploymentId, name);
    const { store } = this.#parts;
    const listening = this.#changes.listen(id);
    try {
      const last = tail === 0 ? [] : (await store.lines(id, { take: tail, before: undefined }, {})).toReversed();
      if (last.length > 0) yield last.map(lineOf);
      for (let next = (last.at(-1)?.number ?? nextLine - 1) + 1; !signal.aborted;) {
        const { endedAt } = await this.#find(deploymentId, name);
        const lines = await store.linesFrom(id, next);
        if (lines.length > 0) yield lines.map(lineOf);
        else if (endedAt !== null) return;
        else await listening.next(AbortSignal.any([signal, AbortSignal.timeout(lookMs)]));
        next = (lines.at(-1)?.number ?? next - 1) + 1;
        await check();
      }
    } finally {
      listening.stop();
    }
  }

  /** Resolves when what was said until now is written down. */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#work = this.#work.then(() => this.#write());
    await this.#work;
  }

  async close(): Promise<void> {
    await this.flush();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** With all that it has written until now. */
  async #find(deploymentId: number, name: string): Promise<SidekickRow> {
    await this.flush();
    const found = await this.#parts.store.find(deploymentId, name);
    if (found === undefined) throw new PotorooError('sidekick_not_found', `This deployment has no sidekick ${JSON.stringify(name.slice(0, 200))}, or it ended too long ago; its status names those that run.`);
    return found;
  }

  async #prune(): Promise<void> {
    const { store, clock, bounds } = this.#parts;
    this.#prunedAt = clock();
    await store.prune(clock() - bounds.days * dayMs, mostEnded);
  }

  #hear(deploymentId: number, engine: string, said: EngineSidekicks | EngineSidekickLines): void {
    if (said.type === 'sidekicks') for (const view of said.sidekicks) this.#see(deploymentId, engine, view);
    else this.#take(`${deploymentId}/${said.sidekick}`, said.lines);
  }

  #see(deploymentId: number, engine: string, view: EngineSidekick): void {
    const key = `${deploymentId}/${view.name}`;
    const known = this.#known.get(key) ?? { deploymentId, engine, view, id: undefined, lines: [], bytes: 0, left: 0, ended: null, dirty: true };
    this.#known.set(key, known);
    known.dirty ||= known.view.restarts !== view.restarts || known.view.reason?.message !== view.reason?.message;
    known.view = view;
    if (known.dirty) this.#arm();
  }

  #take(key: string, lines: readonly SidekickLine[]): void {
    const known = this.#known.get(key);
    if (known === undefined) return;
    for (const line of lines) {
      known.bytes += line.text.length;
      known.lines.push(line);
    }
    while (known.bytes > waitingBytes && known.lines.length > 1) {
      known.bytes -= known.lines.shift()?.text.length ?? 0;
      known.left += 1;
    }
    this.#arm();
  }

  #end(deploymentId: number, engine: string, reason: Reason | null, at: number): void {
    for (const known of this.#known.values()) {
      if (known.deploymentId !== deploymentId || known.engine !== engine || known.ended !== null) continue;
      known.ended = { at, reason: known.view.reason ?? reason };
      this.#arm();
    }
  }

  #arm(ms = flushMs): void {
    this.#timer ??= setTimeout(() => { void this.flush(); }, ms).unref();
  }

  async #write(): Promise<void> {
    const news = [...this.#known].filter(([, k]) => k.id !== null && (k.id === undefined || k.dirty || k.lines.length > 0 || k.ended !== null));
    if (news.length > 0 && this.#parts.clock() - this.#prunedAt > pruneMs) await this.#prune().catch(this.#parts.onError);
    for (const [key, known] of news) {
      try {
        await this.#writeOne(known);
        if (known.ended !== null && known.lines.length === 0) this.#known.delete(key);
      } catch (error) {
        // Its pipeline was removed, and everything of it.
        if (isForeignKeyViolation(error)) known.id = null;
        else this.#parts.onError(error);
        if (known.id === null) this.#known.delete(key);
        else this.#arm(retryMs);
      }
    }
  }

  async #writeOne(known: Known): Promise<void> {
    const { store, clock, bounds } = this.#parts;
    const left = known.left === 0 ? [] : [{ time: known.lines[0]?.time ?? clock(), stream: 'engine' as const, text: `(${known.left} lines left out: they came faster than they could be kept)` }];
    const lines = [...left, ...known.lines];
    const { view, ended } = known;
    const id = await store.transaction(async (tx) => {
      const row = known.id ?? await tx.add(known.deploymentId, known.engine, view, clock());
      await tx.change(row, { restarts: view.restarts, reason: ended === null ? view.reason : ended.reason, ...(ended && { endedAt: ended.at }) });
      if (lines.length > 0) await tx.append(row, lines, bounds.bytes);
      return row;
    });
    known.id = id;
    known.lines.splice(0, lines.length - left.length);
    known.bytes = known.lines.reduce((sum, line) => sum + line.text.length, 0);
    known.left = 0;
    known.dirty = known.view !== view;
    this.#changes.tell(id);
  }
}

const lineOf = ({ time, stream, text }: NumberedLine): SidekickLogLine => ({ time: date(time), stream, text });
