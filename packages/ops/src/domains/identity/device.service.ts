import { createHash, randomBytes, randomInt } from 'node:crypto';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import type { DeviceSignIns, DeviceStart, Tokens } from '../domains.ts';
import { Attempts } from './attempts.ts';
import { DeviceStore, type DeviceRow } from './device.store.ts';
import type { IdentityService } from './identity.service.ts';

const lifetimeSeconds = 600;
const intervalSeconds = 2;
/** A device that keeps its interval may be early by what the network gained. */
const toleranceMs = 250;
const mostPerAddress = 50;
const most = 10_000;
/** No vowels and nothing that looks like something else: no words, easy to type. */
const letters = 'BCDFGHJKLMNPQRSTVWXZ';

/** Sign-in on a machine without a browser (RFC 8628): it shows a code, its user confirms that code on a page. */
export class DeviceService implements DeviceSignIns {
  readonly #store: DeviceStore;
  readonly #identity: IdentityService;
  readonly #guesses: Attempts;
  readonly #clock: () => number;

  constructor(db: Kysely<Database>, identity: IdentityService, clock: () => number) {
    this.#store = new DeviceStore(db);
    this.#identity = identity;
    this.#guesses = new Attempts(clock, 'Too many wrong codes', (_, address) => identity.report('devices.approve', 'rate_limited', address, undefined));
    this.#clock = clock;
  }

  async start(address: string): Promise<DeviceStart> {
    const now = this.#clock();
    await this.#store.sweep(now);
    if ((await this.#store.count(address)) >= mostPerAddress || (await this.#store.count()) >= most) {
      throw new PotorooError('rate_limited', 'Too many sign-ins have been started and not finished: try again in ten minutes.');
    }
    const deviceCode = randomBytes(32).toString('base64url');
    const userCode = newUserCode();
    try {
      await this.#store.insert({ hash: sha256(deviceCode), userCode, address, expiresAt: now + lifetimeSeconds * 1000 });
    } catch (error) {
      if (isUniqueViolation(error)) return this.start(address);
      throw error;
    }
    return { deviceCode, userCode, expiresIn: lifetimeSeconds, interval: intervalSeconds };
  }

  async poll(deviceCode: string): Promise<Tokens | 'pending' | 'slow_down' | 'expired' | 'denied'> {
    const now = this.#clock();
    const row = await this.#store.by({ hash: sha256(deviceCode) });
    if (row === undefined || row.expiresAt <= now) return 'expired';
    if (row.state === 'pending') {
      await this.#store.polled(row.id, now);
      return row.polledAt !== null && now - row.polledAt < intervalSeconds * 1000 - toleranceMs ? 'slow_down' : 'pending';
    }
    // Once: two devices with one code do not both get tokens.
    if (!(await this.#store.take(row.id))) return 'expired';
    return row.state === 'denied' || row.userUuid === null ? 'denied' : this.#identity.signIn(row.userUuid);
  }

  async isPending(userCode: string, address: string): Promise<boolean> {
    return (await this.#pending(userCode, address)) !== undefined;
  }

  async approve(userCode: string, username: string, password: string, address: string): Promise<void> {
    const row = await this.#pending(userCode, address);
    if (row === undefined) throw gone();
    const userUuid = await this.#identity.authenticate(username, password, address, 'devices.approve');
    if (!(await this.#store.decide(row.id, { state: 'approved', userUuid }))) throw gone();
  }

  async deny(userCode: string, address: string): Promise<void> {
    const row = await this.#pending(userCode, address);
    if (row === undefined || !(await this.#store.decide(row.id, { state: 'denied' }))) throw gone();
  }

  /** A code that is waiting; a wrong one counts as a guess. @throws rate_limited */
  async #pending(given: string, address: string): Promise<DeviceRow | undefined> {
    await this.#guesses.check('', address);
    const plain = given.toUpperCase().replace(/[^A-Z]/g, '').slice(0, 8);
    const row = await this.#store.by({ userCode: `${plain.slice(0, 4)}-${plain.slice(4)}` });
    if (row?.state === 'pending' && row.expiresAt > this.#clock()) return row;
    this.#guesses.failed('', address);
    return undefined;
  }
}

const gone = () => new PotorooError('invalid_request', 'This code is unknown, used or expired: start the sign-in again where you came from.');

/** 20^8 codes: with ten guesses a quarter of an hour nobody finds one that waits. */
function newUserCode(): string {
  const pick = () => Array.from({ length: 4 }, () => letters[randomInt(letters.length)]).join('');
  return `${pick()}-${pick()}`;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
