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

const pageSize = 1000;

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
  async tablePage(cursor?: string, size = this.#size(pageSize)): Promise<LogPage<Table>> {
    const response = await this.#transport.request(this.#path, { ...this.#call(cursor, size), headers: { accept: arrowFile } });
    const status = logStatuses.find((known) => known === response.headers.get('potoroo-log-status'));
    if (status === undefined) throw new PotorooError('unreachable', 'The log page has no potoroo-log-status header; is a proxy dropping headers?');
    return { content: tableFromIPC(new Uint8Array(await response.arrayBuffer())), status, cursor: response.headers.get('potoroo-log-cursor') };
  }

  async *[Symbol.asyncIterator](): AsyncIterator<LogRecord> {
    for await (const records of this.#walk((cursor, size) => this.page(cursor, size), (content) => content.length)) yield* records;
  }

  /** Arrow tables, a new one for every page and every change of schema. */
  tables(): AsyncIterable<Table> {
    return this.#walk((cursor, size) => this.tablePage(cursor, size), (content) => content.numRows);
  }

  async toArray(): Promise<LogRecord[]> {
    const records: LogRecord[] = [];
    for await (const record of this) records.push(record);
    return records;
  }

  async *#walk<T>(fetch: (cursor: string | undefined, size: number) => Promise<LogPage<T>>, rows: (content: T) => number): AsyncGenerator<T> {
    let left = this.#options.limit ?? Number.POSITIVE_INFINITY;
    let cursor: string | undefined;
    while (left > 0) {
      const page = await fetch(cursor, this.#size(left));
      if (rows(page.content) > 0) yield page.content;
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
