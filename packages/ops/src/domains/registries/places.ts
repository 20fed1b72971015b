import { PotorooError } from '@potoroo/contract';
import { encodePath, everyPage, nextOf, numberOf, rowsOf, textOf, type Json, type Query, type RegistryApi } from './api.ts';
import { Breaks, download } from './download.ts';
import { downloadUri, readAlias, readVersion } from './mlflow.ts';

/**
 * Where a file or folder of a registry lies: behind which of its interfaces, of which run or version where that has them,
 * and its path there.
 */
export interface Place { readonly store: StoreName; readonly of: string; readonly path: string }
export interface Entry { readonly name: string; readonly directory: boolean; readonly size: number | null; readonly modifiedAt: Date | null }

interface Store {
  /** Of what is directly in a folder. */
  list(api: RegistryApi, place: Place): Promise<Json[]>;
  /** The address that gives a file: what people see and hand back. */
  address(place: Place): { path: string; query: Query };
  placeOf(path: string, query: URLSearchParams): Place | undefined;
}
type StoreName = 'proxy' | 'run' | 'version' | 'dbfs';

const paged = (api: RegistryApi, path: string, query: Query): Promise<Json[]> => everyPage(api, async (token) => {
  const answer = await api.json(path, { ...query, page_token: token });
  return { items: rowsOf(api, answer, 'files'), next: nextOf(api, answer, token) };
});
const proxied = '/api/2.0/mlflow-artifacts/artifacts';
const dbfs = '/api/2.0/dbfs';
const byQuery = (store: StoreName, address: string, of: (query: URLSearchParams) => string | undefined) => (path: string, query: URLSearchParams): Place | undefined => {
  const [owner, inside] = [of(query), query.get('path')];
  return path !== address || owner === undefined || inside === null ? undefined : { store, of: owner, path: inside };
};

const stores: Readonly<Record<StoreName, Store>> = {
  /** The tracking server's artifact proxy. */
  proxy: {
    list: (api, place) => paged(api, proxied, { path: place.path }),
    address: ({ path }) => ({ path: `${proxied}/${encodePath(path)}`, query: {} }),
    placeOf: (path) => (path.startsWith(`${proxied}/`) ? { store: 'proxy', of: '', path: decodeURIComponent(path.slice(proxied.length + 1)) } : undefined),
  },
  /** Artifacts of a run, which the server reads from wherever it keeps them. */
  run: {
    list: (api, { of, path }) => paged(api, '/api/2.0/mlflow/artifacts/list', { run_id: of, path }),
    address: ({ of, path }) => ({ path: '/get-artifact', query: { run_id: of, path } }),
    placeOf: byQuery('run', '/get-artifact', (query) => query.get('run_id') ?? undefined),
  },
  /** Files of a version that MLflow 3 logged as a model, which the server reads from wherever it keeps them. */
  version: {
    async list(api, { of, path }) {
      const [name, version] = nameAndVersion(of);
      const logged = /^models:\/(m-[\w-]+)$/.exec((await readVersion(api, name, version)).source)?.[1];
      if (logged === undefined) return api.invalid(`does not say where the files of version ${version} of ${JSON.stringify(name)} lie.`);
      return paged(api, `/api/2.0/mlflow/logged-models/${logged}/artifacts/directories`, { artifact_directory_path: path });
    },
    address({ of, path }) {
      const [name, version] = nameAndVersion(of);
      return { path: '/model-versions/get-artifact', query: { name, version, path } };
    },
    placeOf: byQuery('version', '/model-versions/get-artifact', (query) => (query.has('name') && query.has('version') ? `${query.get('name')}/${query.get('version')}` : undefined)),
  },
  /** Databricks' file system. */
  dbfs: {
    list: async (api, { path }) => rowsOf(api, await api.json(`${dbfs}/list`, { path }), 'files'),
    address: ({ path }) => ({ path: `${dbfs}/read`, query: { path } }),
    placeOf: byQuery('dbfs', `${dbfs}/read`, () => ''),
  },
};

const nameAndVersion = (of: string): [string, string] => [of.slice(0, of.lastIndexOf('/')), of.slice(of.lastIndexOf('/') + 1)];

export const inside = (place: Place, name: string): Place => ({ ...place, path: place.path === '' ? name : `${place.path.replace(/\/$/, '')}/${name}` });
export const nameOf = (place: Place): string => place.path.split('/').at(-1) ?? '';

export function addressOf(url: string, place: Place): string {
  const { path, query } = stores[place.store].address(place);
  const search = Object.entries(query).map(([name, value]) => `${name}=${encodePath(String(value))}`).join('&');
  return `${url}${path}${search === '' ? '' : `?${search}`}`;
}

/** @throws registry_invalid for a file that would lie elsewhere than in its folder */
export async function list(api: RegistryApi, place: Place): Promise<Entry[]> {
  const rows = await stores[place.store].list(api, place);
  const folder = place.path === '' ? '' : `${place.path.replace(/\/$/, '')}/`;
  return rows.map((row) => {
    const path = textOf(row['path']);
    // Some say it from the root, some from the folder.
    const name = path.startsWith(folder) ? path.slice(folder.length) : path;
    if (!isSegment(name)) return api.invalid(`lists the file ${JSON.stringify(path.slice(0, 200))}, which is none of that folder.`);
    const modified = numberOf(row['modification_time']);
    return { name, directory: row['is_dir'] === true, size: numberOf(row['file_size']), modifiedAt: modified === null ? null : new Date(modified) };
  });
}

const isSegment = (name: string): boolean => /^[^/\\\x00-\x1f\x7f]{1,255}$/.test(name) && name !== '.' && name !== '..';

/** The bytes of a file, as they come; one whose transfer breaks goes on from there. */
export async function* read(api: RegistryApi, place: Place, maxBytes: number, say: (text: string) => void): AsyncGenerator<Uint8Array> {
  if (place.store === 'dbfs') return yield* readPieces(api, place.path, maxBytes, say);
  const { path, query } = stores[place.store].address(place);
  yield* download(api, { path, query }, maxBytes, say);
}

const pieceBytes = 1 << 20;

/** Databricks gives a file a megabyte at a time, as base64 in JSON. */
async function* readPieces(api: RegistryApi, path: string, maxBytes: number, say: (text: string) => void): AsyncGenerator<Uint8Array> {
  const breaks = new Breaks(api, say);
  for (let offset = 0; ;) {
    const answer = await api.json(`${dbfs}/read`, { path, offset, length: pieceBytes }, 2 * pieceBytes).catch((error: unknown) => breaks.wait(error, offset));
    if (answer === undefined) continue;
    const { data, bytes_read: count } = answer;
    const piece = Buffer.from(typeof data === 'string' ? data : '', 'base64');
    if (piece.length !== numberOf(count) || piece.length > pieceBytes) return api.invalid(`sent ${piece.length} bytes of ${path} and says that they are more or less.`);
    offset += piece.length;
    if (offset > maxBytes) throw new PotorooError('body_too_large', `${path} is larger than the ${maxBytes} bytes that are taken.`);
    if (piece.length > 0) yield piece;
    if (piece.length < pieceBytes) return;
  }
}

/** What people name: `models:/name/version`, `models:/name@alias`, both also with a path behind, or the address of a file. */
export type Path = { readonly name: string; readonly version?: string; readonly alias?: string; readonly inside: string } | Place;

/** @throws invalid_request for what is no path of this registry */
export function readPath(url: string, text: string): Path {
  const wrong = (why: string) => new PotorooError('invalid_request', `path ${JSON.stringify(text.slice(0, 200))} ${why}. Use the full path of a listed file, or models:/<model>/<version>.`, { fields: [{ field: 'path', message: why }] });
  const clean = (path: string): string => {
    if (path.replace(/^\//, '').split('/').every(isSegment)) return path;
    throw wrong('has parts that are no names of files');
  };
  const model = /^models:\/([^/@]+)(?:\/(\d{1,18})|@([\w-]{1,255}))(?:\/(.+?))?\/?$/.exec(text);
  if (model !== null) {
    const [, name = '', version, alias, below] = model;
    return { name, ...(version !== undefined && { version }), ...(alias !== undefined && { alias }), inside: below === undefined ? '' : clean(below) };
  }
  if (!URL.canParse(text)) throw wrong('is neither a model nor an address');
  const [address, base] = [new URL(text), new URL(url)];
  const prefix = base.pathname.replace(/\/$/, '');
  if (address.origin !== base.origin || !address.pathname.startsWith(`${prefix}/`)) throw wrong('is not an address of this registry');
  let place: Place | undefined;
  try {
    place = Object.values(stores).map((store) => store.placeOf(address.pathname.slice(prefix.length), address.searchParams)).find((found) => found !== undefined);
  } catch {
    throw wrong('cannot be read'); // a stray % in it
  }
  if (place === undefined) throw wrong('is not the address of a file');
  return { ...place, path: clean(place.path.replace(/(?<=.)\/$/, '')) };
}

/** Where the files of a model version lie. @throws artifact_not_found, registry_invalid */
export async function placeOfVersion(api: RegistryApi, name: string, version: string): Promise<Place> {
  const uri = await downloadUri(api, name, version);
  const place = placeOfUri(uri);
  if (place !== undefined) return place.path.replace(/^\//, '').split('/').every((part) => part === '' || isSegment(part)) ? place : api.invalid(`keeps version ${version} of ${JSON.stringify(name)} in a folder whose path leads elsewhere.`);
  const { source, runId } = await readVersion(api, name, version);
  if (source.startsWith('models:/m-')) return { store: 'version', of: `${name}/${version}`, path: '' };
  const below = runId === null ? undefined : uri.split(`/${runId}/artifacts/`)[1];
  if (runId !== null && below !== undefined && below !== '') return { store: 'run', of: runId, path: below.replace(/\/$/, '') };
  return api.invalid(`keeps version ${version} of ${JSON.stringify(name)} at ${uri.split(':')[0]?.slice(0, 40)}:, and does not hand out files from there.`);
}

function placeOfUri(uri: string): Place | undefined {
  const [, scheme, rest = ''] = /^([\w-]+):\/(.*?)\/*$/.exec(uri) ?? [];
  if (scheme === 'mlflow-artifacts') return { store: 'proxy', of: '', path: rest.replace(/^\/[^/]*\/?/, '') }; // `//host` may stand before the path
  if (scheme === 'runs') return { store: 'run', of: rest.split('/')[0] ?? '', path: rest.split('/').slice(1).join('/') };
  if (scheme === 'dbfs') return { store: 'dbfs', of: '', path: `/${rest}` };
  return undefined;
}

/** @throws artifact_not_found */
export async function find(api: RegistryApi, path: Path): Promise<{ place: Place; entry: Entry }> {
  if ('store' in path) return { place: path, entry: await entryOf(api, path) };
  const version = path.version ?? (await readAlias(api, path.name, path.alias ?? '')).version;
  const root = await placeOfVersion(api, path.name, version);
  if (path.inside === '') return { place: root, entry: { name: path.name, directory: true, size: null, modifiedAt: null } };
  const place = inside(root, path.inside);
  return { place, entry: await entryOf(api, place) };
}

/** A file is told from a folder by how its own folder lists it. */
async function entryOf(api: RegistryApi, place: Place): Promise<Entry> {
  const cut = place.path.lastIndexOf('/');
  const found = (await list(api, { ...place, path: cut < 0 ? '' : place.path.slice(0, cut) || '/' })).find(({ name }) => name === nameOf(place));
  if (found === undefined) throw new PotorooError('artifact_not_found', `The registry has no file or folder ${JSON.stringify(place.path.slice(0, 300))}.`);
  return found;
}

export interface Artifact extends Entry { readonly path: string; readonly place: Place }

/** Everything below a folder, folders before what is in them. @throws registry_invalid when that has no end */
export async function walk(api: RegistryApi, root: Place): Promise<Artifact[]> {
  const { items, depth } = api.bounds;
  const found: Artifact[] = [];
  const below = async (folder: Place, prefix: string, level: number): Promise<void> => {
    if (level > depth) return api.invalid(`has folders more than ${depth} deep.`);
    for (const entry of await list(api, folder)) {
      const artifact = { ...entry, path: prefix + entry.name, place: inside(folder, entry.name) };
      if (found.push(artifact) > items) return api.invalid(`has more than ${items} files in one folder.`);
      if (entry.directory) await below(artifact.place, `${artifact.path}/`, level + 1);
    }
  };
  await below(root, '', 1);
  return found;
}
