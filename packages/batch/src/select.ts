import type { Batch } from './batch.ts';

/**
 * The columns that a `dataset` and a `dataset_exclude` ask for. A name is a dataset (`time`, `in`, `out`, `anomaly`,
 * `metadata`, `out_<model>` of one challenger, `out_` of all of them) or goes deeper (`out.variable`); `*` is everything but
 * `metadata`. The deeper name wins (`metadata.elapsed` is kept where `metadata` is excluded); of two equally deep ones the
 * exclude wins. No includes at all mean `*`. Names that match nothing are ignored; who knows all columns there can be refuses them before.
 */
export function select(batch: Batch, include: readonly string[], exclude: readonly string[]): Batch {
  const wanted = include.length === 0 ? everything : include;
  if (exclude.length === 0 && wanted.includes('*') && !batch.columns.some((c) => isMetadata(c.name))) return batch;
  const columns = batch.columns.filter((c) => depth(wanted, c.name) > depth(exclude, c.name));
  return { rows: batch.rows, columns };
}

const everything = ['*'];

/** Names that anybody may ask for, whether or not there are such columns. */
export const datasets: readonly string[] = ['*', 'time', 'in', 'out', 'anomaly', 'metadata', 'meta', 'out_'];

/** Whether a name is a dataset or goes deeper into one. Which columns there are is another question, and in a log one of the version that wrote it. */
export function isWithinDataset(name: string): boolean {
  return datasets.includes(name) || name.startsWith('out_') || /^(?:in|out|anomaly|metadata)\../.test(name);
}

function isMetadata(name: string): boolean {
  return name === 'metadata' || name.startsWith('metadata.');
}

/** How deep the deepest of these names that covers the column goes; -1 where none does. */
function depth(names: readonly string[], column: string): number {
  let best = -1;
  for (const asked of names) {
    // The guide writes `meta` as well.
    const name = asked === 'meta' ? 'metadata' : asked;
    if (name === '*') {
      if (!isMetadata(column)) best = Math.max(best, 0);
    } else if (covers(name, column)) best = Math.max(best, name.split('.').length);
  }
  return best;
}

function covers(name: string, column: string): boolean {
  if (name === 'out_') return column.startsWith('out_');
  return column.startsWith(name) && (column.length === name.length || column[name.length] === '.');
}
