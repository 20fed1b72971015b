import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { fromSystemError, isPotorooError, PotorooError } from '@potoroo/contract';

/** How an error body looks: most routes say `{msg, code}`, inference says it as an engine does. */
export type ErrorForm = 'plain' | 'engine';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered without a token. */
    public?: boolean;
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
  return form === 'engine' ? { code: status, status: 'Error', error: error.message, source: 'engine' } : { msg: error.message, code: status };
}

/** Errors of the web framework, of validation and of the system, in our codes. */
export function toPotorooError(error: FastifyError | Error, what: string): PotorooError {
  if (isPotorooError(error)) return error;
  const { validation, code, statusCode } = error as FastifyError;
  if (validation !== undefined) {
    const [first] = validation;
    const missing = first?.keyword === 'required' ? `/${String(first.params['missingProperty'])}` : '';
    const field = `${first?.instancePath ?? ''}${missing}`.replace(/^\//, '').replaceAll('/', '.') || 'the body';
    return new PotorooError('invalid_request', `${field} ${missing ? 'is missing' : first?.message ?? 'is not valid'}.`, { fields: [{ field, message: first?.message ?? '' }] });
  }
  if (statusCode === 413) return new PotorooError('body_too_large', 'The body is larger than this route takes. Send less at once.');
  if (statusCode === 415) return new PotorooError('unsupported_content_type', 'This route does not take bodies of this content type. Send application/json.');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return new PotorooError('malformed_body', `The body cannot be read: ${code === 'FST_ERR_CTP_EMPTY_JSON_BODY' ? 'it is empty' : error.message}.`.replace(/\.\.$/, '.'));
  return fromSystemError(error, what);
}

export function answerError(thrown: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toPotorooError(thrown, `${request.method} ${request.routeOptions.url ?? request.url}`);
  if (error.status >= 500) request.log.error({ err: thrown }, error.message);
  const { form = 'plain', readable } = request.routeOptions.config.wallaroo ?? {};
  const status = readable === undefined || readable.includes(error.status) || error.status >= 500 ? error.status : 400;
  return reply.code(status).send(bodyOf(error, form, status));
}
