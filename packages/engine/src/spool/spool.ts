import { closeSync, ftruncateSync, writeSync, writevSync } from 'node:fs';
import { fromSystemError, PotorooError } from '@potoroo/contract/plain';
import type { Column } from '@potoroo/batch';
import { decodeSchema, FrameEncoder, FrameReader, isOfType, logTypeOf, maxFrameBytes, maxFrameRows, type LogModel, type LogPipeline, type LogRequest, type LogRows, type LogSchema } from '@potoroo/batch/frames';
import { log } from '../log.ts';
import { dropCount, dropOrder } from './drop.ts';
import { countRows, SpoolFiles, type SpoolFile } from './files.ts';
import { Shipper, type ShippingStats } from './ship.ts';

/** One merged run that is about to be answered. */
export interface SpoolGroup {
  readonly rows: number;
  /** As answered: `in.*`, `out.*`, `anomaly.*`; each of `rows` rows. */
  readonly columns: readonly Column[];
  /** Whose rows these are, in order. `timeMs` is the `time` of the answer. */
  readonly requests: readonly LogRequest[];
  readonly lastModel: LogModel;
  /** Where rows have a last model each: those models, and which is that of each row. */
  readonly rowModels?: { readonly models: readonly LogModel[]; readonly choice: Uint8Array } | undefined;
}

export interface SpoolStats {
  /** The partition name in use: that of the options, with a number after it when it had been used before in this folder. */
  readonly partition: string;
  /** Rows appended since the start, which is also the offset of the next. */
  readonly rows: number;
  readonly usedBytes: number;
  readonly files: number;
  /** Rows written without some of their columns, because the spool was nearly full or the frame too large. */
  readonly droppedRows: number;
  /** Rows that were removed before they were shipped, because the spool was full. */
  readonly lostRows: number;
  /** Undefined for a spool that is not shipped. */
  readonly shipping: ShippingStats | undefined;
}

export interface Spool {
  /**
   * Puts the rows into the log. When it returns they are in the operating system's hands and survive the end of this process.
   * @throws PotorooError storage_full, storage_read_only: nothing was logged, so the inference must not be answered.
   */
  append(group: SpoolGroup): void;
  /** Rows that were appended so far: the offset of the next. */
  readonly rows: number;
  stats(): SpoolStats;
  /** Ships what is there; resolves when ops has it all or after `deadlineMs` milliseconds. */
  flush(deadlineMs: number): Promise<void>;
  /** Stops shipping and closes the files; what ops has not taken stays in the folder. */
  close(): Promise<void>;
}

export interface SpoolOptions {
  readonly dir: string;
  readonly partition: string;
  readonly pipeline: LogPipeline;
  /** Most bytes on disk, give or take one file; 256 MiB unless told. */
  readonly maxBytes?: number;
  /** A new file is begun at this size; 16 MiB unless told, and at most a sixteenth of `maxBytes`. */
  readonly fileBytes?: number;
  /** Where rows go. Without it the spool is a ring: the oldest file goes when it is full. */
  readonly ship?: { readonly url: string; readonly token: string };
}

const mebibyte = 1024 * 1024;

/** @throws PotorooError invalid_name, storage_full, storage_read_only */
export function openSpool(options: SpoolOptions): Spool {
  return new FileSpool(options);
}

class FileSpool implements Spool {
  readonly #files: SpoolFiles;
  readonly #maxBytes: number;
  readonly #fileBytes: number;
  readonly #shipper: Shipper | undefined;
  readonly #encoder = new FrameEncoder();
  #schema: LogSchema;
  #schemaFrame: Uint8Array | undefined;
  #active: { file: SpoolFile; fd: number } | undefined;
  #rows = 0;
  #droppedRows = 0;
  #lostRows = 0;

  constructor({ dir, partition, pipeline, maxBytes = 256 * mebibyte, fileBytes = 16 * mebibyte, ship }: SpoolOptions) {
    this.#files = new SpoolFiles(dir, partition);
    this.#maxBytes = maxBytes;
    this.#fileBytes = Math.min(fileBytes, maxBytes / 16);
    this.#schema = { format: 1, partition: this.#files.partition, pipeline, models: [], columns: [] };
    this.#shipper = ship === undefined ? undefined : new Shipper(this.#files, ship);
  }

  append(group: SpoolGroup): void {
    if (group.rows > maxFrameRows) throw new PotorooError('too_many_rows', `A run of ${group.rows} rows cannot be logged: send at most ${maxFrameRows} rows at once.`);
    const schemaChanged = this.#useSchema(group);
    const { parts, dropped } = this.#encode(group);
    const bytes = sizeOf(parts);
    try {
      const active = this.#fileFor(bytes);
      const whole = schemaChanged || active.file.size === 0 ? [this.#schemaFrame!, ...parts] : parts;
      write(active.fd, whole, active.file.size);
      const written = whole === parts ? bytes : bytes + this.#schemaFrame!.length;
      active.file.size += written;
      this.#files.usedBytes += written;
    } catch (error) {
      // The next file begins with the schema that this one may now lack.
      this.#closeActive();
      throw fromSystemError(error, 'Writing the inference log');
    }
    this.#rows += group.rows;
    this.#active!.file.endRow = this.#rows;
    if (dropped > 0) this.#droppedRows += group.rows;
    this.#shipper?.wake();
  }

  get rows(): number {
    return this.#rows;
  }

  stats(): SpoolStats {
    const left = [...this.#files.leftOver.values()].reduce((n, files) => n + files.length, 0);
    return {
      partition: this.#files.partition, rows: this.#rows, usedBytes: this.#files.usedBytes, files: this.#files.own.length + left,
      droppedRows: this.#droppedRows, lostRows: this.#lostRows, shipping: this.#shipper?.stats(),
    };
  }

  async flush(deadlineMs: number): Promise<void> {
    await this.#shipper?.flush(deadlineMs);
  }

  async close(): Promise<void> {
    this.#closeActive();
    await this.#shipper?.close();
    this.#files.close();
  }

  /** Whether a schema frame must come before this group's rows; makes it when the columns or the model are new. */
  #useSchema({ columns, lastModel, rowModels }: SpoolGroup): boolean {
    const { models, columns: fields } = this.#schema;
    const unknown = (rowModels?.models ?? [lastModel]).filter((m) => modelIndex(models, m) < 0);
    if (this.#schemaFrame !== undefined && unknown.length === 0 && columns.length === fields.length && columns.every((c, i) => c.name === fields[i]!.name && isOfType(c, fields[i]!))) return false;
    const schema = {
      ...this.#schema,
      models: [...models, ...unknown.map(({ name, sha }) => ({ name, sha }))],
      columns: columns.map((c) => ({ name: c.name, ...logTypeOf(c) })),
    };
    const frame = this.#encoder.schema(schema);
    // What ops would refuse later must not be written now.
    decodeSchema(new FrameReader(frame).next()!.payload);
    this.#schema = schema;
    this.#schemaFrame = frame;
    return true;
  }

  #modelsOf({ lastModel, rowModels }: SpoolGroup): LogRows['model'] {
    const { models } = this.#schema;
    if (rowModels === undefined) return modelIndex(models, lastModel);
    const indexes = rowModels.models.map((m) => modelIndex(models, m));
    return Int32Array.from(rowModels.choice, (c) => indexes[c] as number);
  }

  /** The group as a frame, without the columns that there is no room for. */
  #encode(group: SpoolGroup): { parts: Uint8Array[]; dropped: number } {
    const columns: (Column | undefined)[] = [...group.columns];
    const frame: LogRows = { firstRow: this.#rows, rows: group.rows, requests: group.requests, model: this.#modelsOf(group), columns };
    // A spool that nobody empties is a ring, so being full is its normal state and no reason to drop anything.
    const pressed = this.#shipper !== undefined && dropCount(this.#files.usedBytes, this.#maxBytes, 1) > 0;
    let parts = this.#encoder.rows(frame);
    const largest = Math.min(maxFrameBytes, this.#maxBytes / 4);
    if (!pressed && sizeOf(parts) <= largest) return { parts, dropped: 0 };
    const order = dropOrder(group.columns, group.rows);
    const wanted = pressed ? dropCount(this.#files.usedBytes, this.#maxBytes, order.length) : 0;
    let dropped = 0;
    while (dropped < order.length && (dropped < wanted || sizeOf(parts) > largest)) {
      columns[order[dropped++]!] = undefined;
      if (dropped >= wanted) parts = this.#encoder.rows(frame);
    }
    return { parts, dropped };
  }

  /** The file that takes the next `bytes`, after making room for them under the bound. */
  #fileFor(bytes: number): { file: SpoolFile; fd: number } {
    const needed = bytes + this.#schemaFrame!.length;
    if (this.#active !== undefined && this.#active.file.size > 0 && this.#active.file.size + bytes > this.#fileBytes) this.#closeActive();
    while (this.#files.usedBytes + needed > this.#maxBytes) {
      const oldest = this.#files.oldest();
      if (oldest === undefined) break;
      if (oldest === this.#active?.file) this.#closeActive();
      if (this.#shipper !== undefined) this.#countLost(oldest, this.#shipper.acknowledged(oldest));
      this.#files.remove(oldest, { reuse: this.#shipper === undefined });
    }
    this.#active ??= this.#files.create(this.#rows);
    return this.#active;
  }

  #countLost(file: SpoolFile, acknowledged: number): void {
    const lost = Math.max(0, file.firstRow + countRows(file) - Math.max(file.firstRow, acknowledged));
    if (lost === 0) return;
    this.#lostRows += lost;
    log.error('The spool is full: rows that were not shipped are lost', { rows: lost, from: file.firstRow, of: file.partition });
  }

  #closeActive(): void {
    if (this.#active !== undefined) closeSync(this.#active.fd);
    this.#active = undefined;
  }
}

function modelIndex(models: LogSchema['models'], model: LogModel): number {
  for (let i = models.length - 1; i >= 0; i -= 1) if (models[i]!.sha === model.sha && models[i]!.name === model.name) return i;
  return -1;
}

function sizeOf(parts: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return bytes;
}

/** Appends all parts, or nothing: what a full disk cut short is taken back. */
function write(fd: number, parts: readonly Uint8Array[], size: number): void {
  try {
    let written = parts.length === 1 ? writeSync(fd, parts[0]!) : writevSync(fd, parts);
    const all = sizeOf(parts);
    // A short write is how a disk that is about to be full says so; going on gives the error.
    while (written < all) written += writeSync(fd, Buffer.concat(parts), written);
  } catch (error) {
    try {
      ftruncateSync(fd, size);
    } catch {
      // The torn end stays; readers stop before it.
    }
    throw error;
  }
}
