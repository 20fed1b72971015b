import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const fileIn = (dataDir: string): string => join(dataDir, 'image-owner');

/** What the images that this server has pulled are marked with, on its machine; undefined before the first one. It is this data folder's, as several servers may use one store of images. */
export function ownerIn(dataDir: string): string | undefined {
  try {
    const owner = readFileSync(fileIn(dataDir), 'utf8').trim();
    return /^[0-9a-f]{12}$/.test(owner) ? owner : undefined;
  } catch {
    return undefined;
  }
}

export function makeOwner(dataDir: string): string {
  const known = ownerIn(dataDir);
  if (known !== undefined) return known;
  const [file, owner] = [fileIn(dataDir), randomBytes(6).toString('hex')];
  writeFileSync(`${file}.new`, `${owner}\n`);
  renameSync(`${file}.new`, file);
  return owner;
}
