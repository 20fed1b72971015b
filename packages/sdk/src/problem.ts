import { errorCodes, PotorooError, type ErrorCode, type ErrorField, type Reason } from '@potoroo/contract';

const isCode = (value: unknown): value is ErrorCode => typeof value === 'string' && value in errorCodes;

/** Codes for answers that carry none: a proxy's page, another server on that port. */
const byStatus: Readonly<Record<number, ErrorCode>> = { 401: 'unauthenticated', 403: 'forbidden', 404: 'route_not_found', 413: 'body_too_large', 429: 'overloaded', 502: 'unreachable', 503: 'no_engine_ready', 504: 'deadline_exceeded' };

interface Problem {
  code?: unknown;
  title?: unknown;
  detail?: unknown;
  errors?: unknown;
  /** The token endpoint's own form (`error` is a word there) and that of engines (`error` is the sentence, `type` the code). */
  error?: unknown;
  error_description?: unknown;
  type?: unknown;
  fields?: unknown;
}

/** The error that the server reported, rebuilt from its problem body (RFC 9457, or the form of the token endpoint or an engine). */
export async function errorOf(response: Response, what: string): Promise<PotorooError> {
  const text = await response.text().catch(() => '');
  const problem = parse(text);
  const fallback = byStatus[response.status] ?? (response.status < 500 ? 'invalid_request' : 'internal');
  const code = problem.error === 'invalid_grant' ? 'invalid_credentials' : ([problem.code, problem.type].find(isCode) ?? fallback);
  const detail = [problem.detail, problem.error_description, problem.error, problem.title].find((value) => typeof value === 'string' && value !== '');
  const fields = fieldsOf(problem.errors ?? problem.fields);
  const message = typeof detail === 'string' ? detail : `${what} was answered with status ${response.status}${text === '' ? '' : ` and no problem body: ${JSON.stringify(text.slice(0, 120))}`}.`;
  return new PotorooError(code, message, fields === undefined ? {} : { fields });
}

function parse(text: string): Problem {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function fieldsOf(value: unknown): ErrorField[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.filter((item): item is ErrorField => typeof item === 'object' && item !== null && 'field' in item && 'message' in item);
}

/** Why something does not run, as the error it stands for; the last lines of its log are part of the message. */
export function reasonError(reason: Reason | null, otherwise: string): PotorooError {
  if (reason === null) return new PotorooError('internal', otherwise);
  const { message: what, log = [] } = reason;
  const message = log.length === 0 ? what : [what, 'Last lines of its log:', ...log.map((line) => `  ${line}`)].join('\n');
  return new PotorooError(isCode(reason.code) ? reason.code : 'internal', message);
}
