import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the Debian that images are made from. */
const packages = ['python3', 'python3-distutils'];
const fingerprint = (more = ''): string => createHash('sha256').update(packages.join() + more).digest('hex').slice(0, 12);

/** What was made once and is kept between runs. */
export const kept = fileURLToPath(new URL('../../.venv/containers', import.meta.url));
const runtimeFolder = fileURLToPath(new URL('../../deploy/runtime', import.meta.url));
const needed = { podman: 'podman', runc: 'runc', 'docker-registry': 'docker-registry', htpasswd: 'apache2-utils', debootstrap: 'debootstrap' };

/**
 * A podman with a store of its own, with the image that Python models run in, for the suites of this folder. Nothing of it stays
 * but the base image, which is kept as a file: no registry of images is asked, the packages come from Debian's mirror.
 */
export async function setup(): Promise<void> {
  const missing = Object.entries(needed).filter(([program]) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0).map(([, name]) => name);
  if (missing.length > 0) throw new Error(`These tests need ${missing.join(', ')}: apt-get install --no-install-recommends ${missing.join(' ')}`);
  if (process.getuid?.() !== 0) throw new Error('These tests make images with debootstrap, which needs root: run them as root, or in a container of your own.');
  const folder = mkdtempSync(join(tmpdir(), 'potoroo-podman-'));
  const tool = await workingTool(folder);
  const [before, after] = [tool.before.join(' '), tool.after.join(' ')];
  process.env['POTOROO_CONTAINERS'] = 'podman';
  process.env['POTOROO_CONTAINER_ARGS'] = `${before} -- ${after}`;
  process.env['POTOROO_RUNTIME_IMAGE'] = 'potoroo-runtime';
  const image = join(kept, `runtime-${fingerprint(readFileSync(join(runtimeFolder, 'Containerfile'), 'utf8'))}.tar`);
  if (existsSync(image)) run(['podman', ...tool.before, 'load', '--quiet', '--input', image]);
  else {
    run(['podman', ...tool.before, 'build', '--quiet', '--isolation', 'chroot', '--network', 'host', '--build-arg', 'BASE=localhost/base', '--tag', 'potoroo-runtime', runtimeFolder], 600_000);
    run(['podman', ...tool.before, 'save', '--quiet', '--output', `${image}.new`, 'potoroo-runtime', 'base']);
    renameSync(`${image}.new`, image);
  }
  done = async () => {
    await clear(tool);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
}

let done = async (): Promise<void> => {};
export function teardown(): Promise<void> {
  return done();
}

interface Tool { readonly before: string[]; readonly after: string[] }

/** Podman as it works on this machine: as it is, or, where that cannot start a container, with what a machine without systemd lets it. */
async function workingTool(folder: string): Promise<Tool> {
  const plain = ['--runtime', 'runc'];
  const bounds = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000'];
  const tries: Tool[] = [{ before: [], after: [] }, { before: [...plain, '--storage-driver=overlay'], after: bounds }, { before: [...plain, '--storage-driver=vfs'], after: bounds }];
  const base = baseImage();
  const problems: string[] = [];
  for (const [i, { before, after }] of tries.entries()) {
    const tool = { before: [...before, '--root', join(folder, `store-${i}`), '--runroot', join(folder, `run-${i}`)], after };
    const imported = spawnSync('podman', [...tool.before, 'import', '--quiet', base, 'localhost/base'], { encoding: 'utf8', timeout: 120_000 });
    const ran = spawnSync('podman', [...tool.before, 'run', '--rm', '--network', 'none', '--memory', '256m', '--cpus', '0.5', ...tool.after, 'localhost/base', 'true'], { encoding: 'utf8', timeout: 60_000 });
    if (ran.status === 0) return tool;
    problems.push(imported.status === 0 ? ran.stderr : imported.stderr);
    await clear(tool);
  }
  throw new Error(`podman can start no container here:\n${problems.join('\n')}`);
}

async function clear({ before }: Tool): Promise<void> {
  const root = before[before.indexOf('--root') + 1] ?? '';
  // podman keeps its store mounted on itself
  for (const command of [['podman', ...before, 'rm', '--all', '--force', '--time', '0'], ['podman', ...before, 'rmi', '--all', '--force'], ['umount', join(root, 'overlay')]]) {
    await new Promise<void>((resolve) => { execFile(command[0] ?? '', command.slice(1), { timeout: 120_000 }, () => resolve()); });
  }
}

/** A small Debian with Python, as the file of an image. */
function baseImage(): string {
  const file = join(kept, `base-${fingerprint()}.tar`);
  if (existsSync(file)) return file;
  mkdirSync(kept, { recursive: true });
  const root = mkdtempSync(join(tmpdir(), 'potoroo-debian-'));
  try {
    run(['debootstrap', '--variant=minbase', `--include=${packages.join(',')}`, 'bookworm', root], 600_000);
    run(['tar', '-C', root, '--exclude=./var/cache/apt/*', '--exclude=./usr/share/doc/*', '--exclude=./usr/share/locale/*', '--exclude=./usr/share/man/*', '-cf', `${file}.new`, '.']);
    renameSync(`${file}.new`, file);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return file;
}

export function run([program = '', ...args]: readonly string[], timeout = 300_000, env: Record<string, string> = {}): string {
  const done = spawnSync(program, args, { encoding: 'utf8', timeout, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${done.error?.message ?? ''}\n${done.stdout.slice(-2000)}\n${done.stderr.slice(-4000)}`);
  return done.stdout;
}
