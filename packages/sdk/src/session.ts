import { PotorooError } from '@potoroo/contract';
import { errorOf } from './problem.ts';

/** What the server hands out for a password or a refresh token. `expiresAt` is in milliseconds since the epoch. */
export interface TokenSet {
  readonly accessToken: string;
  readonly expiresAt: number;
  readonly refreshToken: string;
  readonly refreshExpiresAt: number;
}

/** Who calls: a password (kept in memory only), tokens of an earlier log-in, or an access token of any origin. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  | { readonly tokens: TokenSet }
  | { readonly token: string };

export interface SessionOptions {
  readonly url: URL;
  readonly credentials: Credentials;
  readonly fetch: typeof fetch;
  readonly clock: () => number;
  /** Called with every new set, so that a command can keep it for the next time. */
  readonly onTokens?: ((tokens: TokenSet) => void | Promise<void>) | undefined;
}

const tokenPath = '/auth/realms/master/protocol/openid-connect/token';
const clientId = 'sdk-client';
/** A token this close to its end is renewed first: it must still be good when it arrives. Milliseconds. */
const margin = 10_000;

/** Keeps a usable access token; several callers at once cause one renewal. */
export class Session {
  readonly #options: SessionOptions;
  #tokens: TokenSet | undefined;
  #renewal: Promise<TokenSet> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    if ('tokens' in options.credentials) this.#tokens = options.credentials.tokens;
  }

  /** @throws PotorooError invalid_credentials, unauthenticated, rate_limited */
  async token(signal?: AbortSignal): Promise<string> {
    const { credentials, clock } = this.#options;
    if ('token' in credentials) return credentials.token;
    if (this.#tokens !== undefined && clock() < this.#tokens.expiresAt - margin) return this.#tokens.accessToken;
    return (await this.renew(signal)).accessToken;
  }

  /** A new set, whether or not the present token is still good. @throws PotorooError as `token`; unauthenticated for a client made with a bare token */
  async renew(signal?: AbortSignal): Promise<TokenSet> {
    this.#renewal ??= this.#renew().finally(() => { this.#renewal = undefined; });
    return await abortable(this.#renewal, signal);
  }

  /** The server refused this token: forget it. True when another can be had. */
  refused(token: string): boolean {
    if ('token' in this.#options.credentials) return false;
    if (this.#tokens?.accessToken === token) this.#tokens = { ...this.#tokens, expiresAt: 0 };
    return true;
  }

  async #renew(): Promise<TokenSet> {
    const { credentials, clock, onTokens } = this.#options;
    const held = this.#tokens;
    let tokens: TokenSet | undefined;
    if (held !== undefined && clock() < held.refreshExpiresAt) {
      try {
        tokens = await this.#grant({ grant_type: 'refresh_token', refresh_token: held.refreshToken });
      } catch (error) {
        if (!(error instanceof PotorooError) || error.code === 'unreachable' || error.status >= 500 || !('password' in credentials)) throw error;
      }
    }
    if (tokens === undefined) {
      if (!('password' in credentials)) throw new PotorooError('unauthenticated', 'The log-in has expired; log in again.');
      tokens = await this.#grant({ grant_type: 'password', username: credentials.username, password: credentials.password });
    }
    this.#tokens = tokens;
    await onTokens?.(tokens);
    return tokens;
  }

  async #grant(form: Record<string, string>): Promise<TokenSet> {
    const { url, fetch, clock } = this.#options;
    const asked = clock();
    let response: Response;
    try {
      response = await fetch(new URL(tokenPath, url), {
        method: 'POST', body: new URLSearchParams({ client_id: clientId, ...form }), signal: AbortSignal.timeout(30_000), redirect: 'error',
      });
    } catch (error) {
      throw new PotorooError('unreachable', `No Potoroo answers at ${url.origin}. Is it running, and is the address right?`, { cause: error });
    }
    if (!response.ok) throw await errorOf(response, `The token request to ${url.origin}`);
    const body: unknown = await response.json().catch(() => undefined);
    if (!isGrant(body)) throw new PotorooError('unreachable', `What answers at ${url.origin} is not a Potoroo server: its token answer has no access_token.`);
    return {
      accessToken: body.access_token, expiresAt: asked + body.expires_in * 1000,
      refreshToken: body.refresh_token ?? '', refreshExpiresAt: asked + (body.refresh_expires_in ?? 0) * 1000,
    };
  }
}

interface Grant {
  access_token: string;
  expires_in: number;
  refresh_token?: string;
  refresh_expires_in?: number;
}

function isGrant(value: unknown): value is Grant {
  return typeof value === 'object' && value !== null && 'access_token' in value && typeof value.access_token === 'string' && 'expires_in' in value && typeof value.expires_in === 'number';
}

/** The promise's result, unless the caller gives up first; the shared work goes on for the others. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const give = () => reject(signal.reason as Error);
    if (signal.aborted) { give(); return; }
    signal.addEventListener('abort', give, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', give));
  });
}
