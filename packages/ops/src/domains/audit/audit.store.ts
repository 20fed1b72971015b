import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import type { Time } from '../../storage/values.ts';

/** Rows are added and never changed. */
interface AuditRecordTable {
  id: Generated<number>; time: Time; userUuid: string; email: string; action: string; kind: string; objectId: string | null; workspaceId: number | null;
  outcome: string; requestId: string | null;
}
export interface AuditTables { auditRecords: AuditRecordTable }
export type AuditRow = Selectable<AuditRecordTable>;
export interface AuditFilter { workspaceId?: number; userId?: string; kind?: string; objectId?: string; action?: string }

export class AuditStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async add(row: Omit<AuditRow, 'id'>): Promise<void> {
    await this.#db.insertInto('auditRecords').values(row).execute();
  }

  list(window: PageWindow, filter: AuditFilter): Promise<AuditRow[]> {
    let query = this.#db.selectFrom('auditRecords').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.workspaceId !== undefined) query = query.where('workspaceId', '=', filter.workspaceId);
    if (filter.userId !== undefined) query = query.where('userUuid', '=', filter.userId);
    if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
    if (filter.objectId !== undefined) query = query.where('objectId', '=', filter.objectId);
    if (filter.action !== undefined) query = query.where('action', '=', filter.action);
    return query.execute();
  }
}
