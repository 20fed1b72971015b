import { PotorooError } from '@potoroo/contract';
import type { LogCursor } from '../domains/domains.ts';

/** A cursor as callers pass it back: opaque to them. */
export const writeCursor = (cursor: LogCursor): string => Buffer.from(JSON.stringify(cursor)).toString('base64url');

/** @throws invalid_cursor */
export function readCursor(text: string): LogCursor {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    value = null;
  }
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
  if (entries === null || !entries.every(([, offset]) => Number.isSafeInteger(offset) && (offset as number) >= 0)) {
    throw new PotorooError('invalid_cursor', 'cursor is not one that this log gave out: pass the cursor of the page before, unchanged.', { fields: [{ field: 'cursor', message: 'unknown' }] });
  }
  return Object.fromEntries(entries) as LogCursor;
}
