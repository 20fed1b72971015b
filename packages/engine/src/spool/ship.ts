import { open } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { FrameReader, rowRange } from '@potoroo/batch/frames';
import { log } from '../log.ts';
import type { SpoolFile, SpoolFiles } from './files.ts';
import { LogPoster, Refused } from './post.ts';

export interface ShippingStats {
  /** Offset up to which ops has this engine's rows. */
  readonly acknowledged: number;
  /** Why the last attempt failed; null while all is well. */
  readonly error: string | null;
}

/** Bytes of one request, unless a single frame is longer: small enough that reading and checking it holds up no inference. */
const pieceBytes = 2 * 1024 * 1024;
/** Rows are gathered this long before they are sent. */
const gatherMs = 50;
const backOffMs = { first: 100, most: 10_000, hurried: 250 };

/** Ships a spool to ops in order and removes the files that ops has. Own rows do not wait for those of earlier engines. */
export class Shipper {
  readonly #files: SpoolFiles;
  readonly #poster: LogPoster;
  readonly #own: Lane;
  readonly #left: Lane;

  constructor(files: SpoolFiles, ship: { url: string; token: string }) {
    this.#files = files;
    this.#poster = new LogPoster(ship);
    this.#own = new Lane(files, this.#poster, () => files.own, true);
    this.#left = new Lane(files, this.#poster, () => [...files.leftOver.values()].flat(), false);
    if (files.leftOver.size > 0) this.#left.wake();
  }

  wake(): void {
    this.#own.wake();
  }

  stats(): ShippingStats {
    return { acknowledged: this.#own.acknowledged, error: this.#own.error ?? this.#left.error };
  }

  /** Row offset up to which ops has the rows of this file's partition, as far as is known. */
  acknowledged(file: SpoolFile): number {
    return file.partition === this.#files.partition ? this.#own.acknowledged : this.#left.acknowledgedIn(file);
  }

  async flush(deadlineMs: number): Promise<void> {
    const end = new AbortController();
    const all = Promise.all([this.#own.hurry(), this.#left.hurry()]);
    await Promise.race([all, wait(deadlineMs, undefined, { signal: end.signal, ref: false }).catch(() => {})]);
    end.abort();
  }

  async close(): Promise<void> {
    await Promise.all([this.#own.close(), this.#left.close()]);
    await this.#poster.close();
    const last = this.#files.own.at(-1);
    if (last !== undefined && this.#own.acknowledged >= (last.endRow ?? Infinity)) this.#files.remove(last);
  }
}

interface Piece {
  readonly parts: Uint8Array[];
  /** Position in the file after it. */
  readonly end: number;
  readonly schema: Uint8Array | undefined;
  /** Row offset after it; undefined when it holds no rows. */
  readonly endRow: number | undefined;
}

/** Works through a list of files, oldest first. Runs only while there is something to ship. */
class Lane {
  acknowledged = 0;
  error: string | null = null;
  readonly #files: SpoolFiles;
  readonly #poster: LogPoster;
  readonly #list: () => readonly SpoolFile[];
  readonly #growing: boolean;
  readonly #closed = new AbortController();
  readonly #refused = new Set<string>();
  #nudge = new AbortController();
  #running: Promise<void> | undefined;
  #hurried = false;
  #failures = 0;
  #file: SpoolFile | undefined;
  #at = 0;
  /** Offset after the last row read from this file. */
  #endRow = 0;
  #schema: Uint8Array | undefined;

  constructor(files: SpoolFiles, poster: LogPoster, list: () => readonly SpoolFile[], growing: boolean) {
    this.#files = files;
    this.#poster = poster;
    this.#list = list;
    this.#growing = growing;
  }

  wake(): void {
    this.#running ??= this.#run();
  }

  acknowledgedIn(file: SpoolFile): number {
    return this.#file?.partition === file.partition ? this.acknowledged : 0;
  }

  /** Ships without gathering; resolves when nothing is left. */
  async hurry(): Promise<void> {
    this.#hurried = true;
    this.#nudge.abort();
    this.wake();
    await this.#running;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#nudge.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Also where nothing is to be gathered this must not end before `wake` has noted that it runs.
    await this.#pause(this.#growing ? gatherMs : 0);
    while (!this.#closed.signal.aborted) {
      const file = this.#next();
      if (file === undefined) break;
      try {
        const more = await this.#ship(file);
        if (this.#failures > 0) log.info('Logs are shipped again', { partition: file.partition });
        this.#failures = 0;
        this.error = null;
        if (!more && this.#growing) await this.#pause(gatherMs);
      } catch (error) {
        if (this.#closed.signal.aborted) break;
        await this.#failed(file, error as Error);
      }
    }
    this.#hurried = false;
    this.#running = undefined;
  }

  /** The file to ship from; files that ops has are removed on the way. */
  #next(): SpoolFile | undefined {
    for (;;) {
      const list = this.#list();
      const file = list.find((f) => !this.#refused.has(f.partition));
      if (file !== this.#file) {
        if (file?.partition !== this.#file?.partition) this.acknowledged = file?.firstRow ?? this.acknowledged;
        this.#file = file;
        this.#at = 0;
        this.#endRow = file?.firstRow ?? 0;
        this.#schema = undefined;
      }
      if (file === undefined || this.#at < file.size) return file;
      // The newest file of this engine still grows.
      if (this.#growing && file === list.at(-1)) return undefined;
      this.#files.remove(file, { reuse: true });
    }
  }

  /** Sends the next piece; whether a full piece more is waiting. */
  async #ship(file: SpoolFile): Promise<boolean> {
    const piece = await this.#read(file);
    if (piece === undefined) return true;
    if (piece.endRow !== undefined) {
      const next = await this.#poster.post(file.partition, piece.parts, this.#closed.signal);
      if (next < piece.endRow) throw new Error(`ops wants row ${next} of ${file.partition} again`);
      this.acknowledged = Math.max(this.acknowledged, piece.endRow);
    }
    this.#at = piece.end;
    this.#endRow = piece.endRow ?? this.#endRow;
    this.#schema = piece.schema;
    return file.size - this.#at >= pieceBytes;
  }

  async #read(file: SpoolFile): Promise<Piece | undefined> {
    const handle = await open(file.path, 'r');
    try {
      for (let want = Math.min(pieceBytes, file.size - this.#at); ;) {
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(want), 0, want, this.#at);
        const reader = new FrameReader(buffer.subarray(0, bytesRead), 0, this.#endRow);
        const piece = this.#collect(reader, buffer);
        if (piece !== undefined) return piece;
        if (reader.wanted <= bytesRead || this.#at + reader.wanted > file.size) {
          if (reader.torn !== undefined) log.warn('A spool file is damaged: the rest of it is skipped', { file: file.path, at: this.#at, bytes: file.size - this.#at, why: reader.torn });
          this.#files.cut(file, this.#at);
          return undefined;
        }
        want = reader.wanted;
      }
    } finally {
      await handle.close();
    }
  }

  #collect(reader: FrameReader, bytes: Uint8Array): Piece | undefined {
    let schema = this.#schema;
    let endRow: number | undefined;
    let first = true;
    let before: Uint8Array[] = [];
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      if (frame.kind === 'schema') schema = Uint8Array.prototype.slice.call(bytes, frame.start, frame.end);
      else endRow = rowRange(frame.payload).to;
      if (first && frame.kind === 'rows' && schema !== undefined) before = [schema];
      first = false;
    }
    return reader.position === 0 ? undefined : { parts: [...before, bytes.subarray(0, reader.position)], end: this.#at + reader.position, schema, endRow };
  }

  async #failed(file: SpoolFile, error: Error): Promise<void> {
    // Removed to make room while it was read: the next one is taken.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      this.#files.remove(file);
      return;
    }
    this.error = error.message;
    if (!this.#growing && error instanceof Refused && error.status >= 400 && error.status < 500 && error.status !== 429) {
      log.error('Ops refuses the logs of an earlier engine; they stay in the spool', { partition: file.partition, error: error.message });
      this.#refused.add(file.partition);
      return;
    }
    if (this.#failures === 0) log.warn('Logs cannot be shipped; trying again', { partition: file.partition, error: error.message });
    this.#failures += 1;
    const most = this.#hurried ? backOffMs.hurried : backOffMs.most;
    await this.#pause(Math.min(most, backOffMs.first * 2 ** Math.min(this.#failures - 1, 20)) * (0.5 + Math.random() / 2));
  }

  /** Waits, unless there is a hurry; does not keep the process alive. */
  async #pause(ms: number): Promise<void> {
    if (this.#closed.signal.aborted || (this.#hurried && ms <= gatherMs)) return;
    this.#nudge = new AbortController();
    await wait(ms, undefined, { signal: this.#nudge.signal, ref: false }).catch(() => {});
  }
}
