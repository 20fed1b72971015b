import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PotorooError } from '@potoroo/contract';
import type { TokenSet } from '@potoroo/sdk';

export interface SavedServer {
  readonly username: string;
  readonly tokens: TokenSet;
  /** The workspace that `potoroo workspace use` chose; the user's own when null. */
  readonly workspaceId: number | null;
}

interface Saved {
  current: string | null;
  servers: Record<string, SavedServer>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Tokens of earlier log-ins, one file in the user's config folder that only the user can read. Never a password. */
export class SavedCredentials {
  readonly path: string;

  constructor(env: Environment, platform: NodeJS.Platform = process.platform) {
    this.path = join(configFolder(env, platform), 'credentials.json');
  }

  get current(): string | null {
    return this.#read().current;
  }

  find(url: string): SavedServer | undefined {
    return this.#read().servers[url];
  }

  save(url: string, server: SavedServer): void {
    const saved = this.#read();
    this.#write({ current: url, servers: { ...saved.servers, [url]: server } });
  }

  update(url: string, change: Partial<SavedServer>): void {
    const saved = this.#read();
    const server = saved.servers[url];
    if (server !== undefined) this.#write({ ...saved, servers: { ...saved.servers, [url]: { ...server, ...change } } });
  }

  remove(url: string): boolean {
    const saved = this.#read();
    if (saved.servers[url] === undefined) return false;
    const { [url]: _gone, ...servers } = saved.servers;
    this.#write({ current: saved.current === url ? null : saved.current, servers });
    return true;
  }

  #read(): Saved {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { current: null, servers: {} };
      throw new PotorooError('invalid_request', `The credentials file ${this.path} cannot be read; make it readable for you or delete it.`, { cause: error });
    }
    try {
      const value = JSON.parse(text) as Saved;
      if (typeof value.servers === 'object' && value.servers !== null) return { current: value.current ?? null, servers: value.servers };
    } catch { /* said below */ }
    throw new PotorooError('invalid_request', `The credentials file ${this.path} is damaged; delete it and log in again.`);
  }

  /** Written beside and renamed: a crash leaves the old file or the new one. */
  #write(saved: Saved): void {
    const beside = `${this.path}.${process.pid}`;
    try {
      mkdirSync(join(this.path, '..'), { recursive: true, mode: 0o700 });
      writeFileSync(beside, `${JSON.stringify(saved, null, 2)}\n`, { mode: 0o600 });
      chmodSync(beside, 0o600); // the mode above counts only for a new file
      renameSync(beside, this.path);
    } catch (error) {
      rmSync(beside, { force: true });
      throw new PotorooError('storage_read_only', `The credentials file ${this.path} cannot be written; make its folder writable or set POTOROO_CONFIG_DIR to another.`, { cause: error });
    }
  }
}

function configFolder(env: Environment, platform: NodeJS.Platform): string {
  if (env['POTOROO_CONFIG_DIR']) return env['POTOROO_CONFIG_DIR'];
  if (env['XDG_CONFIG_HOME']) return join(env['XDG_CONFIG_HOME'], 'potoroo');
  if (platform === 'win32' && env['APPDATA']) return join(env['APPDATA'], 'potoroo');
  return join(env['HOME'] || homedir(), '.config', 'potoroo');
}
