/** One page of a list; `cursor` is null on the last one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly cursor: string | null;
}

/**
 * A list that is fetched as it is read. `for await` gives every item, page after page; `page()` gives one page.
 *
 * @example for await (const model of potoroo.models.list()) console.log(model.name);
 */
export class Pages<T> implements AsyncIterable<T> {
  readonly #fetch: (cursor: string | undefined) => Promise<Page<T>>;

  constructor(fetch: (cursor: string | undefined) => Promise<Page<T>>) {
    this.#fetch = fetch;
  }

  page(cursor?: string): Promise<Page<T>> {
    return this.#fetch(cursor);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    let cursor: string | undefined;
    do {
      const page = await this.#fetch(cursor);
      yield* page.items;
      cursor = page.cursor ?? undefined;
    } while (cursor !== undefined);
  }

  /** At most `limit` items, from the start. */
  async toArray(limit = Number.POSITIVE_INFINITY): Promise<T[]> {
    const items: T[] = [];
    if (limit <= 0) return items;
    for await (const item of this) {
      items.push(item);
      if (items.length >= limit) break;
    }
    return items;
  }

  map<U>(make: (item: T) => U): Pages<U> {
    return new Pages(async (cursor) => {
      const page = await this.#fetch(cursor);
      return { items: page.items.map(make), cursor: page.cursor };
    });
  }
}
