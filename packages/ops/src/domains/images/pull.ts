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
/** @throws container_unavailable, image_unavailable, arch_mismatch, draining when aborted */
export type PullImage = (image: string, options: PullOptions, signal: AbortSignal) => Promise<Pulled>;

const timeoutMs = 1_800_000;
const sweepMs = 60_000;

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

/** Has the engine's program get images: the container tool is found and called there alone. */
export function pullWith(program: string): PullImage {
  return async (image, { arch, insecure, credentials, missing = false }, signal) => {
    const env = { ...environment(), ...(credentials && { POTOROO_IMAGE_CREDENTIALS: JSON.stringify(credentials) }) };
    const end = await runChild(process.execPath, [program, '--pull', image, '--arch', arch, ...(insecure ? ['--insecure'] : []), ...(missing ? ['--missing'] : [])], { env, signal, silenceMs: timeoutMs, timeoutMs });
    if (end.ended === 'aborted') throw new PotorooError('draining', 'The server stops.');
    let answer: { ok?: boolean; code?: string; message?: string } & Partial<Pulled> = {};
    try {
      answer = JSON.parse(end.stdout.trim().split('\n').at(-1) ?? '') as typeof answer;
    } catch {
      // said below
    }
    const { ok, image: name, digest, bytes } = answer;
    if (ok === true && name !== undefined && digest !== undefined && bytes !== undefined) return { image: name, digest, bytes };
    const code = answer.code !== undefined && answer.code in errorCodes ? (answer.code as ErrorCode) : 'image_unavailable';
    throw new PotorooError(code, answer.message ?? (end.ended === undefined ? `${image} could not be pulled: ${end.lines.at(-1) ?? `the program ended with status ${end.code}`}` : `${image} could not be pulled within ${timeoutMs / 60_000} minutes.`));
  };
}
