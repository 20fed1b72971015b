import { setTimeout as delay } from 'node:timers/promises';
import { isPotorooError, PotorooError } from '@potoroo/contract';
import type { Outgoing, OutgoingAnswer, OutgoingRequest } from '../../outgoing/outgoing.ts';

export const codes = { unreachable: 'registry_unreachable', invalid: 'registry_invalid' } as const;

export interface RegistryBounds {
  /** Of everything that is listed in one operation, and of one page of it. */
  readonly listBytes: number; readonly pageBytes: number;
  /** Milliseconds that an operation somebody waits for may take in all. */
  readonly patienceMs: number;
  readonly items: number; readonly pages: number; readonly depth: number;
  /** Of a model that is fetched. */
  readonly maxBytes: number;
  /** Breaks of a fetch in a row, with so many milliseconds after the first and twice as many after each further one. */
  readonly breaks: number; readonly breakMs: number;
}
/** Clients wait a minute for a list. */
export const defaultBounds: Omit<RegistryBounds, 'maxBytes'> = { listBytes: 16 << 20, pageBytes: 4 << 20, patienceMs: 45_000, items: 10_000, pages: 200, depth: 16, breaks: 5, breakMs: 1000 };

export type Query = Readonly<Record<string, string | number | undefined>>;
export type Json = Readonly<Record<string, unknown>>;

export interface RegistryServer { readonly outgoing: Outgoing; readonly url: string; readonly token: string | null; readonly name: string }

/** Calls of one operation to one registry: its JSON answers share a bound in bytes and in time. */
export class RegistryApi {
  readonly url: string;
  readonly bounds: RegistryBounds;
  readonly #server: RegistryServer;
  readonly #signal: AbortSignal;
  #left: number;

  constructor(server: RegistryServer, bounds: RegistryBounds, signal: AbortSignal = AbortSignal.timeout(bounds.patienceMs)) {
    this.url = server.url;
    this.bounds = bounds;
    this.#server = server;
    this.#signal = signal;
    this.#left = bounds.listBytes;
  }

  /**
   * @param most bytes of an answer that is no part of a list
   * @throws registry_unreachable, registry_refused, registry_invalid, artifact_not_found, address_refused
   */
  async json(path: string, query: Query, most?: number): Promise<Json> {
    try {
      const answer = await this.open(path, query);
      const text = await answer.text(most ?? Math.min(this.bounds.pageBytes, this.#left));
      if (most === undefined) this.#left -= text.length;
      return parse(text) ?? this.invalid(`answered ${path} with ${answer.headers['content-type'] ?? 'something'} and not with a JSON object. Is ${this.url} the address of an MLflow server, without /api at its end?`);
    } catch (error) {
      if (isPotorooError(error) && error.code === 'body_too_large') return this.invalid('sent an answer that is too large.');
      if (this.#signal.aborted && !isPotorooError(error)) throw new PotorooError(codes.unreachable, `The registry ${this.#named} did not answer in time.`, { cause: error });
      throw error;
    }
  }

  /** An answer of status 200, or what the registry says when it is asked for a part of a file (206, 416); its body is still to be read. */
  async open(path: string, query: Query, part?: OutgoingRequest['part']): Promise<OutgoingAnswer> {
    const search = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodePath(String(value))}`])).join('&');
    const { token } = this.#server;
    const answer = await this.#server.outgoing.request(`${this.url}${path}${search === '' ? '' : `?${search}`}`, {
      codes, part, signal: this.#signal,
      // One that names its scheme (`Basic …`) goes out as it is.
      authorization: token === null ? undefined : /^(basic|bearer) /i.test(token) ? token : `Bearer ${token}`,
    });
    if (answer.status === 200 || (part !== undefined && (answer.status === 206 || answer.status === 416))) return answer;
    const error = parse(await answer.text(64 * 1024).catch(() => ''));
    throw this.#failure(answer.status, path, error);
  }

  /** Ends early, with an error, when the operation does. */
  pause(ms: number): Promise<void> {
    return delay(ms, undefined, { signal: this.#signal });
  }

  /** registry_unreachable saying that the registry did this */
  broken(did: string): PotorooError {
    return new PotorooError(codes.unreachable, `The registry ${this.#named} ${did}`);
  }

  /** @throws registry_invalid saying that the registry does this */
  invalid(does: string): never {
    throw new PotorooError(codes.invalid, `The registry ${this.#named} ${does}`);
  }

  get #named(): string {
    return JSON.stringify(this.#server.name);
  }

  #failure(status: number, path: string, error: Json | undefined): PotorooError {
    const code = short(error?.['error_code']);
    const said = [code, short(error?.['message'])].filter((text) => text !== '').join(': ');
    if (status === 401 || status === 403) return new PotorooError('registry_refused', `The registry ${this.#named} refuses this server's requests (${status}). Give it a token that may read its models: potoroo registry token.`);
    if (status === 404 && (code !== '' || error !== undefined)) return new PotorooError('artifact_not_found', `The registry ${this.#named} does not have this: ${said || 'it answered 404'}.`);
    if (status === 429 || status >= 500) return new PotorooError(codes.unreachable, `The registry ${this.#named} answered ${status}${said === '' ? '' : `: ${said}`}. Try again later.`);
    return new PotorooError(codes.invalid, `The registry ${this.#named} answered ${path} with ${status}${said === '' ? '' : `: ${said}`}. Is ${this.url} the address of an MLflow server, without /api at its end?`);
  }
}

/** As in an address or a query; slashes stay. */
export const encodePath = (path: string): string => encodeURIComponent(path).replaceAll('%2F', '/');

const short = (value: unknown): string => (typeof value === 'string' ? value.replace(/\p{Cc}+/gu, ' ').slice(0, 300) : '');

function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** All pages of a list, within its bounds. @throws registry_invalid when it does not end */
export async function everyPage<T>(api: RegistryApi, read: (token: string | undefined) => Promise<{ items: T[]; next: string | null }>): Promise<T[]> {
  const items: T[] = [];
  let token: string | undefined;
  for (let pages = 1; ; pages += 1) {
    const page = await read(token);
    items.push(...page.items);
    if (page.next === null) return items;
    if (pages >= api.bounds.pages || items.length > api.bounds.items) return api.invalid(`has a list of more than ${Math.min(items.length, api.bounds.items)} things or ${pages} pages; that is more than is read.`);
    token = page.next;
  }
}

/** The next page's token. @throws registry_invalid for one that leads to the same page */
export function nextOf(api: RegistryApi, answer: Json, token: string | undefined): string | null {
  const next = answer['next_page_token'];
  if (typeof next !== 'string' || next === '') return null;
  if (next === token || next.length > 4096) return api.invalid('gives the same page of a list again and again.');
  return next;
}

/** Rows of a list: objects, however the registry leaves out what is empty. */
export function rowsOf(api: RegistryApi, answer: Json, field: string): Json[] {
  const rows = answer[field] ?? [];
  if (!Array.isArray(rows) || rows.some((row) => typeof row !== 'object' || row === null)) return api.invalid(`answered with ${field} that are no list of objects.`);
  return rows as Json[];
}

/** Numbers may come as text, and be left out. */
export function numberOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : null;
}
export const textOf = (value: unknown, most = 4096): string => (typeof value === 'string' ? value.slice(0, most) : '');
