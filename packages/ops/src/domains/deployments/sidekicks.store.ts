import type { EngineSidekick, Reason, SidekickLine } from '@potoroo/contract';
import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import { date, json, parsed, parsedOrNull, type Json, type Time } from '../../storage/values.ts';
import type { SidekickRecord } from '../domains.ts';

interface SidekickTable {
  id: Generated<number>; deploymentId: number; engine: string; name: string; model: string; modelVersion: string; sha: string; step: number;
  startedAt: Time; endedAt: Time | null; reason: Json | null; restarts: number;
  /** Number of its next line, and bytes of those that are kept. */
  nextLine: number; logBytes: number;
}
/** Lines `first`, `first + 1`… of a sidekick. */
interface SidekickLineTable { id: Generated<number>; sidekickId: number; first: number; bytes: number; minTime: Time; maxTime: Time; lines: Json }
export interface SidekickTables { sidekicks: SidekickTable; sidekickLines: SidekickLineTable }

export type SidekickRow = Selectable<SidekickTable>;
/** A line with its number: lines of one sidekick count up without regard to what was removed. */
export interface NumberedLine extends SidekickLine { readonly number: number }
export interface LineFilter { readonly start?: Date | undefined; readonly end?: Date | undefined }

const piecesAtOnce = 8;
/** Small beside the least that a sidekick may keep, so that the bound is not overshot by much. */
const pieceBytes = 16 * 1024;

export class SidekickStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  transaction<T>(work: (store: SidekickStore) => Promise<T>): Promise<T> {
    return this.#db.transaction().execute((tx) => work(new SidekickStore(tx)));
  }

  /** @throws a foreign key violation when the deployment is gone */
  async add(deploymentId: number, engine: string, { name, model, version, sha, step }: EngineSidekick, now: Time): Promise<number> {
    const row = await this.#db.insertInto('sidekicks')
      .values({ deploymentId, engine, name, model, modelVersion: version, sha, step, startedAt: now, endedAt: null, reason: null, restarts: 0, nextLine: 0, logBytes: 0 })
      .onConflict((c) => c.columns(['deploymentId', 'name']).doUpdateSet({ engine })).returning('id').executeTakeFirstOrThrow();
    return row.id;
  }

  async change(id: number, { restarts, reason, endedAt }: { restarts?: number; reason?: Reason | null; endedAt?: Time }): Promise<void> {
    const set = { ...(restarts !== undefined && { restarts }), ...(reason !== undefined && { reason: reason && json(reason) }), ...(endedAt !== undefined && { endedAt }) };
    await this.#db.updateTable('sidekicks').set(set).where('id', '=', id).execute();
  }

  /** For the start: what runs sidekicks ends with the server. */
  async endAll(now: Time): Promise<void> {
    await this.#db.updateTable('sidekicks').set({ endedAt: now }).where('endedAt', 'is', null).execute();
  }

  /** Adds lines and removes the oldest pieces beyond `keep` bytes. */
  async append(id: number, lines: readonly SidekickLine[], keep: number): Promise<void> {
    const { nextLine, logBytes } = await this.#db.selectFrom('sidekicks').select(['nextLine', 'logBytes']).where('id', '=', id).executeTakeFirstOrThrow();
    let [first, bytes] = [nextLine, logBytes];
    for (const piece of pieces(lines)) {
      const text = json(piece.map(({ time, stream, text: said }) => [time, stream, said]));
      const times = piece.map((line) => line.time);
      await this.#db.insertInto('sidekickLines').values({ sidekickId: id, first, bytes: text.length, minTime: Math.min(...times), maxTime: Math.max(...times), lines: text }).execute();
      first += piece.length;
      bytes += text.length;
    }
    while (bytes > keep) {
      const oldest = await this.#db.selectFrom('sidekickLines').select(['id', 'bytes']).where('sidekickId', '=', id).orderBy('first').limit(1).executeTakeFirst();
      if (oldest === undefined) break;
      await this.#db.deleteFrom('sidekickLines').where('id', '=', oldest.id).execute();
      bytes -= oldest.bytes;
    }
    await this.#db.updateTable('sidekicks').set({ nextLine: first, logBytes: bytes }).where('id', '=', id).execute();
  }

  async find(deploymentId: number, name: string): Promise<SidekickRow | undefined> {
    return this.#db.selectFrom('sidekicks').selectAll().where('deploymentId', '=', deploymentId).where('name', '=', name).executeTakeFirst();
  }

  async list(deploymentId: number, window: PageWindow, filter: { current?: boolean | undefined; model?: string | undefined }): Promise<SidekickRow[]> {
    let query = this.#db.selectFrom('sidekicks').selectAll().where('deploymentId', '=', deploymentId).orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.current !== undefined) query = query.where('endedAt', filter.current ? 'is' : 'is not', null);
    if (filter.model !== undefined) query = query.where('model', '=', filter.model);
    return query.execute();
  }

  /** Newest first. */
  async lines(id: number, { take, before }: PageWindow, { start, end }: LineFilter): Promise<NumberedLine[]> {
    const found: NumberedLine[] = [];
    for (let below = before; ;) {
      let query = this.#db.selectFrom('sidekickLines').select(['first', 'lines']).where('sidekickId', '=', id).orderBy('first', 'desc').limit(piecesAtOnce);
      if (below !== undefined) query = query.where('first', '<', below);
      if (start !== undefined) query = query.where('maxTime', '>=', start.getTime());
      if (end !== undefined) query = query.where('minTime', '<=', end.getTime());
      const some = await query.execute();
      for (const piece of some) {
        below = piece.first;
        for (const line of numbered(piece).toReversed()) {
          if (before !== undefined && line.number >= before) continue;
          if ((start !== undefined && line.time < start.getTime()) || (end !== undefined && line.time > end.getTime())) continue;
          if (found.push(line) === take) return found;
        }
      }
      if (some.length < piecesAtOnce) return found;
    }
  }

  /** Those from this number on, oldest first: one piece at most. */
  async linesFrom(id: number, number: number): Promise<NumberedLine[]> {
    const last = await this.#db.selectFrom('sidekickLines').select('first').where('sidekickId', '=', id).where('first', '<=', number).orderBy('first', 'desc').limit(1).executeTakeFirst();
    for (let from = last?.first ?? 0; ;) {
      const piece = await this.#db.selectFrom('sidekickLines').select(['first', 'lines']).where('sidekickId', '=', id).where('first', '>=', from).orderBy('first').limit(1).executeTakeFirst();
      if (piece === undefined) return [];
      const found = numbered(piece).filter((line) => line.number >= number);
      if (found.length > 0) return found;
      from = piece.first + 1;
    }
  }

  /** Removes what ended before `before`, and of each deployment all but the newest `most` that ended. */
  async prune(before: Time, most: number): Promise<void> {
    await this.#db.deleteFrom('sidekicks').where('endedAt', '<', before).execute();
    const crowded = await this.#db.selectFrom('sidekicks').select('deploymentId').groupBy('deploymentId').having((eb) => eb.fn.countAll<number>(), '>', most).execute();
    for (const { deploymentId } of crowded) {
      const edge = await this.#db.selectFrom('sidekicks').select('id').where('deploymentId', '=', deploymentId).orderBy('id', 'desc').offset(most).limit(1).executeTakeFirst();
      if (edge !== undefined) await this.#db.deleteFrom('sidekicks').where('deploymentId', '=', deploymentId).where('id', '<=', edge.id).where('endedAt', 'is not', null).execute();
    }
  }
}

function* pieces(lines: readonly SidekickLine[]): Generator<SidekickLine[]> {
  let piece: SidekickLine[] = [];
  let bytes = 0;
  for (const line of lines) {
    piece.push(line);
    bytes += line.text.length;
    if (bytes < pieceBytes) continue;
    yield piece;
    [piece, bytes] = [[], 0];
  }
  if (piece.length > 0) yield piece;
}

function numbered({ first, lines }: { first: number; lines: Json }): NumberedLine[] {
  return parsed<[number, SidekickLine['stream'], string][]>(lines).map(([time, stream, text], i) => ({ number: first + i, time, stream, text }));
}

export function recordOf({ name, engine, model, modelVersion, sha, step, startedAt, endedAt, restarts, reason }: SidekickRow): SidekickRecord {
  return { name, engine, model, modelVersion, sha, step, startedAt: date(startedAt), endedAt: endedAt === null ? null : date(endedAt), restarts, reason: parsedOrNull<Reason>(reason) };
}
