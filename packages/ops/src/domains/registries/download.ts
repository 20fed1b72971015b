import { createHash, type Hash } from 'node:crypto';
import { isPotorooError } from '@potoroo/contract';
import type { OutgoingAnswer } from '../../outgoing/outgoing.ts';
import { codes, numberOf, type Query, type RegistryApi } from './api.ts';

type Say = (text: string) => void;

/** So much of a file in between, and a break is not one more in a row. */
const progressBytes = 1 << 20;

/** The breaks of one fetch, which gives up after too many in a row. */
export class Breaks {
  readonly #api: RegistryApi;
  readonly #say: Say;
  #inRow = 0;
  #at = 0;

  constructor(api: RegistryApi, say: Say) {
    this.#api = api;
    this.#say = say;
  }

  /** Waits until it is time to go on from so many bytes. @throws the error, when it is none of the connection or there were too many */
  async wait(error: unknown, got: number): Promise<undefined> {
    const { breaks, breakMs } = this.#api.bounds;
    if (!isPotorooError(error) || error.code !== codes.unreachable) throw error;
    if (got - this.#at >= progressBytes) this.#inRow = 0;
    this.#at = got;
    if (this.#inRow === breaks) throw error;
    this.#say(`${error.message} Going on after ${got} bytes.`);
    await this.#api.pause(breakMs * 2 ** this.#inRow);
    this.#inRow += 1;
    return undefined;
  }
}

/**
 * The bytes of a file. When the transfer breaks it is asked for the rest (`Range`); a registry that sends all of it again is believed
 * when it begins with the bytes that are here already. What the answers say of size, version and digest has to agree.
 * @throws registry_unreachable after too many breaks, registry_invalid, body_too_large
 */
export async function* download(api: RegistryApi, address: { path: string; query: Query }, maxBytes: number, say: Say): AsyncGenerator<Uint8Array> {
  const file = new Arriving(api);
  const breaks = new Breaks(api, say);
  // Who does not answer at all is not asked again.
  let answer: OutgoingAnswer | undefined = await api.open(address.path, address.query);
  for (;;) {
    try {
      answer ??= await api.open(address.path, address.query, file.got === 0 ? undefined : { from: file.got, validator: file.validator });
      yield* file.take(answer, maxBytes);
      if (file.whole) return;
      throw api.broken(`sent ${file.got} of ${file.total ?? 'more'} bytes.`);
    } catch (error) {
      answer = undefined;
      await breaks.wait(error, file.got);
    }
  }
}

/** A file as far as it is here, and what the answers until now say of it. */
class Arriving {
  got = 0;
  /** Bytes of all of it; null where no answer says. */
  total: number | null = null;
  whole = false;
  readonly #api: RegistryApi;
  readonly #seen = createHash('sha256');
  #etag: string | undefined;
  #modified: string | undefined;
  #digest: string | undefined;

  constructor(api: RegistryApi) {
    this.#api = api;
  }

  /** What says that the file is still the same; weak tags do not. */
  get validator(): string | undefined {
    return this.#etag === undefined ? this.#modified : this.#etag.startsWith('W/') ? undefined : this.#etag;
  }

  /** The bytes of an answer that are not here yet. */
  async *take(answer: OutgoingAnswer, maxBytes: number): AsyncGenerator<Uint8Array> {
    try {
      if (answer.status === 416) this.#nothingLeft(answer);
      else if (answer.status === 206) yield* this.#part(answer, maxBytes - this.got);
      else yield* this.#all(answer, maxBytes);
      if (this.whole && this.#digest !== undefined && this.#seen.copy().digest('base64') !== this.#digest) this.#api.invalid('sent other bytes than the digest says that it gives with them.');
    } finally {
      answer.discard();
    }
  }

  async *#all({ headers, read }: OutgoingAnswer, maxBytes: number): AsyncGenerator<Uint8Array> {
    this.total = numberOf(headers['content-length']);
    this.#etag = headers['etag'];
    this.#modified = headers['last-modified'];
    this.#digest = digestIn(headers);
    const known = this.got;
    const again = createHash('sha256');
    let passed = 0;
    for await (const piece of read(maxBytes)) {
      const old = piece.subarray(0, Math.max(0, known - passed));
      passed += piece.byteLength;
      again.update(old);
      if (old.length > 0 && passed >= known && !same(again, this.#seen)) return this.#changed();
      const rest = piece.subarray(old.length);
      if (rest.length > 0) yield this.#add(rest);
    }
    if (passed < known) return this.#changed();
    this.whole = this.total === null || this.got === this.total;
  }

  async *#part({ headers, read }: OutgoingAnswer, maxBytes: number): AsyncGenerator<Uint8Array> {
    const [, first, last, of] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(headers['content-range'] ?? '') ?? [];
    const total = of === undefined || of === '*' ? this.total : Number(of);
    if (Number(first) !== this.got || !(Number(last) >= this.got) || (total !== null && Number(last) >= total)) {
      return this.#api.invalid(`sent another part of a file than was asked for: ${JSON.stringify((headers['content-range'] ?? 'none').slice(0, 80))} instead of the bytes from ${this.got} on.`);
    }
    if ((this.total !== null && total !== this.total) || differ(headers['etag'], this.#etag) || differ(digestIn(headers), this.#digest)) return this.#changed();
    this.total = total;
    this.#digest ??= digestIn(headers);
    const end = Number(last) + 1;
    for await (const piece of read(maxBytes)) {
      if (this.got + piece.byteLength > end) return this.#api.invalid(`sent more of a file than the part that it says: ${JSON.stringify(headers['content-range'])}.`);
      yield this.#add(piece);
    }
    this.whole = this.got === end && (this.total ?? end) === end;
  }

  /** There is nothing after what is here: right, when that is all. */
  #nothingLeft({ headers }: OutgoingAnswer): void {
    if (headers['content-range'] !== `bytes */${this.got}` || (this.total ?? this.got) !== this.got) this.#changed();
    this.whole = true;
  }

  #changed(): never {
    return this.#api.invalid('has another file than it had when its fetch began; upload it again.');
  }

  #add(piece: Uint8Array): Uint8Array {
    this.#seen.update(piece);
    this.got += piece.byteLength;
    return piece;
  }
}

const same = (a: Hash, b: Hash): boolean => a.copy().digest('hex') === b.copy().digest('hex');
const differ = (a: string | undefined, b: string | undefined): boolean => a !== undefined && b !== undefined && a !== b;
/** The SHA-256 of the whole file in base64, where an answer gives it (RFC 9530). */
const digestIn = (headers: OutgoingAnswer['headers']): string | undefined => /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec(headers['repr-digest'] ?? '')?.[1];
