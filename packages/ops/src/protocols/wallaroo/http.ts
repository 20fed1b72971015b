import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static, TObject } from '@sinclair/typebox';
import { Type } from '@sinclair/typebox';
import type { Actor, Domains } from '../../domains/domains.ts';
import type { Settings } from '../../settings.ts';
import { actorOf } from '../authenticate.ts';
import type { InferenceProxy } from '../inference-proxy.ts';
import type { Refusals } from './refusals.ts';

/** What every group of routes is built from. */
export interface Context {
  readonly domains: Domains;
  readonly settings: Pick<Settings, 'publicUrl'>;
  readonly proxy: Pick<InferenceProxy, 'serve'>;
  readonly refusals: Refusals;
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

/** Almost every call of this protocol is a POST with a JSON object, reads included, answered 200. */
export function post<B extends TObject>(
  app: FastifyInstance, url: string, body: B, handler: (call: Call<Static<B>>) => Promise<unknown>, options: { readable?: readonly number[] } = {},
): void {
  app.post(url, { schema: { body }, config: { wallaroo: options } }, async (request, reply) => {
    const answer = await handler({ actor: actorOf(request), body: request.body as Static<B>, request, reply });
    return reply.sent ? reply : reply.send(answer ?? {});
  });
}
