import type { FastifyReply, FastifyRequest } from 'fastify';
import { errorCodes, type PotorooError, type Problem } from '@potoroo/contract';
import { logFailure, toPotorooError } from '../errors.ts';

/** An error as RFC 9457 puts it. */
export function problemOf(error: PotorooError, request: FastifyRequest): Problem {
  return {
    type: `/api/errors/${error.code}`, title: errorCodes[error.code].title, status: error.status, code: error.code, detail: error.message, instance: request.id,
    ...(error.fields === undefined ? {} : { errors: [...error.fields] }),
  };
}

interface ErrorForm { readonly type: string; body(problem: Problem): object }
const problemForm: ErrorForm = { type: 'application/problem+json', body: (problem) => problem };

/** The error handler of everything that speaks the native API, and of paths that nobody has. `form` is that of a protocol of its own. */
export function answerProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply, form: ErrorForm = problemForm): FastifyReply | undefined {
  // Whoever was being answered went away in the middle: there is nobody to tell.
  if (reply.raw.headersSent || reply.raw.destroyed) {
    request.log.debug({ err: thrown }, 'an answer was not read to its end');
    reply.hijack();
    return undefined;
  }
  const error = toPotorooError(thrown);
  logFailure(request.log, error);
  if (error.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer');
  if (error.status === 429 || error.status === 503) reply.header('retry-after', error.code === 'rate_limited' ? '60' : '1');
  return reply.code(error.status).type(form.type).serializer(JSON.stringify).send(form.body(problemOf(error, request)));
}
