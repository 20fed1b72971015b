import { errorCodes, PotorooError, type ErrorCode } from '@potoroo/contract';
import { containerEnv } from '../../hosts/container-env.ts';
import { plainEnvironment, runChild } from '../environments/child.ts';

export interface Credentials { readonly username: string; readonly password: string }
/** An image that is on this machine: its name by digest. */
export interface Pulled { readonly image: string; readonly digest: string; readonly bytes: number }
export interface PullOptions {
  /** As the container tools call it: `amd64`, `arm64`. */
  readonly arch: string;
  readonly insecure: boolean;
  readonly credentials?: Credentials | undefined;
  /** Only when it is not here. */
  readonly missing?: boolean;
}
/** What the engine's program does with images of this machine: the container tool is found and called there alone. */
export interface ImageTool {
  /** Gets one from its registry; what was not here before is this owner's from then on. @throws container_unavailable, image_unavailable, arch_mismatch, draining when aborted */
  pull(image: string, owner: string, options: PullOptions, signal: AbortSignal): Promise<Pulled>;
  /** Digests of this owner's. @throws as `pull` */
  own(owner: string, signal: AbortSignal): Promise<string[]>;
  /** Removes those of these that nothing else needs; gives their names. @throws as `pull` */
  drop(owner: string, digests: readonly string[], signal: AbortSignal): Promise<string[]>;
}

const timeoutMs = 1_800_000;
const sweepMs = 60_000;
/** To mark what it has just pulled. */
const graceMs = 10_000;

const environment = (): Record<string, string> =>
  plainEnvironment(Object.fromEntries([...containerEnv, 'HOME', 'TMPDIR', 'POTOROO_REGISTRY_AUTH'].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name] as string]]))));

/** Has it remove the containers that engines which were killed have left. Gives their names; never rejects. */
export async function sweepWith(program: string): Promise<string[]> {
  const end = await runChild(process.execPath, [program, '--sweep'], { env: environment(), silenceMs: sweepMs, timeoutMs: sweepMs });
  try {
    return (JSON.parse(end.stdout) as { removed?: string[] }).removed ?? [];
  } catch {
    return [];
  }
}

export function imageTool(program: string): ImageTool {
  async function ask(doing: string, args: readonly string[], signal: AbortSignal, more: Record<string, string> = {}): Promise<Record<string, unknown>> {
    const end = await runChild(process.execPath, [program, ...args], { env: { ...environment(), ...more }, signal, graceMs, silenceMs: timeoutMs, timeoutMs });
    if (end.ended === 'aborted') throw new PotorooError('draining', 'The server stops.');
    let answer: Record<string, unknown> & { ok?: boolean; code?: string; message?: string } = {};
    try {
      answer = JSON.parse(end.stdout.trim().split('\n').at(-1) ?? '') as typeof answer;
    } catch {
      // said below
    }
    if (answer.ok === true) return answer;
    const code = answer.code !== undefined && answer.code in errorCodes ? (answer.code as ErrorCode) : 'image_unavailable';
    throw new PotorooError(code, answer.message ?? `${doing} ${end.ended === undefined ? `failed: ${end.lines.at(-1) ?? `the program ended with status ${end.code}`}` : `took more than ${timeoutMs / 60_000} minutes`}.`);
  }
  return {
    async pull(image, owner, { arch, insecure, credentials, missing = false }, signal) {
      const args = ['--pull', image, '--arch', arch, '--owner', owner, ...(insecure ? ['--insecure'] : []), ...(missing ? ['--missing'] : [])];
      const { image: name, digest, bytes } = await ask(`Pulling ${image}`, args, signal, credentials && { POTOROO_IMAGE_CREDENTIALS: JSON.stringify(credentials) });
      return { image: name, digest, bytes } as Pulled;
    },
    own: async (owner, signal) => (await ask('Listing images', ['--own', '--owner', owner], signal))['digests'] as string[],
    drop: async (owner, digests, signal) => (await ask('Removing images', [...digests.flatMap((digest) => ['--drop', digest]), '--owner', owner], signal))['removed'] as string[],
  };
}
