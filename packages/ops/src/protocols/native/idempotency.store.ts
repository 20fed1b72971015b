import type { ExpressionBuilder, Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import type { Json, Time } from '../../storage/values.ts';

/** `answer` is null while the first request with this key is still at work; `content` says what its file was, once it is answered. */
interface IdempotencyTable { userUuid: string; key: string; requestHash: string; content: string | null; status: number | null; answer: Json | null; createdAt: Time; renewedAt: Time | null }
export interface IdempotencyTables { idempotencyKeys: IdempotencyTable }
type Row = IdempotencyTable;
/** A key as one request holds it. */
export type HeldKey = Pick<Row, 'userUuid' | 'key' | 'createdAt'>;

/** Of one user; beyond it the oldest are forgotten before their day is over. */
const keysPerUser = 10_000;

type Where = (eb: ExpressionBuilder<Database, 'idempotencyKeys'>) => ReturnType<typeof eb.and>;
const took = ({ userUuid, key, createdAt }: HeldKey): Where => (eb) => eb.and([eb('userUuid', '=', userUuid), eb('key', '=', key), eb('createdAt', '=', createdAt)]);
const holds = (held: HeldKey): Where => (eb) => eb.and([took(held)(eb), eb('status', 'is', null)]);

export class IdempotencyStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Undefined when the key is taken now; else what is known of its first use. Rows from before `oldest` are gone. */
  async take(held: HeldKey, requestHash: string, oldest: Time): Promise<Row | undefined> {
    await this.#db.deleteFrom('idempotencyKeys').where('createdAt', '<', oldest).execute();
    await this.#forgetMany(held.userUuid);
    try {
      await this.#db.insertInto('idempotencyKeys').values({ ...held, requestHash, content: null, status: null, answer: null, renewedAt: held.createdAt }).execute();
      return undefined;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      const row = await this.#db.selectFrom('idempotencyKeys').selectAll().where('userUuid', '=', held.userUuid).where('key', '=', held.key).executeTakeFirst();
      return row ?? this.take(held, requestHash, oldest);
    }
  }

  async #forgetMany(userUuid: string): Promise<void> {
    const last = this.#db.selectFrom('idempotencyKeys').select('createdAt').where('userUuid', '=', userUuid).orderBy('createdAt', 'desc').offset(keysPerUser - 1).limit(1);
    await this.#db.deleteFrom('idempotencyKeys').where('userUuid', '=', userUuid).where('status', 'is not', null).where('createdAt', '<=', last).execute();
  }

  /** Whether the request still holds its key. */
  async renew(held: HeldKey, now: Time): Promise<boolean> {
    return (await this.#db.updateTable('idempotencyKeys').set({ renewedAt: now }).where(holds(held)).executeTakeFirst()).numUpdatedRows > 0n;
  }

  /** Also in the place of what the same request has answered before. Whether the key is this request's still. */
  async answer(held: HeldKey, status: number, answer: Json, content: string | null): Promise<boolean> {
    return (await this.#db.updateTable('idempotencyKeys').set({ status, answer, content }).where(took(held)).executeTakeFirst()).numUpdatedRows > 0n;
  }

  /** Whether this call let go of an unanswered key; with `renewedAt`, only when nothing has been heard of its request since. */
  async release(held: HeldKey, renewedAt?: Time | null): Promise<boolean> {
    let query = this.#db.deleteFrom('idempotencyKeys').where(holds(held));
    if (renewedAt !== undefined) query = query.where('renewedAt', renewedAt === null ? 'is' : '=', renewedAt);
    return (await query.executeTakeFirst()).numDeletedRows > 0n;
  }
}
