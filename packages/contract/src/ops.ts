import type { ErrorCode } from './errors.ts';

/**
 * What ops tells the process that started it with a channel (`node ops/main.js`, settings in the environment). Ops stops in
 * order on SIGTERM, SIGINT and when that process goes away.
 */
export interface OpsReady {
  type: 'ready';
  /** Base URL that clients use, without a slash at the end; with the port it really got. */
  url: string;
  dataDir: string;
  /** File with `email` and `password` of the first administrator; null when the password was given by the settings. */
  adminFile: string | null;
}
export interface OpsFailed {
  type: 'failed';
  code: ErrorCode;
  message: string;
}
export type OpsToParent = OpsReady | OpsFailed;
