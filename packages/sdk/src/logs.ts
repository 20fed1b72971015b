import { tableFromIPC, type Table } from 'apache-arrow';
import { PotorooError, logStatuses, type ApiLogPage } from '@potoroo/contract';
import { arrowFile } from './inference.ts';
import { parseExact } from './json.ts';
import type { CallOptions, Transport } from './transport.ts';

export interface LogOptions extends CallOptions {
  /** Records in all; a page has at most 1,000 of them. Without it a reader goes on to the end. */
  readonly limit?: number;
  /** `desc`, the default, is newest first. */
  readonly order?: 'asc' | 'desc';
  readonly start?: Date;
  readonly end?: Date;
  /** UUID of a pipeline version. */
  readonly pipelineVersion?: string;
  /** Which engine or edge wrote it. */
  readonly partition?: string;
  /** Records that failed a validation, and no others. */
  readonly anomalies?: boolean;
}

/** Flat columns `time`, `in.*`, `out.*`, `anomaly.count`, `metadata.*`. */
export type LogRecord = Record<string, unknown>;

export interface LogPage<T> {
  readonly content: T;
  /** Why the page ends where it does; `All` on the last. */
  readonly status: ApiLogPage['status'];
  /** Where the next page begins; null on the last. */
  readonly cursor: string | null;
}

/** NDJSON in UTF-8: a line for each of so many records. */
export interface LogLines { readonly bytes: Uint8Array; readonly records: number }

const pageSize = 1000;
/** For what takes pages as they are. */
const exportSize = 20_000;
/** Milliseconds that a page of an export may take: others may be reading, too. */
const exportTimeoutMs = 180_000;

/**
 * Log records, fetched as they are read.
 *
 * @example for await (const record of pipeline.logs({ limit: 500 })) console.log(record['out.label']);
 */
export class Logs implements AsyncIterable<LogRecord> {
  readonly #transport: Transport;
  readonly #path: string;
  readonly #options: LogOptions;

  constructor(transport: Transport, path: string, options: LogOptions) {
    this.#transport = transport;
    this.#path = path;
    this.#options = options;
  }

  /** One page of records. */
  async page(cursor?: string, size = this.#size(pageSize)): Promise<LogPage<LogRecord[]>> {
    const bytes = await this.#transport.bytes(this.#path, { ...this.#call(cursor, size), headers: { accept: 'application/json' } });
    const { items, status, cursor: next } = parseExact(new TextDecoder().decode(bytes)) as ApiLogPage;
    return { content: items, status, cursor: next };
  }

  /** One page as an Arrow table; all its records have one schema. */
  async tablePage(cursor?: string, size = this.#size(pageSize), timeoutMs?: number): Promise<LogPage<Table>> {
    const { bytes, ...page } = await this.#raw(cursor, size, arrowFile, timeoutMs);
    return { ...page, content: tableFromIPC(bytes) };
  }

  async #raw(cursor: string | undefined, size: number, accept: string, timeoutMs?: number): Promise<{ bytes: Uint8Array; status: ApiLogPage['status']; cursor: string | null }> {
    const response = await this.#transport.request(this.#path, { ...this.#call(cursor, size), timeoutMs: this.#options.timeoutMs ?? timeoutMs, headers: { accept } });
    const status = logStatuses.find((known) => known === response.headers.get('potoroo-log-status'));
    if (status === undefined) throw new PotorooError('unreachable', 'The log page has no potoroo-log-status header; is a proxy dropping headers?');
    return { bytes: new Uint8Array(await response.arrayBuffer()), status, cursor: response.headers.get('potoroo-log-cursor') };
  }

  async *[Symbol.asyncIterator](): AsyncIterator<LogRecord> {
    for await (const records of this.#walk((cursor, size) => this.page(cursor, size), (content) => content.length)) yield* records;
  }

  /** Arrow tables, a new one for every page and every change of schema. */
  tables(): AsyncIterable<Table> {
    return this.#walk((cursor, size) => this.tablePage(cursor, size), (content) => content.numRows);
  }

  /** Pages as they go into a file, each with where the next one begins, so that an export can go on after a break: `from` is the cursor of the last one that arrived. */
  exportTables(from?: string): AsyncIterable<LogPage<Table>> {
    return this.#pages((cursor, size) => this.tablePage(cursor, size, exportTimeoutMs), (content) => content.numRows, exportSize, from);
  }

  /** The same as NDJSON: a line for each record. */
  exportLines(from?: string): AsyncIterable<LogPage<LogLines>> {
    return this.#pages((cursor, size) => this.#linesPage(cursor, size), (content) => content.records, exportSize, from);
  }

  async #linesPage(cursor: string | undefined, size: number): Promise<LogPage<LogLines>> {
    const { bytes, ...page } = await this.#raw(cursor, size, 'application/x-ndjson', exportTimeoutMs);
    let records = 0;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) records += 1;
    return { ...page, content: { bytes, records } };
  }

  async toArray(): Promise<LogRecord[]> {
    const records: LogRecord[] = [];
    for await (const record of this) records.push(record);
    return records;
  }

  async *#walk<T>(fetch: (cursor: string | undefined, size: number) => Promise<LogPage<T>>, rows: (content: T) => number): AsyncGenerator<T> {
    for await (const { content } of this.#pages(fetch, rows, pageSize)) yield content;
  }

  async *#pages<T>(fetch: (cursor: string | undefined, size: number) => Promise<LogPage<T>>, rows: (content: T) => number, most: number, from?: string): AsyncGenerator<LogPage<T>> {
    let left = this.#options.limit ?? Number.POSITIVE_INFINITY;
    let cursor = from;
    while (left > 0) {
      const page = await fetch(cursor, Math.max(1, Math.min(most, left)));
      if (rows(page.content) > 0) yield page;
      left -= rows(page.content);
      if (page.cursor === null) return;
      cursor = page.cursor;
    }
  }

  #size(left: number): number {
    return Math.max(1, Math.min(pageSize, left, this.#options.limit ?? pageSize));
  }

  #call(cursor: string | undefined, limit: number) {
    const { order, start, end, pipelineVersion, partition, anomalies, signal, timeoutMs } = this.#options;
    return { query: { limit, order, start, end, cursor, pipelineVersion, partition, anomalies }, signal, timeoutMs };
  }
}
