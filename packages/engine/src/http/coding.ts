import { constants, deflate, gunzip, gzip, inflate } from 'node:zlib';
import { PotorooError } from '@potoroo/contract/plain';
import type { Body, Exchange } from './exchange.ts';

/** Shorter answers cost more to pack than to send. */
const worthBytes = 1024;
/** Bodies unpacked at once: each may grow to the bound, so that this is what bombs can take. */
const unpackedAtOnce = 4;

let unpacking = 0;
const waiting: (() => void)[] = [];

export function tooLarge(limit: number): PotorooError {
  return new PotorooError('body_too_large', `The body is larger than the ${limit} bytes this engine takes. Send fewer rows a request, or raise --max-body-bytes.`);
}

/**
 * A body as it was before its Content-Encoding: gzip, or deflate as HTTP means it, with zlib's head.
 * @param limit bytes that it may have then
 * @throws PotorooError `unsupported_content_type`, `body_too_large`, `malformed_body`
 */
export async function decompress(body: Uint8Array, encoding: string, limit: number): Promise<Uint8Array> {
  const run = encoding === 'gzip' || encoding === 'x-gzip' ? gunzip : encoding === 'deflate' ? inflate : undefined;
  if (run === undefined) throw new PotorooError('unsupported_content_type', `Content-Encoding '${encoding.slice(0, 40)}' is not supported. Use gzip or deflate, or none.`);
  if (unpacking >= unpackedAtOnce) await new Promise<void>((resolve) => { waiting.push(resolve); });
  else unpacking++;
  try {
    return await new Promise((resolve, reject) => {
      run(body, { maxOutputLength: limit }, (error, result) => {
        if (error === null) resolve(result);
        else reject((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(limit) : new PotorooError('malformed_body', `The body is not ${encoding} as its Content-Encoding says, or it is cut off.`));
      });
    });
  } finally {
    const next = waiting.shift();
    if (next === undefined) unpacking--;
    else next();
  }
}

/** The coding that an Accept-Encoding likes best of those we have; undefined for none. */
export function preferred(accept: string): 'gzip' | 'deflate' | undefined {
  let best: 'gzip' | 'deflate' | undefined;
  let weight = 0;
  for (const part of accept.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim());
    const coding = name === 'gzip' || name === 'x-gzip' || name === '*' ? 'gzip' : name === 'deflate' ? 'deflate' : undefined;
    const quality = Number(parameters.find((text) => text.startsWith('q='))?.slice(2) ?? 1);
    if (coding === undefined || !(quality > weight || (quality === weight && quality > 0 && coding === 'gzip'))) continue;
    best = coding;
    weight = quality;
  }
  return best;
}

/** Answers 200, packed where the client offers to unpack it and that is worth it. */
export function sendPacked(exchange: Exchange, contentType: string, body: Body, headers: string): void {
  const accept = exchange.header('accept-encoding');
  const coding = accept === undefined ? undefined : preferred(accept);
  const bytes = coding === undefined ? undefined : typeof body === 'string' ? Buffer.from(body) : Buffer.concat(body);
  if (bytes === undefined || bytes.length < worthBytes) return exchange.send(200, contentType, body, headers);
  // On a thread of its own, at the speed of a network rather than the best size: other answers are not to wait for it.
  (coding === 'gzip' ? gzip : deflate)(bytes, { level: constants.Z_BEST_SPEED }, (error, packed) => {
    if (error !== null || packed.length >= bytes.length) exchange.send(200, contentType, [bytes], headers);
    else exchange.send(200, contentType, [packed], `${headers}Content-Encoding: ${coding}\r\n`);
  });
}
