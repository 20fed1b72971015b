import { randomBytes } from 'node:crypto';
import { PotorooError } from '@potoroo/contract/plain';
import type { Exchange } from './exchange.ts';

// Unique enough and cheap: a random word for the process, then a count.
const processWord = randomBytes(6).toString('hex');
let count = 0;

/** The caller's `X-Request-Id` where it is one that can be echoed and logged safely, else one of ours. */
export function requestId(exchange: Exchange): string {
  const given = exchange.header('x-request-id');
  if (given !== undefined && given.length <= 128 && /^[\x21-\x7e]+$/.test(given)) return given;
  return `${processWord}-${(count++).toString(36)}`;
}

/** @throws PotorooError `invalid_request` */
export function timeoutMs(exchange: Exchange): number | undefined {
  const text = exchange.header('x-potoroo-timeout-ms');
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value === 0) throw new PotorooError('invalid_request', `x-potoroo-timeout-ms must be a whole number of milliseconds above 0, not '${text.slice(0, 40)}'.`);
  return value;
}
