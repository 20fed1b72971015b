import type { Logger } from '../../log.ts';
import type { Blobs } from '../../storage/blobs.ts';
import type { Inspect } from './inspection.ts';
import type { ModelStore } from './models.store.ts';

export interface LoadQueueOptions {
  readonly store: ModelStore; readonly blobs: Blobs; readonly inspect: Inspect; readonly atOnce: number;
  readonly clock: () => number; readonly log: Logger;
}

/** Test-loads uploaded model versions, a few at a time, and writes down what came of it. */
export class LoadQueue {
  readonly #options: LoadQueueOptions;
  readonly #waiting: (() => void)[] = [];
  readonly #stopped = new AbortController();
  readonly #jobs = new Map<number, Promise<void>>();
  #running = 0;

  constructor(options: LoadQueueOptions) {
    this.#options = options;
  }

  /** Resolves when the version's status is decided; one job a version, however often it is asked for. Never rejects. */
  load(versionId: number): Promise<void> {
    let job = this.#jobs.get(versionId);
    if (job === undefined) {
      job = this.#take(versionId)
        .catch((error: unknown) => this.#options.log.error({ err: error, modelVersion: versionId }, 'test load of a model failed'))
        .finally(() => this.#jobs.delete(versionId));
      this.#jobs.set(versionId, job);
    }
    return job;
  }

  /** Ends the loads under way; their versions stay undecided and are taken up at the next start. */
  async close(): Promise<void> {
    this.#stopped.abort();
    for (const start of this.#waiting.splice(0)) start();
    await Promise.all(this.#jobs.values());
  }

  async #take(versionId: number): Promise<void> {
    if (this.#running >= this.#options.atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    try {
      if (!this.#stopped.signal.aborted) await this.#decide(versionId);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #decide(versionId: number): Promise<void> {
    const { store, blobs, inspect, clock } = this.#options;
    const version = await store.version(versionId);
    if (version === undefined) return;
    const say = (texts: readonly string[]) => store.log(versionId, texts.map((text) => `${new Date(clock()).toISOString()} stdout F ${text}`));
    await store.decide(versionId, { status: 'attempting_load_native' }, clock());
    await say([`Loading ${version.fileName} (${version.size} bytes, sha256 ${version.sha256}) as ${version.framework}.`]);
    const finding = (await blobs.has(version.sha256))
      ? await inspect(blobs.path(version.sha256), version.framework, this.#stopped.signal)
      : { ok: false as const, log: [], reason: { code: 'model_invalid', message: 'The file is missing from the store; upload it again.' } };
    if (this.#stopped.signal.aborted) return;
    await say(finding.log);
    await say([finding.ok ? 'The model is ready.' : finding.reason.message]);
    if ((await store.version(versionId)) === undefined) return;
    await store.decide(versionId, finding.ok ? { status: 'ready', inputs: finding.inputs, outputs: finding.outputs } : { status: 'error', reason: finding.reason }, clock());
  }
}
