import { closeSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, PotorooError } from '@potoroo/contract/plain';
import { makeFolder } from './folders.ts';
import { FrameReader, rowRange } from '@potoroo/batch/frames';

/** One file of a spool. Its name tells its partition and the offset of its first row. */
export interface SpoolFile {
  readonly path: string;
  readonly partition: string;
  readonly firstRow: number;
  /** Bytes up to the end of the last whole frame. */
  size: number;
  /** Offset after its last row; undefined for files found at the start, until somebody has read them. */
  endRow: number | undefined;
}

/** Smaller files are quickly written anew. */
const worthKeeping = 1024 * 1024;
const namePattern = /^(.+)\.(\d{16})\.spool$/;
const partitionPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$/;

/**
 * The files of one spool folder: those of this engine, and those that engines before it left (a container that was restarted).
 * Counts what they take on disk.
 */
export class SpoolFiles {
  readonly partition: string;
  readonly own: SpoolFile[] = [];
  /** By partition, oldest first. */
  readonly leftOver: Map<string, SpoolFile[]>;
  usedBytes = 0;
  readonly #dir: string;
  /** A removed file of this engine that the next one is written over: its pages are in memory, which new ones would first have to be given. */
  #spare: string | undefined;

  /** @throws PotorooError invalid_name, storage_full, storage_read_only */
  constructor(dir: string, partition: string) {
    if (!partitionPattern.test(partition)) throw new PotorooError('invalid_name', `The partition name ${JSON.stringify(partition)} is not allowed: use 1 to 120 letters, digits, dots, dashes and underscores.`);
    this.#dir = dir;
    try {
      makeFolder(dir);
      const names = readdirSync(dir);
      this.leftOver = found(dir, names);
      this.partition = incarnation(dir, names, partition);
      for (const name of names) if (name.endsWith('.spare')) rmSync(join(dir, name), { force: true });
    } catch (error) {
      throw fromSystemError(error, `Opening the spool folder ${dir}`);
    }
    for (const files of this.leftOver.values()) for (const file of files) this.usedBytes += file.size;
  }

  /** A new, empty file of this engine, open for appending. */
  create(firstRow: number): { file: SpoolFile; fd: number } {
    const path = join(this.#dir, `${this.partition}.${String(firstRow).padStart(16, '0')}.spool`);
    // Only a file whose first write failed can be here already: there is no row in it.
    const fd = this.#reopen(path) ?? openSync(path, 'w', 0o600);
    if (this.own.at(-1)?.path !== path) this.own.push({ path, partition: this.partition, firstRow, size: 0, endRow: firstRow });
    return { file: this.own.at(-1)!, fd };
  }

  /** Forgets what lies behind the last good frame. */
  cut(file: SpoolFile, size: number): void {
    if (this.#listOf(file).includes(file)) this.usedBytes -= file.size - size;
    file.size = size;
  }

  /** @param reuse nobody is reading it, so that it may be written over */
  remove(file: SpoolFile, { reuse = false } = {}): void {
    const list = this.#listOf(file);
    const at = list.indexOf(file);
    if (at < 0) return;
    list.splice(at, 1);
    if (file.partition !== this.partition && list.length === 0) this.leftOver.delete(file.partition);
    this.usedBytes -= file.size;
    try {
      if (reuse && this.#spare === undefined && file.partition === this.partition && file.size >= worthKeeping) {
        this.#spare = join(this.#dir, `${this.partition}.spare`);
        renameSync(file.path, this.#spare);
      } else unlinkSync(file.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** The spare file goes with the engine. */
  close(): void {
    if (this.#spare !== undefined) rmSync(this.#spare, { force: true });
    this.#spare = undefined;
  }

  #reopen(path: string): number | undefined {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare === undefined) return undefined;
    try {
      renameSync(spare, path);
      return openSync(path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** The file whose rows go first when there is no room: left over before own, old before new. */
  oldest(): SpoolFile | undefined {
    const [left] = this.leftOver.values();
    return left?.[0] ?? this.own[0];
  }

  #listOf(file: SpoolFile): SpoolFile[] {
    return file.partition === this.partition ? this.own : this.leftOver.get(file.partition) ?? [];
  }
}

function found(dir: string, names: readonly string[]): Map<string, SpoolFile[]> {
  const partitions = new Map<string, { files: SpoolFile[]; since: number }>();
  for (const name of names.toSorted()) {
    const match = namePattern.exec(name);
    if (match === null) continue;
    const path = join(dir, name);
    const { size, mtimeMs } = statSync(path);
    const partition = partitions.get(match[1]!) ?? { files: [], since: mtimeMs };
    partitions.set(match[1]!, partition);
    partition.files.push({ path, partition: match[1]!, firstRow: Number(match[2]), size, endRow: undefined });
  }
  return new Map([...partitions].toSorted(([, a], [, b]) => a.since - b.since).map(([name, { files }]) => [name, files]));
}

/**
 * The name under which this engine's rows go. Offsets start at 0 in every partition, so a name is never used twice: an engine that
 * is started again under the same name on the same folder becomes `name.2`, `name.3`... A marker file remembers that after all
 * spool files have been shipped and removed.
 */
function incarnation(dir: string, names: readonly string[], partition: string): string {
  const marker = (n: number): string => (n === 1 ? partition : `${partition}.${n}`);
  const used = names.flatMap((name) => {
    const base = name.endsWith('.incarnation') ? name.slice(0, -'.incarnation'.length) : '';
    if (base === partition) return [1];
    const n = base.startsWith(`${partition}.`) ? Number(base.slice(partition.length + 1)) : Number.NaN;
    return Number.isInteger(n) ? [n] : [];
  });
  const mine = marker(Math.max(0, ...used) + 1);
  closeSync(openSync(join(dir, `${mine}.incarnation`), 'wx', 0o600));
  for (const n of used) unlinkSync(join(dir, `${marker(n)}.incarnation`));
  return mine;
}

/** Rows of a file that nobody has read yet, for counting what is lost with it. */
export function countRows(file: SpoolFile): number {
  if (file.endRow !== undefined) return file.endRow - file.firstRow;
  const fd = openSync(file.path, 'r');
  try {
    let buffer = Buffer.allocUnsafe(1024 * 1024);
    let end = file.firstRow;
    for (let at = 0; at < file.size;) {
      const read = readSync(fd, buffer, 0, buffer.length, at);
      const reader = new FrameReader(buffer.subarray(0, read));
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        if (frame.kind === 'rows') end = rowRange(frame.payload).to;
      }
      if (reader.position === 0) {
        if (reader.wanted <= read || at + reader.wanted > file.size) break;
        buffer = Buffer.allocUnsafe(reader.wanted);
      }
      at += reader.position;
    }
    return end - file.firstRow;
  } finally {
    closeSync(fd);
  }
}
