import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import type { Time } from '../../storage/values.ts';

/** Rows are added, get their outcome once, and go when they are old. */
interface AuditRecordTable {
  id: Generated<number>; time: Time; userUuid: string; email: string; action: string; kind: string; objectId: string | null; workspaceId: number | null;
  outcome: string; requestId: string | null;
}
export interface AuditTables { auditRecords: AuditRecordTable }
export type AuditRow = Selectable<AuditRecordTable>;
export interface AuditFilter { workspaceId?: number; userId?: string; kind?: string; objectId?: string; action?: string; outcome?: string; start?: Time; end?: Time }

/** Of a change that is under way, or of which a crash kept how it ended. */
export const begun = 'begun';
/** So many rows go in one statement. */
const most = 1000;

export class AuditStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async add(row: Omit<AuditRow, 'id'>): Promise<number> {
    return (await this.#db.insertInto('auditRecords').values(row).returning('id').executeTakeFirstOrThrow()).id;
  }

  async end(id: number, end: Pick<AuditRow, 'outcome' | 'objectId' | 'workspaceId'>): Promise<void> {
    await this.#db.updateTable('auditRecords').set(end).where('id', '=', id).where('outcome', '=', begun).execute();
  }

  /** How many went. */
  async removeBefore(time: Time): Promise<number> {
    let removed = 0;
    for (;;) {
      const some = this.#db.selectFrom('auditRecords').select('id').where('time', '<', time).orderBy('time').limit(most);
      const count = Number((await this.#db.deleteFrom('auditRecords').where('id', 'in', some).executeTakeFirstOrThrow()).numDeletedRows);
      removed += count;
      if (count < most) return removed;
    }
  }

  list(window: PageWindow, filter: AuditFilter): Promise<AuditRow[]> {
    let query = this.#db.selectFrom('auditRecords').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.workspaceId !== undefined) query = query.where('workspaceId', '=', filter.workspaceId);
    if (filter.userId !== undefined) query = query.where('userUuid', '=', filter.userId);
    if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
    if (filter.objectId !== undefined) query = query.where('objectId', '=', filter.objectId);
    if (filter.action !== undefined) query = query.where('action', '=', filter.action);
    if (filter.outcome !== undefined) query = query.where('outcome', '=', filter.outcome);
    if (filter.start !== undefined) query = query.where('time', '>=', filter.start);
    if (filter.end !== undefined) query = query.where('time', '<=', filter.end);
    return query.execute();
  }
}
