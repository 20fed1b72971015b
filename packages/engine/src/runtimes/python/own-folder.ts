import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'potoroo-model-';
let swept: Promise<void> | undefined;

/**
 * A folder that only this user can enter, and in it the one that a runtime gets: whichever user that runs as, it may write there.
 */
export async function ownFolder(): Promise<{ holder: string; folder: string; work: string }> {
  await (swept ??= sweep());
  const holder = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`));
  const folder = join(holder, 'r');
  const work = join(folder, 'w');
  for (const made of [folder, work]) {
    await mkdir(made);
    await chmod(made, 0o777);
  }
  return { holder, folder, work };
}

/** Removes the folders of engines that were killed before they could; their process id is in the name. */
async function sweep(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => [] as string[]);
  await Promise.all(names.map(async (name) => {
    const owner = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined || alive(Number(owner))) return;
    await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {});
  }));
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
