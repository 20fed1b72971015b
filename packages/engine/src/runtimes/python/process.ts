import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCodes, PotorooError, type ErrorCode, type Field, type PythonModel } from '@potoroo/contract/plain';
import { processGivesWay } from '../give-way.ts';
import { launcherOf, type Launched } from './launch.ts';
import { ownFolder } from './own-folder.ts';
import { collectLog } from './process-log.ts';
import { processesBelow } from './process-tree.ts';
import { readMessages, writeMessage, type FromPython, type ToPython } from './wire.ts';
import type { SidekickReport } from '../sidekicks.ts';

/** Folder with the packages `potoroo_runtime` and `mac`. */
const pythonRoot = process.env['POTOROO_PYTHON_ROOT'] ?? fileURLToPath(new URL('../../../../../python', import.meta.url));

export interface PythonStart {
  file: string;
  fileName: string;
  framework: string;
  inputSchema?: readonly Field[];
  outputSchema?: readonly Field[];
  python: PythonModel;
  threads: number;
  maxBodyBytes?: number;
  /** The largest file that the model may write. */
  maxFileBytes?: number;
  /** A start is given up after this long without progress (CPU used, memory taken), and in any case after `startMs`. */
  stallMs?: number;
  startMs?: number;
  /** A process that works on one request for longer is ended. */
  runMs?: number;
  /** One line of the model's output. */
  onLog?: (stream: 'stdout' | 'stderr', line: string) => void;
  /** Once loaded it runs only where nothing else wants the core. */
  yields?: boolean;
  /** Told what becomes of the process and what it writes. */
  sidekick?: SidekickReport;
}
export type Ready = Extract<FromPython, { type: 'ready' }>;
/** What became of requests that were handed over together, of those that were begun. */
export interface Begun {
  /** Their rows as Arrow streams, one after the other. */
  readonly bodies: readonly Uint8Array[];
  /** How many each gave. */
  readonly rows: readonly number[];
  readonly failed: readonly (readonly [part: number, error: PotorooError])[];
  /** Milliseconds that it took; infinite where that is not known. */
  readonly ms: number;
}
type Result = Extract<FromPython, { type: 'result' }>;
interface Job {
  resolve(body: Uint8Array, told: Result): void;
  /** A part of the answer; the rest comes. */
  more?(body: Uint8Array, told: Result): void;
  /** It ended before it began with it. */
  again(): void;
  /** It ended while it worked on it; `part` tells on which of several requests, where that is known. */
  lost(error: PotorooError, part: number): void;
  reject(error: PotorooError): void;
  since: number;
}

/** The largest message, unless the start says another. */
export const maxBodyBytes = 1024 ** 3;
const defaults = { maxBodyBytes, stallMs: 120_000, startMs: 1_800_000, runMs: 300_000 };
const lingerMs = 2000;
const drainMs = 500;
/** Processes that a model may start: what starts more does not know what it does. */
const mostProcesses = 256;

/** The path of the environment's interpreter. @throws PotorooError `environment_failed` */
function interpreter({ python, environment }: PythonModel): string {
  if (python !== undefined) return python;
  const folder = process.env['POTOROO_ENVIRONMENTS'];
  if (folder === undefined || environment === undefined) throw new PotorooError('environment_failed', `The model needs the Python environment ${environment}, and neither its path nor POTOROO_ENVIRONMENTS is given. Set POTOROO_ENVIRONMENTS to the folder with the environments.`);
  return resolve(folder, environment, 'bin', 'python'); // the process has a working folder of its own
}

/** What the process sees of an environment: nothing of ours. */
function environmentOf(start: PythonStart, work: string): Record<string, string> {
  const threads = String(Math.max(1, Math.floor(start.python.cpus ?? start.threads)));
  return {
    HOME: work, TMPDIR: work, PYTHONPATH: pythonRoot, PYTHONUNBUFFERED: '1', PYTHONNOUSERSITE: '1', PYTHONIOENCODING: 'utf-8:backslashreplace',
    OMP_NUM_THREADS: threads, OPENBLAS_NUM_THREADS: threads, MKL_NUM_THREADS: threads, TF_NUM_INTRAOP_THREADS: threads, TF_NUM_INTEROP_THREADS: '1',
    TF_CPP_MIN_LOG_LEVEL: '2', TOKENIZERS_PARALLELISM: 'false', HF_HUB_OFFLINE: '1', HF_HOME: join(work, 'hf'), MPLCONFIGDIR: join(work, 'mpl'),
    ...start.python.env,
  };
}

/** What runs one loaded model beside the engine. It is over when `exited` resolves, with why. */
export interface ModelProcess {
  readonly ready: Ready;
  readonly exited: Promise<PotorooError>;
  /** Arrow stream in, Arrow stream out; undefined when it ended before it began with it. */
  run(body: Uint8Array): Promise<Uint8Array | undefined>;
  /** Requests of so many rows each, handed over together and run one by one; undefined when it ended before it began with the first. */
  runEach?(body: Uint8Array, parts: readonly number[], withinMs: number): Promise<Begun | undefined>;
  /** From here on it runs only where nothing else wants the core. */
  giveWay(): void;
  stop(): Promise<void>;
}

/** One process with one loaded model. It is ready when `open` resolves and over when `exited` does. */
export class PythonProcess implements ModelProcess {
  readonly ready: Ready;
  readonly exited: Promise<PotorooError>;
  readonly #removed: Promise<void>;
  readonly #launched: Launched;
  readonly #socket: Socket;
  readonly #jobs: Map<number, Job>;
  readonly #calm: () => void;
  #next = 1;

  private constructor(ready: Ready, exited: Promise<PotorooError>, removed: Promise<void>, launched: Launched, socket: Socket, jobs: Map<number, Job>, calm: () => void) {
    this.ready = ready;
    this.exited = exited;
    this.#removed = removed;
    this.#launched = launched;
    this.#socket = socket;
    this.#jobs = jobs;
    this.#calm = calm;
  }

  /**
   * Starts the process and waits for its model to have answered a warm-up inference.
   * @throws PotorooError what the process says (`model_invalid`, `warm_up_failed`…), `engine_start_timeout`, `model_process_lost`
   */
  static async open(start: PythonStart): Promise<PythonProcess> {
    const python = interpreter(start.python);
    const limits = { ...defaults, ...Object.fromEntries(Object.entries(start).filter(([, v]) => v !== undefined)) } as typeof defaults;
    const { holder, folder, work } = await ownFolder();
    const config = {
      fileName: start.fileName, inputSchema: start.python.inputSchema ?? start.inputSchema, outputSchema: start.python.outputSchema ?? start.outputSchema,
      concurrency: start.python.concurrency, memory: start.python.memoryBytes, maxBody: limits.maxBodyBytes, maxFile: start.maxFileBytes, options: start.python.options,
    };
    const socketPath = join(folder, 's');
    const server = createServer();
    await new Promise<void>((resolve, reject) => { server.once('error', reject).listen({ path: socketPath, writableAll: true }, resolve); });
    const launched = await launcherOf(start.python)({
      command: [python, '-m', 'potoroo_runtime', '--model', start.file, '--framework', start.framework, '--socket', socketPath, '--work', work, '--config', JSON.stringify(config)],
      env: environmentOf(start, work), folder, work, reads: [dirname(dirname(python)), pythonRoot, start.file], limits: start.python, yields: start.yields,
    }).catch(async (error: unknown) => {
      server.close();
      await rm(holder, { recursive: true, force: true });
      throw error;
    });
    const { child } = launched;
    start.sidekick?.starting(launched.pid, launched.usage);
    const { last, calm } = collectLog(child, (stream, line) => {
      start.onLog?.(stream, line);
      start.sidekick?.line(stream, line);
    });
    const jobs = new Map<number, Job>();
    let socket: Socket | undefined;
    /** Why this side ended it, where it did. */
    let verdict: PotorooError | undefined;
    const end = (why: PotorooError): void => {
      verdict ??= why;
      launched.kill();
    };
    const exited = new Promise<PotorooError>((resolve) => {
      const over = (how: string): void => {
        server.close();
        clearInterval(watch);
        launched.kill(); // what the model started goes with it
        // Answers that it sent are in the socket still; what keeps that open longer is none of ours.
        if (socket === undefined || socket.closed) return judge(how);
        const late = setTimeout(() => socket?.destroy(), drainMs);
        socket.once('close', () => {
          clearTimeout(late);
          judge(how);
        });
      };
      const judge = (how: string): void => {
        const error = verdict ?? new PotorooError('model_process_lost', `The model's process ${how}.${lastWords(last)}`);
        // It takes requests in their order, so that those behind the first ones were not begun.
        const begun = start.python.concurrency ?? 1;
        [...jobs].forEach(([id, job], i) => { if (i < begun) job.lost(error, partOf(work, id)); else void exited.then(() => job.again()); });
        jobs.clear();
        resolve(error);
      };
      child.once('error', (error) => over(`could not be started: ${error.message}`));
      child.once('exit', (code, signal) => {
        verdict ??= launched.reason(code);
        over(launched.end(code, signal));
      });
    });

    const removed = exited.then(() => rm(holder, { recursive: true, force: true, maxRetries: 3 })).catch(() => {});
    const started = Date.now();
    let progressAt = started;
    let progress = '';
    let isReady = false;
    const watch = setInterval(() => {
      const now = Date.now();
      if (launched.pid !== null && processesBelow(launched.pid, mostProcesses) > mostProcesses) return end(new PotorooError('model_process_lost', `The model started more than ${mostProcesses} processes, so it was ended with all of them. Let it start fewer.`));
      if (!isReady) {
        if (now - progressAt > limits.stallMs) end(new PotorooError('engine_start_timeout', `The model made no progress for ${limits.stallMs / 1000} s while it loaded. Does it wait for something that does not come?`));
        else if (now - started > limits.startMs) end(new PotorooError('engine_start_timeout', `The model was not ready after ${limits.startMs / 1000} s.`));
        return;
      }
      for (const job of jobs.values()) {
        if (now - job.since > limits.runMs) return end(new PotorooError('deadline_exceeded', `The model worked on one request for more than ${limits.runMs / 1000} s, so its process was ended. Send fewer rows, or raise the limit.`));
      }
    }, Math.min(1000, limits.runMs / 4, limits.stallMs / 4));
    watch.unref();

    const ready = new Promise<Ready>((resolve, reject) => {
      const onMessage = (message: FromPython, body: Uint8Array): void => {
        if (message.type === 'progress') {
          const now = `${message.stage} ${message.cpu.toFixed(1)} ${message.rss >> 20}`;
          if (now !== progress) progressAt = Date.now();
          progress = now;
        } else if (message.type === 'ready' && !isReady) {
          isReady = true;
          resolve({ ...message, notes: [...message.notes, ...launched.notes()] });
        } else if (message.type === 'failed') {
          verdict = typed(message.code, message.message);
        } else if ('id' in message) {
          const job = jobs.get(message.id);
          if (message.type === 'result' && message.more === true && job?.more !== undefined) {
            job.since = Date.now();
            return job.more(body, message);
          }
          jobs.delete(message.id);
          if (message.type === 'error') job?.reject(typed(message.code, message.message));
          else if (message.type === 'result') job?.resolve(body, message);
        }
      };
      server.once('connection', (connection) => {
        socket = connection;
        server.close();
        connection.on('error', () => {});
        // The process ends with its connection, and the connection with the process.
        connection.once('close', () => { setTimeout(() => launched.kill(), lingerMs).unref(); });
        readMessages(connection, limits.maxBodyBytes, onMessage, end);
      });
      void exited.then(async (error) => {
        await removed;
        reject(error);
      });
    });
    return new PythonProcess(await ready, exited, removed, launched, socket as unknown as Socket, jobs, calm);
  }

  /**
   * Arrow stream in, Arrow stream out; undefined when the process ended before it began with it.
   * @throws PotorooError as the model's process says, `model_process_lost`, `deadline_exceeded`
   */
  run(body: Uint8Array): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#send(body, {}, { resolve, again: () => resolve(undefined), lost: reject, reject, since: Date.now() });
    });
  }

  /**
   * Requests of so many rows each, one after the other in one Arrow stream: the process runs them one by one and begins
   * no other when the time is over. Undefined when it ended before it began with the first.
   * @throws PotorooError where none of them could be read
   */
  runEach(body: Uint8Array, parts: readonly number[], withinMs: number): Promise<Begun | undefined> {
    const bodies: Uint8Array[] = [];
    const rows: number[] = [];
    const failed: (readonly [part: number, error: PotorooError])[] = [];
    const take = (answer: Uint8Array, told: Result): void => {
      if (told.rows?.some((n) => n > 0) === true) bodies.push(answer);
      rows.push(...told.rows ?? []);
      for (const [part, code, message] of told.failed ?? []) failed.push([part, typed(code, message)]);
    };
    return new Promise((resolve, reject) => {
      this.#send(body, { parts, withinMs }, {
        more: take,
        resolve(answer, told) {
          take(answer, told);
          resolve({ bodies, rows, ms: told.ms, failed });
        },
        again: () => resolve(undefined),
        // Those before it were run, and what they gave and was not sent is lost with the process.
        lost(error, part) {
          while (rows.length <= part) failed.push([rows.push(0) - 1, error]);
          resolve({ bodies, ms: Infinity, rows, failed });
        },
        reject,
        since: Date.now(),
      });
    });
  }

  #send(body: Uint8Array, each: Pick<ToPython, 'parts' | 'withinMs'>, job: Job): void {
    const { exitCode, signalCode } = this.#launched.child;
    if (exitCode !== null || signalCode !== null || this.#socket.destroyed) return void this.exited.then(() => job.again());
    const id = this.#next++;
    this.#jobs.set(id, job);
    writeMessage(this.#socket, { op: 'run', id, ...each }, body);
  }

  giveWay(): void {
    this.#calm();
    if (this.#launched.pid !== null) processGivesWay(this.#launched.pid);
    this.#launched.giveWay?.();
  }

  /** Resolves when the process is gone and its folder removed. */
  async stop(): Promise<void> {
    this.#socket.end();
    this.#launched.child.stdin?.destroy();
    const late = setTimeout(() => this.#launched.kill(), lingerMs);
    await this.exited;
    clearTimeout(late);
    await this.#removed;
  }
}

/** Which request of a message the process was at when it ended, as it noted itself; the first where it noted nothing. */
function partOf(work: string, message: number): number {
  try {
    const noted = readFileSync(join(work, 'at'));
    return noted.readBigUInt64LE(0) === BigInt(message) ? Number(noted.readBigUInt64LE(8)) : 0;
  } catch {
    return 0;
  }
}

/** A crash ends in a list of libraries; what it was stands above that. */
function lastWords(last: readonly string[]): string {
  const said = last.findLast((line) => line.startsWith('Fatal Python error')) ?? last.at(-1);
  return said === undefined ? '' : ` Its last line: ${said.slice(0, 300)}`;
}

/** What the process says; where in this program it was heard says nothing, and to find that out costs more than all the rest. */
function typed(code: string, message: string): PotorooError {
  const frames = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return new PotorooError(code in errorCodes ? (code as ErrorCode) : 'inference_failed', message);
  } finally {
    Error.stackTraceLimit = frames;
  }
}
