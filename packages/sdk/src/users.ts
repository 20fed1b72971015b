import { apiPrefix, type ApiCreatedPersonalToken, type ApiPersonalToken, type ApiSigningKey, type ApiUser, type NewUser } from '@potoroo/contract';
import { createOnce, listOf } from './calls.ts';
import type { Pages } from './pages.ts';
import type { CallOptions, Transport } from './transport.ts';

const users = `${apiPrefix}/users`;
const tokens = `${apiPrefix}/tokens`;
const signingKeys = `${apiPrefix}/signing-keys`;

export class Users {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Who calls. */
  me(options: CallOptions = {}): Promise<ApiUser> {
    return this.#transport.json<ApiUser>(`${apiPrefix}/me`, options);
  }

  /** `email` finds the one with that e-mail. */
  list(query: { email?: string } & CallOptions = {}): Pages<ApiUser> {
    const { email, ...call } = query;
    return listOf<ApiUser>(this.#transport, users, { email }, call);
  }

  /** @throws PotorooError user_not_found */
  get(id: string, options: CallOptions = {}): Promise<ApiUser> {
    return this.#transport.json<ApiUser>(`${users}/${encodeURIComponent(id)}`, options);
  }

  /** Administrators only. @throws PotorooError forbidden, already_exists */
  create(user: NewUser, options: CallOptions = {}): Promise<ApiUser> {
    return createOnce<ApiUser>(this.#transport, users, user, options);
  }

  /** Administrators only: a disabled user's tokens stop working at once. @throws PotorooError forbidden, conflict for oneself and the last administrator */
  setEnabled(id: string, enabled: boolean, options: CallOptions = {}): Promise<ApiUser> {
    return this.#transport.json<ApiUser>(`${users}/${encodeURIComponent(id)}`, { ...options, method: 'PATCH', json: { enabled }, repeat: 'always' });
  }
}

/** The caller's own tokens for scripts. */
export class PersonalTokens {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(options: CallOptions = {}): Pages<ApiPersonalToken> {
    return listOf<ApiPersonalToken>(this.#transport, tokens, {}, options);
  }

  /** The answer holds the token, this once. @throws PotorooError forbidden for who calls with such a token */
  create(token: { name: string; expiresAt?: Date }, options: CallOptions = {}): Promise<ApiCreatedPersonalToken> {
    return this.#transport.json<ApiCreatedPersonalToken>(tokens, { ...options, method: 'POST', json: token });
  }

  /** @throws PotorooError token_not_found */
  async revoke(id: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.request(`${tokens}/${encodeURIComponent(id)}`, { ...options, method: 'DELETE' });
  }
}

/** The keys that the server signs access tokens with; for administrators. */
export class SigningKeys {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Newest first. */
  async list(options: CallOptions = {}): Promise<ApiSigningKey[]> {
    return (await this.#transport.json<{ items: ApiSigningKey[] }>(signingKeys, options)).items;
  }

  /** A new key, which signs some minutes later; nobody has to sign in again. @throws PotorooError conflict while there is one that does not sign yet */
  rotate(options: CallOptions = {}): Promise<ApiSigningKey> {
    return createOnce<ApiSigningKey>(this.#transport, signingKeys, undefined, options);
  }

  /** Refuses its tokens from now on; when it is the one that signs, another one does at once. @throws PotorooError signing_key_not_found */
  revoke(id: string, options: CallOptions = {}): Promise<ApiSigningKey> {
    return this.#transport.json<ApiSigningKey>(`${signingKeys}/${encodeURIComponent(id)}`, { ...options, method: 'DELETE' });
  }
}
