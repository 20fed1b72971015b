import { PotorooError } from '@potoroo/contract';

const windowMs = 15 * 60_000;
const perAccountAndAddress = 10;
const perAddress = 100;
const maxKeys = 10_000;

/**
 * Counts wrong passwords, so that guessing is slow. Per account *and* address, so that nobody can lock somebody else out;
 * per address, so that many accounts cannot be tried from one place. Bounded: beyond the limit the oldest are forgotten.
 */
export class Attempts {
  readonly #failures = new Map<string, { count: number; until: number; told: boolean }>();
  readonly #clock: () => number;
  readonly #what: string;
  readonly #onLimited: (account: string, address: string) => Promise<void>;

  /** `onLimited` hears of each limit once, however often somebody runs into it. */
  constructor(clock: () => number, what: string, onLimited: (account: string, address: string) => Promise<void>) {
    this.#clock = clock;
    this.#what = what;
    this.#onLimited = onLimited;
  }

  /** @throws rate_limited */
  async check(account: string, address: string): Promise<void> {
    for (const [key, limit] of limits(account, address)) {
      const entry = this.#failures.get(key);
      if (entry === undefined || entry.until <= this.#clock() || entry.count < limit) continue;
      if (!entry.told) {
        entry.told = true;
        await this.#onLimited(account, address);
      }
      const minutes = Math.ceil((entry.until - this.#clock()) / 60_000);
      throw new PotorooError('rate_limited', `${this.#what}: try again in ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}.`);
    }
  }

  failed(account: string, address: string): void {
    const now = this.#clock();
    for (const [key] of limits(account, address)) {
      const entry = this.#failures.get(key);
      const count = entry !== undefined && entry.until > now ? entry.count + 1 : 1;
      this.#failures.delete(key);
      this.#failures.set(key, { count, until: now + windowMs, told: false });
    }
    for (const key of this.#failures.keys()) {
      if (this.#failures.size <= maxKeys) break;
      this.#failures.delete(key);
    }
  }

  succeeded(account: string, address: string): void {
    this.#failures.delete(limits(account, address)[0][0]);
  }
}

const limits = (account: string, address: string) =>
  [[JSON.stringify([account.toLowerCase().slice(0, 256), address]), perAccountAndAddress], [address, perAddress]] as const;
