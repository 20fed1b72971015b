import { PotorooError } from '@potoroo/contract';

/** So many pieces of work at a time; others wait in their order, and so many may wait. */
export class Turns {
  readonly #most: { readonly atOnce: number; readonly waiting: number };
  #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: { readonly atOnce: number; readonly waiting: number }) {
    this.#most = most;
  }

  /** @throws overloaded; the reason of `signal`, which ends the wait for a turn */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running >= this.#most.atOnce) {
      if (this.#waiting.length >= this.#most.waiting) throw new PotorooError('overloaded', `${this.#waiting.length} readers of logs are waiting already: try again in a moment.`);
      await this.#turn(signal);
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      // Handed on as it is: nobody can come in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== enter);
        reject(signal?.reason as Error);
      };
      const enter = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(enter);
    });
  }
}
