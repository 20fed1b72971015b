import type { TSchema } from '@sinclair/typebox';

/** A text as the kind of value its schema asks for, where it is exactly that; else as it is, for the check to refuse. `1.5` never becomes 1. */
export function fromText(schema: TSchema, text: unknown): unknown {
  if (typeof text !== 'string') return text;
  const type: unknown = schema['type'];
  if ((type === 'integer' || type === 'number') && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}
