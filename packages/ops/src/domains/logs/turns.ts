import { PotorooError } from '@potoroo/contract';

/** So many pieces of work at a time; others wait in their order, and so many may wait. */
export class Turns {
  readonly #most: { readonly atOnce: number; readonly waiting: number };
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: { readonly atOnce: number; readonly waiting: number }) {
    this.#most = most;
  }

  /** @throws overloaded */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most.atOnce) {
      if (this.#waiting.length >= this.#most.waiting) throw new PotorooError('overloaded', `${this.#waiting.length} readers of logs are waiting already: try again in a moment.`);
      await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
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
}
