import { createHash, randomUUID } from 'node:crypto';
import { existsSync, statSync, unlinkSync, utimesSync } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromSystemError, PotorooError } from '@potoroo/contract';

export interface Blob { readonly sha256: string; readonly size: number }

/** Files by the SHA-256 of their bytes. What is in here never changes; the same bytes are stored once. */
export interface Blobs {
  /** Streams the content in, in constant memory. Durable when it resolves. @throws body_too_large, storage_full, storage_read_only */
  put(content: AsyncIterable<Uint8Array>, limitBytes?: number): Promise<Blob>;
  has(sha256: string): Promise<boolean>;
  /** Where the file of a blob is, for those who read it in place. It exists once `put` has resolved. */
  path(sha256: string): string;
  /** Removes what `keep` does not want, but nothing that was put less than an hour ago. Gives how many went. */
  sweep(keep: (sha256: string) => Promise<boolean>, now: number): Promise<number>;
}

const restMs = 3_600_000;

/** Blobs in a folder: `<folder>/ab/cdef...`, written aside first and renamed when whole. */
export async function openBlobFolder(folder: string): Promise<Blobs> {
  const incoming = join(folder, 'incoming');
  const path = (sha256: string): string => {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new PotorooError('internal', `${JSON.stringify(sha256)} is not a SHA-256 digest.`);
    return join(folder, sha256.slice(0, 2), sha256.slice(2));
  };
  try {
    // What a server that was killed had half received; nobody can ask for it.
    await rm(incoming, { recursive: true, force: true });
    await mkdir(incoming, { recursive: true });
  } catch (error) {
    throw fromSystemError(error, `Opening the blob folder ${folder}`);
  }

  async function put(content: AsyncIterable<Uint8Array>, limitBytes = Number.POSITIVE_INFINITY): Promise<Blob> {
    const aside = join(incoming, randomUUID());
    try {
      const blob = await write(aside, content, limitBytes);
      const target = path(blob.sha256);
      if (renewed(target)) {
        await rm(aside);
      } else {
        await mkdir(dirname(target), { recursive: true });
        await rename(aside, target);
        await syncFolder(dirname(target));
        await syncFolder(folder);
      }
      return blob;
    } catch (error) {
      await rm(aside, { force: true });
      // Errors of the sender's stream are not ours to reword; those of the disk are.
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw fromSystemError(error, 'Storing the file');
    }
  }

  async function sweep(keep: (sha256: string) => Promise<boolean>, now: number): Promise<number> {
    let removed = 0;
    for (const prefix of (await readdir(folder)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
      for (const name of await readdir(join(folder, prefix))) {
        if (!(await keep(prefix + name)) && removeIfOlder(join(folder, prefix, name), now - restMs)) removed += 1;
      }
    }
    return removed;
  }

  return {
    put,
    path,
    has: (sha256) => access(path(sha256)).then(() => true, () => false),
    sweep,
  };
}

/** Whether the file is there; makes it count as just put. In one turn, so that a sweep comes before or after. */
function renewed(file: string): boolean {
  if (!existsSync(file)) return false;
  const now = new Date();
  utimesSync(file, now, now);
  return true;
}

/** In one turn, for the same reason. */
function removeIfOlder(file: string, time: number): boolean {
  if (!existsSync(file) || statSync(file).mtimeMs >= time) return false;
  unlinkSync(file);
  return true;
}

async function write(file: string, content: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Blob> {
  const hash = createHash('sha256');
  let size = 0;
  const handle = await open(file, 'wx', 0o600);
  try {
    for await (const chunk of content) {
      size += chunk.byteLength;
      if (size > limitBytes) throw new PotorooError('body_too_large', `The file is larger than the ${limitBytes} bytes allowed here. Raise POTOROO_MAX_UPLOAD_BYTES to accept it.`);
      hash.update(chunk);
      for (let at = 0; at < chunk.byteLength;) at += (await handle.write(chunk, at)).bytesWritten;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { sha256: hash.digest('hex'), size };
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

