import { once } from 'node:events';
import { createWriteStream, existsSync, type WriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { extname } from 'node:path';
import { finished } from 'node:stream/promises';
import { RecordBatchFileWriter, type Table } from 'apache-arrow';
import { PotorooError, type LogLines, type LogPage, type Logs } from '@potoroo/sdk';
import type { Context } from './context.ts';
import { show } from './output.ts';
import { progress } from './progress.ts';

/** A file that is being written under another name, and gets its own when it is whole. */
interface Part<T> {
  /** Undefined when this page has to go into another file: its columns are others. */
  add(content: T): Promise<void> | undefined;
  finish(): Promise<void>;
}
interface Form<T> {
  pages(logs: Logs, from: string | undefined): AsyncIterable<LogPage<T>>;
  records(content: T): number;
  open(stream: WriteStream): Part<T>;
}

export interface ExportOptions { readonly maxBytes?: number; readonly from?: string; readonly total: number | null }
interface Written { file: string; records: number; bytes: number }
interface Open<T> { readonly part: Part<T>; readonly stream: WriteStream; readonly written: Written }

/** Endings of files that a log can be exported to. */
export const exportEndings = ['.arrow', '.ndjson', '.jsonl', '.json'] as const;

/**
 * Writes a log to a file, page by page, however long it is. At `maxBytes`, and for Arrow where the columns change, the next file begins:
 * `logs.arrow`, `logs-1.arrow` and so on. When it is interrupted, all that arrived is in whole files, and it says how to go on.
 */
export async function exportLogs(context: Context, logs: Logs, file: string, options: ExportOptions): Promise<void> {
  const ending = exportEndings.find((known) => known === extname(file).toLowerCase());
  if (ending === undefined) throw new PotorooError('invalid_request', `--output ${JSON.stringify(file)} has none of the endings ${exportEndings.join(', ')}: these say in which form to write.`);
  if (ending === '.arrow') return await new Export(context, file, options, arrow).run(logs);
  return await new Export(context, file, options, ending === '.json' ? jsonArray : ndjson).run(logs);
}

class Export<T> {
  readonly #context: Context;
  readonly #file: string;
  readonly #options: ExportOptions;
  readonly #form: Form<T>;
  readonly #written: Written[] = [];
  #number = 0;
  #open: Open<T> | undefined;
  #cursor: string | null;
  #records = 0;

  constructor(context: Context, file: string, options: ExportOptions, form: Form<T>) {
    this.#context = context;
    this.#file = file;
    this.#options = options;
    this.#form = form;
    this.#cursor = options.from ?? null;
    // What an export that was interrupted has written stays.
    if (options.from !== undefined) while (existsSync(this.#name())) this.#number += 1;
  }

  async run(logs: Logs): Promise<void> {
    const { output } = this.#context;
    const bar = progress(output, `Writing ${this.#file}`, 'records');
    try {
      for await (const page of this.#form.pages(logs, this.#options.from)) {
        await this.#add(page.content);
        this.#cursor = page.cursor;
        bar.update(this.#records, this.#options.total);
      }
      await this.#finish();
    } catch (error) {
      bar.end();
      await this.#finish().catch(() => this.#discard());
      if (this.#cursor !== null && this.#cursor !== this.#options.from) output.err(`Stopped after ${this.#records} records${this.#written.length === 0 ? '' : `; ${this.#written.map((w) => w.file).join(', ')} ${this.#written.length === 1 ? 'is' : 'are'} whole`}. To go on, run the same command with: --continue ${this.#cursor}`);
      throw error;
    } finally {
      bar.end();
    }
    show(output, this.#written, () => (this.#written.length === 0 ? 'No records: no file was written.' : this.#written.map((w) => `Wrote ${w.records} records to ${w.file}.`).join('\n')));
  }

  async #add(content: T): Promise<void> {
    const { maxBytes = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#open !== undefined && this.#open.written.bytes >= maxBytes) await this.#finish();
    let adding = this.#open?.part.add(content);
    if (adding === undefined) {
      await this.#finish();
      adding = (await this.#begin()).part.add(content);
    }
    await adding;
    const { written, stream } = this.#open as Open<T>;
    if (stream.errored !== null) throw unwritable(written.file, stream.errored);
    if (stream.writableNeedDrain) await once(stream, 'drain').catch((cause: unknown) => { throw unwritable(written.file, cause); });
    written.bytes = stream.bytesWritten + stream.writableLength;
    written.records += this.#form.records(content);
    this.#records += this.#form.records(content);
  }

  #name(): string {
    const ending = extname(this.#file);
    return this.#number === 0 ? this.#file : `${this.#file.slice(0, -ending.length)}-${this.#number}${ending}`;
  }

  async #begin(): Promise<Open<T>> {
    const file = this.#name();
    this.#number += 1;
    const stream = createWriteStream(`${file}.part`);
    await once(stream, 'open').catch((cause: unknown) => { throw unwritable(file, cause); });
    // Told where it is written next.
    stream.on('error', () => undefined);
    this.#open = { part: this.#form.open(stream), stream, written: { file, records: 0, bytes: 0 } };
    return this.#open;
  }

  async #finish(): Promise<void> {
    if (this.#open === undefined) return;
    const { part, stream, written } = this.#open;
    if (written.records === 0) return this.#discard();
    try {
      const done = finished(stream);
      await Promise.all([part.finish(), done]);
      await rename(`${written.file}.part`, written.file);
    } catch (cause) {
      throw unwritable(written.file, cause);
    }
    written.bytes = stream.bytesWritten;
    this.#written.push(written);
    this.#open = undefined;
  }

  async #discard(): Promise<void> {
    const { stream, written } = this.#open ?? {};
    this.#open = undefined;
    stream?.destroy();
    if (written !== undefined) await rm(`${written.file}.part`, { force: true });
  }
}

const unwritable = (file: string, cause: unknown): PotorooError => new PotorooError('storage_read_only', `${file} cannot be written${cause instanceof Error ? ` (${cause.message})` : ''}.`, { cause });

const arrow: Form<Table> = {
  pages: (logs, from) => logs.exportTables(from),
  records: (table) => table.numRows,
  open(stream) {
    const writer = new RecordBatchFileWriter();
    writer.pipe(stream);
    let schema: string | undefined;
    return {
      add(table) {
        schema ??= String(table.schema);
        if (String(table.schema) !== schema) return undefined;
        for (const batch of table.batches) writer.write(batch);
        // What it hands on goes to the stream in turns of its own.
        return new Promise((resolve) => { setImmediate(resolve); });
      },
      async finish() { writer.finish(); },
    };
  },
};

function lineForm(before: string, between: string, after: string): Form<LogLines> {
  return {
    pages: (logs, from) => logs.exportLines(from),
    records: ({ records }) => records,
    open(stream) {
      let first = true;
      return {
        async add({ bytes }) {
          const text = between === '\n' ? bytes : Buffer.from(bytes.subarray(0, -1)).toString('utf8').replaceAll('\n', between);
          stream.write(first ? before : between === '\n' ? '' : between);
          stream.write(text);
          first = false;
        },
        async finish() { stream.end(after); },
      };
    },
  };
}
const ndjson = lineForm('', '\n', '');
const jsonArray = lineForm('[\n', ',\n', '\n]\n');
