import { setTimeout as delay } from 'node:timers/promises';
import { PotorooError } from '@potoroo/contract';
import { heldTo } from './held.ts';
import { errorOf } from './problem.ts';

/** What the server hands out for a password or a refresh token. `expiresAt` is in milliseconds since the epoch. */
export interface TokenSet {
  readonly accessToken: string;
  readonly expiresAt: number;
  readonly refreshToken: string;
  readonly refreshExpiresAt: number;
}

/** A page on which a user signs in for a program: it is to show this code. Times in milliseconds. */
export interface SignInPage { readonly address: string; readonly code: string; readonly expiresAt: number }

/** Who calls: a password (kept in memory only), somebody who signs in on a page, tokens of an earlier log-in, or an access token of any origin. */
export type Credentials =
  | { readonly onSignIn: (page: SignInPage) => void; readonly signInSignal?: AbortSignal }
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

const openid = '/auth/realms/master/protocol/openid-connect';
const tokenPath = `${openid}/token`;
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
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
      if ('onSignIn' in credentials) tokens = await this.#signIn(credentials);
      else if ('password' in credentials) tokens = await this.#grant({ grant_type: 'password', username: credentials.username, password: credentials.password });
      else throw new PotorooError('unauthenticated', 'The log-in has expired; log in again.');
    }
    this.#tokens = tokens;
    await onTokens?.(tokens);
    return tokens;
  }

  /** Waits until somebody has confirmed the code on the page (RFC 8628). */
  async #signIn({ onSignIn, signInSignal: signal }: Extract<Credentials, { onSignIn: unknown }>): Promise<TokenSet> {
    const { clock } = this.#options;
    const started = await this.#json(await this.#post(`${openid}/auth/device`, {}));
    const { device_code: device, user_code: code, verification_uri_complete: address, expires_in: lifetime, interval = 5 } = started as Record<string, unknown>;
    if (typeof device !== 'string' || typeof code !== 'string' || typeof address !== 'string' || typeof lifetime !== 'number') throw this.#stranger();
    const expiresAt = clock() + lifetime * 1000;
    onSignIn({ address, code, expiresAt });
    for (let pause = Number(interval) * 1000; clock() < expiresAt;) {
      await delay(pause, undefined, signal === undefined ? {} : { signal });
      const asked = clock();
      const response = await this.#post(tokenPath, { grant_type: deviceGrant, device_code: device });
      if (response.ok) return this.#tokensOf(await this.#json(response), asked);
      const { error } = (await response.clone().json().catch(() => ({}))) as { error?: unknown };
      if (error === 'slow_down') pause += 1000;
      else if (error === 'access_denied') throw new PotorooError('unauthenticated', 'The sign-in was refused on the page.');
      else if (error === 'expired_token') break;
      else if (error !== 'authorization_pending') throw await errorOf(response, 'The sign-in');
    }
    throw new PotorooError('unauthenticated', 'Nobody confirmed the code in time; start the sign-in again.');
  }

  async #grant(form: Record<string, string>): Promise<TokenSet> {
    const asked = this.#options.clock();
    return this.#tokensOf(await this.#json(await this.#post(tokenPath, form)), asked);
  }

  #tokensOf(body: unknown, asked: number): TokenSet {
    if (!isGrant(body)) throw this.#stranger();
    return {
      accessToken: body.access_token, expiresAt: asked + body.expires_in * 1000,
      refreshToken: body.refresh_token ?? '', refreshExpiresAt: asked + (body.refresh_expires_in ?? 0) * 1000,
    };
  }

  async #post(path: string, form: Record<string, string>): Promise<Response> {
    const { url, fetch } = this.#options;
    const signal = AbortSignal.timeout(30_000);
    try {
      return heldTo(signal, await fetch(new URL(path, url), { method: 'POST', body: new URLSearchParams({ client_id: clientId, ...form }), signal, redirect: 'error' }));
    } catch (error) {
      throw new PotorooError('unreachable', `No Potoroo answers at ${url.origin}. Is it running, and is the address right?`, { cause: error });
    }
  }

  async #json(response: Response): Promise<unknown> {
    if (!response.ok) throw await errorOf(response, `The token request to ${this.#options.url.origin}`);
    return await response.json().catch(() => { throw this.#stranger(); });
  }

  #stranger(): PotorooError {
    return new PotorooError('unreachable', `What answers at ${this.#options.url.origin} is not a Potoroo server: its answer has no token.`);
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
