import { elementBytes, type Column, type Utf8 } from '@potoroo/batch';

/**
 * Which columns of a row go first when the log must do without: the largest input, then smaller ones, then outputs the same way.
 * Everything else (time, anomalies, metadata) stays. Indices into `columns`.
 */
export function dropOrder(columns: readonly Column[], rows: number): number[] {
  const bySize = (matches: (name: string) => boolean): number[] => {
    const sized = columns.flatMap((column, index) => (matches(column.name) ? [{ index, bytes: columnBytes(column, rows) }] : []));
    return sized.toSorted((a, b) => b.bytes - a.bytes).map(({ index }) => index);
  };
  return [...bySize((name) => name.startsWith('in.')), ...bySize((name) => /^out[._]/.test(name))];
}

/** Up to this share of the bound everything is kept; from there to the bound, more and more columns are left out. */
const keepAllBelow = 3 / 4;

/** How many of the droppable columns to leave out of the next frame, by how full the spool is. */
export function dropCount(usedBytes: number, maxBytes: number, droppable: number): number {
  const over = (usedBytes / maxBytes - keepAllBelow) / (1 - keepAllBelow);
  return over <= 0 ? 0 : Math.min(droppable, Math.ceil(over * droppable));
}

function columnBytes(column: Column, rows: number): number {
  const nulls = column.nulls === undefined ? 0 : rows;
  if (column.kind === 'struct') return column.fields.reduce((sum, field) => sum + columnBytes(field, rows), nulls);
  if (column.kind === 'list') return nulls + rows * 4 + columnBytes(column.items, column.offsets[rows]!);
  const elements = column.shape.reduce((n, d) => n * d, rows);
  if (column.type !== 'string') return nulls + elements * elementBytes[column.type];
  const { offsets } = column.values as Utf8;
  return nulls + elements * 4 + offsets[elements]! - offsets[0]!;
}
