import { type Batch, type Column, type Utf8, type Values } from '@potoroo/batch';

/**
 * A batch that can go to another thread, and the buffers to move with it. Posting a view would clone the whole buffer it
 * looks at (a request body, say), so views are copied down to size first. With `keep` the caller goes on using the batch:
 * everything is copied.
 */
export function detach(batch: Batch, keep: boolean): { batch: Batch; transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const own = <T extends Exclude<Values, Utf8>>(array: T): T => {
    const whole = array.byteOffset === 0 && array.byteLength === array.buffer.byteLength;
    const copy = whole && !keep ? array : (array.slice() as T);
    if (!transfer.includes(copy.buffer as ArrayBuffer)) transfer.push(copy.buffer as ArrayBuffer);
    return copy;
  };
  const values = (v: Values): Values => {
    if (!('offsets' in v)) return own(v);
    const from = v.offsets[0] ?? 0;
    return { offsets: own(v.offsets.map((o) => o - from)), bytes: own(v.bytes.slice(from, v.offsets[v.offsets.length - 1])) };
  };
  const column = (c: Column): Column => {
    const nulls = c.nulls === undefined ? {} : { nulls: own(c.nulls) };
    if (c.kind === 'tensor') return { ...c, values: values(c.values), ...nulls };
    if (c.kind === 'list') return { ...c, offsets: own(c.offsets), items: column(c.items), ...nulls };
    return { ...c, fields: c.fields.map(column), ...nulls };
  };
  return { batch: { rows: batch.rows, columns: batch.columns.map(column) }, transfer };
}
