/** A request head the fast lane takes: a plain POST with a Content-Length. */
export interface Head {
  readonly path: string;
  readonly query: string;
  /** The headers that serving looks at, names in lower case. */
  readonly fields: Readonly<Record<string, string>>;
  readonly contentLength: number;
  /** Length of a v2 JSON header in the body, 0 where there is none. */
  readonly innerLength: number;
  /** The client wants the connection closed after the answer. */
  readonly close: boolean;
  /** Its bytes, the empty line included. */
  readonly bytes: Buffer;
}

/** Longer heads, rare as they are, are Node's to read. */
const longest = 8192;
// Deliberately narrower than what the standard allows: whatever is odd goes to Node's parser. No character class here
// overlaps with what ends it, so matching takes linear time.
const plain = /^POST (\/[\w\-.~%/:@!$'()*+,;=]*)(?:\?([\w\-.~%/:@!$'()*+,;=?&[\]]*))? HTTP\/1\.1\r\n((?:[!#$%&'*+\-.^_`|~\w]+:[\x20-\x7e]*\r\n)+)\r\n$/;
const used = new Set(['content-type', 'accept', 'authorization', 'x-request-id', 'x-potoroo-timeout-ms', 'inference-header-content-length', 'accept-encoding']);
/** Headers that change how the rest is read. */
const meaningful = new Set(['transfer-encoding', 'content-encoding', 'expect', 'upgrade', 'trailer', 'te', 'http2-settings', 'proxy-connection']);

/**
 * Reads a request head at `from`.
 * @returns the head; 'more' when its end has not arrived; 'other' when it is not one for the fast lane
 */
export function readHead(bytes: Buffer, from: number): Head | 'more' | 'other' {
  const end = bytes.indexOf('\r\n\r\n', from, 'latin1');
  if (end < 0) {
    // What cannot become a plain POST any more is not waited for.
    const start = bytes.toString('latin1', from, Math.min(bytes.length, from + 5));
    return bytes.length - from <= longest && 'POST '.startsWith(start) ? 'more' : 'other';
  }
  if (end - from > longest) return 'other';
  const match = plain.exec(bytes.toString('latin1', from, end + 4));
  if (match === null) return 'other';
  const fields: Record<string, string> = Object.create(null) as Record<string, string>;
  const lines = match[3] as string;
  let contentLength = -1;
  let hosts = 0;
  let close: boolean | undefined;
  for (let at = 0; at < lines.length;) {
    const colon = lines.indexOf(':', at);
    const eol = lines.indexOf('\r', colon);
    const name = lines.slice(at, colon).toLowerCase();
    at = eol + 2;
    if (used.has(name)) {
      if (name in fields) return 'other';
      fields[name] = lines.slice(colon + 1, eol).trim();
    } else if (name === 'content-length') {
      const digits = /^ ?(\d{1,15})$/.exec(lines.slice(colon + 1, eol))?.[1];
      if (digits === undefined || contentLength >= 0) return 'other';
      contentLength = Number(digits);
    } else if (name === 'host') hosts++;
    else if (name === 'connection') {
      const value = lines.slice(colon + 1, eol).trim().toLowerCase();
      if (close !== undefined || (value !== 'close' && value !== 'keep-alive')) return 'other';
      close = value === 'close';
    } else if (meaningful.has(name)) return 'other';
  }
  if (contentLength < 0 || hosts !== 1) return 'other';
  const inner = Number(fields['inference-header-content-length'] ?? 0);
  return {
    path: match[1] as string, query: match[2] ?? '', fields, contentLength, close: close === true,
    innerLength: Number.isInteger(inner) && inner > 0 ? inner : 0, bytes: Buffer.from(bytes.subarray(from, end + 4)),
  };
}
