import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static, TObject } from '@sinclair/typebox';
import { Type } from '@sinclair/typebox';
import { PotorooError } from '@potoroo/contract';
import type { Actor, Domains } from '../../domains/domains.ts';
import type { Settings } from '../../settings.ts';

/** What every group of routes is built from. */
export interface Context {
  readonly domains: Domains;
  readonly settings: Settings;
}

export interface Call<Body> {
  readonly actor: Actor;
  readonly body: Body;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export const Id = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
/** The client sends null for what it leaves out. */
export const Maybe = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

/** Statuses whose bodies the client's generated calls read. */
export const generated = [400, 401, 500];

const actors = new WeakMap<FastifyRequest, Actor>();

/** Who sent the request; known for every route that is not public. */
export function actorOf(request: FastifyRequest): Actor {
  const actor = actors.get(request);
  if (actor === undefined) throw new PotorooError('unauthenticated', 'Sign in first: this needs an access token.');
  return actor;
}

export async function authenticate(request: FastifyRequest, domains: Domains): Promise<void> {
  if (request.routeOptions.config.public) return;
  const [, token] = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
  if (token === undefined) throw new PotorooError('unauthenticated', 'The header Authorization is missing: send "Bearer <access token>".');
  actors.set(request, await domains.identity.actorOf(token));
}

/** Almost every call of this protocol is a POST with a JSON object, reads included, answered 200. */
export function post<B extends TObject>(
  app: FastifyInstance, url: string, body: B, handler: (call: Call<Static<B>>) => Promise<unknown>, options: { readable?: readonly number[] } = {},
): void {
  app.post(url, { schema: { body }, config: { wallaroo: options } }, async (request, reply) => {
    const answer = await handler({ actor: actorOf(request), body: request.body as Static<B>, request, reply });
    return reply.sent ? reply : reply.send(answer ?? {});
  });
}
