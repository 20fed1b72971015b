import type { FastifyBaseLogger, FastifyError } from 'fastify';
import { isPotorooError, levelOf, PotorooError } from '@potoroo/contract';
import { fromDatabaseError } from '../storage/errors.ts';

/** Whatever was thrown while a request was served, as an error with a code: the web framework's, the database's, the system's. */
export function toPotorooError(thrown: unknown): PotorooError {
  const { code, statusCode, message } = (thrown ?? {}) as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new PotorooError('body_too_large', 'The body is larger than this route takes: send less at once.', { cause: thrown });
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new PotorooError('unsupported_content_type', 'This route does not take bodies of this content type: send application/json, or what the API page says.', { cause: thrown });
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY') return new PotorooError('malformed_body', 'The body is empty: send a JSON document.', { cause: thrown });
  if (code === 'FST_ERR_CTP_INVALID_JSON_BODY') return new PotorooError('malformed_body', 'The body is not JSON as its Content-Type says, or it is cut off.', { cause: thrown });
  if (thrown instanceof SyntaxError) return new PotorooError('malformed_body', `The body is not JSON: ${message ?? ''}.`.replace(/\.\.$/, '.'), { cause: thrown });
  if (code?.startsWith('FST_') && statusCode !== undefined && statusCode < 500) return new PotorooError('malformed_body', `The request cannot be read: ${message ?? code}.`.replace(/\.\.$/, '.'), { cause: thrown });
  // What serves the pages of the API refuses paths of its own accord.
  if (!isPotorooError(thrown) && statusCode !== undefined && statusCode >= 400 && statusCode < 500) return new PotorooError('invalid_request', 'The path of the request cannot be read: take it from the API page.', { cause: thrown });
  return fromDatabaseError(thrown);
}

/** What a request that is answered with `error` leaves in the log: nothing where the caller is told what to put right. */
export function logFailure(log: FastifyBaseLogger, error: PotorooError): void {
  if (error.status < 500) return;
  const level = levelOf(error);
  log[level](level === 'error' ? { err: error.cause ?? error } : { code: error.code }, error.message);
}
