import { setTimeout as delay } from 'node:timers/promises';
import { apiPrefix, isPotorooError, PotorooError, type ApiDeployment, type ApiDeploymentStatus, type ApiSidekick, type ApiSidekickLogLine, type Reason } from '@potoroo/contract';
import { listOf, type Calls } from './calls.ts';
import { readEvents } from './events.ts';
import { inferAt, type Infer } from './inference.ts';
import type { Pages } from './pages.ts';
import { reasonError } from './problem.ts';
import type { CallOptions } from './transport.ts';

const base = `${apiPrefix}/deployments`;

export interface WaitOptions extends CallOptions {
  /** Called with the status at once and after every change. */
  readonly onProgress?: (status: ApiDeploymentStatus) => void;
}

/** A pipeline that is deployed: its engines, how they are, and inference. */
export class Deployment {
  readonly #calls: Calls;
  readonly info: ApiDeployment;
  /** Takes rows as an array of records, an Arrow table or a batch. @throws PotorooError not_deployed, no_engine_ready, schema_mismatch and the others of inference data */
  readonly infer: Infer;

  constructor(calls: Calls, info: ApiDeployment) {
    this.#calls = calls;
    this.info = info;
    this.infer = inferAt(calls.transport, () => `${this.#path}/infer`);
  }

  get id(): number { return this.info.id; }
  get #path(): string { return `${base}/${this.id}`; }

  /** OpenAPI 3.1 of its inference address, with the columns that it takes and gives: for those who generate clients. */
  openapi(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return this.#calls.transport.json<Record<string, unknown>>(`${this.#path}/openapi.json`, options);
  }

  status(options: CallOptions = {}): Promise<ApiDeploymentStatus> {
    return this.#calls.transport.json<ApiDeploymentStatus>(`${this.#path}/status`, options);
  }

  /** The status at once and after every change, until `signal` aborts. A connection that breaks is made again. */
  async *watch(options: CallOptions = {}): AsyncGenerator<ApiDeploymentStatus> {
    const { signal } = options;
    for (let failures = 0; ;) {
      try {
        for await (const status of this.#events<ApiDeploymentStatus>('events', {}, signal)) {
          failures = 0;
          yield status;
        }
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason;
        if (isPotorooError(error) && error.code !== 'unreachable') throw error;
        if (++failures > 5) throw error;
      }
      await delay(100 * 2 ** failures, undefined, signal === undefined ? {} : { signal });
    }
  }

  /** Its sidekicks, the processes and containers that run models: those that are, and for some days those that were; newest first. */
  sidekicks(query: { current?: boolean | undefined; model?: string | undefined } & CallOptions = {}): Pages<ApiSidekick> {
    const { current, model, ...call } = query;
    return listOf<ApiSidekick>(this.#calls.transport, `${this.#path}/sidekicks`, { current, model }, call);
  }

  /** What a sidekick wrote, newest line first. @throws PotorooError sidekick_not_found */
  sidekickLog(sidekick: string, query: { start?: Date | undefined; end?: Date | undefined } & CallOptions = {}): Pages<ApiSidekickLogLine> {
    const { start, end, ...call } = query;
    return listOf<ApiSidekickLogLine>(this.#calls.transport, `${this.#path}/sidekicks/${encodeURIComponent(sidekick)}/log`, { start: start?.toISOString(), end: end?.toISOString() }, call);
  }

  /** Its last lines (`tail`, 10 when not given), oldest first, then what it writes until its end. @throws PotorooError sidekick_not_found; unreachable when the connection breaks */
  async *followSidekickLog(sidekick: string, options: { tail?: number } & CallOptions = {}): AsyncGenerator<ApiSidekickLogLine> {
    const { tail, signal } = options;
    for await (const lines of this.#events<ApiSidekickLogLine[]>(`sidekicks/${encodeURIComponent(sidekick)}/log/events`, { tail }, signal)) yield* lines;
  }

  async *#events<T>(path: string, query: Readonly<Record<string, number | undefined>>, signal: AbortSignal | undefined): AsyncGenerator<T> {
    const response = await this.#calls.transport.request(`${this.#path}/${path}`, { signal, query, timeoutMs: Number.POSITIVE_INFINITY, headers: { accept: 'text/event-stream' } });
    if (response.body === null) throw new PotorooError('unreachable', 'The event stream has no body.');
    for await (const { event, data } of readEvents(response.body)) {
      if (event === 'error') throw reasonError(JSON.parse(data) as Reason, 'The event stream failed.');
      yield JSON.parse(data) as T;
    }
  }

  /**
   * Waits until what is wanted now is what runs. @throws PotorooError with the code, the reason and the last log lines of
   * a deployment in error, or of an update that was given up while what was there before serves on; deadline_exceeded after `timeoutMs`, 120 seconds when not given
   */
  waitUntilRunning(options: WaitOptions = {}): Promise<ApiDeploymentStatus> {
    return this.#wait(options, 'running', (status) => {
      if (status.observedGeneration < this.info.generation) return false;
      if (status.state === 'error' || status.givenUp && !status.current || status.state === 'degraded' && status.reason !== null && status.readyReplicas === 0) throw reasonError(status.reason, `Deployment ${this.id} is in error.`);
      return status.state === 'running';
    });
  }

  waitUntilStopped(options: WaitOptions = {}): Promise<ApiDeploymentStatus> {
    return this.#wait(options, 'stopped', (status) => status.state === 'stopped');
  }

  /** Stops it: requests in progress are answered first. Returns as soon as it is wanted: see `waitUntilStopped()`. */
  async undeploy(options: CallOptions = {}): Promise<Deployment> {
    return new Deployment(this.#calls, await this.#calls.transport.json<ApiDeployment>(`${apiPrefix}/pipelines/${this.info.pipelineId}/deployment`, { ...options, method: 'DELETE' }));
  }

  async #wait(options: WaitOptions, goal: string, reached: (status: ApiDeploymentStatus) => boolean): Promise<ApiDeploymentStatus> {
    const { timeoutMs = 120_000, onProgress } = options;
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
    let last: ApiDeploymentStatus | undefined;
    try {
      for await (const status of this.watch({ signal })) {
        last = status;
        onProgress?.(status);
        if (reached(status)) return status;
      }
    } catch (error) {
      if (!limit.aborted || options.signal?.aborted === true) throw error;
    }
    const where = last === undefined ? 'nothing was heard of it' : `it is ${last.state} with ${last.readyReplicas} of ${last.wantedReplicas} replicas ready${last.reason === null ? '' : `: ${last.reason.message}`}`;
    throw new PotorooError('deadline_exceeded', `Deployment ${this.id} of ${this.info.pipelineName} is not ${goal} after ${timeoutMs} ms; ${where}.`);
  }
}

export class Deployments {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  list(query: { workspaceId?: number; pipelineId?: number } & CallOptions = {}): Pages<Deployment> {
    const { workspaceId, pipelineId, ...call } = query;
    return listOf<ApiDeployment>(this.#calls.transport, base, { workspaceId, pipelineId }, call).map((info) => new Deployment(this.#calls, info));
  }

  /** @throws PotorooError deployment_not_found */
  async get(id: number, options: CallOptions = {}): Promise<Deployment> {
    return new Deployment(this.#calls, await this.#calls.transport.json<ApiDeployment>(`${base}/${id}`, options));
  }
}
