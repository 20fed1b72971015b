import type { LogSchema, LogType } from '@potoroo/batch/frames';

/**
 * What makes two logs one table: names and types of the columns in order. A tensor and lists as deep as its rank are the same
 * type here, as they are in Arrow, so that a shape that differs from request to request is no change of schema.
 */
export function columnsKey(schema: LogSchema): string {
  let key = keys.get(schema);
  if (key === undefined) keys.set(schema, key = JSON.stringify(schema.columns.map((c) => [c.name, typeKey(c)])));
  return key;
}

const keys = new WeakMap<LogSchema, string>();

function typeKey(type: LogType): unknown {
  if (type.kind === 'list') return ['list', typeKey(type.items)];
  if (type.kind === 'struct') return type.fields.map((f) => [f.name, typeKey(f)]);
  let key: unknown = type.type;
  for (let i = 0; i < type.rank; i += 1) key = ['list', key];
  return key;
}
