import type { Field } from '@potoroo/contract/plain';
import { sizeOf } from './batch.ts';

/**
 * The one rule of which row shapes fit a declared one, for every encoding: the same dimensions with -1 for any; or a flat
 * list (or a lone value) with as many elements as the declared shape holds, where at most one free dimension is worked out.
 * @returns the row shape to use, or undefined where it does not fit
 */
export function fitShape(declared: readonly number[], got: readonly number[]): readonly number[] | undefined {
  if (declared.length === got.length && declared.every((d, i) => d === -1 || d === got[i])) return got;
  if (got.length > 1) return undefined;
  const count = sizeOf(got);
  let known = 1;
  let free = -1;
  for (const [i, d] of declared.entries()) {
    if (d !== -1) known *= d;
    else if (free === -1) free = i;
    else return undefined;
  }
  if (free === -1) return known === count ? declared : undefined;
  if (known === 0 || count % known !== 0) return undefined;
  return declared.map((d) => (d === -1 ? count / known : d));
}

/** `float32[3,224,224]`, `int64`, `string[any]`: how messages show a type. */
export function typeText(type: string, shape: readonly number[]): string {
  return shape.length === 0 ? type : `${type}[${shape.map((d) => (d === -1 ? 'any' : d)).join(',')}]`;
}

/** `tensor (float32[29]), age (int64)`: how messages list what is expected. */
export function fieldsText(fields: readonly Field[]): string {
  const shown = fields.slice(0, 20).map((f) => `${f.name} (${typeText(f.type, f.shape)})`).join(', ');
  return fields.length > 20 ? `${shown} and ${fields.length - 20} more` : shown || 'no columns';
}

/** A name or value from a request, quoted and short enough for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

export function equalShapes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}
