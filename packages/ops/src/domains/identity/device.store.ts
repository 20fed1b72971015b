import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { Time } from '../../storage/values.ts';

/** A device that waits for its user. `hash` is that of the code the device holds; `userCode` is what the user sees. */
interface DeviceCodeTable {
  id: Generated<number>; hash: string; userCode: string; address: string; expiresAt: Time; polledAt: Time | null;
  state: 'pending' | 'approved' | 'denied'; userUuid: string | null;
}
export interface DeviceTables { deviceCodes: DeviceCodeTable }
export type DeviceRow = Selectable<DeviceCodeTable>;

export class DeviceStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async sweep(now: Time): Promise<void> {
    await this.#db.deleteFrom('deviceCodes').where('expiresAt', '<=', now).execute();
  }

  async count(address?: string): Promise<number> {
    let query = this.#db.selectFrom('deviceCodes').select((eb) => eb.fn.countAll<number | string>().as('n'));
    if (address !== undefined) query = query.where('address', '=', address);
    return Number((await query.executeTakeFirstOrThrow()).n);
  }

  async insert(row: Pick<DeviceRow, 'hash' | 'userCode' | 'address' | 'expiresAt'>): Promise<void> {
    await this.#db.insertInto('deviceCodes').values({ ...row, polledAt: null, state: 'pending', userUuid: null }).execute();
  }

  by(key: { hash: string } | { userCode: string }): Promise<DeviceRow | undefined> {
    const query = this.#db.selectFrom('deviceCodes').selectAll();
    return ('hash' in key ? query.where('hash', '=', key.hash) : query.where('userCode', '=', key.userCode)).executeTakeFirst();
  }

  async polled(id: number, now: Time): Promise<void> {
    await this.#db.updateTable('deviceCodes').set({ polledAt: now }).where('id', '=', id).execute();
  }

  /** Whether it was still pending. */
  async decide(id: number, decision: { state: 'approved'; userUuid: string } | { state: 'denied' }): Promise<boolean> {
    const done = await this.#db.updateTable('deviceCodes').set(decision).where('id', '=', id).where('state', '=', 'pending').executeTakeFirst();
    return done.numUpdatedRows === 1n;
  }

  /** Whether this call took it away. */
  async take(id: number): Promise<boolean> {
    return (await this.#db.deleteFrom('deviceCodes').where('id', '=', id).executeTakeFirst()).numDeletedRows === 1n;
  }
}
