import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { PotorooError } from '@potoroo/contract';
import { toPotorooError } from '../errors.ts';

/** How an error body looks: most routes say `{msg, code}`, inference says it as an engine does. `type` is the stable code. */
export type ErrorForm = 'plain' | 'engine';

declare module 'fastify' {
  interface FastifyContextConfig {
    wallaroo?: {
      form?: ErrorForm;
      /**
       * The client reads the body of these statuses only and shows a fixed text for every other. A request that is
       * refused for a reason of its own is then answered 400, so that the user sees the reason.
       */
      readable?: readonly number[];
    };
  }
}

export function bodyOf(error: PotorooError, form: ErrorForm, status: number): Record<string, unknown> {
  return form === 'engine' ? { code: status, status: 'Error', error: error.message, source: 'ops', type: error.code } : { msg: error.message, code: status, type: error.code };
}

export function answerError(thrown: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toPotorooError(thrown);
  if (error.status >= 500) request.log.error({ err: thrown }, error.message);
  const { form = 'plain', readable } = request.routeOptions.config.wallaroo ?? {};
  const status = readable === undefined || readable.includes(error.status) || error.status >= 500 ? error.status : 400;
  return reply.code(status).send(bodyOf(error, form, status));
}
