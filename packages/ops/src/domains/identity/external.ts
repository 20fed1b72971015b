import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose';
import { request } from 'undici';
import { PotorooError, type AccessList } from '@potoroo/contract';
import type { Role } from '../domains.ts';

export interface ExternalOptions {
  readonly issuer: string;
  /** Tokens that were made for another client of the issuer are refused. */
  readonly clientId: string;
  /** Where the claims stand, as `a.b` for nested ones. */
  readonly emailClaim: string;
  readonly roleClaim: string;
  /** Who has this role there is an administrator here. */
  readonly adminRole: string;
  readonly clock: () => number;
  /** Called when the issuer's keys are others than before. */
  readonly onKeys: () => void;
}

export interface ExternalUser { id: string; email: string; role: Role }

const timeoutMs = 5_000;
/** A token signed with an unknown key makes the keys be read again, at most this often. */
const cooldownMs = 5_000;
const keptMs = 600_000;
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/** Another OpenID issuer whose access tokens are taken: its keys are discovered, kept, and read again when they change. */
export class ExternalIssuer {
  readonly #options: ExternalOptions;
  #keys: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;
  #known = '';

  constructor(options: ExternalOptions) {
    this.#options = options;
  }

  get issuer(): string {
    return this.#options.issuer;
  }

  /** @throws unauthenticated, unreachable */
  async userOf(token: string): Promise<ExternalUser> {
    const { issuer, clientId, emailClaim, roleClaim, adminRole, clock } = this.#options;
    const keys = await this.#loadKeys();
    let claims: JWTPayload;
    try {
      ({ payload: claims } = await jwtVerify(token, keys, { issuer, algorithms, requiredClaims: ['exp', 'sub'], currentDate: new Date(clock()) }));
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw refuse('has expired: renew it or sign in again');
      if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError) || error.code === 'ERR_JOSE_GENERIC') throw this.#unreachable(error);
      throw refuse(`is not a good one of ${issuer}: sign in again`);
    } finally {
      this.#noteKeys(keys);
    }
    if (claims['azp'] !== clientId && ![claims.aud].flat().includes(clientId)) throw refuse(`was not made for the client ${clientId}`);
    // Identity tokens are for the client to read, not to call with.
    if (typeof claims['typ'] === 'string' && claims['typ'] !== 'Bearer') throw refuse(`is of the type ${claims['typ'].slice(0, 20)}, not an access token`);
    const email = at(claims, emailClaim);
    if (typeof email !== 'string' || !/^[^\s@]{1,64}@[^\s@]{1,190}$/.test(email)) throw refuse(`has no e-mail address in the claim ${emailClaim}`);
    if (claims['email_verified'] === false) throw refuse(`is of a user whose e-mail address ${email} is not verified`);
    const id = claims.sub as string;
    if (id === '' || id.length > 255) throw refuse('has no subject that can be used');
    return { id, email: email.toLowerCase(), role: [at(claims, roleClaim)].flat().includes(adminRole) ? 'admin' : 'user' };
  }

  /** What engines need to verify its tokens by themselves. @throws unreachable */
  async offline(): Promise<NonNullable<AccessList['external']>> {
    const keys = await this.#loadKeys();
    if (!keys.fresh) await keys.reload().catch((error: unknown) => { if (keys.jwks() === undefined) throw this.#unreachable(error); });
    this.#noteKeys(keys);
    return { issuer: this.issuer, clientId: this.#options.clientId, jwks: { keys: (keys.jwks()?.keys ?? []).map((key) => ({ ...key })) } };
  }

  #loadKeys(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    this.#keys ??= this.#discover().catch((error: unknown) => {
      this.#keys = undefined;
      throw this.#unreachable(error);
    });
    return this.#keys;
  }

  async #discover(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    const { statusCode, body } = await request(`${this.issuer.replace(/\/+$/, '')}/.well-known/openid-configuration`, { signal: AbortSignal.timeout(timeoutMs) });
    if (statusCode !== 200) {
      await body.dump();
      throw new Error(`its discovery document was answered with ${statusCode}`);
    }
    const { issuer, jwks_uri: jwksUri } = (await body.json()) as { issuer?: unknown; jwks_uri?: unknown };
    if (issuer !== this.issuer) throw new Error(`it calls itself ${JSON.stringify(issuer)}`);
    if (typeof jwksUri !== 'string' || !URL.canParse(jwksUri)) throw new Error('its discovery document has no jwks_uri');
    return createRemoteJWKSet(new URL(jwksUri), { timeoutDuration: timeoutMs, cooldownDuration: cooldownMs, cacheMaxAge: keptMs });
  }

  #noteKeys(keys: ReturnType<typeof createRemoteJWKSet>): void {
    const now = JSON.stringify(keys.jwks()?.keys ?? []);
    if (now === this.#known) return;
    const first = this.#known === '';
    this.#known = now;
    if (!first) this.#options.onKeys();
  }

  #unreachable(error: unknown): PotorooError {
    return new PotorooError('unreachable', `The issuer ${this.issuer} cannot be asked for its keys (${error instanceof Error ? error.message : String(error)}). Check POTOROO_OIDC_ISSUER and that it runs.`, { cause: error });
  }
}

const refuse = (why: string) => new PotorooError('unauthenticated', `The access token ${why}.`);

/** The claim at `a.b`; undefined where there is none. */
function at(claims: JWTPayload, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const key of path.split('.')) value = typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
  return value;
}
