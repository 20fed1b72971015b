import { PotorooError } from '@potoroo/contract';
import type { Page, PageQuery } from '../../domains/domains.ts';
import { everyPage } from '../../storage/paging.ts';

const most = 10_000;

/** Every item of a paged read, as the Python client wants lists. @throws invalid_request when there are too many for one answer. */
export async function all<T>(read: (page: PageQuery) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of everyPage(read)) {
    items.push(item);
    if (items.length > most) throw new PotorooError('invalid_request', `More than ${most} items match. Narrow the search, for example to one workspace.`);
  }
  return items;
}
