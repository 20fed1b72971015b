import { Potoroo, PotorooError, type Workspace } from '@potoroo/sdk';
import { SavedCredentials } from './credentials.ts';
import type { Output } from './output.ts';

export const defaultUrl = 'http://127.0.0.1:8080';

export interface GlobalOptions {
  url?: string;
  workspace?: string;
  json?: boolean;
}

/** What every command works with. */
export class Context {
  readonly env: NodeJS.ProcessEnv;
  readonly output: Output;
  readonly saved: SavedCredentials;
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
  /** What Ctrl-C does. */
  readonly interrupt: () => void;
  readonly #options: GlobalOptions;
  #client: Potoroo | undefined;

  constructor(env: NodeJS.ProcessEnv, options: GlobalOptions, output: Output, interrupt: AbortController) {
    this.env = env;
    this.#options = options;
    this.output = output;
    this.signal = interrupt.signal;
    this.interrupt = () => interrupt.abort(new Error('interrupted'));
    this.saved = new SavedCredentials(env);
  }

  /** Option, environment, the server of the last log-in, this machine: the first that there is. */
  get url(): string {
    const given = this.#options.url ?? this.env['POTOROO_URL'];
    if (!given) return this.saved.current ?? defaultUrl;
    if (!URL.canParse(given)) throw new PotorooError('invalid_request', `The address ${JSON.stringify(given)} is not one; give it as ${defaultUrl}.`);
    return new URL(given).origin;
  }

  /** @throws PotorooError unauthenticated when there is neither POTOROO_TOKEN nor a log-in for the address */
  get client(): Potoroo {
    this.#client ??= this.#connect();
    return this.#client;
  }

  #connect(): Potoroo {
    const { url } = this;
    const token = this.env['POTOROO_TOKEN'];
    if (token) return new Potoroo({ url, token });
    const server = this.saved.find(url);
    if (server === undefined) throw new PotorooError('unauthenticated', `You are not logged in to ${url}.`);
    return new Potoroo({ url, tokens: server.tokens, onTokens: (tokens) => this.saved.update(url, { tokens }) });
  }

  /** The workspace named with --workspace, else the one chosen with `workspace use`, else the user's own. */
  async workspace(): Promise<Workspace> {
    const name = this.#options.workspace ?? this.env['POTOROO_WORKSPACE'];
    if (name) return await this.workspaceNamed(name);
    const id = this.env['POTOROO_TOKEN'] ? null : (this.saved.find(this.url)?.workspaceId ?? null);
    const { workspaces } = this.client;
    return id === null ? await workspaces.default({ signal: this.signal }) : await workspaces.get(id, { signal: this.signal });
  }

  /** By name, or by id where it is a number that no workspace is named. */
  async workspaceNamed(name: string): Promise<Workspace> {
    const named: Workspace[] = [];
    for await (const workspace of this.client.workspaces.list({ name, signal: this.signal })) if (workspace.name === name) named.push(workspace);
    if (named.length > 1) throw new PotorooError('conflict', `${named.length} workspaces that you may see are named ${JSON.stringify(name)}; give the id of one: ${named.map((w) => w.id).join(', ')}.`);
    if (named[0] !== undefined) return named[0];
    if (/^\d+$/.test(name)) return await this.client.workspaces.get(Number(name), { signal: this.signal });
    throw new PotorooError('workspace_not_found', `There is no workspace ${JSON.stringify(name)} that you may see.`);
  }
}
