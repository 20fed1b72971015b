import { setTimeout as delay } from 'node:timers/promises';
import { imageFramework, isPotorooError, PotorooError } from '@potoroo/contract';
import type { Logger } from '../../log.ts';
import type { Blobs } from '../../storage/blobs.ts';
import type { ModelStatus, ModelVersion } from '../domains.ts';
import type { Inspect } from './inspection.ts';
import { openJournal, type Journal } from './journal.ts';
import type { Environments } from '../environments/environments.service.ts';
import type { ModelStore } from './models.store.ts';
import { loadWithPython, schemasOf, type Loaded } from './python-loads.ts';

/** The file of a model version, from where its `conversion.source` says. What it turns out to be may need another framework than was named. */
export interface SourceFile { readonly fileName: string; readonly framework: string; readonly content: AsyncIterable<Uint8Array> }
export type OpenSource = (version: ModelVersion, say: (text: string) => void, signal: AbortSignal) => Promise<SourceFile>;

export interface LoadQueueOptions {
  readonly store: ModelStore; readonly blobs: Blobs; readonly inspect: Inspect; readonly atOnce: number;
  readonly clock: () => number; readonly log: Logger; readonly maxBytes: number;
  /** Opens the files of versions that this server gets by itself. */
  readonly open?: OpenSource | undefined;
  /** Makes the environments of models that Python loads; without it only ONNX models load. */
  readonly environments?: Environments | undefined; readonly loadTimeoutMs?: number;
}

/** So many at once; who comes later waits, in order. */
class Places {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  async hold(work: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  /** Lets everybody in who waits. */
  open(): void {
    for (const enter of this.#waiting.splice(0)) enter();
  }
}

/** Other people's servers decide how long a fetch takes: these have places of their own. */
const fetchesAtOnce = 8;
/** Wait before a load whose outcome could not be written down is tried again; it doubles. */
const againMs = { first: 1_000, most: 60_000 };

/** Test-loads uploaded model versions, a few at a time, and writes down what came of it. Files that are still to be fetched are fetched first. */
export class LoadQueue {
  readonly #options: LoadQueueOptions;
  readonly #loading: Places;
  readonly #fetching = new Places(fetchesAtOnce);
  readonly #stopped = new AbortController();
  readonly #jobs = new Map<number, Promise<void>>();

  constructor(options: LoadQueueOptions) {
    this.#options = options;
    this.#loading = new Places(options.atOnce);
  }

  /** Resolves when the version's status is decided; one job a version, however often it is asked for. Never rejects. */
  load(versionId: number): Promise<void> {
    let job = this.#jobs.get(versionId);
    if (job === undefined) {
      job = this.#untilDecided(versionId).finally(() => this.#jobs.delete(versionId));
      this.#jobs.set(versionId, job);
    }
    return job;
  }

  /** What keeps an outcome from being written down, such as a full disk, says nothing of the model and passes. */
  async #untilDecided(versionId: number): Promise<void> {
    const { signal } = this.#stopped;
    for (let wait: number = againMs.first; !signal.aborted; wait = Math.min(2 * wait, againMs.most)) {
      try {
        await this.#fetching.hold(() => this.#fetch(versionId));
        return await this.#loading.hold(() => this.#decide(versionId));
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.error({ err: error, modelVersion: versionId }, 'test load of a model failed and will be tried again');
        await delay(wait, undefined, { signal }).catch(() => {});
      }
    }
  }

  get busy(): boolean {
    return this.#jobs.size > 0;
  }

  /** Ends the loads under way; their versions stay undecided and are taken up at the next start. */
  async close(): Promise<void> {
    this.#stopped.abort();
    this.#loading.open();
    this.#fetching.open();
    await Promise.all(this.#jobs.values());
  }

  async #fetch(versionId: number): Promise<void> {
    const { store, blobs, clock, open, maxBytes, log } = this.#options;
    const version = await store.version(versionId);
    if (version?.status !== 'uploading' || open === undefined || this.#stopped.signal.aborted) return;
    const { say, written } = this.#journal(versionId);
    try {
      const { content, ...file } = await open(version, say, this.#stopped.signal);
      const blob = await blobs.put(content, maxBytes);
      if (blob.size === 0) throw new PotorooError('model_invalid', 'The file is empty; upload the model file itself.');
      await store.arrived(versionId, { ...file, ...blob }, clock());
    } catch (error) {
      // Stopped: it stays as it is, and the next start fetches it again.
      if (this.#stopped.signal.aborted) return;
      if (!isPotorooError(error)) log.error({ err: error, modelVersion: versionId }, 'fetching a model failed');
      const reason = isPotorooError(error) ? { code: error.code, message: error.message } : { code: 'internal' as const, message: 'The file could not be fetched.' };
      say(reason.message);
      // Before the outcome: who follows the log stops at that.
      await written();
      await store.decide(versionId, { status: 'error', reason }, clock());
    } finally {
      await written();
    }
  }

  #journal(versionId: number): Journal {
    return openJournal({ versionId, ...this.#options });
  }

  async #decide(versionId: number): Promise<void> {
    const { store, clock } = this.#options;
    if (this.#stopped.signal.aborted) return;
    const version = await store.version(versionId);
    if (version === undefined || version.status === 'uploading' || version.status === 'error') return;
    const { say, written } = this.#journal(versionId);
    say(`Loading ${version.fileName} (${version.size} bytes, sha256 ${version.sha256}) as ${version.framework}.`);
    const loaded = await this.#load(version, say);
    if (this.#stopped.signal.aborted) return written();
    say(loaded.ok ? 'The model is ready.' : loaded.reason.message);
    await written();
    if ((await store.version(versionId)) === undefined) return;
    await store.decide(versionId, loaded.ok ? { ...loaded, status: 'ready' } : { status: 'error', reason: loaded.reason }, clock());
  }

  async #load(version: ModelVersion, say: (text: string) => void): Promise<Loaded> {
    const { store, blobs, inspect, environments, clock, loadTimeoutMs = 600_000 } = this.#options;
    const status = (next: ModelStatus): Promise<void> => store.decide(version.id, { status: next }, clock());
    if (!(await blobs.has(version.sha256))) return { ok: false, reason: { code: 'model_invalid', message: 'The file is missing from the store; upload it again.' } };
    const config = (await store.config({ modelVersionId: version.id })) ?? {};
    if (version.framework === imageFramework) {
      await status('attempting_load_container');
      const finding = await inspect(blobs.path(version.sha256), version.framework, this.#stopped.signal, { python: { isolation: 'container' }, fileName: version.fileName, ...schemasOf(config) });
      for (const line of finding.log) say(line);
      return finding.ok ? { ok: true, inputs: finding.inputs, outputs: finding.outputs, runtime: 'mlflow', convertedSha256: null, environment: null } : finding;
    }
    if (version.framework !== 'onnx' && environments !== undefined) {
      return loadWithPython({ environments, blobs, inspect, timeoutMs: loadTimeoutMs }, version, config, { status, say, signal: this.#stopped.signal });
    }
    await status('attempting_load_native');
    const finding = await inspect(blobs.path(version.sha256), version.framework, this.#stopped.signal);
    for (const line of finding.log) say(line);
    if (!finding.ok) return finding;
    return { ok: true, inputs: finding.inputs, outputs: finding.outputs, runtime: 'onnx', convertedSha256: null, environment: null };
  }
}
