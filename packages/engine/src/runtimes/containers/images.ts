import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PotorooError } from '@potoroo/contract/plain';
import { ask, lastLine, type ContainerTool } from './tool.ts';

export interface ImageFacts {
  readonly id: string;
  /** `<registry>/<repository>@sha256:…` */
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  /** As the image says it: `amd64`, `arm64`… */
  readonly arch: string;
  /** What it starts. */
  readonly entrypoint: readonly string[];
  /** Ports that it says it listens on. */
  readonly ports: readonly number[];
  /** Its names on this machine, with their registries: those with a tag, and those with a digest. */
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}
export interface Credentials { readonly username: string; readonly password: string }

interface Inspected {
  Id?: string; Digest?: string; RepoTags?: string[] | null; RepoDigests?: string[] | null; Size?: number; Architecture?: string;
  Config?: { Entrypoint?: string[] | null; Cmd?: string[] | null; ExposedPorts?: Record<string, unknown> | null };
}

/** What is known of an image that is on this machine. @throws PotorooError `image_unavailable` */
export async function inspectImage(tool: ContainerTool, image: string): Promise<ImageFacts> {
  const answer = await ask(tool.command, ['image', 'inspect', image]);
  const [found] = (answer.ok ? JSON.parse(answer.stdout) : []) as Inspected[];
  if (found === undefined) throw new PotorooError('image_unavailable', `The image ${image} is not on this machine: ${lastLine(answer.stderr)}. Register it again.`);
  const repository = repositoryOf(image);
  const digests = (found.RepoDigests ?? []).map(whole);
  const own = digests.filter((name) => name.startsWith(`${repository}@`));
  // What was built here and then pushed has the digest that it had before too, which no registry knows.
  const name = own.find((one) => one === image) ?? own.find((one) => !one.endsWith(found.Digest ?? '-')) ?? own[0] ?? image;
  const { Entrypoint, Cmd, ExposedPorts } = found.Config ?? {};
  return {
    id: found.Id ?? image, tags: (found.RepoTags ?? []).map(whole), digests,
    name, digest: name.slice(name.indexOf('@') + 1), bytes: found.Size ?? 0, arch: found.Architecture ?? '',
    entrypoint: [...(Entrypoint ?? []), ...(Cmd ?? [])],
    ports: Object.keys(ExposedPorts ?? {}).map((port) => Number.parseInt(port, 10)).filter((port) => port > 0),
  };
}

/** The name without its tag or digest. */
export const repositoryOf = (image: string): string => image.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
/** A name with its registry: docker leaves out its own. */
export function whole(name: string): string {
  const [first = '', ...rest] = name.split('/');
  if (rest.length > 0 && (/[.:[]/.test(first) || first === 'localhost')) return name;
  return `docker.io/${rest.length > 0 ? '' : 'library/'}${name}`;
}
const registryOf = (image: string): string => image.slice(0, image.indexOf('/'));

export interface Pull {
  /** With its registry: `registry.example.com/team/model:1`. */
  readonly image: string;
  /** `amd64`, `arm64`… */
  readonly arch: string;
  readonly credentials?: Credentials | undefined;
  /** A file as `podman login --authfile` writes it. */
  readonly authFile?: string | undefined;
  /** Without TLS. */
  readonly insecure?: boolean;
}

const pullMs = 1_800_000;
const machines: Readonly<Record<string, string>> = { amd64: 'x86', arm64: 'arm', ppc64le: 'power10' };

/** Gets an image from its registry, for this architecture. @throws PotorooError `image_unavailable`, `arch_mismatch` */
export async function pullImage(tool: ContainerTool, { image, arch, credentials, authFile, insecure = false }: Pull, signal?: AbortSignal): Promise<ImageFacts> {
  const folder = await mkdtemp(join(tmpdir(), 'potoroo-registry-'));
  try {
    const file = join(folder, 'config.json');
    const known = authFile === undefined ? {} : await readAuths(authFile);
    const own = credentials === undefined ? {} : { [registryOf(image)]: { auth: Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64') } };
    await writeFile(file, JSON.stringify({ auths: { ...known, ...own } }), { mode: 0o600 });
    const explicit = credentials !== undefined || authFile !== undefined;
    const [command, auth] = tool.name === 'podman' ? [tool.command, explicit ? ['--authfile', file] : []] : [[tool.command[0] ?? '', ...(explicit ? ['--config', folder] : []), ...tool.command.slice(1)], []];
    const answer = await ask(command, ['pull', '--quiet', '--platform', `linux/${arch}`, ...auth, ...(insecure && tool.name === 'podman' ? ['--tls-verify=false'] : []), image], { timeoutMs: pullMs, ...(signal && { signal }) });
    if (!answer.ok) throw new PotorooError('image_unavailable', refusal(image, credentials === undefined ? answer.stderr : answer.stderr.replaceAll(credentials.password, '…'), explicit));
    const facts = await inspectImage(tool, image);
    // A registry that has one image alone gives that, whatever is asked for.
    if (facts.arch !== arch) throw new PotorooError('arch_mismatch', `The image ${image} is made for ${machines[facts.arch] ?? facts.arch}, and ${machines[arch] ?? arch} is needed here. Register one that is made for it.`);
    return facts;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readAuths(file: string): Promise<Record<string, unknown>> {
  try {
    return (JSON.parse(await readFile(file, 'utf8')) as { auths?: Record<string, unknown> }).auths ?? {};
  } catch {
    throw new PotorooError('settings_invalid', `POTOROO_REGISTRY_AUTH: ${file} cannot be read as JSON with credentials. Write it with \`podman login --authfile\`.`);
  }
}

function refusal(image: string, said: string, credentials: boolean): string {
  const registry = registryOf(image);
  if (/unauthorized|authentication required|access denied|denied:|invalid username|403|401/i.test(said)) return `${registry} does not give ${image} ${credentials ? 'to these credentials' : 'without credentials: give some with it, or set POTOROO_REGISTRY_AUTH'}.`;
  if (/manifest unknown|not found|name unknown|no such manifest|404/i.test(said)) return `${registry} has no image ${image}: check its name and its tag.`;
  if (/no image found in (manifest list|image index)|no matching manifest/i.test(said)) return `${registry} has ${image} for other architectures only.`;
  if (/connection refused|no such host|timeout|i\/o|dial tcp|EOF|said nothing/i.test(said)) return `${registry} does not answer: ${lastLine(said)}.`;
  return `${image} could not be pulled: ${lastLine(said)}.`;
}
