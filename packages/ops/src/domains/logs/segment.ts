import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { arrowBatchMessage, arrowSchemaMessage, arrowSpans, decodeArrow, slice, type Batch, type TensorColumn } from '@potoroo/batch';

/** Record batches are made about this large: small enough to hold a few, large enough to be read quickly. */
export const chunk = { bytes: 1024 * 1024, rows: 4096 } as const;

/** A record batch of a segment: where it ends, and between which times its rows are. The first one begins where the schema ends. */
interface Chunk { readonly end: number; readonly rows: number; readonly minTime: number; readonly maxTime: number }

/** Which rows are wanted, times inclusive, and in which direction. */
export interface Window { readonly from: number; readonly to: number; readonly backwards: boolean; /** Those alone that failed a validation. */ readonly anomalies?: boolean }
export const allTimes = { from: -Infinity, to: Infinity } as const;

/** Some rows of a segment; `first` is the row of it with which the batch begins. */
export interface Piece { readonly first: number; readonly batch: Batch }

/** Behind a sealed segment stands where its record batches lie, so that nobody has to read it to know. */
const directoryMark = Buffer.from('POTOROO1');
const maxDirectoryBytes = 1024 * 1024;

/** A segment that is being written: an Arrow stream without an end marker. */
export class SegmentFile {
  readonly path: string;
  bytes: number;
  /** Record batches and bytes written since all of it was last merged into large ones. */
  readonly loose = { batches: 0, bytes: 0 };
  readonly #handle: FileHandle;
  /** Undefined when some of it was written before it was opened here. */
  readonly #chunks: Chunk[] | undefined;
  #schemaEnd = 0;

  private constructor(path: string, handle: FileHandle, bytes: number) {
    this.path = path;
    this.#handle = handle;
    this.bytes = bytes;
    this.#chunks = bytes === 0 ? [] : undefined;
  }

  static async create(path: string): Promise<SegmentFile> {
    return new SegmentFile(path, await open(path, 'wx', 0o600), 0);
  }

  /** Cuts what was written but not committed. Undefined when the file lacks what was. */
  static async reopen(path: string, bytes: number): Promise<SegmentFile | undefined> {
    const size = await stat(path).then((s) => s.size, () => 0);
    if (size < bytes) return undefined;
    const handle = await open(path, 'r+');
    try {
      await handle.truncate(bytes);
      return new SegmentFile(path, handle, bytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Appends the rows in record batches of a size that is good to read. All batches of a segment have the same columns. */
  async append(batch: Batch): Promise<void> {
    if (this.bytes === 0) {
      await this.#write(arrowSchemaMessage(batch));
      this.#schemaEnd = this.bytes;
    }
    const message = arrowBatchMessage(batch);
    const pieces = Math.max(Math.ceil(batch.rows / chunk.rows), Math.ceil(message.length / (2 * chunk.bytes)));
    const step = Math.ceil(batch.rows / pieces);
    if (pieces === 1) return this.#add(message, batch);
    for (let from = 0; from < batch.rows; from += step) {
      const part = slice(batch, from, Math.min(batch.rows, from + step));
      await this.#add(arrowBatchMessage(part), part);
    }
  }

  /** For when no more rows will come: says behind them where they lie. That is no part of the segment's bytes. */
  async finish(): Promise<void> {
    if (this.#chunks === undefined) return;
    const directory = Buffer.concat([directoryMark, Buffer.from(JSON.stringify([this.#schemaEnd, this.#chunks.map((c) => [c.end, c.rows, c.minTime, c.maxTime])]))]);
    if (directory.length <= maxDirectoryBytes) await this.#writeAt(directory, this.bytes);
  }

  /** Makes what was appended survive a power cut. */
  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** Closes and removes it. */
  async discard(): Promise<void> {
    await this.#handle.close();
    await rm(this.path, { force: true });
  }

  async #add(message: Uint8Array, batch: Batch): Promise<void> {
    await this.#write(message);
    this.#chunks?.push({ end: this.bytes, rows: batch.rows, ...timesOf(batch) });
    this.loose.batches += 1;
    this.loose.bytes += message.length;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#writeAt(bytes, this.bytes);
    this.bytes += bytes.length;
  }

  async #writeAt(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) done += (await this.#handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** The schema message of a segment, and where its record batches lie. */
interface Index { bytes: number; readonly schema: Uint8Array; readonly chunks: Chunk[] }

/**
 * Reads rows of segments without reading the segments: it remembers where the record batches of the last used ones lie. A file only
 * ever grows, so what is known of it stays true.
 */
export class SegmentReader {
  readonly #indexes = new Map<string, Index>();
  readonly #kept: number;

  constructor(kept = 256) {
    this.#kept = kept;
  }

  /**
   * About a chunk of the rows of a segment that has `bytes` bytes: from row `row` of it on, or, backwards, up to and with it. It may
   * begin before and end after what was asked for. Record batches that have no time of the window are passed over; undefined when that
   * is all that is left.
   */
  async read(path: string, bytes: number, row: number, window: Window): Promise<Piece | undefined> {
    const handle = await open(path, 'r');
    try {
      const { schema, chunks } = await this.#index(handle, path, bytes);
      const within = chunks.filter((c) => c.end <= bytes);
      const wanted = (c: Chunk | undefined): c is Chunk => c !== undefined && c.maxTime >= window.from && c.minTime <= window.to;
      let from = 0;
      let first = 0;
      while (from < within.length - 1 && first + within[from]!.rows <= row) first += within[from++]!.rows;
      while (from >= 0 && from < within.length && !wanted(within[from])) {
        if (window.backwards) first -= within[--from]?.rows ?? 0;
        else first += within[from++]!.rows;
      }
      if (!wanted(within[from])) return undefined;
      let to = from;
      const start = (at: number): number => within[at - 1]?.end ?? schema.length;
      if (window.backwards) while (wanted(within[from - 1]) && within[to]!.end - start(from - 1) <= chunk.bytes) first -= within[--from]!.rows;
      else while (wanted(within[to + 1]) && within[to + 1]!.end - start(from) <= chunk.bytes) to += 1;
      const part = Buffer.allocUnsafeSlow(schema.length + within[to]!.end - start(from));
      part.set(schema);
      await readAll(handle, part.subarray(schema.length), start(from));
      return { first, batch: decodeArrow(part).batch };
    } finally {
      await handle.close();
    }
  }

  /** All rows, in batches of a size that is good to read. */
  async *all(path: string, bytes: number, rows: number): AsyncGenerator<Batch> {
    for (let row = 0; row < rows;) {
      const { first, batch } = await this.read(path, bytes, row, { ...allTimes, backwards: false }) as Piece;
      yield batch;
      row = first + batch.rows;
    }
  }

  /** How many record batches a segment has. */
  async batches(path: string, bytes: number): Promise<number> {
    const handle = await open(path, 'r');
    try {
      return (await this.#index(handle, path, bytes)).chunks.length;
    } finally {
      await handle.close();
    }
  }

  forget(path: string): void {
    this.#indexes.delete(path);
  }

  async #index(handle: FileHandle, path: string, bytes: number): Promise<Index> {
    let index = this.#indexes.get(path);
    this.#indexes.delete(path);
    index ??= await directoryOf(handle, bytes);
    if (index === undefined || index.bytes < bytes) {
      const start = index?.bytes ?? 0;
      const part = Buffer.allocUnsafeSlow(bytes - start);
      await readAll(handle, part, start);
      const messages = arrowSpans(part);
      const schema = index?.schema ?? Uint8Array.prototype.slice.call(part, 0, messages.shift()!.end);
      const chunks = messages.map(({ start: at, end, rows }) => ({ end: start + end, rows, ...timesOf(decodeArrow(Buffer.concat([schema, part.subarray(at, end)])).batch) }));
      // Two readers may have read the same part: the one that is done first tells.
      const known = this.#indexes.get(path) ?? index;
      if (known === undefined) index = { bytes, schema, chunks };
      else {
        known.chunks.push(...chunks.filter((c) => c.end > known.bytes));
        known.bytes = Math.max(known.bytes, bytes);
        index = known;
      }
    }
    this.#indexes.set(path, index);
    if (this.#indexes.size > this.#kept) this.#indexes.delete(this.#indexes.keys().next().value!);
    return index;
  }
}

/** What a segment that was finished says of itself; undefined for one that was not, whatever stands behind its bytes. */
async function directoryOf(handle: FileHandle, bytes: number): Promise<Index | undefined> {
  const { size } = await handle.stat();
  if (size <= bytes || size - bytes > maxDirectoryBytes) return undefined;
  const text = Buffer.allocUnsafeSlow(size - bytes);
  await readAll(handle, text, bytes);
  if (!text.subarray(0, directoryMark.length).equals(directoryMark)) return undefined;
  let found: [number, [number, number, number, number][]];
  try {
    found = JSON.parse(text.toString('utf8', directoryMark.length)) as typeof found;
  } catch {
    // Written in part, by who was stopped then: the segment itself is whole.
    return undefined;
  }
  const schema = Buffer.allocUnsafeSlow(found[0]);
  await readAll(handle, schema, 0);
  return { bytes, schema, chunks: found[1].map(([end, rows, minTime, maxTime]) => ({ end, rows, minTime, maxTime })) };
}

/** The first column of a segment holds the times. */
function timesOf(batch: Batch): { minTime: number; maxTime: number } {
  let [minTime, maxTime] = [Infinity, -Infinity];
  for (const value of (batch.columns[0] as TensorColumn).values as BigInt64Array) {
    const time = Number(value);
    if (time < minTime) minTime = time;
    if (time > maxTime) maxTime = time;
  }
  return { minTime, maxTime };
}

async function readAll(handle: FileHandle, target: Buffer, position: number): Promise<void> {
  for (let done = 0; done < target.length;) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) throw new Error('A log segment is shorter than the manifest says.');
    done += bytesRead;
  }
}

/** Copies a segment into a new file with large record batches. */
export async function rewrite(reader: SegmentReader, from: { path: string; bytes: number; rows: number }, to: SegmentFile): Promise<void> {
  for await (const batch of reader.all(from.path, from.bytes, from.rows)) await to.append(batch);
  to.loose.batches = 0;
  to.loose.bytes = 0;
}
