import { PotorooError } from '@potoroo/contract';
import type { Page, PageQuery } from '../domains/domains.ts';

const defaultLimit = 100;
const maxLimit = 1000;

export interface PageWindow {
  /** Rows to read: one more than is given out, to know whether there are more. */
  readonly take: number;
  /** Only rows with a smaller id; undefined on the first page. */
  readonly before: number | undefined;
}

/** @throws invalid_cursor, invalid_request */
export function pageWindow(query: PageQuery | undefined): PageWindow {
  const limit = query?.limit ?? defaultLimit;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    throw new PotorooError('invalid_request', `limit ${limit} is not allowed: use a whole number from 1 to ${maxLimit}.`, { fields: [{ field: 'limit', message: `1 to ${maxLimit}` }] });
  }
  return { take: limit + 1, before: query?.cursor === undefined ? undefined : decode(query.cursor) };
}

/** Rows came ordered by descending `key`, at most `take` of them. */
export function pageFrom<Row, Item>(rows: readonly Row[], window: PageWindow, key: (row: Row) => number, item: (row: Row) => Item): Page<Item> {
  const shown = rows.slice(0, window.take - 1);
  const last = shown.at(-1);
  const cursor = rows.length < window.take || last === undefined ? null : encode(key(last));
  return { items: shown.map(item), cursor };
}

/** All pages of a list, for callers that need the whole of a small one. */
export async function* everyPage<T>(read: (query: PageQuery) => Promise<Page<T>>): AsyncGenerator<T> {
  let cursor: string | null | undefined;
  do {
    const page: Page<T> = await read({ limit: maxLimit, ...(cursor ? { cursor } : {}) });
    yield* page.items;
    cursor = page.cursor;
  } while (cursor !== null);
}

const encode = (id: number): string => Buffer.from(`id:${id}`).toString('base64url');
function decode(cursor: string): number {
  const match = /^id:(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (match === null || encode(Number(match[1])) !== cursor) {
    throw new PotorooError('invalid_cursor', 'cursor is not one that this list gave out: pass the cursor of the page before, unchanged.', { fields: [{ field: 'cursor', message: 'unknown' }] });
  }
  return Number(match[1]);
}
