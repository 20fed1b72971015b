import './quiet.ts';
import { Worker } from 'node:worker_threads';
import type { Batch } from '@potoroo/batch';
import { PotorooError, type ErrorCode } from '@potoroo/contract/plain';
import { log } from '../../log.ts';
import type { Description, LoadOptions, Runtime } from '../runtime.ts';
import { detach } from './transfer.ts';

export interface WorkerData extends LoadOptions {
  file: string;
  /** Its thread runs only where no other wants the core. */
  yields?: boolean;
}
/** What a worker says: once that it is ready, then one answer a batch. */
export type FromWorker = { type: 'ready' } | { type: 'answer'; batch: Batch } | { type: 'error'; code: ErrorCode; message: string };

interface Job {
  batch: Batch;
  resolve(batch: Batch): void;
  reject(error: Error): void;
}

/** A run that is still under way when its thread is to end has this long. */
const finishMs = 10_000;

/** One worker thread with a session of its own; it works on one batch at a time. */
class Thread {
  readonly #worker: Worker;
  readonly ready: Promise<void>;
  #job: Job | undefined;
  #done: (() => void) | undefined;
  #proven = false;

  constructor(data: WorkerData, freed: (thread: Thread) => void, lost: (thread: Thread, proven: boolean, error: PotorooError) => void) {
    this.#worker = new Worker(new URL('./onnx.worker.js', import.meta.url), { workerData: data });
    this.ready = new Promise((resolve, reject) => {
      let failure: PotorooError | undefined;
      this.#worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          this.#proven = true;
          return resolve();
        }
        const error = message.type === 'error' ? new PotorooError(message.code, message.message) : undefined;
        if (!this.#proven) return reject(error ?? new PotorooError('internal', 'The model thread answered before it was ready.'));
        const job = this.#job;
        this.#job = undefined;
        this.#done?.();
        if (message.type === 'answer') job?.resolve(message.batch);
        else if (error !== undefined) job?.reject(error);
        freed(this);
      });
      this.#worker.on('error', (error) => { failure = new PotorooError('inference_failed', `The thread that ran the model stopped: ${error.message}.`, { cause: error }); });
      this.#worker.on('exit', () => {
        failure ??= new PotorooError('inference_failed', 'The thread that ran the model stopped.');
        reject(failure);
        this.#job?.reject(failure);
        this.#job = undefined;
        lost(this, this.#proven, failure);
      });
    });
  }

  start(job: Job): void {
    this.#job = job;
    const { batch, transfer } = detach(job.batch, true);
    this.#worker.postMessage(batch, transfer);
  }

  /** Ends the thread once it is done: a run that loses its thread takes the whole process with it. Not for ever, though. */
  async stop(): Promise<void> {
    if (this.#job !== undefined) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([new Promise<void>((resolve) => { this.#done = resolve; }), new Promise((resolve) => { timer = setTimeout(resolve, finishMs); })]);
      clearTimeout(timer);
    }
    await this.#worker.terminate();
  }
}

/** A slow model in worker threads, so that a run does not hold up the event loop. Lost threads are replaced. */
class Pool implements Runtime {
  readonly slots: number;
  readonly #data: WorkerData;
  readonly #description: Description;
  readonly #idle: Thread[] = [];
  readonly #all = new Set<Thread>();
  readonly #waiting: Job[] = [];
  #closed = false;

  constructor(data: WorkerData, description: Description, slots: number) {
    this.slots = slots;
    this.#data = data;
    this.#description = description;
  }

  async open(): Promise<void> {
    await Promise.all(Array.from({ length: this.slots }, () => this.#add()));
  }

  async #add(): Promise<void> {
    const thread = new Thread(this.#data, (t) => this.#free(t), (t, proven, error) => this.#lost(t, proven, error));
    this.#all.add(thread);
    await thread.ready;
    this.#free(thread);
  }

  #free(thread: Thread): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(thread);
    else thread.start(next);
  }

  #lost(thread: Thread, proven: boolean, error: PotorooError): void {
    this.#all.delete(thread);
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#closed || !proven) return; // one that never loaded would not load the next time
    log.warn('a model thread stopped; starting another', { reason: error.message });
    this.#add().catch((e: Error) => {
      log.error('a model thread could not be replaced', { reason: e.message });
      if (this.#all.size === 0) for (const job of this.#waiting.splice(0)) job.reject(error);
    });
  }

  describe(): Description {
    return this.#description;
  }

  run(batch: Batch): Promise<Batch> {
    return new Promise((resolve, reject) => {
      const job = { batch, resolve, reject };
      const thread = this.#idle.pop();
      if (thread !== undefined) thread.start(job);
      else if (this.#all.size > 0) this.#waiting.push(job);
      else reject(new PotorooError('inference_failed', 'The threads that ran the model stopped and could not be replaced.'));
    });
  }

  async unload(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((t) => t.stop()));
  }
}

/** @throws PotorooError what loading throws */
export async function openPool(data: WorkerData, description: Description, slots: number): Promise<Runtime> {
  const pool = new Pool(data, description, slots);
  try {
    await pool.open();
  } catch (error) {
    await pool.unload();
    throw error;
  }
  return pool;
}
