import { PotorooError } from '@potoroo/contract';
import { Audit } from './audit.ts';
import type { Calls } from './calls.ts';
import { Connections } from './connections.ts';
import { Deployments } from './deployments.ts';
import { Models } from './models.ts';
import { Pipelines } from './pipelines.ts';
import { Registries } from './registries.ts';
import { Session, type Credentials, type TokenSet } from './session.ts';
import { Tags } from './tags.ts';
import { Transport, type CallOptions } from './transport.ts';
import { PersonalTokens, SigningKeys, Users } from './users.ts';
import { Workspaces } from './workspaces.ts';

export type PotorooOptions = Credentials & {
  /** Address of the server, such as `http://127.0.0.1:8080`. */
  readonly url: string | URL;
  /** Milliseconds that a call may take where it does not say otherwise; 30,000 when not given. */
  readonly timeoutMs?: number;
  /** Further attempts of what may be sent twice, after an answer that asks for it or a broken connection; 3 when not given. */
  readonly retries?: number;
  /** Called with every new set of tokens. */
  readonly onTokens?: (tokens: TokenSet) => void | Promise<void>;
  readonly fetch?: typeof fetch;
  readonly clock?: () => number;
};

/**
 * A client of one Potoroo server.
 *
 * @example
 * const potoroo = new Potoroo({ url: 'http://127.0.0.1:8080', username, password });
 * const workspace = await potoroo.workspaces.default();
 */
export class Potoroo {
  readonly url: URL;
  readonly users: Users;
  readonly personalTokens: PersonalTokens;
  readonly signingKeys: SigningKeys;
  readonly workspaces: Workspaces;
  readonly models: Models;
  readonly pipelines: Pipelines;
  readonly deployments: Deployments;
  readonly tags: Tags;
  readonly connections: Connections;
  readonly registries: Registries;
  readonly audit: Audit;
  readonly #transport: Transport;
  readonly #session: Session;

  constructor(options: PotorooOptions) {
    this.url = address(options.url);
    const { fetch = globalThis.fetch, clock = Date.now } = options;
    this.#session = new Session({ url: this.url, credentials: options, fetch, clock, onTokens: options.onTokens });
    this.#transport = new Transport({ url: this.url, session: this.#session, fetch, timeoutMs: options.timeoutMs ?? 30_000, retries: options.retries ?? 3 });
    const calls = { transport: this.#transport } as { -readonly [K in keyof Calls]: Calls[K] };
    this.models = calls.models = new Models(calls);
    this.pipelines = calls.pipelines = new Pipelines(calls);
    this.deployments = calls.deployments = new Deployments(calls);
    this.workspaces = new Workspaces(calls);
    this.tags = new Tags(calls);
    this.connections = new Connections(calls);
    this.registries = new Registries(calls);
    this.users = new Users(this.#transport);
    this.audit = new Audit(this.#transport);
    this.personalTokens = new PersonalTokens(this.#transport);
    this.signingKeys = new SigningKeys(this.#transport);
  }

  /** An access token that is good now; logs in when there is none yet. @throws PotorooError invalid_credentials, unreachable */
  token(options: CallOptions = {}): Promise<string> {
    return this.#session.token(options.signal);
  }

  /** New tokens now, for handing to something that cannot renew them itself. */
  renew(options: CallOptions = {}): Promise<TokenSet> {
    return this.#session.renew(options.signal);
  }
}

function address(url: string | URL): URL {
  const text = String(url);
  if (!URL.canParse(text)) throw new PotorooError('invalid_request', `url ${JSON.stringify(text)} is not an address; give one such as http://127.0.0.1:8080.`);
  const parsed = new URL(text);
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') throw new PotorooError('invalid_request', `url ${JSON.stringify(text)} is neither http nor https.`);
  return parsed;
}
