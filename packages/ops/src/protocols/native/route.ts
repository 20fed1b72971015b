import { Type, type Static, type TObject, type TSchema } from '@sinclair/typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify';
import { apiPrefix } from '@potoroo/contract';
import type { Actor, Domains } from '../../domains/domains.ts';
import { actorOf } from '../authenticate.ts';
import type { InferenceProxy } from '../inference-proxy.ts';
import { keepNothing, type Idempotency, type Keep } from './idempotency.ts';

/** What the route groups are built from. */
export interface NativeContext {
  readonly domains: Domains;
  readonly proxy: InferenceProxy;
  readonly idempotency: Idempotency;
  /** Aborts when the server stops: ends streams of events. */
  readonly stopping: AbortSignal;
}

interface Definition<P extends TObject, Q extends TObject, B extends TSchema, A extends TSchema> {
  readonly summary: string;
  readonly description?: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly answer?: A;
  /** 200 when not given; 204 without an answer. */
  readonly status?: number;
  readonly tag: string;
  /** Its handler sees to `Idempotency-Key`; for creates that is done here. */
  readonly keyed?: true;
}

/** What a key may be is checked where it is used, as a header may come several times. */
const KeyHeader = Type.Object({ 'idempotency-key': Type.Optional(Type.String({ description: 'A text of your own, 1 to 255 printable characters, new for each thing to be made. The same request with the same key within a day is answered as the first time instead of being done again.' })) });

export interface Call<P extends TObject, Q extends TObject, B extends TSchema> {
  readonly actor: Actor;
  readonly params: Static<P>;
  readonly query: Static<Q>;
  readonly body: Static<B>;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Of creates: for those whose repetition would make a second one. */
  readonly keep: Keep;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * One route: its schemas give the check of the request, the OpenAPI document and the types. What the handler gives is
 * sent as JSON, times as ISO 8601. Creates (POST answered 201) honour `Idempotency-Key`.
 */
export function route<P extends TObject, Q extends TObject, B extends TSchema, A extends TSchema>(
  app: FastifyInstance, { idempotency }: NativeContext, method: Method, url: string, definition: Definition<P, Q, B, A>, handler: (call: Call<P, Q, B>) => Promise<unknown>,
): void {
  const { summary, description, params, query, body, answer, tag, keyed } = definition;
  const status = definition.status ?? (answer === undefined ? 204 : 200);
  const schema: FastifySchema = {
    summary, tags: [tag], operationId: operationId(method, url),
    ...(description && { description }), ...(params && { params }), ...(query && { querystring: query }), ...(body && { body }), ...((keyed || status === 201) && { headers: KeyHeader }),
    response: { [status]: answer ?? { type: 'null', description: 'Done.' } },
  };
  app.route({
    method, url: apiPrefix + url, schema,
    handler: async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const call = { actor: actorOf(request), params: request.params, query: request.query, body: request.body, request, reply, keep: keepNothing } as Call<P, Q, B>;
      const given = await (status === 201 ? idempotency.once(request, reply, status, { said: [request.body] }, (_, keep) => handler({ ...call, keep })) : handler(call));
      return reply.sent || given === reply ? reply : reply.code(status).send(given);
    },
  });
}

/** `POST /workspaces/:workspaceId/pipelines` is `postWorkspacesPipelines`. */
function operationId(method: string, url: string): string {
  const words = url.split('/').filter((part) => part !== '' && !part.startsWith(':')).flatMap((part) => part.split('-'));
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('') + (/\/:[^/]+$/.test(url) ? 'ById' : '');
}
