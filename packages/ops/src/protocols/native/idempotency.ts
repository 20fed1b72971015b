import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import { actorOf } from '../authenticate.ts';
import { IdempotencyStore, type HeldKey } from './idempotency.store.ts';
import type { Transaction } from '../../storage/database.ts';

const keptMs = 24 * 3_600_000;
/** A request that holds a key says so this often, while it works or its file arrives. */
const renewMs = 10_000;
/** One that has not for this long was cut off by an end of the server, or its file does not arrive any more; its key may be used again. */
const abandonedMs = 60_000;

type Content = AsyncIterable<Uint8Array>;
/** Keeps what will be answered in the transaction that makes what it tells of, so that neither is there without the other. */
export type Keep = (answer: unknown, transaction: Transaction) => Promise<void>;
export const keepNothing: Keep = async () => {};
/** Does what is asked for, with the file that it is given. */
type Run = (content: Content, keep: Keep) => Promise<unknown>;
/** What makes a request the same as another: all that is said in it and, of an upload, the file. */
export interface Sameness { readonly said: readonly unknown[]; readonly content?: Content }
async function* nothing(): AsyncGenerator<Uint8Array> { yield* []; }

const different = (): PotorooError => new PotorooError('idempotency_conflict', 'This Idempotency-Key was used for a different request: use a new key for each request.');

/**
 * With the header `Idempotency-Key`, a create that is sent again is answered as the first time instead of being done twice.
 * Keys are per user and kept for a day. Failures are not kept: they may be tried again.
 */
export class Idempotency {
  readonly #store: IdempotencyStore;
  readonly #clock: () => number;

  constructor(store: IdempotencyStore, clock: () => number) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws idempotency_conflict, conflict while the first request is still at work */
  async once(request: FastifyRequest, reply: FastifyReply, status: number, same: Sameness, run: Run): Promise<unknown> {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return run(same.content ?? nothing(), keepNothing);
    if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new PotorooError('invalid_request', 'The header Idempotency-Key has to be 1 to 255 printable characters, once.', { fields: [{ field: 'Idempotency-Key', message: '1 to 255 printable characters' }] });
    }
    const now = this.#clock();
    const held = { userUuid: actorOf(request).id, key, createdAt: now };
    const hash = createHash('sha256').update(JSON.stringify([request.method, request.url, ...same.said])).digest('hex');
    const known = await this.#store.take(held, hash, now - keptMs);
    if (known === undefined) return this.#run(held, status, same.content, run);
    if (known.requestHash !== hash) throw different();
    if (known.status === null || known.answer === null) {
      const abandoned = now - (known.renewedAt ?? known.createdAt) > abandonedMs && (await this.#store.release(known, known.renewedAt));
      if (abandoned) return this.once(request, reply, status, same, run);
      reply.header('retry-after', '1');
      throw new PotorooError('conflict', 'The first request with this Idempotency-Key is still at work: send it again in a moment.');
    }
    if (same.content !== undefined && !(await isSame(known.content ?? '', same.content))) throw different();
    reply.header('idempotency-replayed', 'true');
    return JSON.parse(known.answer);
  }

  async #run(held: HeldKey, status: number, content: Content | undefined, run: Run): Promise<unknown> {
    const clock = this.#clock;
    const requireHeld = (still: boolean): void => {
      if (!still) throw new PotorooError('conflict', 'Nothing came of this upload for so long that a later request with its Idempotency-Key went before it: ask for the answer of that one.');
    };
    const renew = async (): Promise<void> => requireHeld(await this.#store.renew(held, clock()));
    let arrived: string | null = null;
    async function* read(pieces: Content): Content {
      const file = new Digest();
      let renewed = clock();
      for await (const piece of pieces) {
        file.add(piece);
        yield piece;
        if (clock() - renewed < renewMs) continue;
        renewed = clock();
        await renew();
      }
      await renew();
      arrived = file.end();
    }
    // While a file arrives its pieces tell: a connection that is dead must not hold the key.
    const timer = setInterval(() => { if (content === undefined || arrived !== null) renew().catch(() => {}); }, renewMs).unref();
    try {
      const keepIn = (store: IdempotencyStore, answer: unknown): Promise<boolean> => store.answer(held, status, JSON.stringify(answer), arrived);
      const answer = await run(content === undefined ? nothing() : read(content), async (made, transaction) => requireHeld(await keepIn(new IdempotencyStore(transaction), made)));
      await keepIn(this.#store, answer);
      return answer;
    } catch (error) {
      await this.#store.release(held);
      throw error;
    } finally {
      clearInterval(timer);
    }
  }
}

/** Size and SHA-256 of a file, as one text. */
class Digest {
  readonly #hash = createHash('sha256');
  size = 0;
  add(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.size += piece.byteLength;
  }
  end(): string {
    return `${this.size} ${this.#hash.digest('hex')}`;
  }
}

/** Reads the file to see whether it is the known one, no further than that is long. */
async function isSame(known: string, pieces: Content): Promise<boolean> {
  const file = new Digest();
  for await (const piece of pieces) {
    file.add(piece);
    if (file.size > Number.parseInt(known, 10)) return false;
  }
  return file.end() === known;
}
