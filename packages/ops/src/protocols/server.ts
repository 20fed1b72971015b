import { randomUUID } from 'node:crypto';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { errorCodes, PotorooError } from '@potoroo/contract';
import type { Logger } from '../log.ts';
import { answerProblem } from './native/problem.ts';

const bodyLimit = 4 * 1024 * 1024;
/** A connection on which nothing moves is closed after this; longer than any inference may take. */
const idleMs = 3_700_000;
/** One to which an answer is being written, of which nothing is read, after this: what waits to be read takes memory. */
const defaultUnreadMs = 120_000;

/** The web server that every protocol is registered in: request ids, security headers, one form of error for what no protocol owns. */
export function createServer(log: Logger, { unreadMs = defaultUnreadMs }: { readonly unreadMs?: number } = {}): FastifyInstance {
  const app = Fastify({
    loggerInstance: log as FastifyBaseLogger, logController: new LogController({ disableRequestLogging: true }), bodyLimit, forceCloseConnections: 'idle',
    // An upload may take as long as it moves; a head may not.
    requestTimeout: 0, connectionTimeout: idleMs, http: { headersTimeout: 30_000 },
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
    },
    routerOptions: { maxParamLength: 512 },
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'x-request-id': request.id, 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'", 'cache-control': 'no-store',
    });
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.raw.setTimeout(unreadMs, () => reply.raw.destroy());
  });
  app.addHook('onResponse', async (request, reply) => {
    request.log.debug({ method: request.method, route: request.routeOptions.url, status: reply.statusCode, ms: Math.round(reply.elapsedTime) }, 'request');
  });
  app.setErrorHandler(answerProblem);
  // Bodies are JSON unless a route says otherwise.
  app.removeContentTypeParser('text/plain');
  unknownPaths(app);
  return app;
}

/** The way from the front door to the API's pages, and what the `type` of a problem points to. */
export function frontRoutes(app: FastifyInstance): void {
  for (const url of ['/', '/api/v1/docs']) app.get(url, { schema: { hide: true } }, async (_request, reply) => reply.redirect('/api/docs'));
  app.get('/api/errors/:code', { schema: { hide: true } }, async (request) => {
    const { code } = request.params as { code: string };
    const known = Object.entries(errorCodes).find(([name]) => name === code)?.[1];
    if (known === undefined) throw new PotorooError('route_not_found', `There is no error code ${JSON.stringify(code.slice(0, 80))}.`);
    return { code, ...known };
  });
}

/** 404 for a path that nobody has; 405 for one that has other methods. */
function unknownPaths(app: FastifyInstance): void {
  const patterns = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ method, url }) => {
    const source = url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : part === '*' ? '.*' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))).join('/');
    const known = patterns.get(source) ?? { pattern: new RegExp(`^${source}$`), methods: new Set() };
    for (const each of [method].flat()) known.methods.add(each);
    patterns.set(source, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = [...patterns.values()].filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => [...methods]);
    if (allowed.length === 0) throw new PotorooError('route_not_found', `There is no ${request.method} ${path.slice(0, 200)} here; /api/docs lists what there is.`);
    const methods = [...new Set(allowed)].sort().join(', ');
    reply.header('allow', methods);
    throw new PotorooError('method_not_allowed', `${path.slice(0, 200)} takes ${methods}, not ${request.method}.`);
  });
}
