/** What an answer's body may be: text in UTF-8, or bytes to send one after the other. */
export type Body = string | readonly Uint8Array[];

/**
 * One request and the way to answer it: the seam between reading HTTP and serving it. The node:http side and the fast lane
 * each implement it; what serves requests knows neither.
 */
export interface Exchange {
  readonly method: string;
  /** As sent, without the query. */
  readonly path: string;
  /** What follows the question mark, or ''. */
  readonly query: string;
  readonly body: Uint8Array;
  /** Came over the host's socket: not to be authenticated. */
  readonly trusted: boolean;
  /** `performance.now()` when the request was complete. */
  readonly startedMs: number;
  /** Called when the caller goes away before its answer. */
  onGone: (() => void) | undefined;
  /** A header's value; `name` in lower case. */
  header(name: string): string | undefined;
  /** Neither the body nor anything read from it without copying is needed any more. */
  release?(): void;
  /** Answers; once. `headers` are whole lines, each ended by CRLF. */
  send(status: number, contentType: string, body: Body, headers?: string): void;
}
