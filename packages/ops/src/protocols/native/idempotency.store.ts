import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import type { Json, Time } from '../../storage/values.ts';

/** `answer` is null while the first request with this key is still at work. */
interface IdempotencyTable { userUuid: string; key: string; requestHash: string; status: number | null; answer: Json | null; createdAt: Time }
export interface IdempotencyTables { idempotencyKeys: IdempotencyTable }
type Row = IdempotencyTable;

export class IdempotencyStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Undefined when the key is taken now; else what is known of its first use. Rows from before `oldest` are gone. */
  async take(userUuid: string, key: string, requestHash: string, now: Time, oldest: Time): Promise<Row | undefined> {
    await this.#db.deleteFrom('idempotencyKeys').where('createdAt', '<', oldest).execute();
    try {
      await this.#db.insertInto('idempotencyKeys').values({ userUuid, key, requestHash, status: null, answer: null, createdAt: now }).execute();
      return undefined;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      const row = await this.#db.selectFrom('idempotencyKeys').selectAll().where('userUuid', '=', userUuid).where('key', '=', key).executeTakeFirst();
      return row ?? this.take(userUuid, key, requestHash, now, oldest);
    }
  }

  async answer(userUuid: string, key: string, status: number, answer: Json): Promise<void> {
    await this.#db.updateTable('idempotencyKeys').set({ status, answer }).where('userUuid', '=', userUuid).where('key', '=', key).execute();
  }

  /** Whether this call let go of an unanswered key, given when it was taken. */
  async release(userUuid: string, key: string, createdAt?: Time): Promise<boolean> {
    let query = this.#db.deleteFrom('idempotencyKeys').where('userUuid', '=', userUuid).where('key', '=', key).where('status', 'is', null);
    if (createdAt !== undefined) query = query.where('createdAt', '=', createdAt);
    return (await query.executeTakeFirst()).numDeletedRows > 0n;
  }
}
