import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, SignJWT, type JWTPayload } from 'jose';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { Secrets } from '../../storage/secrets.ts';
import { isUniqueViolation } from '../../storage/errors.ts';
import type { Actor, Identity, Role, Tokens } from '../domains.ts';
import { nobodysHash, passwordMatches } from '../users/passwords.ts';
import { UserStore, type UserRow } from '../users/users.store.ts';
import { Attempts } from './attempts.ts';
import type { ExternalIssuer } from './external.ts';
import { IdentityStore } from './identity.store.ts';
import { personalTokenPrefix, type PersonalTokenService } from './personal-tokens.service.ts';
import { algorithm, type SigningKeyService } from './signing-keys.service.ts';

export interface IdentityOptions {
  readonly issuer: string;
  /** Seconds. */
  readonly accessTokenLifetime: number;
  /** Seconds. */
  readonly refreshTokenLifetime: number;
  readonly clock: () => number;
  readonly keys: Pick<SigningKeyService, 'signer' | 'verifier' | 'jwks'>;
  readonly secrets: Secrets;
  /** Another issuer whose tokens are taken as well as those of this one. */
  readonly external?: ExternalIssuer | undefined;
  /** Called when somebody became an administrator, or is none any more, by what the other issuer says. */
  readonly onRole?: (() => void) | undefined;
  /** Hears of every sign-in with a password, made or refused, before it is answered. */
  readonly onSignIn?: ((signIn: SignIn) => Promise<void>) | undefined;
}

/** `user` is missing where nobody has that name: what was typed there may be a password. */
export interface SignIn { readonly action: 'identity.signIn' | 'devices.approve'; readonly outcome: 'done' | 'invalid_credentials' | 'rate_limited'; readonly address: string; readonly user?: { readonly id: string; readonly email: string } | undefined }

/** In the place of the hash of somebody who signs in elsewhere: no password has it. */
const externalHash = 'external';
const audience = 'potoroo';
/** What marks of engines' tokens are made for. */
const engineUse = 'engine token';
/** A refresh token may be used again this shortly after, for a client whose answer was lost on the way. */
const retryMs = 10_000;

/** The built-in OpenID issuer: short-lived signed access tokens, refresh tokens that are used once. */
export class IdentityService implements Identity {
  readonly #store: IdentityStore;
  readonly #users: UserStore;
  readonly #personal: Pick<PersonalTokenService, 'userOf'>;
  readonly #options: IdentityOptions;
  readonly #attempts: Attempts;

  constructor(db: Kysely<Database>, personal: Pick<PersonalTokenService, 'userOf'>, options: IdentityOptions) {
    this.#store = new IdentityStore(db);
    this.#users = new UserStore(db);
    this.#personal = personal;
    this.#options = options;
    this.#attempts = new Attempts(options.clock, 'Too many wrong passwords', async (username, address) => this.report('identity.signIn', 'rate_limited', address, await this.#users.byLogin(username)));
  }

  async passwordGrant(username: string, password: string, address = ''): Promise<Tokens> {
    return this.signIn(await this.authenticate(username, password, address));
  }

  /** Id of the user whose password this is. @throws invalid_credentials, rate_limited */
  async authenticate(username: string, password: string, address: string, action: SignIn['action'] = 'identity.signIn'): Promise<string> {
    await this.#attempts.check(username, address);
    const user = await this.#users.byLogin(username);
    const right = await passwordMatches(password.slice(0, 1024), user === undefined || user.passwordHash === externalHash ? nobodysHash : user.passwordHash);
    if (user === undefined || !right || user.enabled !== 1) {
      this.#attempts.failed(username, address);
      await this.report(action, 'invalid_credentials', address, user);
      throw new PotorooError('invalid_credentials', 'The username or password is wrong, or the user is disabled.');
    }
    this.#attempts.succeeded(username, address);
    await this.report(action, 'done', address, user);
    return user.uuid;
  }

  async report(action: SignIn['action'], outcome: SignIn['outcome'], address: string, user: UserRow | undefined): Promise<void> {
    await this.#options.onSignIn?.({ action, outcome, address, user: user && { id: user.uuid, email: user.email } });
  }

  /** For a user who has shown who they are. @throws invalid_credentials when they were disabled meanwhile */
  async signIn(userUuid: string): Promise<Tokens> {
    const user = await this.#users.byUuid(userUuid);
    if (user === undefined || user.enabled !== 1) throw new PotorooError('invalid_credentials', 'The user does not exist any more or is disabled.');
    return this.#issue(user, randomUUID());
  }

  async exchange(personalToken: string): Promise<{ accessToken: string; expiresIn: number }> {
    const actor = await this.actorOf(personalToken);
    if (!personalToken.startsWith(personalTokenPrefix)) throw new PotorooError('invalid_credentials', 'subject_token is not a personal access token.');
    const user = await this.#users.byUuid(actor.id);
    if (user === undefined) throw new PotorooError('unauthenticated', 'The user of this token does not exist.');
    return { accessToken: await this.#accessToken(user, { personal: true }), expiresIn: this.#options.accessTokenLifetime };
  }

  async refreshGrant(refreshToken: string): Promise<Tokens> {
    const ended = new PotorooError('invalid_credentials', 'The refresh token is unknown, used or expired: sign in again.');
    const now = this.#options.clock();
    const token = await this.#store.refreshToken(sha256(refreshToken));
    if (token === undefined || token.expiresAt <= now) throw ended;
    const first = await this.#store.use(token.id, now);
    if (!first) {
      const usedAt = token.usedAt ?? now;
      if (now - usedAt > retryMs) {
        // Somebody holds a copy. Which of the two is the thief cannot be told, so both have to sign in.
        await this.#store.endFamily(token.family);
        throw ended;
      }
    }
    const user = await this.#users.byUuid(token.userUuid);
    if (user === undefined || user.enabled !== 1) throw ended;
    return this.#issue(user, token.family);
  }

  async actorOf(accessToken: string): Promise<Actor> {
    const { external } = this.#options;
    if (external !== undefined && issuerOf(accessToken) === external.issuer) return this.#externalActor(external, accessToken);
    const personal = accessToken.startsWith(personalTokenPrefix);
    const claims = personal ? { sub: await this.#personal.userOf(accessToken), personal } : await this.#verify(accessToken);
    const user = await this.#users.byUuid(claims.sub);
    if (user === undefined || user.enabled !== 1) throw new PotorooError('unauthenticated', 'The user of this token does not exist or is disabled.');
    return { id: user.uuid, email: user.email, role: user.role, ...(claims.personal && { personalToken: true }) };
  }

  /** Who comes from the other issuer for the first time becomes a user here; later their e-mail and role follow it. */
  async #externalActor(external: ExternalIssuer, accessToken: string): Promise<Actor> {
    const { id, email, role } = await external.userOf(accessToken);
    const taken = new PotorooError('unauthenticated', `The user of this token cannot be let in: another user has the e-mail ${email} here.`);
    const user = (await this.#users.byUuid(id)) ?? (await this.#newcomer(id, email, role, taken));
    // A subject there that is somebody's id here is not that somebody.
    if (user.passwordHash !== externalHash) throw taken;
    if (user.enabled !== 1) throw new PotorooError('unauthenticated', 'The user of this token does not exist or is disabled.');
    if (user.email !== email || user.role !== role) {
      if (!(await this.#users.follow(id, { email, role }))) throw taken;
      if (user.role !== role) this.#options.onRole?.();
    }
    return { id, email, role };
  }

  async #newcomer(id: string, email: string, role: Role, taken: PotorooError): Promise<UserRow> {
    if ((await this.#users.byLogin(email)) !== undefined) throw taken;
    try {
      const user = await this.#users.insert({ uuid: id, email, username: email, role, enabled: 1, passwordHash: externalHash, createdAt: this.#options.clock() });
      if (role === 'admin') this.#options.onRole?.();
      return user;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      // By another request at the same time, or the e-mail is taken after all.
      const user = await this.#users.byUuid(id);
      if (user === undefined) throw taken;
      return user;
    }
  }

  async jwks(): Promise<{ keys: Record<string, unknown>[] }> {
    return this.#options.keys.jwks();
  }

  issuer(): string {
    return this.#options.issuer;
  }

  /** Without an end: an engine may run for as long as it likes, and all it can do with this is add to one deployment's log. */
  engineToken(deploymentId: number): string {
    return `${deploymentId}.${this.#options.secrets.mark(String(deploymentId), engineUse)}`;
  }

  deploymentOf(engineToken: string): number {
    const [, id = '', mark = ''] = /^([1-9]\d{0,15})\.([\w-]+)$/.exec(engineToken) ?? [];
    if (!this.#options.secrets.isMark(mark, id, engineUse)) throw new PotorooError('unauthenticated', 'The token is not one that this server gave to an engine.');
    return Number(id);
  }

  async #issue(user: UserRow, family: string): Promise<Tokens> {
    const { accessTokenLifetime, refreshTokenLifetime, clock } = this.#options;
    const now = clock();
    const refreshToken = randomBytes(32).toString('base64url');
    await this.#store.addRefreshToken({ family, hash: sha256(refreshToken), userUuid: user.uuid, expiresAt: now + refreshTokenLifetime * 1000 }, now);
    return { accessToken: await this.#accessToken(user, {}), expiresIn: accessTokenLifetime, refreshToken, refreshExpiresIn: refreshTokenLifetime };
  }

  #accessToken(user: UserRow, more: JWTPayload): Promise<string> {
    const exp = Math.floor(this.#options.clock() / 1000) + this.#options.accessTokenLifetime;
    return this.#sign({ email: user.email, preferred_username: user.username, role: user.role, typ: 'Bearer', exp, ...more }, user.uuid);
  }

  async #sign(claims: JWTPayload, subject: string): Promise<string> {
    const key = await this.#options.keys.signer();
    return new SignJWT({ ...claims, jti: randomUUID() }).setProtectedHeader({ alg: algorithm, kid: key.kid, typ: 'JWT' })
      .setSubject(subject).setAudience(audience).setIssuer(this.#options.issuer).setIssuedAt(Math.floor(this.#options.clock() / 1000)).sign(key.sign);
  }

  async #verify(token: string): Promise<{ sub: string; personal: boolean }> {
    try {
      const { kid } = decodeProtectedHeader(token);
      const key = await this.#options.keys.verifier(kid);
      if (key === undefined) throw new errors.JWKSNoMatchingKey();
      const { payload } = await jwtVerify(token, key, {
        algorithms: [algorithm], audience, issuer: this.#options.issuer, currentDate: new Date(this.#options.clock()), requiredClaims: ['sub', 'exp'],
      });
      return { sub: payload.sub as string, personal: payload['personal'] === true };
    } catch (error) {
      if (!(error instanceof errors.JOSEError) && !(error instanceof TypeError)) throw error;
      const why = error instanceof errors.JWTExpired ? 'The access token has expired: renew it or sign in again.' : 'The access token is not one that this server gave out: sign in again.';
      throw new PotorooError('unauthenticated', why);
    }
  }
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
