import { PassThrough, type Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Pool, type Dispatcher } from 'undici';
import { errorCodes, PotorooError, type ErrorCode, type ErrorField } from '@potoroo/contract';
import type { Deployments } from '../domains/domains.ts';
import { actorOf } from './authenticate.ts';

export interface InferenceProxyOptions {
  readonly deployments: Pick<Deployments, 'route'>;
  /** Largest request body, in bytes. */
  readonly maxBytes: number;
  /** Milliseconds a request may take that does not say otherwise. */
  readonly timeoutMs: number;
  readonly clock: () => number;
}

export interface ServeOptions {
  /** Where the request has no query. */
  readonly defaultQuery?: string;
  /** What an engine refuses is thrown, for a protocol that has its own form of an error; otherwise its answer goes back as it came. */
  readonly throwRefusals?: boolean;
}

/** Bodies up to here are read before they are sent on, so that an engine that cannot be reached costs nothing but another try. */
const bufferedBytes = 1024 * 1024;
const maxPools = 512;
const maxTimeoutMs = 3_600_000;
const passedOn = ['content-type', 'inference-header-content-length', 'accept', 'content-encoding', 'accept-encoding', 'traceparent', 'tracestate'] as const;
/** Connection matters stay on their own side. */
const heldBack = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'date', 'server']);
const unreachable = new Set(['ECONNREFUSED', 'ENOENT', 'UND_ERR_CONNECT_TIMEOUT']);

/** Sends inferences on to the engines of a deployment, over their Unix sockets. Used by every protocol that takes inferences. */
export class InferenceProxy {
  readonly #options: InferenceProxyOptions;
  readonly #pools = new Map<string, Pool>();

  constructor(options: InferenceProxyOptions) {
    this.#options = options;
  }

  /**
   * Serves this request by an engine of the deployment: `path` is the engine's own, the query is the request's. The route has to
   * leave the body unread (`leaveBodies`). The engine's answer is passed on as it comes.
   * @throws what `route` throws; body_too_large; engine_lost when the engine ended with the request; deadline_exceeded
   */
  async serve(request: FastifyRequest, reply: FastifyReply, deploymentId: number, path: string, { defaultQuery = '', throwRefusals = false }: ServeOptions = {}): Promise<FastifyReply> {
    const { deployments, clock, maxBytes } = this.#options;
    const timeoutMs = this.#timeout(request);
    const deadline = clock() + timeoutMs;
    const gone = new AbortController();
    const late = AbortSignal.timeout(timeoutMs);
    reply.raw.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, late]);
    const method = request.method as Dispatcher.HttpMethod;
    const body = method !== 'POST' ? null : await readBody(request.raw, maxBytes, signal).catch((error: unknown) => { throw asProblem(error, gone.signal, late, timeoutMs); });
    for (let attempt = 0; ; attempt += 1) {
      const engine = await deployments.route(actorOf(request), deploymentId, deadline);
      try {
        const answer = await this.#pool(engine.socketPath).request({
          method, path: path + (search(request.url) || defaultQuery), headers: this.#headers(request, deadline), body, signal, headersTimeout: timeoutMs, bodyTimeout: timeoutMs,
        });
        if (throwRefusals && answer.statusCode >= 400) throw refusal(answer.statusCode, await answer.body.text());
        answer.body.once('close', () => engine.done());
        return passBack(reply, answer);
      } catch (error) {
        engine.done();
        if (unreachable.has(codeOf(error))) this.#forget(engine.socketPath);
        // Nothing of it has been sent, so that sending it to another engine cannot run it twice.
        if ((body === null || Buffer.isBuffer(body)) && unreachable.has(codeOf(error)) && attempt < 3 && !signal.aborted) continue;
        throw asProblem(error, gone.signal, late, timeoutMs);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }

  #timeout(request: FastifyRequest): number {
    const asked = request.headers['request-timeout'];
    if (asked === undefined) return this.#options.timeoutMs;
    const seconds = Number(asked);
    if (!Number.isFinite(seconds) || seconds <= 0) throw new PotorooError('invalid_request', `The header request-timeout is ${JSON.stringify(asked)}: give seconds, more than 0.`, { fields: [{ field: 'request-timeout', message: 'seconds, more than 0' }] });
    return Math.min(Math.ceil(seconds * 1000), maxTimeoutMs);
  }

  /** The engine is told what time is left: what has to be given up later must not begin, and challengers are waited for no longer. */
  #headers(request: FastifyRequest, deadline: number): Record<string, string> {
    const left = Math.max(1, Math.ceil(deadline - this.#options.clock()));
    const headers: Record<string, string> = { 'x-request-id': request.id, 'x-potoroo-timeout-ms': String(left) };
    for (const name of passedOn) {
      const value = request.headers[name];
      if (typeof value === 'string') headers[name] = value;
    }
    return headers;
  }

  #pool(socketPath: string): Pool {
    const known = this.#pools.get(socketPath);
    if (known !== undefined) return known;
    for (const [path] of this.#pools) {
      if (this.#pools.size < maxPools) break;
      this.#forget(path);
    }
    const pool = new Pool('http://engine', { connect: { socketPath, timeout: 5_000 }, connections: 128, pipelining: 1 });
    this.#pools.set(socketPath, pool);
    return pool;
  }

  #forget(socketPath: string): void {
    const pool = this.#pools.get(socketPath);
    this.#pools.delete(socketPath);
    // Resolves when what is under way has been answered; a failure of it is that request's.
    pool?.close().catch(() => {});
  }
}

function passBack(reply: FastifyReply, answer: Dispatcher.ResponseData): FastifyReply {
  reply.code(answer.statusCode);
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !heldBack.has(name)) reply.header(name, value);
  }
  return reply.send(answer.body);
}

/** What an engine said in its own form, `{error, type, fields}`. */
function refusal(status: number, text: string): PotorooError {
  let said: { error?: unknown; type?: unknown; fields?: unknown } = {};
  try {
    said = Object(JSON.parse(text)) as typeof said;
  } catch {
    // Not an engine's form; the status says all there is.
  }
  const code = typeof said.type === 'string' && Object.hasOwn(errorCodes, said.type) ? (said.type as ErrorCode) : status < 500 ? 'invalid_request' : 'inference_failed';
  const message = typeof said.error === 'string' ? said.error : `The engine answered with status ${status}.`;
  return new PotorooError(code, message, Array.isArray(said.fields) ? { fields: said.fields as ErrorField[] } : {});
}

/** The whole body when it is small, else a stream of it that ends in body_too_large beyond the bound. */
async function readBody(raw: Readable & { headers: Record<string, string | string[] | undefined> }, maxBytes: number, signal: AbortSignal): Promise<Buffer | Readable> {
  const announced = Number(raw.headers['content-length'] ?? Number.NaN);
  const tooLarge = (): PotorooError => new PotorooError('body_too_large', `The body is larger than the ${maxBytes} bytes that ops passes on: send fewer rows at once, or raise POTOROO_MAX_INFERENCE_BYTES.`);
  if (announced > maxBytes) throw tooLarge();
  if (announced <= bufferedBytes) return readWhole(raw, signal);
  // Undici destroys the stream it is given when a request fails; the socket behind `raw` is still needed for the answer.
  const body = new PassThrough();
  let size = 0;
  raw.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) { raw.pause(); raw.removeAllListeners('data'); body.destroy(tooLarge()); return; }
    if (!body.destroyed && !body.write(chunk)) { raw.pause(); body.once('drain', () => raw.resume()); }
  });
  raw.once('end', () => body.end());
  raw.once('error', (error) => body.destroy(error));
  return body;
}

function readWhole(raw: Readable, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const take = (chunk: Buffer): void => { chunks.push(chunk); };
    const end = (): void => {
      signal.removeEventListener('abort', give);
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    };
    const give = (): void => {
      raw.off('data', take).off('end', end).pause();
      reject(signal.reason as Error);
    };
    raw.on('data', take).once('end', end).once('error', reject);
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });
}

function asProblem(error: unknown, gone: AbortSignal, late: AbortSignal, timeoutMs: number): unknown {
  if (error instanceof PotorooError) return error;
  if (late.aborted && !gone.aborted) return new PotorooError('deadline_exceeded', `The inference was not answered within ${timeoutMs / 1000} seconds: send fewer rows, or a longer request-timeout header.`);
  if (gone.aborted) return new PotorooError('deadline_exceeded', 'The caller went away before the answer.');
  const code = codeOf(error);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return new PotorooError('deadline_exceeded', `The inference was not answered within ${timeoutMs / 1000} seconds.`);
  return new PotorooError('engine_lost', 'The engine stopped while it worked on this request; whether it ran is unknown. Send it again if that does no harm.', { cause: error });
}

const codeOf = (error: unknown): string => (error as { code?: string } | null)?.code ?? '';
const search = (url: string): string => {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at);
};
