import { readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeArrow, encodeArrowStream, type Batch } from '@potoroo/batch';
import { isPotorooError, PotorooError, type Field } from '@potoroo/contract/plain';
import { inspectImage } from './images.ts';
import { launchContainer } from './container.ts';
import { containerTool } from './tool.ts';
import type { Launched } from '../python/launch.ts';
import { decodeScoring, encodeScoring, formsOf, refusalOf, type Form } from './mlflow.ts';
import { ownFolder } from '../python/own-folder.ts';
import { collectLog } from '../python/process-log.ts';
import type { ModelProcess, PythonStart, Ready } from '../python/process.ts';
import { zeros } from '../sample.ts';

const defaults = { maxBodyBytes: 1024 ** 3, startMs: 280_000, runMs: 300_000 };
const pollMs = 100;
/** A server that is about to serve can drop the first connections, and its first answer can be to come. */
const pingMs = 5000;
const usualPorts = [8080, 8000, 5000];

interface Reply { readonly status: number; readonly body: Uint8Array }

/**
 * A registered image in a container of its own, which speaks the MLflow scoring protocol. To the runtime it is as a
 * Python process: Arrow in, Arrow out; ready when `open` resolves and over when `exited` does.
 */
export class ImageServer implements ModelProcess {
  readonly ready: Ready;
  readonly exited: Promise<PotorooError>;
  readonly #connection: Connection;
  readonly #form: Form;
  readonly #outputs: readonly Field[];

  private constructor(ready: Ready, connection: Connection, form: Form, outputs: readonly Field[]) {
    this.ready = ready;
    this.exited = connection.exited;
    this.#connection = connection;
    this.#form = form;
    this.#outputs = outputs;
  }

  /** @throws PotorooError `image_unavailable`, `container_unavailable`, `engine_start_timeout`, `warm_up_failed`, `model_process_lost` */
  static async open(start: PythonStart): Promise<ImageServer> {
    const connection = await Connection.open(start);
    try {
      const version = await connection.untilReady(start.startMs ?? defaults.startMs);
      const { inputSchema: inputs = [], outputSchema: outputs = [] } = start;
      const common = { type: 'ready' as const, warmUpMs: 0, aligned: true, inputBytes: 0, outputBytes: 0, inputs: [...inputs], outputs: [...outputs] };
      const notes = [`It serves MLflow's scoring protocol${version === '' ? '' : `, version ${version}`}.`, ...connection.notes()];
      if (inputs.length === 0 || outputs.length === 0) return new ImageServer({ ...common, aligned: false, notes: [...notes, 'It has no input and output schema, so no warm-up inference was run; declare them to have it proven before it serves.'] }, connection, 'split', outputs);
      const { form, warmUpMs } = await warmUp(connection, formsOf(version, inputs), inputs, outputs);
      return new ImageServer({ ...common, warmUpMs, notes: [...notes, `It takes data in the form "${form}".`] }, connection, form, outputs);
    } catch (error) {
      await connection.stop();
      throw error;
    }
  }

  /** Arrow stream in, Arrow stream out. @throws PotorooError `inference_failed`, `schema_mismatch`, `deadline_exceeded`, `model_process_lost` */
  async run(body: Uint8Array): Promise<Uint8Array> {
    return encodeArrowStream(await score(this.#connection, this.#form, decodeArrow(body).batch, this.#outputs));
  }

  giveWay(): void {
    this.#connection.giveWay();
  }

  stop(): Promise<void> {
    return this.#connection.stop();
  }
}

async function score(connection: Connection, form: Form, batch: Batch, outputs: readonly Field[]): Promise<Batch> {
  const { type, body } = encodeScoring(batch, form);
  const { status, body: answer } = await connection.ask('POST', '/invocations', type, body);
  if (status !== 200) throw new PotorooError('inference_failed', `The model's container answered ${status}: ${refusalOf(answer)}`);
  return decodeScoring(answer, outputs, batch.rows);
}

/** A registered image's model file is JSON that names the image by its digest. @throws PotorooError `model_invalid` */
async function imageOf(file: string): Promise<string> {
  try {
    const { image } = JSON.parse(await readFile(file, 'utf8')) as { image?: unknown };
    if (typeof image === 'string' && /^[\w.:/-]+@sha256:[0-9a-f]{64}$/.test(image)) return image;
  } catch {
    // said below
  }
  throw new PotorooError('model_invalid', 'The model file does not name a container image by its digest. Register the image again.');
}

/** The first form of a made-up row that the server answers in its declared shape, and how long that took. */
async function warmUp(connection: Connection, forms: readonly Form[], inputs: readonly Field[], outputs: readonly Field[]): Promise<{ form: Form; warmUpMs: number }> {
  const row = zeros(inputs, 1);
  let first: PotorooError | undefined;
  for (const form of forms) {
    try {
      await score(connection, form, row, outputs);
      const start = performance.now();
      await score(connection, form, row, outputs);
      return { form, warmUpMs: performance.now() - start };
    } catch (error) {
      if (!isPotorooError(error) || error.code === 'model_process_lost' || error.code === 'engine_out_of_memory') throw error;
      // An answer in the wrong shape says more than a refusal of a form.
      if (first === undefined || (first.code === 'inference_failed' && error.code !== 'inference_failed')) first = error;
    }
  }
  throw new PotorooError('warm_up_failed', `The warm-up inference failed. ${first?.message ?? ''}`, { cause: first });
}

/** The container and the way to the server in it. */
class Connection {
  readonly exited: Promise<PotorooError>;
  readonly #launched: Launched;
  readonly #gone: Promise<unknown>;
  readonly #socket: string;
  readonly #limits: typeof defaults;
  readonly #agent = new Agent({ keepAlive: true });
  #end: PotorooError | undefined;
  #verdict: PotorooError | undefined;

  private constructor(launched: Launched, socket: string, holder: string, start: PythonStart) {
    this.#launched = launched;
    this.#socket = socket;
    this.#limits = { ...defaults, ...Object.fromEntries(Object.entries(start).filter(([name, value]) => name in defaults && value !== undefined)) };
    start.sidekick?.starting(launched.pid, launched.usage);
    const { last } = collectLog(launched.child, (stream, line) => {
      start.onLog?.(stream, line);
      start.sidekick?.line(stream, line);
    });
    this.exited = new Promise((resolve) => {
      const over = (how: string, reason?: PotorooError): void => {
        const said = last.length > 0 ? ` Its last line: ${last.at(-1)?.slice(0, 300)}` : '';
        this.#end = this.#verdict ?? reason ?? new PotorooError('model_process_lost', `The model's container ${how}.${said}`);
        this.#agent.destroy();
        resolve(this.#end);
      };
      launched.child.once('error', (error) => over(`could not be started: ${error.message}`));
      launched.child.once('exit', (code, signal) => over(launched.end(code, signal), launched.reason(code)));
    });
    this.#gone = this.exited.then(() => rm(holder, { recursive: true, force: true, maxRetries: 3 })).catch(() => {});
  }

  static async open(start: PythonStart): Promise<Connection> {
    const image = await imageOf(start.file);
    const { entrypoint, ports, ...found } = await inspectImage(await containerTool(), image);
    if (entrypoint.length === 0) throw new PotorooError('model_invalid', `The image ${found.name} has neither an entrypoint nor a command: it is not one that serves a model.`);
    const { holder, folder, work } = await ownFolder();
    const socket = join(folder, 'http');
    const program = basename(entrypoint[0] ?? '');
    const workers = String(Math.max(1, Math.floor(start.python.cpus ?? start.threads)));
    try {
      const launched = await launchContainer({
        command: entrypoint, folder, work, reads: [], limits: start.python, image, interpreter: /^python[\d.]*$/.test(program) ? (entrypoint[0] ?? program) : 'python3',
        // In there are no others to keep apart by a proxy before the server, and no place where that could write.
        env: { DISABLE_NGINX: 'true', MLFLOW_DISABLE_TELEMETRY: 'true', MLFLOW_MODELS_WORKERS: workers, PYTHONUNBUFFERED: '1', ...start.python.env },
        ownUser: true, yields: start.yields, network: start.python.network === true, forward: { socket, ports: [...new Set([...ports, ...usualPorts])] },
      });
      return new Connection(launched, socket, holder, start);
    } catch (error) {
      await rm(holder, { recursive: true, force: true });
      throw error;
    }
  }

  notes(): string[] {
    return this.#launched.notes();
  }

  /** Waits until `GET /ping` is answered with 200; gives what `GET /version` says, '' when it says nothing. */
  async untilReady(startMs: number): Promise<string> {
    const until = Date.now() + startMs;
    let last = 'it takes no connections';
    for (;;) {
      if (this.#end !== undefined) throw this.#end;
      const reply = await this.ask('GET', '/ping', undefined, undefined, pingMs).catch(() => undefined);
      if (reply?.status === 200) break;
      if (reply !== undefined) last = `it answers /ping with ${reply.status}`;
      if (Date.now() > until) {
        this.#verdict = new PotorooError('engine_start_timeout', `The server in the model's container was not ready after ${startMs / 1000} s: ${last}.`);
        this.#launched.kill();
        throw this.#verdict;
      }
      await pause(pollMs);
    }
    const version = await this.ask('GET', '/version', undefined, undefined, pingMs).catch(() => undefined);
    return version?.status === 200 ? Buffer.from(version.body).toString('latin1').trim().slice(0, 40) : '';
  }

  /** One request; after `timeoutMs` without its answer the container is ended, unless it is given for this request alone. */
  ask(method: string, path: string, type?: string, body?: string, timeoutMs?: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end);
      const late = setTimeout(() => {
        if (timeoutMs === undefined) {
          this.#verdict ??= new PotorooError('deadline_exceeded', `The model's container worked on one request for more than ${this.#limits.runMs / 1000} s, so it was ended. Send fewer rows, or raise the limit.`);
          this.#launched.kill();
        }
        sent.destroy();
      }, timeoutMs ?? this.#limits.runMs);
      // The connection of a container that has just ended breaks before its end is known; what ended it says more.
      const lost = (): void => {
        clearTimeout(late);
        const unknown = new PotorooError('model_process_lost', "The connection to the model's container broke.");
        if (timeoutMs !== undefined) return reject(unknown);
        void Promise.race([this.exited, pause(2000, unknown, { ref: false })]).then(reject);
      };
      const sent = request({ socketPath: this.#socket, agent: this.#agent, method, path, headers: { host: 'model', ...(type !== undefined && { 'content-type': type }), ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) } }, (response) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on('data', (part: Buffer) => {
          parts.push(part);
          if ((size += part.length) <= this.#limits.maxBodyBytes) return;
          clearTimeout(late);
          sent.destroy();
          reject(new PotorooError('inference_failed', `The model's answer is larger than the ${this.#limits.maxBodyBytes} bytes that are let through. Return fewer rows or smaller values.`));
        }).on('end', () => {
          clearTimeout(late);
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) });
        }).on('error', lost).on('aborted', lost);
      });
      sent.on('error', lost).end(body);
    });
  }

  giveWay(): void {
    this.#launched.giveWay?.();
  }

  async stop(): Promise<void> {
    this.#launched.kill();
    await this.#gone;
  }
}
