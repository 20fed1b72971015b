import { allocate, halfToNumber, sizeOf, utf8From, type Batch, type Column, type TensorColumn, type Utf8, type Values } from '@potoroo/batch';
import type { Field } from '@potoroo/contract/plain';

/** Rows that fit `fields`: zeros and empty strings, free dimensions as 1. Every model should survive these. */
export function zeros(fields: readonly Field[], rows: number): Batch {
  return { rows, columns: fields.map((f): Column => {
    const shape = f.shape.map((d) => (d === -1 ? 1 : d));
    const n = rows * sizeOf(shape);
    return { kind: 'tensor', name: f.name, type: f.type, shape, values: f.type === 'string' ? utf8From(Array.from({ length: n }, () => '')) : allocate(f.type, n) };
  }) };
}

/** Rows that differ from each other, the same ones every time: to see whether a model keeps its rows apart. */
export function varied(fields: readonly Field[], rows: number): Batch {
  const base = zeros(fields, rows);
  let seed = 12345;
  const next = (): number => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  return { rows, columns: base.columns.map((c) => {
    if (c.kind !== 'tensor') return c;
    if (c.type === 'string') return { ...c, values: utf8From(Array.from({ length: (c.values as Utf8).offsets.length - 1 }, () => (next() < 0.5 ? 'a' : 'b'))) };
    const values = c.values as Exclude<Values, Utf8>;
    for (let i = 0; i < values.length; i++) {
      const x = next();
      if (c.type === 'float32' || c.type === 'float64') (values as Float32Array)[i] = x * 2 - 1;
      else if (c.type === 'float16') (values as Uint16Array)[i] = 0x3800 + Math.floor(x * 0x400); // [0.5, 1)
      else if (values instanceof BigInt64Array || values instanceof BigUint64Array) values[i] = x < 0.5 ? 0n : 1n;
      else values[i] = x < 0.5 ? 0 : 1;
    }
    return c;
  }) };
}

/**
 * Whether two columns hold the same rows. Floats may differ a little: matrix kernels for one row and for many add in
 * another order.
 */
export function agree(a: TensorColumn, b: TensorColumn): boolean {
  if (a.type !== b.type || a.shape.join() !== b.shape.join()) return false;
  if (a.type === 'string') {
    const [x, y] = [a.values as Utf8, b.values as Utf8];
    return x.offsets.length === y.offsets.length && x.offsets.every((o, i) => o - (x.offsets[0] ?? 0) === (y.offsets[i] ?? 0) - (y.offsets[0] ?? 0))
      && Buffer.compare(x.bytes.subarray(x.offsets[0], x.offsets.at(-1)), y.bytes.subarray(y.offsets[0], y.offsets.at(-1))) === 0;
  }
  const [x, y] = [a.values as Exclude<Values, Utf8>, b.values as Exclude<Values, Utf8>];
  if (x.length !== y.length) return false;
  const relative = a.type === 'float16' ? 1e-2 : a.type === 'float32' ? 1e-3 : a.type === 'float64' ? 1e-9 : 0;
  for (let i = 0; i < x.length; i++) {
    const [p, q] = a.type === 'float16' ? [halfToNumber(Number(x[i])), halfToNumber(Number(y[i]))] : [x[i], y[i]];
    if (p === q || (p !== p && q !== q)) continue;
    if (relative === 0 || typeof p !== 'number' || typeof q !== 'number' || !(Math.abs(p - q) <= relative * Math.max(Math.abs(p), Math.abs(q)) + relative / 100)) return false;
  }
  return true;
}
