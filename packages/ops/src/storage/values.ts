import { sql, type RawBuilder } from 'kysely';

/**
 * How values lie in a table, the same in SQLite and Postgres: a time is milliseconds since the epoch (bigint), a boolean
 * 0 or 1 (integer), a document JSON text.
 */
export type Time = number;
export type Flag = 0 | 1;
export type Json = string;

export const flag = (value: boolean): Flag => (value ? 1 : 0);
export const date = (time: Time): Date => new Date(time);
export const json = (value: unknown): Json => JSON.stringify(value);
/** The caller names the type; only what this version or an older one wrote is in the table. */
export const parsed = <T>(text: Json): T => JSON.parse(text) as T;
export const parsedOrNull = <T>(text: Json | null): T | null => (text === null ? null : parsed<T>(text));

/** A condition: the column contains the term, whatever the case (ASCII). Camel case, as in the table types. */
export function contains(column: string, term: string): RawBuilder<boolean> {
  const pattern = `%${term.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`;
  return sql<boolean>`lower(${sql.ref(column)}) like ${pattern} escape '\\'`;
}
