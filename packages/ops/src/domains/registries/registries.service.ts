import { randomUUID } from 'node:crypto';
import { PotorooError } from '@potoroo/contract';
import type { Kysely } from 'kysely';
import type { Outgoing } from '../../outgoing/outgoing.ts';
import type { Database } from '../../storage/database.ts';
import type { Secrets } from '../../storage/secrets.ts';
import { date } from '../../storage/values.ts';
import { notFound, type Access } from '../access.ts';
import type { Actor, ModelVersion, Page, PageQuery, Registries, RegisteredModel, RegisteredModelVersion, Registry, RegistryArtifact, RegistryUpload, UploadInput, Workspaces } from '../domains.ts';
import type { OpenSource } from '../models/load-queue.ts';
import { nameText, Sharing } from '../sharing.ts';
import { defaultBounds, RegistryApi, type RegistryBounds } from './api.ts';
import { openArtifact } from './fetching.ts';
import { searchModels, searchVersions, type RegistryPage } from './mlflow.ts';
import { addressOf, placeOfVersion, readPath, walk } from './places.ts';
import { RegistryStore, type RegistryRow } from './registries.store.ts';

export interface RegistryParts {
  readonly db: Kysely<Database>; readonly access: Access; readonly secrets: Secrets; readonly outgoing: Outgoing; readonly clock: () => number;
  readonly workspaces: Pick<Workspaces, 'defaultFor'>;
  readonly models: { receive(actor: Actor, input: Omit<UploadInput, 'content'>): Promise<ModelVersion> };
  readonly bounds: Pick<RegistryBounds, 'maxBytes'> & Partial<RegistryBounds>;
}

const maxUrl = 2048;
const maxToken = 16 * 1024;
const pageSize = 100;

/** MLflow servers whose models can be uploaded from there. Their tokens are kept sealed, and nothing that is read here shows them. */
export class RegistryService implements Registries {
  readonly #parts: RegistryParts;
  readonly #store: RegistryStore;
  readonly #sharing: Sharing<RegistryRow>;
  readonly #bounds: RegistryBounds;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#store = new RegistryStore(parts.db);
    this.#sharing = new Sharing(parts.db, parts.access, { table: 'registries', links: 'workspaceRegistries', link: 'registryId', word: 'registry', missing: 'registry_not_found' });
    this.#bounds = { ...defaultBounds, ...parts.bounds };
  }

  async create(actor: Actor, input: { name: string; url: string; token?: string; workspaceId?: number }): Promise<Registry> {
    const { access, secrets, clock, workspaces } = this.#parts;
    const name = nameText('name', input.name);
    const url = checkUrl(input.url);
    const token = checkToken(input.token ?? '');
    const workspaceId = input.workspaceId ?? (await workspaces.defaultFor(actor)).id;
    await access.require(actor, workspaceId, 'write', notFound('workspace_not_found', workspaceId));
    const uuid = randomUUID();
    const now = clock();
    await this.#store.insert({ uuid, name, url, sealedToken: token === '' ? null : secrets.seal(token, uuid), createdBy: actor.id, createdAt: now, updatedAt: now }, workspaceId);
    return this.get(actor, uuid);
  }

  async get(actor: Actor, id: string): Promise<Registry> {
    return (await this.#shown(actor, [await this.#find(actor, id)]))[0] as Registry;
  }

  async list(actor: Actor, query: PageQuery & { workspaceId?: number; name?: string } = {}): Promise<Page<Registry>> {
    const page = await this.#sharing.list(actor, query);
    return { items: await this.#shown(actor, page.items), cursor: page.cursor };
  }

  async setToken(actor: Actor, id: string, given: string | null): Promise<Registry> {
    const { secrets, clock } = this.#parts;
    const row = await this.#find(actor, id);
    this.#sharing.requireMaker(actor, row, 'change');
    if (given === '') throw new PotorooError('invalid_request', 'token is empty: give the new one, or null to take the old one away.', { fields: [{ field: 'token', message: 'empty' }] });
    await this.#store.setToken(row.id, given === null ? null : secrets.seal(checkToken(given), row.uuid), clock());
    return this.get(actor, id);
  }

  async addToWorkspace(actor: Actor, id: string, workspaceId: number): Promise<Registry> {
    await this.#sharing.addTo(actor, await this.#find(actor, id), workspaceId);
    return this.get(actor, id);
  }

  async removeFromWorkspace(actor: Actor, id: string, workspaceId: number): Promise<void> {
    await this.#sharing.removeFrom(actor, await this.#find(actor, id), workspaceId);
  }

  async remove(actor: Actor, id: string): Promise<void> {
    await this.#sharing.remove(actor, await this.#find(actor, id));
  }

  async models(actor: Actor, id: string, query: PageQuery = {}): Promise<Page<RegisteredModel>> {
    const api = this.#api(await this.#find(actor, id));
    return this.#page(api, query, (limit, token) => searchModels(api, limit, token));
  }

  async versions(actor: Actor, id: string, model: string, query: PageQuery = {}): Promise<Page<RegisteredModelVersion>> {
    const api = this.#api(await this.#find(actor, id));
    return this.#page(api, query, (limit, token) => searchVersions(api, model, limit, token));
  }

  async artifacts(actor: Actor, id: string, model: string, version: string): Promise<RegistryArtifact[]> {
    const api = this.#api(await this.#find(actor, id));
    const found = await walk(api, await placeOfVersion(api, model, version));
    return found.map(({ path, directory, size, modifiedAt, place }) => ({ path, address: addressOf(api.url, place), directory, size, modifiedAt }));
  }

  async upload(actor: Actor, id: string, input: RegistryUpload): Promise<ModelVersion> {
    const { path, conversion = {}, ...rest } = input;
    const row = await this.#find(actor, id);
    const named = readPath(row.url, path);
    const fileName = (('store' in named ? named.path : named.inside).split('/').at(-1) || input.name).slice(0, 255);
    return this.#parts.models.receive(actor, { ...rest, fileName, conversion: { ...conversion, source: { registry: row.uuid, name: row.name, path } } });
  }

  /** The file of a version that `upload` made. */
  readonly open: OpenSource = async (version, say, signal) => {
    const source = version.conversion['source'] as { registry?: string; path?: string } | undefined;
    const row = source?.registry === undefined ? undefined : await this.#store.byId(source.registry);
    if (row === undefined || source?.path === undefined) throw new PotorooError('registry_not_found', 'The registry that the model was to be fetched from is no longer there; upload it from another.');
    say(`Looking for ${source.path} in the registry ${JSON.stringify(row.name)}.`);
    return openArtifact(this.#api(row, signal), readPath(row.url, source.path), version.framework, say, this.#parts.clock);
  };

  /** The cursor holds the registry's token and how many pages there were: what never ends is noticed, whoever asks for the pages. */
  async #page<T>(api: RegistryApi, { limit = pageSize, cursor }: PageQuery, read: (limit: number, token: string | undefined) => Promise<RegistryPage<T>>): Promise<Page<T>> {
    const [pages, token] = cursor === undefined ? [0, undefined] : decode(cursor);
    if (pages >= this.#bounds.pages) return api.invalid(`has a list of more than ${pages} pages; that is more than is read.`);
    const { items, next } = await read(limit, token);
    return { items, cursor: next === null ? null : encode(pages + 1, next) };
  }

  /** By its id alone: names are not unique. */
  #find(actor: Actor, id: string): Promise<RegistryRow> {
    return this.#sharing.find(actor, { id });
  }

  #api(row: RegistryRow, signal?: AbortSignal): RegistryApi {
    const token = row.sealedToken === null ? null : this.#parts.secrets.open(row.sealedToken, row.uuid);
    return new RegistryApi({ outgoing: this.#parts.outgoing, url: row.url, token, name: row.name }, this.#bounds, signal);
  }

  async #shown(actor: Actor, rows: readonly RegistryRow[]): Promise<Registry[]> {
    const workspaces = await this.#sharing.workspacesOf(actor, rows);
    return rows.map((row) => ({
      id: row.uuid, name: row.name, url: row.url, hasToken: row.sealedToken !== null, createdBy: row.createdBy, createdAt: date(row.createdAt), updatedAt: date(row.updatedAt), workspaces: workspaces.get(row.id) ?? [],
    }));
  }
}

const encode = (pages: number, token: string): string => Buffer.from(`${pages}:${token}`).toString('base64url');
function decode(cursor: string): [pages: number, token: string] {
  const [, pages, token] = /^(\d{1,6}):(.+)$/s.exec(Buffer.from(cursor, 'base64url').toString('utf8')) ?? [];
  if (pages === undefined || token === undefined) throw new PotorooError('invalid_cursor', 'cursor is not one that this list gave out: pass the cursor of the page before, unchanged.', { fields: [{ field: 'cursor', message: 'unknown' }] });
  return [Number(pages), token];
}

function checkUrl(text: string): string {
  const wrong = (why: string) => new PotorooError('invalid_request', `url ${why}. Give the address of the MLflow server, such as https://mlflow.example.com, without /api at its end.`, { fields: [{ field: 'url', message: why }] });
  if (text.length > maxUrl || !URL.canParse(text)) throw wrong('is not an address');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw wrong(`starts with ${url.protocol.slice(0, 20)} and not with http: or https:`);
  if (url.username !== '' || url.password !== '') throw wrong('holds a user or a password; put them into the token, as `Basic …`');
  if (url.search !== '' || url.hash !== '') throw wrong('has a query or a fragment');
  return url.href.replace(/\/+$/, '');
}

/** Nothing of it stands in a message. */
function checkToken(token: string): string {
  if (token.length <= maxToken && /^([\x21-\x7e]+( [\x21-\x7e]+)?)?$/.test(token)) return token;
  throw new PotorooError('invalid_request', `token has characters that a token cannot have, or more than ${maxToken}.`, { fields: [{ field: 'token', message: 'not a token' }] });
}
