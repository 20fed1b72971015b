/** Tells listeners that a thing changed. A change that comes between two calls of `next` is not lost; several count as one. */
export class Changes {
  readonly #listeners = new Map<number, Set<() => void>>();

  tell(id: number): void {
    for (const listener of this.#listeners.get(id) ?? []) listener();
  }

  tellAll(): void {
    for (const id of this.#listeners.keys()) this.tell(id);
  }

  /** Listens until stopped. `next` resolves at the next change or when the signal aborts. */
  listen(id: number): { readonly next: (signal: AbortSignal) => Promise<void>; readonly stop: () => void } {
    let pending = false;
    let wake = (): void => {};
    const listener = (): void => {
      pending = true;
      wake();
    };
    const all = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, all.add(listener));
    return {
      async next(signal) {
        if (!pending && !signal.aborted) {
          await new Promise<void>((resolve) => {
            wake = () => {
              signal.removeEventListener('abort', wake);
              resolve();
            };
            signal.addEventListener('abort', wake);
          });
        }
        pending = false;
      },
      stop: () => {
        all.delete(listener);
        if (all.size === 0) this.#listeners.delete(id);
      },
    };
  }
}
