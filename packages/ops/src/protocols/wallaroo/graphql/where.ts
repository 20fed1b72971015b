import { PotorooError } from '@potoroo/contract';
import type { Session } from './session.ts';

/** What a resolver hands to graphql-js: values, and functions of (arguments, session) for what has to be looked up. */
export type Node = Record<string, unknown>;
export type Where = Record<string, unknown>;
export type OrderBy = Record<string, unknown>;

const comparable = (value: unknown): unknown => (value instanceof Date ? value.getTime() : value);
/** Times arrive as strings; they are compared as times where the row has one. */
const operand = (value: unknown, like: unknown): unknown => (like instanceof Date ? Date.parse(String(value)) : value);
/** SQL's ILIKE: % is any run of characters, _ any one. Walks both strings once, so that no pattern is slow. */
function ilike(value: string, pattern: string): boolean {
  const [text, like] = [value.toLowerCase(), pattern.toLowerCase()];
  let [t, l, star, from] = [0, 0, -1, 0];
  while (t < text.length) {
    if (like[l] === '%') [star, from, l] = [l, t, l + 1];
    else if (l < like.length && (like[l] === '_' || like[l] === text[t])) [t, l] = [t + 1, l + 1];
    else if (star >= 0) [l, from, t] = [star + 1, from + 1, from + 1];
    else return false;
  }
  while (like[l] === '%') l += 1;
  return l === like.length;
}

const comparisons: Record<string, (value: unknown, wanted: unknown) => boolean> = {
  _eq: (value, wanted) => comparable(value) === operand(wanted, value),
  _neq: (value, wanted) => comparable(value) !== operand(wanted, value),
  _in: (value, wanted) => (wanted as unknown[]).some((w) => comparable(value) === operand(w, value)),
  _gte: (value, wanted) => Number(comparable(value)) >= Number(operand(wanted, value)),
  _gt: (value, wanted) => Number(comparable(value)) > Number(operand(wanted, value)),
  _lte: (value, wanted) => Number(comparable(value)) <= Number(operand(wanted, value)),
  _lt: (value, wanted) => Number(comparable(value)) < Number(operand(wanted, value)),
  _ilike: (value, wanted) => ilike(String(value), String(wanted)),
  _is_null: (value, wanted) => (value === null || value === undefined) === wanted,
};

async function valueOf(node: Node, field: string, session: Session): Promise<unknown> {
  const value = node[field];
  return typeof value === 'function' ? await (value as (args: object, session: Session) => unknown)({}, session) : value;
}

/** Whether a row satisfies a filter; relations are looked up as far as the filter mentions them. */
export async function matches(where: Where | null | undefined, node: Node, session: Session): Promise<boolean> {
  for (const [key, condition] of Object.entries(where ?? {})) {
    if (condition === null || condition === undefined) continue;
    if (key === '_and') {
      for (const part of condition as Where[]) if (!(await matches(part, node, session))) return false;
      continue;
    }
    const value = await valueOf(node, key, session);
    for (const [operator, wanted] of Object.entries(condition as Where)) {
      const compare = comparisons[operator];
      if (compare === undefined) continue; // a relation's own field
      // Left out is not the same as null: a null would otherwise silently match everything, or nothing.
      if (wanted === null || wanted === undefined) throw new PotorooError('invalid_request', `The filter ${key}.${operator} is null. Give it a value or leave it out.`);
      if (!compare(value, wanted)) return false;
    }
    if (Object.keys(condition).some((k) => comparisons[k] === undefined)) {
      if (value === null || value === undefined || !(await matches(condition as Where, value as Node, session))) return false;
    }
  }
  return true;
}

export async function filter<T extends Node>(rows: readonly T[], where: Where | null | undefined, session: Session): Promise<T[]> {
  const kept: T[] = [];
  for (const row of rows) if (await matches(where, row, session)) kept.push(row);
  return kept;
}

/** The value that a filter pins a field to, wherever in its conjunctions that stands: what can be asked of a domain directly. */
export function pinned(where: Where | null | undefined, ...path: string[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return (where as { _eq?: unknown } | null | undefined)?._eq ?? undefined;
  if (where === null || where === undefined) return undefined;
  const own = where[key] === undefined ? undefined : pinned(where[key] as Where, ...rest);
  if (own !== undefined) return own;
  for (const part of (where['_and'] as Where[] | undefined) ?? []) {
    const found = pinned(part, ...path);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Sorts by plain columns, the first that differs decides. */
export function sorted<T extends Node>(rows: readonly T[], order: readonly OrderBy[] | null | undefined): T[] {
  const keys = (order ?? []).flatMap((o) => Object.entries(o)).filter(([, direction]) => typeof direction === 'string');
  return [...rows].sort((a, b) => {
    for (const [key, direction] of keys) {
      const x = comparable(a[key]) as number | string;
      const y = comparable(b[key]) as number | string;
      if (x !== y) return (x < y ? -1 : 1) * (String(direction).startsWith('desc') ? -1 : 1);
    }
    return 0;
  });
}

/** The first row of each combination of values. */
export function distinct<T extends Node>(rows: readonly T[], columns: readonly string[] | null | undefined): T[] {
  if (!columns?.length) return [...rows];
  const seen = new Set<string>();
  return rows.filter((row) => {
    const key = JSON.stringify(columns.map((c) => comparable(row[c])));
    return !seen.has(key) && seen.add(key);
  });
}
