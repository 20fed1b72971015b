import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { PotorooError } from '@potoroo/contract';
import { logFailure, toPotorooError } from '../errors.ts';

/** How an error body looks: most routes say `{msg, code}`, inference says it as an engine does, GraphQL in its own way. */
export type ErrorForm = keyof typeof forms;

/** `type` is the stable code. */
const forms = {
  plain: ({ message, code }: PotorooError, status: number) => ({ msg: message, code: status, type: code }),
  engine: ({ message, code }: PotorooError, status: number) => ({ code: status, status: 'Error', error: message, source: 'ops', type: code }),
  graphql: ({ message, code }: PotorooError) => ({ errors: [{ message, extensions: { code } }] }),
};

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

export function answerError(thrown: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toPotorooError(thrown);
  // Who went away is told nothing, and is no fault.
  if (!reply.raw.destroyed) logFailure(request.log, error);
  const { form = 'plain', readable } = request.routeOptions.config.wallaroo ?? {};
  const status = readable === undefined || readable.includes(error.status) || error.status >= 500 ? error.status : 400;
  return reply.code(status).send(forms[form](error, status));
}
