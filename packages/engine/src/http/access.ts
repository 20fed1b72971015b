import { PotorooError, type AccessList } from '@potoroo/contract/plain';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';

/** Bearer tokens that were good: at most this many are remembered, each until it expires. */
const remembered = 10_000;
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/**
 * Who may call the public side. Tokens are verified offline against the list's keys; a good one is remembered, so that the
 * next request with it costs one look-up. Nothing is let in on a key of the caller's choosing: algorithms are asymmetric only.
 */
export class Access {
  #list: AccessList | undefined;
  /** By issuer. */
  #keys = new Map<string, JWTVerifyGetKey>();
  #subjects = new Set<string>();
  readonly #good = new Map<string, number>();
  readonly #clock: () => number;

  constructor(list: AccessList | undefined, clock: () => number = Date.now) {
    this.#clock = clock;
    this.replace(list);
  }

  replace(list: AccessList | undefined): void {
    this.#list = list;
    this.#keys.clear();
    this.#subjects = new Set(list?.subjects);
    this.#good.clear();
  }

  /** True where this header is known to be good, or there is no list. False says only that `verify` must be asked. */
  knows(authorization: string | undefined): boolean {
    if (this.#list === undefined) return true;
    if (authorization === undefined) return false;
    const until = this.#good.get(authorization);
    return until !== undefined && until > this.#clock();
  }

  /** @throws PotorooError `unauthenticated` or `forbidden` */
  async verify(authorization: string | undefined): Promise<void> {
    const list = this.#list;
    if (list === undefined) return;
    const token = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+) *$/i.exec(authorization ?? '')?.[1];
    if (authorization === undefined || token === undefined) throw new PotorooError('unauthenticated', 'The request needs a bearer token. Send Authorization: Bearer <access token>.');
    const { createLocalJWKSet, decodeJwt, jwtVerify, errors } = await import('jose');
    // Each issuer is verified with its own keys alone.
    const from = list.external !== undefined && issuerOf(decodeJwt, token) === list.external.issuer ? list.external : list;
    const keys = this.#keys.get(from.issuer) ?? createLocalJWKSet(from.jwks as unknown as Parameters<typeof createLocalJWKSet>[0]);
    this.#keys.set(from.issuer, keys);
    const now = this.#clock();
    const { payload } = await jwtVerify(token, keys, { issuer: from.issuer, algorithms, requiredClaims: ['exp', 'sub'], currentDate: new Date(now) }).catch((error: unknown) => {
      const why = error instanceof errors.JWTExpired ? 'has expired. Sign in again'
        : error instanceof errors.JWTClaimValidationFailed && error.claim === 'iss' ? `is not from ${list.issuer}. Use a token of this server`
        : error instanceof errors.JWKSNoMatchingKey ? 'is signed with a key that is not known here. Sign in again'
        : 'is not valid. Sign in again';
      throw new PotorooError('unauthenticated', `The bearer token ${why}.`);
    });
    if (list !== this.#list) return this.verify(authorization); // replaced meanwhile
    if (from === list.external && !madeFor(payload, list.external.clientId)) throw new PotorooError('unauthenticated', `The bearer token was not made for the client ${list.external.clientId}. Sign in through that.`);
    if (!this.#subjects.has(payload.sub ?? '')) throw new PotorooError('forbidden', `User ${payload.sub} has no access to this deployment. Ask for membership of its workspace.`);
    if (this.#good.size >= remembered) this.#good.delete(this.#good.keys().next().value as string);
    this.#good.set(authorization, (payload.exp ?? 0) * 1000);
  }
}

function issuerOf(decodeJwt: (token: string) => JWTPayload, token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined; // what is wrong with it, verifying tells
  }
}

/** An access token of another issuer that this client asked for, not one of some other program or one that only names its user. */
function madeFor(claims: JWTPayload, clientId: string): boolean {
  return (claims['azp'] === clientId || [claims.aud].flat().includes(clientId)) && (claims['typ'] === undefined || claims['typ'] === 'Bearer');
}
