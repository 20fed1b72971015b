import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Command } from 'commander';
import { Table, tableFromIPC, tableToIPC } from 'apache-arrow';
import { Pipeline, PotorooError, type InferOptions, type LogOptions, type LogRecord, type Logs, type Rows } from '@potoroo/sdk';
import { action, collect, example, moment, size, timeoutOption, wholeNumber, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { exportLogs } from '../export.ts';
import { findPipeline, findPipelineVersion } from '../find.ts';
import { bigintsAsText, jsonText, show, table, type Cell } from '../output.ts';

interface InferCommandOptions {
  dataset?: readonly string[];
  datasetExclude?: readonly string[];
  datasetSeparator?: string;
  requestId?: string;
  output?: string;
  timeout: number;
}

interface LogsOptions {
  limit?: number;
  start?: Date;
  end?: Date;
  oldestFirst?: boolean;
  pipelineVersion?: string;
  partition?: string;
  anomalies?: boolean;
  output?: string;
  maxSize?: number;
  continue?: string;
}

/** `pipeline infer` and `pipeline logs`. */
export function addInferenceCommands(pipeline: Command, contextOf: ContextOf): void {
  example(pipeline.command('infer').description('run rows through a pipeline; the answer is JSON, or an Arrow file with --output').argument('<name>', 'name of the pipeline')
    .argument('[file]', 'JSON array of rows, or an Arrow file; standard input when it is - or not given', '-')
    .option('-d, --dataset <column>', 'columns to answer with: time, in, out, anomaly, metadata or deeper, such as out.label; may be repeated', collect)
    .option('-x, --dataset-exclude <column>', 'columns to leave out; may be repeated', collect)
    .option('--dataset-separator <text>', 'between the parts of a column name')
    .option('--request-id <id>', 'what the log is to call this request')
    .option('-o, --output <file>', 'write the answer to a file; as an Arrow file when it came from one')
    .addOption(timeoutOption('how long to wait for the answer', 60))
    .action(action(contextOf, async (context, name: string, file: string, options: InferCommandOptions) => {
      const found = await findPipeline(context, name);
      const input = await readRows(file);
      if (options.output !== undefined) writableFolder(options.output);
      const call: InferOptions = {
        signal: context.signal, timeoutMs: options.timeout,
        ...(options.dataset === undefined ? {} : { dataset: options.dataset }),
        ...(options.datasetExclude === undefined ? {} : { datasetExclude: options.datasetExclude }),
        ...(options.datasetSeparator === undefined ? {} : { datasetSeparator: options.datasetSeparator }),
        ...(options.requestId === undefined ? {} : { requestId: options.requestId }),
      };
      if (input instanceof Table) {
        const answer = await found.infer(input, call);
        noteMissing(context, options, answer.schema.fields.map((field) => field.name));
        emitTable(context, answer, options.output);
      } else {
        const answer = await found.infer(input, call);
        noteMissing(context, options, Object.keys(answer[0] ?? {}));
        emitRows(context, answer, options.output);
      }
    })), 'potoroo pipeline infer breast-cancer examples/breast-cancer/rows.json --dataset out');

  example(addLogs(pipeline, contextOf, 'show what a pipeline was asked and what it answered, newest first', findPipeline)
    .option('--pipeline-version <version>', 'only those of one version; the start of it is enough'), 'potoroo pipeline logs breast-cancer --limit 5', 'potoroo pipeline logs breast-cancer --start 1h --output logs.arrow');
}

/** `logs` of a pipeline, or of a model over its pipelines. */
export function addLogs(parent: Command, contextOf: ContextOf, what: string, find: (context: Context, name: string) => Promise<{ logs(options: LogOptions): Logs }>): Command {
  return parent.command('logs').description(what).argument('<name>', `name of the ${parent.name()}`)
    .option('-n, --limit <n>', 'how many records; when not given, 100 on the screen and all with --output', wholeNumber(1))
    .option('--start <time>', 'from then on: a time, or how long ago, such as 15m', moment)
    .option('--end <time>', 'until then', moment)
    .option('--oldest-first', 'in the order in which they were inferred')
    .option('--anomalies', 'only those that failed a validation')
    .option('--partition <name>', 'only those that one engine or edge wrote')
    .option('-o, --output <file>', 'write them to a file, page by page: Arrow (.arrow), a line each (.ndjson, .jsonl) or a JSON array (.json); <file>-1 and so on where columns change or the size is reached')
    .option('--max-size <size>', 'begin another file at about this size, such as 100MB', size)
    .option('--continue <place>', 'go on with --output where an interrupted one said that it stopped')
    .action(action(contextOf, async (context, name: string, options: LogsOptions) => {
      const { limit = options.output === undefined ? 100 : undefined, start, end, oldestFirst, pipelineVersion, partition, anomalies, output, maxSize } = options;
      if (output === undefined && (maxSize !== undefined || options.continue !== undefined)) throw new PotorooError('invalid_request', '--max-size and --continue need --output <file>.');
      if (start !== undefined && end !== undefined && start > end) throw new PotorooError('invalid_request', `--start ${start.toISOString()} is after --end ${end.toISOString()}.`);
      const found = await find(context, name);
      const version = pipelineVersion !== undefined && found instanceof Pipeline ? findPipelineVersion(found, pipelineVersion).version : undefined;
      const logs = found.logs({
        ...(limit === undefined ? {} : { limit }), order: oldestFirst === true ? 'asc' : 'desc', signal: context.signal,
        ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }),
        ...(version === undefined ? {} : { pipelineVersion: version }), ...(partition === undefined ? {} : { partition }),
        ...(anomalies === undefined ? {} : { anomalies }),
      });
      if (output !== undefined) return await exportLogs(context, logs, output, { total: limit ?? null, ...(maxSize === undefined ? {} : { maxBytes: maxSize }), ...(options.continue === undefined ? {} : { from: options.continue }) });
      const records = await logs.toArray();
      show(context.output, records, () => logTable(records));
    }));
}

/** An Arrow table for an Arrow file or stream, else the rows of a JSON array. */
async function readRows(file: string): Promise<Rows | Table> {
  if (file === '-' && process.stdin.isTTY === true) throw new PotorooError('invalid_request', 'Name a file with rows, or pipe them in: there is nothing on standard input.');
  const bytes = file === '-' ? await buffer(process.stdin) : read(file);
  const what = file === '-' ? 'Standard input' : file;
  if (bytes.subarray(0, 6).toString('latin1') === 'ARROW1' || bytes.subarray(0, 4).equals(Buffer.from([0xff, 0xff, 0xff, 0xff]))) {
    try {
      return tableFromIPC(bytes);
    } catch (cause) {
      throw new PotorooError('malformed_body', `${what} begins like Arrow and cannot be read to its end; write it again.`, { cause });
    }
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new PotorooError('malformed_body', `${what} is neither an Arrow file nor JSON: ${(cause as Error).message}.`, { cause });
  }
  if (Array.isArray(value)) return value as Rows;
  throw new PotorooError('malformed_body', `${what} holds no array of rows; give it as [{"tensor": [1, 2, 3]}].`);
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new PotorooError('invalid_request', `${file} cannot be read; give the path of a file with rows.`, { cause });
  }
}

function write(file: string, content: string | Uint8Array): void {
  try {
    writeFileSync(file, content);
  } catch (cause) {
    throw unwritable(file, cause);
  }
}

const unwritable = (file: string, cause?: unknown): PotorooError => new PotorooError('invalid_request', `${file} cannot be written; give the path of a file in a folder that you may write to.`, { cause });

/** Before the inference, which is made and logged whatever becomes of the answer. */
function writableFolder(file: string): void {
  try {
    accessSync(dirname(file), constants.W_OK);
  } catch (cause) {
    throw unwritable(file, cause);
  }
}

/** A column that was asked for by a name that nothing in the answer has: most likely it is misspelt. */
function noteMissing({ output }: Context, { dataset = [], datasetSeparator }: InferCommandOptions, columns: readonly string[]): void {
  const separator = datasetSeparator ?? '.';
  const missing = dataset.filter((wanted) => wanted !== '*' && !columns.some((column) => column === wanted || column.startsWith(wanted.endsWith('_') ? wanted : `${wanted}${separator}`)));
  if (missing.length > 0) output.err(`Note: the answer has nothing for --dataset ${missing.join(', ')}.`);
}

function emitRows(context: Context, rows: readonly Record<string, unknown>[], file: string | undefined): void {
  const text = jsonText(rows);
  if (file === undefined) context.output.out(text);
  else write(file, `${text}\n`);
}

function emitTable(context: Context, answer: Table, file: string | undefined): void {
  if (file !== undefined) return write(file, tableToIPC(answer, 'file'));
  context.output.out(jsonText(answer.toArray()));
}

function logTable(records: readonly LogRecord[]): string {
  const head = [...new Set(records.flatMap((record) => Object.keys(record)))].filter((column) => !column.startsWith('metadata.'));
  return table(head, records.map((record) => head.map((column) => cell(column, record[column]))), 'No records.');
}

function cell(column: string, value: unknown): Cell {
  if (column === 'time' && typeof value === 'number') return new Date(value).toISOString();
  if (typeof value === 'string') return value;
  const text = JSON.stringify(value, bigintsAsText) ?? '-';
  return text.length > 48 ? `${text.slice(0, 47)}…` : text;
}
