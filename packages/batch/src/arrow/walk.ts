import { headers, messages } from './messages.ts';

/** Where one message of a stream lies, in bytes, and how many rows it has; the schema message has none. */
export interface ArrowSpan { readonly start: number; readonly end: number; readonly rows: number }

/** The messages of a stream, or of any whole part of one, without reading what is in them. @throws malformed_body */
export function arrowSpans(bytes: Uint8Array): ArrowSpan[] {
  const spans: ArrowSpan[] = [];
  let start = 0;
  for (const { kind, header, body } of messages(bytes)) {
    const end = body.byteOffset - bytes.byteOffset + body.length;
    spans.push({ start, end, rows: kind === headers.batch ? header.size(0) : 0 });
    start = end;
  }
  return spans;
}
