import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { Time } from '../../storage/values.ts';

interface ConnectionTable { id: Generated<number>; uuid: string; name: string; type: string; sealedDetails: string; createdBy: string; createdAt: Time }
interface WorkspaceConnectionTable { workspaceId: number; connectionId: number }
export interface ConnectionTables { connections: ConnectionTable; workspaceConnections: WorkspaceConnectionTable }
export type ConnectionRow = Selectable<ConnectionTable>;

/** What is the connections' own; how they are shared is in `sharing.ts`. */
export class ConnectionStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: Omit<ConnectionRow, 'id'>): Promise<void> {
    await this.#db.insertInto('connections').values(row).execute();
  }
}
