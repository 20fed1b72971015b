import { isIP } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { isPotorooError, PotorooError, type ErrorCode } from '@potoroo/contract';
import { guardedLookup, mayConnect, readAllowed, refusedAddress, type Allowed } from './addresses.ts';

/** How errors of one kind of server are called: who cannot be reached or is too slow, and whose answer is none. */
export interface OutgoingCodes { readonly unreachable: ErrorCode; readonly invalid: ErrorCode }

export interface OutgoingLimits {
  /** Milliseconds to connect, until the whole head of an answer is there, and between two pieces of its body. */
  readonly connectMs: number; readonly headMs: number; readonly silenceMs: number;
  /** Over each such time a body has to come at least this fast. */
  readonly paceMs: number; readonly paceBytesPerSecond: number;
}
const defaults: OutgoingLimits = { connectMs: 10_000, headMs: 30_000, silenceMs: 30_000, paceMs: 30_000, paceBytesPerSecond: 16 * 1024 };
const maxRedirects = 5;

export interface OutgoingRequest {
  readonly codes: OutgoingCodes;
  readonly method?: 'GET' | 'POST';
  /** Go, like `authorization`, to the origin of the address only, never to where that redirects. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly authorization?: string | undefined;
  /** What is left of a file from this byte on, if it is still the version that the validator names. Goes where the address redirects, too. */
  readonly part?: { readonly from: number; readonly validator?: string | undefined } | undefined;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

export interface OutgoingAnswer {
  readonly status: number;
  /** Header values by lower-case name; of one that came several times, the first. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** The body; throws when it ends early, is larger than this, or comes too slowly. Read it, or `discard` it. */
  read(maxBytes: number): AsyncGenerator<Uint8Array>;
  text(maxBytes: number): Promise<string>;
  discard(): void;
}

/**
 * Requests to addresses that users gave: the one way out. They reach public addresses, and of others only those that the
 * settings allow; that is checked on the address that is connected to, again after every redirect. Everything is bounded in
 * time and size.
 */
export class Outgoing {
  readonly #list: Allowed;
  readonly #agent: Agent;
  readonly #limits: OutgoingLimits;

  /** @param allowed the setting POTOROO_ALLOWED_PRIVATE_HOSTS */
  constructor(allowed: string, limits: Partial<OutgoingLimits> = {}) {
    const list = readAllowed(allowed);
    this.#list = list;
    this.#limits = { ...defaults, ...limits };
    const connect = buildConnector({ timeout: this.#limits.connectMs, lookup: guardedLookup(list) });
    this.#agent = new Agent({
      // A literal address is connected to without a lookup.
      connect: (options, callback) => {
        const host = options.hostname.replace(/^\[|\]$/g, '');
        if (isIP(host) !== 0 && !mayConnect(host, host, list)) return callback(refusedAddress(host), null);
        connect(options, callback);
      },
      headersTimeout: this.#limits.headMs, bodyTimeout: this.#limits.silenceMs, keepAliveTimeout: 1000, maxHeaderSize: 64 * 1024,
    });
  }

  /** For programs that connect by themselves: whether this host is one that requests for users may go to. @throws address_refused */
  async mayReach(host: string): Promise<void> {
    if (isIP(host) !== 0) {
      if (!mayConnect(host, host, this.#list)) throw refusedAddress(host);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      // A name that leads nowhere is for the program to say.
      guardedLookup(this.#list)(host, {}, (error) => { if (isPotorooError(error)) reject(error); else resolve(); });
    });
  }

  /** @throws address_refused, and the codes given with the request */
  async request(address: string | URL, request: OutgoingRequest): Promise<OutgoingAnswer> {
    let url = parse(String(address), request.codes.invalid);
    const { origin } = url;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await this.#send(url, request, url.origin === origin);
      const to = answer.headers['location'];
      if (![301, 302, 303, 307, 308].includes(answer.status) || to === undefined || request.method === 'POST') return answer;
      answer.discard();
      if (redirects === maxRedirects) throw new PotorooError(request.codes.invalid, `${url.origin} redirects more than ${maxRedirects} times.`);
      if (!URL.canParse(to, url.href)) throw new PotorooError(request.codes.invalid, `${url.origin} redirects to what is no address.`);
      url = parse(new URL(to, url).href, request.codes.invalid);
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #send(url: URL, request: OutgoingRequest, own: boolean): Promise<OutgoingAnswer> {
    const { codes, signal, part } = request;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), this.#limits.connectMs + this.#limits.headMs);
    try {
      const answer = await this.#agent.request({
        origin: url.origin, path: url.pathname + url.search, method: request.method ?? 'GET', body: request.body ?? null,
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'potoroo', ...(part && { range: `bytes=${part.from}-`, ...(part.validator !== undefined && { 'if-range': part.validator }) }), ...(own && { ...request.headers, ...(request.authorization !== undefined && { authorization: request.authorization }) }) },
        signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
      });
      return this.#answerOf(url, answer, codes);
    } catch (error) {
      throw failure(error, url, codes, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #answerOf(url: URL, answer: Dispatcher.ResponseData, codes: OutgoingCodes): OutgoingAnswer {
    const headers = Object.fromEntries(Object.entries(answer.headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, Array.isArray(value) ? (value[0] ?? '') : value]])));
    const { body, statusCode: status } = answer;
    // Also when nobody reads it: an error without a listener would end the process.
    body.on('error', () => {});
    const { paceMs, paceBytesPerSecond } = this.#limits;
    async function* read(maxBytes: number): AsyncGenerator<Uint8Array> {
      const tooLarge = () => new PotorooError('body_too_large', `${url.origin} sent more than the ${maxBytes} bytes that are taken.`);
      if (!['', 'identity'].includes(headers['content-encoding'] ?? '')) throw new PotorooError(codes.invalid, `${url.origin} sent the content-encoding ${JSON.stringify(headers['content-encoding'])}, which it was not asked for.`);
      if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
      let total = 0;
      let paced = 0;
      let since = performance.now();
      try {
        for await (const piece of body as AsyncIterable<Uint8Array>) {
          total += piece.byteLength;
          paced += piece.byteLength;
          if (total > maxBytes) throw tooLarge();
          yield piece;
          const passed = performance.now() - since;
          if (passed < paceMs) continue;
          if (paced * 1000 < paceBytesPerSecond * passed) throw new PotorooError(codes.unreachable, `${url.origin} sends too slowly: ${paced} bytes in ${Math.round(passed / 1000)} s.`);
          [paced, since] = [0, performance.now()];
        }
      } catch (error) {
        throw failure(error, url, codes, undefined);
      } finally {
        body.destroy();
      }
    }
    return {
      status, headers, url, read,
      async text(maxBytes) {
        const pieces: Uint8Array[] = [];
        for await (const piece of read(maxBytes)) pieces.push(piece);
        return Buffer.concat(pieces).toString('utf8');
      },
      discard: () => { body.destroy(); },
    };
  }
}

function parse(text: string, invalid: ErrorCode): URL {
  if (!URL.canParse(text)) throw new PotorooError(invalid, 'The address is not one; write it as https://host/path.');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new PotorooError('address_refused', `${url.protocol} addresses are not requested; use http or https.`);
  if (url.username !== '' || url.password !== '') throw new PotorooError('address_refused', `The address of ${url.host} holds a user or a password; leave them out.`);
  return url;
}

const slow = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
/** Also of a connection that was to be closed after the answer: what it then lacks comes as a wrong length, or as what cannot be parsed. */
const endedEarly = new Set(['UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);
const broken: Readonly<Record<string, string>> = {
  UND_ERR_HEADERS_OVERFLOW: 'sent too large headers', UND_ERR_RES_EXCEEDED_MAX_SIZE: 'sent too much',
};

function failure(error: unknown, url: URL, codes: OutgoingCodes, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  const { cause, errors, name, message, code: known } = error as { code?: unknown; name?: string; message?: string; cause?: unknown; errors?: unknown[] };
  const code = typeof known === 'string' ? known : '';
  const inner = [error, cause, ...(errors ?? [])].find(isPotorooError);
  if (inner !== undefined) return inner;
  if (slow.has(code) || name === 'AbortError') return new PotorooError(codes.unreachable, `${url.origin} did not answer in time.`, { cause: error });
  if (broken[code] !== undefined) return new PotorooError(codes.invalid, `${url.origin} ${broken[code]}.`, { cause: error });
  if (endedEarly.has(code) || (name === 'HTTPParserError' && message?.includes('Invalid EOF'))) return new PotorooError(codes.unreachable, `${url.origin} closed the connection before its answer was whole.`, { cause: error });
  if (name === 'HTTPParserError') return new PotorooError(codes.invalid, `${url.origin} does not speak HTTP.`, { cause: error });
  const why: Readonly<Record<string, string>> = { ENOTFOUND: 'its name is not known', EAI_AGAIN: 'its name cannot be looked up', ECONNREFUSED: 'nothing listens there', ECONNRESET: 'it reset the connection' };
  return new PotorooError(codes.unreachable, `${url.origin} cannot be reached: ${why[code] ?? (error instanceof Error ? error.message : String(error))}.`, { cause: error });
}
