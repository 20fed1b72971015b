import { inspectImage, pullImage, repositoryOf, type ImageFacts, type Pull } from './images.ts';
import { ask, type ContainerTool } from './tool.ts';

/**
 * What a server has pulled bears a name of that server beside its own: `localhost/potoroo-<owner>/<registry>/<repository>:<digest>[.<tag>]`.
 * So the images that were there before, or that somebody else has named, are told from those that may go; and who removes an
 * image removes this too. An image whose name is too long for that is never removed.
 */
const marks = 'localhost/potoroo-';
const shape = /^localhost\/potoroo-([0-9a-f]{12})\/([a-z0-9._-]+)\/(.+):([0-9a-f]{64})(?:\.(.+))?$/;
const removeMs = 120_000;

/** A name of an image that is here, and the image's id. */
interface Named { readonly name: string; readonly id: string }
interface Mark extends Named { readonly owner: string; readonly digest: string; /** The name that it was pulled by. */ readonly image: string }

export function markOf({ name, id }: Named): Mark | undefined {
  const [, owner, host, repository, hex, tag] = shape.exec(name) ?? [];
  if (owner === undefined || host === undefined) return undefined;
  return { name, id, owner, digest: `sha256:${hex}`, image: `${host.replace(/__(\d+)$/, ':$1')}/${repository}${tag === undefined ? `@sha256:${hex}` : `:${tag}`}` };
}

/** Undefined for a name that does not go into one. */
export function markFor(owner: string, image: string, digest: string): string | undefined {
  const repository = repositoryOf(image);
  const tag = image.includes('@') ? '' : image.slice(repository.length).replace(':', '.');
  const name = `${marks}${owner}/${repository.replace(/^([^/]+):(\d+)\//, '$1__$2/')}:${digest.replace('sha256:', '')}${tag}`;
  return name.length <= 255 && tag.length <= 64 && markOf({ name, id: '' })?.image === (tag === '' ? `${repository}@${digest}` : image) ? name : undefined;
}

async function list(tool: ContainerTool): Promise<Named[] | undefined> {
  const { ok, stdout } = await ask(tool.command, ['images', '--all', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}']);
  return ok ? stdout.split('\n').map((line) => line.trim().split(' ')).flatMap(([name, id]) => (name === undefined || id === undefined ? [] : [{ name, id: bare(id) }])) : undefined;
}

const bare = (id: string): string => id.replace(/^sha256:/, '');

/**
 * Pulls, and marks what was not there before as this owner's; also when it is stopped, or refused, after the image has come.
 * @throws PotorooError `image_unavailable`, `arch_mismatch`
 */
export async function pullOwn(tool: ContainerTool, owner: string, pull: Pull, signal: AbortSignal): Promise<ImageFacts> {
  const before = await list(tool);
  try {
    return await pullImage(tool, pull, signal);
  } finally {
    await mark(tool, owner, pull.image, before).catch(() => { /* it has not come */ });
  }
}

async function mark(tool: ContainerTool, owner: string, image: string, before: readonly Named[] | undefined): Promise<void> {
  const { id, digest } = await inspectImage(tool, image);
  const known = before?.filter((one) => one.id === bare(id));
  const name = markFor(owner, image, digest);
  // What another server has pulled is that one's and this one's.
  if (name !== undefined && known !== undefined && (known.length === 0 || known.some((one) => markOf(one) !== undefined))) await ask(tool.command, ['tag', id, name]);
}

/** Digests of the images that bear this owner's mark. */
export async function ownImages(tool: ContainerTool, owner: string): Promise<string[]> {
  const found = (await list(tool) ?? []).flatMap((one) => markOf(one) ?? []).filter((one) => one.owner === owner);
  return [...new Set(found.map((one) => one.digest))];
}

/** Removes this owner's images of these digests, but those that a container was made of, or that are somebody else's too. Gives the names of those that are gone. */
export async function dropImages(tool: ContainerTool, owner: string, digests: readonly string[]): Promise<string[]> {
  const own = (await list(tool) ?? []).flatMap((one) => markOf(one) ?? []).filter((one) => one.owner === owner);
  const gone: string[] = [];
  for (const digest of digests) {
    const found = own.filter((one) => one.digest === digest);
    if (found[0] !== undefined && await drop(tool, found[0].id, found)) gone.push(found[0].image);
  }
  return gone;
}

async function drop(tool: ContainerTool, id: string, own: readonly Mark[]): Promise<boolean> {
  const pulled = own.map((one) => one.image);
  const { tags, digests } = await inspectImage(tool, id);
  const names = own.map((one) => one.name);
  const others = [
    ...tags.filter((name) => !pulled.includes(name) && !names.includes(name)),
    ...digests.filter((name) => !name.startsWith(marks) && !pulled.some((one) => repositoryOf(one) === repositoryOf(name))),
  ];
  if (others.length > 0) {
    await removeNames(tool, names);
    return false;
  }
  const users = await ask(tool.command, ['ps', '--all', '--quiet', '--filter', `ancestor=${id}`]);
  if (!users.ok || users.stdout.trim() !== '') return false;
  // The mark goes last, so that what is cut short is taken up again. Without force: a container that has just been made keeps its image.
  await removeNames(tool, [...tags.filter((name) => pulled.includes(name)), ...digests.filter((name) => !name.startsWith(marks)), ...names]);
  return !(await ask(tool.command, ['image', 'inspect', id])).ok;
}

async function removeNames(tool: ContainerTool, names: readonly string[]): Promise<void> {
  for (const name of names) await ask(tool.command, ['rmi', name], { timeoutMs: removeMs });
}
