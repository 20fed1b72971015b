import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { arrowBatchMessage, arrowSchemaMessage, arrowSpans, decodeArrow, slice, type ArrowSpan, type Batch } from '@potoroo/batch';

/** Record batches are made about this large: small enough to hold a few, large enough to be read quickly. */
export const chunk = { bytes: 1024 * 1024, rows: 4096 } as const;

/** A segment that is being written: an Arrow stream without an end marker. */
export class SegmentFile {
  readonly path: string;
  bytes: number;
  /** Record batches and bytes written since all of it was last merged into large ones. */
  readonly loose = { batches: 0, bytes: 0 };
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, bytes: number) {
    this.path = path;
    this.#handle = handle;
    this.bytes = bytes;
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
    if (this.bytes === 0) await this.#write(arrowSchemaMessage(batch));
    const message = arrowBatchMessage(batch);
    const pieces = Math.max(Math.ceil(batch.rows / chunk.rows), Math.ceil(message.length / (2 * chunk.bytes)));
    const step = Math.ceil(batch.rows / pieces);
    if (pieces === 1) return this.#add(message);
    for (let from = 0; from < batch.rows; from += step) await this.#add(arrowBatchMessage(slice(batch, from, Math.min(batch.rows, from + step))));
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

  async #add(message: Uint8Array): Promise<void> {
    await this.#write(message);
    this.loose.batches += 1;
    this.loose.bytes += message.length;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) done += (await this.#handle.write(bytes, done, bytes.length - done, this.bytes + done)).bytesWritten;
    this.bytes += bytes.length;
  }
}

/** Where the messages of a segment lie; the first is the schema. */
interface Index { bytes: number; schema: Uint8Array; readonly spans: ArrowSpan[] }

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
   * About a chunk of the rows of a segment that has `bytes` bytes: from row `row` of it on, or, backwards, up to and with it. `first`
   * is the row with which the batch begins; it may begin before and end after what was asked for.
   */
  async read(path: string, bytes: number, row: number, backwards: boolean): Promise<{ first: number; batch: Batch }> {
    const handle = await open(path, 'r');
    try {
      const { schema, spans } = await this.#index(handle, path, bytes);
      const within = spans.filter((span) => span.end <= bytes);
      let from = 0;
      let first = 0;
      while (from < within.length - 1 && first + within[from]!.rows <= row) first += within[from++]!.rows;
      let to = from;
      const size = (): number => within[to]!.end - within[from]!.start;
      if (backwards) while (from > 0 && size() + within[from - 1]!.end - within[from - 1]!.start <= chunk.bytes) first -= within[--from]!.rows;
      else while (to < within.length - 1 && size() + within[to + 1]!.end - within[to + 1]!.start <= chunk.bytes) to += 1;
      const part = Buffer.allocUnsafeSlow(schema.length + size());
      part.set(schema);
      await readAll(handle, part.subarray(schema.length), within[from]!.start);
      return { first, batch: decodeArrow(part).batch };
    } finally {
      await handle.close();
    }
  }

  /** All rows, in batches of a size that is good to read. */
  async *all(path: string, bytes: number, rows: number): AsyncGenerator<Batch> {
    for (let row = 0; row < rows;) {
      const { first, batch } = await this.read(path, bytes, row, false);
      yield batch;
      row = first + batch.rows;
    }
  }

  /** How many record batches a segment has. */
  async batches(path: string, bytes: number): Promise<number> {
    const handle = await open(path, 'r');
    try {
      return (await this.#index(handle, path, bytes)).spans.length;
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
    if (index === undefined || index.bytes < bytes) {
      const start = index?.bytes ?? 0;
      const part = Buffer.allocUnsafeSlow(bytes - start);
      await readAll(handle, part, start);
      const spans = arrowSpans(part).map((span) => ({ ...span, start: start + span.start, end: start + span.end }));
      // Two readers may have read the same part: the one that is done first tells.
      const known = this.#indexes.get(path) ?? index;
      if (known === undefined) index = { bytes, schema: Uint8Array.prototype.slice.call(part, 0, spans[0]!.end), spans: spans.slice(1) };
      else {
        known.spans.push(...spans.filter((span) => span.start >= known.bytes));
        known.bytes = Math.max(known.bytes, bytes);
        index = known;
      }
    }
    this.#indexes.set(path, index);
    if (this.#indexes.size > this.#kept) this.#indexes.delete(this.#indexes.keys().next().value!);
    return index;
  }
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
