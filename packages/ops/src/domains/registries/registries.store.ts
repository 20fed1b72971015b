import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { Time } from '../../storage/values.ts';

interface RegistryTable { id: Generated<number>; uuid: string; name: string; url: string; sealedToken: string | null; createdBy: string; createdAt: Time; updatedAt: Time }
interface WorkspaceRegistryTable { workspaceId: number; registryId: number }
export interface RegistryTables { registries: RegistryTable; workspaceRegistries: WorkspaceRegistryTable }
export type RegistryRow = Selectable<RegistryTable>;

/** What is the registries' own; how they are shared is in `sharing.ts`. */
export class RegistryStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async insert(row: Omit<RegistryRow, 'id'>, workspaceId: number): Promise<void> {
    await this.#db.transaction().execute(async (tx) => {
      const { id } = await tx.insertInto('registries').values(row).returning('id').executeTakeFirstOrThrow();
      await tx.insertInto('workspaceRegistries').values({ workspaceId, registryId: id }).execute();
    });
  }

  async setToken(id: number, sealedToken: string | null, now: Time): Promise<void> {
    await this.#db.updateTable('registries').set({ sealedToken, updatedAt: now }).where('id', '=', id).execute();
  }

  /** Whoever asks: for what goes on after its request has been answered. */
  byId(uuid: string): Promise<RegistryRow | undefined> {
    return this.#db.selectFrom('registries').selectAll().where('uuid', '=', uuid).executeTakeFirst();
  }
}
