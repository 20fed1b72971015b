import { errorCodes, levelOf, PotorooError, type AccessList } from '@potoroo/contract/plain';
import { log } from '../log.ts';
import type { Service } from '../serving/service.ts';
import type { Access } from './access.ts';
import { jsonType } from './content.ts';
import type { Exchange } from './exchange.ts';
import { requestId } from './headers.ts';
import { failure, infer, type InferDefaults } from './infer.ts';
import { serveV2 } from './v2.ts';

export interface RoutesOptions {
  service: Service;
  access: Access;
  timeoutMs: number;
  /** Whether the engine takes new work, for probes. */
  ready(): boolean;
  status(): object;
  metrics(): string;
  /** @throws PotorooError `invalid_request` */
  checkAccess(value: unknown): AccessList;
}

/** What a probe may ask without a token, on either side. */
const open = new Set(['/healthz', '/readyz', '/v2/health/live', '/v2/health/ready']);

/** The flat route table: every request of either side and either HTTP reader comes through `serve`. */
export class Routes implements InferDefaults {
  readonly #options: RoutesOptions;
  readonly #inferPath: string;
  readonly timeoutMs: number;

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#inferPath = `/pipelines/${options.service.pipeline.name}`;
    this.timeoutMs = options.timeoutMs;
  }

  /** Answers, now or later. Never throws. */
  serve(exchange: Exchange): void {
    const { access } = this.#options;
    try {
      if (exchange.trusted || open.has(exchange.path)) return this.#route(exchange);
      const authorization = exchange.header('authorization');
      if (access.knows(authorization)) return this.#route(exchange);
      access.verify(authorization).then(() => this.#guarded(exchange), (error: unknown) => this.fail(exchange, error));
    } catch (error) {
      this.fail(exchange, error);
    }
  }

  #guarded(exchange: Exchange): void {
    try {
      this.#route(exchange);
    } catch (error) {
      this.fail(exchange, error);
    }
  }

  #route(exchange: Exchange): void {
    const { service } = this.#options;
    const { path, method } = exchange;
    if (path === this.#inferPath && method === 'POST') return infer(exchange, service, this);
    if (path === '/v2' || path.startsWith('/v2/')) {
      if (serveV2(exchange, service, this, this.#options.ready())) return;
      throw new PotorooError('route_not_found', `There is no route ${method} ${path.slice(0, 200)}.`);
    }
    if (path.startsWith('/pipelines/')) return this.#otherPipeline(exchange);
    const route = this.#table[path];
    if (route === undefined || (route.socketOnly === true && !exchange.trusted)) throw new PotorooError('route_not_found', `There is no route ${method} ${path.slice(0, 200)}.`);
    if (route.method !== method && !(route.method === 'GET' && method === 'HEAD')) throw new PotorooError('method_not_allowed', `${path} takes ${route.method}, not ${method}.`);
    route.serve(exchange);
  }

  #otherPipeline(exchange: Exchange): void {
    const { service } = this.#options;
    const name = exchange.path.slice('/pipelines/'.length);
    if (name !== service.pipeline.name) throw new PotorooError('pipeline_not_found', `There is no pipeline '${name.slice(0, 80)}' here; this engine serves '${service.pipeline.name}'.`);
    throw new PotorooError('method_not_allowed', `${exchange.path} takes POST, not ${exchange.method}.`);
  }

  readonly #table: Readonly<Record<string, { method: string; socketOnly?: boolean; serve(exchange: Exchange): void }>> = {
    __proto__: null as never,
    '/pipelines': { method: 'GET', serve: (x) => this.#json(x, { pipelines: [{ id: this.#options.service.pipeline.name, status: 'Running' }] }) },
    '/models': { method: 'GET', serve: (x) => this.#json(x, { models: this.#options.service.pipeline.models.map(({ name, sha, status, version }) => ({ name, sha, status, version })) }) },
    '/healthz': { method: 'GET', serve: (x) => this.#json(x, { status: 'ok' }) },
    '/readyz': { method: 'GET', serve: (x) => this.#json(x, { ready: this.#options.ready() }, this.#options.ready() ? 200 : 503) },
    '/status': { method: 'GET', serve: (x) => this.#json(x, this.#options.status()) },
    '/metrics': { method: 'GET', serve: (x) => x.send(200, 'text/plain; version=0.0.4', this.#options.metrics()) },
    '/access': { method: 'PUT', socketOnly: true, serve: (x) => this.#putAccess(x) },
  };

  #json(exchange: Exchange, value: unknown, status = 200): void {
    exchange.send(status, jsonType, JSON.stringify(value));
  }

  #putAccess(exchange: Exchange): void {
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(exchange.body).toString('utf8'));
    } catch {
      throw new PotorooError('malformed_body', 'The access list is not JSON.');
    }
    this.#options.access.replace(this.#options.checkAccess(value));
    this.#json(exchange, { accepted: true });
  }

  fail(exchange: Exchange, error: unknown): void {
    const reason = failure(error);
    const { status } = errorCodes[reason.code];
    this.#options.service.metrics.failed(reason.code);
    if (status >= 500) log[levelOf(reason)](reason.message, { code: reason.code, ...(reason.cause instanceof Error && { cause: reason.cause.stack ?? reason.cause.message }) });
    const given = exchange.header('x-request-id') === undefined ? '' : `X-Request-Id: ${requestId(exchange)}\r\n`;
    const headers = given + (status === 429 || status === 503 ? 'Retry-After: 1\r\n' : status === 401 ? 'WWW-Authenticate: Bearer\r\n' : '');
    const { path } = exchange;
    const body = path === '/v2' || path.startsWith('/v2/')
      ? { error: reason.message, code: reason.code }
      : { code: status, status: 'Error', error: reason.message, source: 'engine', type: reason.code, ...(reason.fields && { fields: reason.fields }) };
    exchange.send(status, jsonType, JSON.stringify(body), headers);
  }
}
