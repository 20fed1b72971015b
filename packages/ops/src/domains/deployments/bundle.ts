import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromSystemError, type Bundle } from '@potoroo/contract';

export interface Bundles {
  /** Folder of this bundle, written whole before it has its name; made once, never changed. @throws storage_full, storage_read_only */
  folder(bundle: Bundle): Promise<string>;
  /** Removes the folders of all bundles that are not among those that `used` tells. No folder is made in between. */
  collect(used: () => Promise<readonly Bundle[]>): Promise<void>;
}

/**
 * Bundle folders below `root`, by the digest of their `pipeline.json`. `blob` tells where the file of a digest lies; it is linked, not
 * copied, where both are on one file system.
 */
export function openBundles(root: string, blob: (sha256: string) => string | Promise<string>): Bundles {
  async function write(text: string, bundle: Bundle, target: string): Promise<void> {
    const aside = join(root, 'incoming');
    try {
      await rm(aside, { recursive: true, force: true });
      await mkdir(aside, { recursive: true });
      for (const model of bundle.models) {
        const file = join(aside, model.file);
        await mkdir(dirname(file), { recursive: true });
        await place(await blob(model.sha256), file);
      }
      const handle = await open(join(aside, 'pipeline.json'), 'wx');
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(aside, target);
    } catch (error) {
      await rm(aside, { recursive: true, force: true });
      throw fromSystemError(error, `Writing the bundle of pipeline ${bundle.pipeline.name}`);
    }
  }

  // One at a time: a folder that is made after `used` was asked is not collected.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work, work);
    last = turn;
    return turn;
  };

  return {
    folder: (bundle) => inTurn(async () => {
      const text = textOf(bundle);
      const target = join(root, digest(text));
      if (await whole(target, text, bundle)) return target;
      // A power cut may have left the name without the contents.
      await rm(target, { recursive: true, force: true });
      await write(text, bundle, target);
      return target;
    }),
    collect: (used) => inTurn(async () => {
      const names = new Set((await used()).map((bundle) => digest(textOf(bundle))));
      const there = await readdir(root).catch(() => []);
      await Promise.all(there.filter((name) => !names.has(name)).map((name) => rm(join(root, name), { recursive: true, force: true })));
    }),
  };
}

const textOf = (bundle: Bundle): string => `${JSON.stringify(bundle, null, 1)}\n`;
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

async function whole(folder: string, text: string, bundle: Bundle): Promise<boolean> {
  try {
    if (await readFile(join(folder, 'pipeline.json'), 'utf8') !== text) return false;
    const files = await Promise.all(bundle.models.map((model) => stat(join(folder, model.file))));
    return files.every((file) => file.size > 0);
  } catch {
    return false;
  }
}

/** Links the file; copies it where links cannot be made. */
async function place(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EEXIST') return;
    if (code === 'ENOENT' || code === 'ENOSPC') throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
