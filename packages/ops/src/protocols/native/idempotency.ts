import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import { actorOf } from '../authenticate.ts';
import type { IdempotencyStore } from './idempotency.store.ts';

const keptMs = 24 * 3_600_000;
/** A request that has not been answered for this long was cut off by an end of the server; its key may be used again. */
const abandonedMs = 60_000;

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
  async once(request: FastifyRequest, reply: FastifyReply, status: number, run: () => Promise<unknown>): Promise<unknown> {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return run();
    if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new PotorooError('invalid_request', 'The header Idempotency-Key has to be 1 to 255 printable characters, once.', { fields: [{ field: 'Idempotency-Key', message: '1 to 255 printable characters' }] });
    }
    const user = actorOf(request).id;
    const hash = createHash('sha256').update(JSON.stringify([request.method, request.url, request.body])).digest('hex');
    const known = await this.#store.take(user, key, hash, this.#clock(), this.#clock() - keptMs);
    if (known !== undefined) {
      if (known.requestHash !== hash) throw new PotorooError('idempotency_conflict', 'This Idempotency-Key was used for a different request: use a new key for each request.');
      if (known.status === null || known.answer === null) {
        const abandoned = this.#clock() - known.createdAt > abandonedMs && (await this.#store.release(user, key, known.createdAt));
        if (abandoned) return this.once(request, reply, status, run);
        throw new PotorooError('conflict', 'The first request with this Idempotency-Key is still at work: send it again in a moment.');
      }
      reply.header('idempotency-replayed', 'true');
      return JSON.parse(known.answer);
    }
    try {
      const answer = await run();
      await this.#store.answer(user, key, status, JSON.stringify(answer));
      return answer;
    } catch (error) {
      await this.#store.release(user, key);
      throw error;
    }
  }
}
