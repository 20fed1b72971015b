/**
 * Every error a Potoroo process reports has one of these codes. The code is stable: clients may branch on it. The status
 * is what HTTP adapters answer; domains never mention it. A test keeps this table and `docs/errors.md` the same set.
 */
export const errorCodes = {
  // who
  unauthenticated: { status: 401, title: 'Not signed in' },
  invalid_credentials: { status: 401, title: 'Wrong e-mail or password' },
  forbidden: { status: 403, title: 'Not allowed' },
  // what is asked for
  route_not_found: { status: 404, title: 'No such route' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  user_not_found: { status: 404, title: 'No such user' },
  workspace_not_found: { status: 404, title: 'No such workspace' },
  model_not_found: { status: 404, title: 'No such model' },
  pipeline_not_found: { status: 404, title: 'No such pipeline' },
  deployment_not_found: { status: 404, title: 'No such deployment' },
  sidekick_not_found: { status: 404, title: 'No such sidekick' },
  tag_not_found: { status: 404, title: 'No such tag' },
  token_not_found: { status: 404, title: 'No such personal access token' },
  signing_key_not_found: { status: 404, title: 'No such signing key' },
  connection_not_found: { status: 404, title: 'No such connection' },
  registry_not_found: { status: 404, title: 'No such model registry' },
  artifact_not_found: { status: 404, title: 'The model registry has no such model, version or file' },
  log_topic_not_found: { status: 404, title: 'No such log topic' },
  // how it is asked
  invalid_request: { status: 400, title: 'Invalid request' },
  invalid_name: { status: 400, title: 'Invalid name' },
  invalid_cursor: { status: 400, title: 'Invalid cursor' },
  unsupported_content_type: { status: 415, title: 'Unsupported content type' },
  not_acceptable: { status: 406, title: 'No acceptable response format' },
  body_too_large: { status: 413, title: 'Body too large' },
  already_exists: { status: 409, title: 'Already exists' },
  conflict: { status: 409, title: 'Conflict' },
  idempotency_conflict: { status: 422, title: 'Idempotency key used for a different request' },
  in_use: { status: 409, title: 'Still in use' },
  // models
  model_invalid: { status: 422, title: 'The file is not a model of this framework' },
  model_unsupported: { status: 422, title: 'The model needs something this runtime does not have' },
  model_not_ready: { status: 409, title: 'The model is not ready' },
  framework_unsupported: { status: 422, title: 'Unsupported framework' },
  warm_up_failed: { status: 422, title: 'The warm-up inference failed' },
  environment_failed: { status: 422, title: "The model's Python environment could not be made" },
  container_unavailable: { status: 422, title: 'No container can be run here' },
  image_unavailable: { status: 422, title: 'The container image cannot be had' },
  pipeline_invalid: { status: 422, title: 'The pipeline cannot run' },
  // inference data
  malformed_body: { status: 400, title: 'The body cannot be read' },
  empty_batch: { status: 400, title: 'The request has no rows' },
  schema_mismatch: { status: 400, title: 'The data does not fit the schema' },
  value_out_of_range: { status: 400, title: 'A value does not fit its type' },
  null_not_allowed: { status: 400, title: 'Null is not allowed here' },
  too_many_rows: { status: 400, title: 'Too many rows for this model' },
  inference_failed: { status: 500, title: 'The model failed' },
  // capacity
  overloaded: { status: 429, title: 'Too much work waiting' },
  rate_limited: { status: 429, title: 'Too many attempts' },
  deadline_exceeded: { status: 504, title: 'The deadline passed' },
  draining: { status: 503, title: 'Shutting down' },
  not_deployed: { status: 404, title: 'The pipeline is not deployed' },
  no_engine_ready: { status: 503, title: 'No engine is ready' },
  engine_lost: { status: 502, title: 'The engine stopped while it worked on this request' },
  model_process_lost: { status: 502, title: "The model's process stopped while it worked on this request" },
  unreachable: { status: 502, title: 'The server does not answer' },
  // other people's servers
  address_refused: { status: 400, title: 'Requests for users do not go to this address' },
  registry_unreachable: { status: 502, title: 'The model registry does not answer' },
  registry_refused: { status: 502, title: 'The model registry refuses the token' },
  registry_invalid: { status: 502, title: 'The model registry answers something unexpected' },
  // deployment states
  engine_start_failed: { status: 500, title: 'The engine did not start' },
  engine_start_timeout: { status: 500, title: 'The engine did not become ready in time' },
  engine_crashed: { status: 500, title: 'The engine stopped unexpectedly' },
  engine_out_of_memory: { status: 500, title: 'The engine went over its memory limit' },
  engine_unresponsive: { status: 500, title: 'The engine runs but does not answer' },
  arch_mismatch: { status: 422, title: 'No engine of this architecture runs here' },
  accel_mismatch: { status: 422, title: 'No engine with this accelerator runs here' },
  insufficient_gpus: { status: 422, title: 'The host has fewer GPUs than asked for' },
  // the machine
  storage_full: { status: 507, title: 'No space left' },
  storage_read_only: { status: 500, title: 'The data folder cannot be written' },
  storage_busy: { status: 503, title: 'Another program has the database locked' },
  data_dir_in_use: { status: 500, title: 'Another server uses this data folder' },
  port_in_use: { status: 500, title: 'The port is taken' },
  settings_invalid: { status: 500, title: 'Invalid settings' },
  internal: { status: 500, title: 'Internal error' },
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** Where in the input the error lies and, where it can be told, what was there and what would be right. */
export interface ErrorField {
  /** Path of the field, such as `inputs[0].shape` or a column name. */
  field: string;
  message: string;
}

/** An error that a caller may see. `detail` is one sentence naming the field, the value and the fix; never a stack. */
export class PotorooError extends Error {
  readonly code: ErrorCode;
  readonly fields: readonly ErrorField[] | undefined;

  constructor(code: ErrorCode, detail: string, options?: { fields?: readonly ErrorField[]; cause?: unknown }) {
    super(detail, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PotorooError';
    this.code = code;
    this.fields = options?.fields;
  }

  get status(): number {
    return errorCodes[this.code].status;
  }
}

/** The same error on the other side of a copy of this package or a process boundary. */
export function isPotorooError(error: unknown): error is PotorooError {
  return error instanceof Error && error.name === 'PotorooError' && 'code' in error && String(error.code) in errorCodes;
}

/** The system's own errors that a person can act on, in our words; anything else stays `internal`. */
export function fromSystemError(error: unknown, what: string): PotorooError {
  if (isPotorooError(error)) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new PotorooError('storage_full', `${what}: no space is left. Free space on the disk of the data folder.`, { cause: error });
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM' || code === 'ENOTDIR') return new PotorooError('storage_read_only', `${what}: the data folder cannot be written. Make it writable for this user.`, { cause: error });
  return new PotorooError('internal', `${what} failed.`, { cause: error });
}

/** What ends with a status of 500 and more and is nobody's fault here: a caller's deadline, a user's model, somebody else's server. */
const notOurs: Partial<Record<ErrorCode, 'warn' | 'info' | 'debug'>> = {
  deadline_exceeded: 'info', inference_failed: 'info', draining: 'debug', no_engine_ready: 'debug',
  model_process_lost: 'warn', registry_unreachable: 'warn', registry_refused: 'warn', registry_invalid: 'warn',
};

/** At which level an error is logged: `error` wakes an operator, so it is kept for what one has to look at. */
export function levelOf(error: unknown): 'error' | 'warn' | 'info' | 'debug' {
  if (!isPotorooError(error)) return 'error';
  return notOurs[error.code] ?? (error.status >= 500 ? 'error' : 'warn');
}
