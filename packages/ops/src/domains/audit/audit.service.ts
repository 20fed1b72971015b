import { AsyncLocalStorage } from 'node:async_hooks';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { pageFrom, pageWindow } from '../../storage/paging.ts';
import { date } from '../../storage/values.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, Audit, AuditQuery, AuditRecord, Page } from '../domains.ts';
import { AuditStore } from './audit.store.ts';

/** The request in whose course something is done; the web server sets it. */
export const currentRequest = new AsyncLocalStorage<{ readonly id: string }>();

export type NewAuditRecord = Pick<AuditRecord, 'action' | 'kind' | 'objectId' | 'workspaceId' | 'outcome'>;

/** Who changed what, and when: added to and read, never changed. */
export class AuditService implements Audit {
  readonly #store: AuditStore;
  readonly #access: Access;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, access: Access, clock: () => number) {
    this.#store = new AuditStore(db);
    this.#access = access;
    this.#clock = clock;
  }

  async add(actor: Actor, record: NewAuditRecord): Promise<void> {
    await this.#store.add({ ...record, time: this.#clock(), userUuid: actor.id, email: actor.email, requestId: currentRequest.getStore()?.id ?? null });
  }

  async list(actor: Actor, query: AuditQuery = {}): Promise<Page<AuditRecord>> {
    const { workspaceId } = query;
    if (workspaceId === undefined) this.#access.requireAdmin(actor);
    else await this.#access.require(actor, workspaceId, 'own', notFound('workspace_not_found', workspaceId));
    const window = pageWindow(query);
    return pageFrom(await this.#store.list(window, query), window, (row) => row.id, ({ time, userUuid, ...row }) => ({ ...row, time: date(time), userId: userUuid }));
  }
}
