import { AsyncLocalStorage } from 'node:async_hooks';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { date } from '../../storage/values.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, Audit, AuditQuery, AuditRecord, Page } from '../domains.ts';
import { AuditStore, begun } from './audit.store.ts';

/** The request in whose course something is done; the web server sets it. */
export const currentRequest = new AsyncLocalStorage<{ readonly id: string }>();

export type NewAuditRecord = Pick<AuditRecord, 'action' | 'kind' | 'objectId' | 'workspaceId' | 'outcome'>;
/** Somebody who is not known has neither id nor e-mail. */
export type Who = Pick<Actor, 'id' | 'email'>;
const dayMs = 86_400_000;

/**
 * Who changed what, and when. A change is written down before it is made, and gets its outcome afterwards: what a crash cuts off is
 * there as begun, and what cannot be written down is not done.
 */
export class AuditService implements Audit {
  readonly #store: AuditStore;
  readonly #access: Access;
  readonly #clock: () => number;
  readonly #onError: (error: unknown, context: Record<string, unknown>) => void;

  constructor(db: Kysely<Database>, access: Access, clock: () => number, onError: (error: unknown, context: Record<string, unknown>) => void = () => {}) {
    this.#onError = onError;
    this.#store = new AuditStore(db);
    this.#access = access;
    this.#clock = clock;
  }

  async add(who: Who, record: NewAuditRecord): Promise<number> {
    return this.#store.add({ ...record, time: this.#clock(), userUuid: who.id, email: who.email, requestId: currentRequest.getStore()?.id ?? null });
  }

  begin(who: Who, record: Omit<NewAuditRecord, 'outcome'>): Promise<number> {
    return this.add(who, { ...record, outcome: begun });
  }

  /** The change is made by now: that its end cannot be written down is told, and no reason to answer as if it were not. */
  async end(id: number, end: Pick<NewAuditRecord, 'outcome' | 'objectId' | 'workspaceId'>): Promise<void> {
    await this.#store.end(id, end).catch((error: unknown) => this.#onError(error, { doing: 'writing the outcome of an audit record', id, outcome: end.outcome }));
  }

  /** Those that are older than so many days; 0 keeps all. Gives how many. */
  async removeExpired(days: number): Promise<number> {
    return days === 0 ? 0 : this.#store.removeBefore(this.#clock() - days * dayMs);
  }

  async list(actor: Actor, query: AuditQuery = {}): Promise<Page<AuditRecord>> {
    const { workspaceId, start, end, ...rest } = query;
    if (workspaceId === undefined) this.#access.requireAdmin(actor);
    else await this.#access.require(actor, workspaceId, 'own', notFound('workspace_not_found', workspaceId));
    const window = pageWindow(query);
    return pageFrom(await this.#store.list(window, { ...rest, ...(workspaceId !== undefined && { workspaceId }), ...(start && { start: start.getTime() }), ...(end && { end: end.getTime() }) }), window, (row) => row.id, ({ time, userUuid, ...row }) => ({ ...row, time: date(time), userId: userUuid }));
  }
}
