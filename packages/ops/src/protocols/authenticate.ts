import { timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import { currentRequest } from '../domains/audit/audit.service.ts';
import type { Actor, Identity } from '../domains/domains.ts';

/** Every route that needs no token; all others do. */
export const publicRoutes: ReadonlySet<string> = new Set([
  'GET /',
  'GET /healthz',
  'GET /readyz',
  // The pages that describe the API and its errors.
  'GET /api/docs',
  'GET /api/v1/docs',
  'GET /api/docs/json',
  'GET /api/docs/yaml',
  'GET /api/docs/static/*',
  'GET /api/docs/static/index.html',
  'GET /api/docs/static/swagger-initializer.js',
  'GET /api/v1/openapi.json',
  'GET /api/errors/:code',
  // OpenID: where tokens come from.
  'POST /auth/realms/master/protocol/openid-connect/token',
  'GET /auth/realms/master/protocol/openid-connect/certs',
  'POST /auth/realms/master/protocol/openid-connect/auth/device',
  // The sign-in page of a device.
  'GET /auth/realms/master/device',
  'POST /auth/realms/master/device',
  'GET /auth/realms/master/.well-known/openid-configuration',
  // The Python client asks for this before it signs in.
  'GET /v1/api/config',
]);

/** Routes for engines, which show the token of their deployment; the routes check it themselves. */
export const engineRoutes: ReadonlySet<string> = new Set(['POST /internal/v1/logs/:partition']);

declare module 'fastify' {
  interface FastifyRequest {
    actor: Actor | null;
  }
}

/** Who sent the request; known on every route that is not public. */
export function actorOf(request: FastifyRequest): Actor {
  if (request.actor === null) throw new PotorooError('unauthenticated', 'Sign in first: this needs an access token.');
  return request.actor;
}

/** @throws unauthenticated */
export function bearerToken(request: FastifyRequest): string {
  const token = /^bearer +([^\s,]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined) throw new PotorooError('unauthenticated', 'The header Authorization is missing or has another form: send "Authorization: Bearer <access token>".');
  return token;
}

export function isPublic(method: string, url: string): boolean {
  return publicRoutes.has(`${method === 'HEAD' ? 'GET' : method} ${url}`);
}

/**
 * Checks the token of every request, before its body is read. `metricsToken` is a second one for `GET /metrics` alone.
 * Gives the routes that are registered from here on, as `GET /path/:id`.
 */
export function authenticate(app: FastifyInstance, identity: Pick<Identity, 'actorOf'>, metricsToken: string | undefined): ReadonlySet<string> {
  const routes = new Set<string>();
  app.addHook('onRoute', ({ method, url }) => { for (const each of [method].flat()) routes.add(`${each} ${url}`); });
  app.decorateRequest('actor', null);
  // What a request sets off knows which one it was.
  app.addHook('onRequest', (request, _reply, done) => { currentRequest.run({ id: request.id }, done); });
  app.addHook('onRequest', async (request) => {
    const { url } = request.routeOptions;
    // A path that no route has is answered 404 to everybody.
    if (url === undefined || isPublic(request.method, url) || engineRoutes.has(`${request.method} ${url}`)) return;
    const token = bearerToken(request);
    if (url === '/metrics' && metricsToken !== undefined && equal(token, metricsToken)) return;
    request.actor = await identity.actorOf(token);
  });
  return routes;
}

function equal(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}
