import { setTimeout as delay } from 'node:timers/promises';
import { isPotorooError, PotorooError } from '@potoroo/contract';
import { heldTo } from './held.ts';
import { errorOf } from './problem.ts';
import type { Session } from './session.ts';

/** What every call takes. */
export interface CallOptions {
  /** Gives the call up; its reason is what the call rejects with. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole call, retries included. */
  readonly timeoutMs?: number | undefined;
}

export interface Call extends CallOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly query?: Readonly<Record<string, QueryValue>>;
  readonly json?: unknown;
  /** A function where the body can be made again for a retry. */
  readonly body?: Uint8Array | (() => ReadableStream<Uint8Array>) | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * What may be sent twice. `always`: reads, and writes that end in the same state however often they are sent. `refused`:
   * only when the server said that it did not start on it (429, 503) or was never reached. `never`: the body can be read once.
   */
  readonly repeat?: 'always' | 'refused' | 'never';
}
type QueryValue = string | number | boolean | Date | readonly string[] | undefined;

export interface TransportOptions {
  readonly url: URL;
  readonly session: Session;
  readonly fetch: typeof fetch;
  /** Milliseconds a call may take where it does not say otherwise. */
  readonly timeoutMs: number;
  /** Further attempts after the first. */
  readonly retries: number;
}

const refusedStatuses = new Set([429, 503]);
const unsureStatuses = new Set([502, 504]);
/** Errors of a connection that never stood, so that nothing of the request has arrived. */
const neverSent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** Requests to the native API: tokens, time limits, retries, errors. */
export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get url(): URL {
    return this.#options.url;
  }

  async json<T>(path: string, call: Call = {}): Promise<T> {
    const response = await this.request(path, { ...call, headers: { accept: 'application/json', ...call.headers } });
    return await this.#read(call, path, async () => (await response.json()) as T);
  }

  async bytes(path: string, call: Call = {}): Promise<Uint8Array> {
    const response = await this.request(path, call);
    return await this.#read(call, path, async () => new Uint8Array(await response.arrayBuffer()));
  }

  /** The answer with its body unread. @throws PotorooError as the server reported it, unreachable, deadline_exceeded */
  async request(path: string, call: Call = {}): Promise<Response> {
    const { session, retries } = this.#options;
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs;
    const limit = Number.isFinite(timeoutMs) ? AbortSignal.timeout(timeoutMs) : undefined;
    const signal = anyOf(call.signal, limit);
    const repeat = call.repeat ?? (call.method === undefined || call.method === 'GET' || call.method === 'PUT' || call.method === 'DELETE' ? 'always' : 'refused');
    let renewed = false;
    let waited = 0;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const token = await session.token(signal);
        const response = await this.#options.fetch(this.#address(path, call), this.#init(call, token, signal));
        if (response.ok) return heldTo(signal, response);
        const error = await errorOf(response, `${call.method ?? 'GET'} ${path}`);
        if (response.status === 401 && !renewed && repeat !== 'never' && session.refused(token)) { renewed = true; continue; }
        if (repeat === 'always' && stillAtWork(call, error) && waited < stillAtWorkMs) {
          const ms = Math.min(5000, 100 + waited);
          waited += ms;
          attempt -= 1;
          await delay(ms, undefined, signal === undefined ? {} : { signal });
          continue;
        }
        const again = repeat !== 'never' && (refusedStatuses.has(response.status) || (repeat === 'always' && unsureStatuses.has(response.status)));
        if (!again || attempt >= retries) throw error;
        await delay(pause(attempt, response.headers.get('retry-after')), undefined, signal === undefined ? {} : { signal });
      } catch (error) {
        if (call.signal?.aborted === true) throw call.signal.reason;
        if (limit?.aborted === true) throw tooLate(call, path, error);
        if (isPotorooError(error)) throw error;
        if (repeat === 'never' || attempt >= retries || !(repeat === 'always' || neverSent.has(causeOf(error)))) throw this.#unreachable(error);
        await delay(pause(attempt, null), undefined, call.signal === undefined ? {} : { signal: call.signal });
      }
    }
  }

  async #read<T>(call: Call, path: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      if (error instanceof Error && error.name === 'TimeoutError') throw tooLate(call, path, error);
      throw new PotorooError('unreachable', `The answer of ${path} broke off or is not what was asked for.`, { cause: error });
    }
  }

  #unreachable(error: unknown): PotorooError {
    const cause = causeOf(error);
    return new PotorooError('unreachable', `No Potoroo answers at ${this.url.origin}${cause === '' ? '' : ` (${cause})`}. Is it running, and is the address right?`, { cause: error });
  }

  #address(path: string, call: Call): URL {
    const address = new URL(path, this.url);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value === undefined) continue;
      if (Array.isArray(value)) for (const item of value as readonly string[]) address.searchParams.append(name, item);
      else address.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value));
    }
    return address;
  }

  #init(call: Call, token: string, signal: AbortSignal | undefined): RequestInit {
    const streamed = typeof call.body === 'function';
    const body = call.json !== undefined ? JSON.stringify(call.json) : typeof call.body === 'function' ? call.body() : call.body;
    return {
      method: call.method ?? 'GET',
      redirect: 'error',
      headers: { authorization: `Bearer ${token}`, ...(call.json === undefined ? {} : { 'content-type': 'application/json' }), ...call.headers },
      ...(body === undefined ? {} : { body: body as NonNullable<RequestInit['body']> }),
      ...(streamed ? { duplex: 'half' } : {}),
      ...(signal === undefined ? {} : { signal }),
    };
  }
}

function tooLate(call: Call, path: string, cause: unknown): PotorooError {
  return new PotorooError('deadline_exceeded', `${call.method ?? 'GET'} ${path} was not answered in time: give it more, or look at the server.`, { cause });
}

/** Longer than a server takes to see that nobody is behind a key any more. */
const stillAtWorkMs = 90_000;
/** A create that was sent before, under the same idempotency key, and is not answered yet: the answer comes with a later attempt, and none of them counts. */
const stillAtWork = (call: Call, error: PotorooError): boolean => error.code === 'conflict' && call.headers?.['idempotency-key'] !== undefined;

function anyOf(a: AbortSignal | undefined, b: AbortSignal | undefined): AbortSignal | undefined {
  return a === undefined ? b : b === undefined ? a : AbortSignal.any([a, b]);
}

/** Milliseconds: what the server asks for, at most ten seconds, else doubling with some spread so that clients do not march in step. */
function pause(attempt: number, retryAfter: string | null): number {
  const asked = retryAfter === null ? Number.NaN : Number(retryAfter) * 1000;
  if (Number.isFinite(asked) && asked >= 0) return Math.min(asked, 10_000);
  return 100 * 2 ** attempt * (0.5 + Math.random());
}

/** The system's code of a failed fetch, which wraps it. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : undefined;
  const code: unknown = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' ? code : '';
}
