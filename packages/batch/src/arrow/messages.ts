import { Flatbuffer, malformed, type Table } from './flatbuffer.ts';
import { readSchema, type ArrowSchema } from './schema.ts';

export const headers = { schema: 1, dictionary: 2, batch: 3 } as const;
const magic = [65, 82, 82, 79, 87, 49];

/** One encapsulated message: its header table, and its body as a view. */
export interface Message { readonly kind: number; readonly header: Table; readonly body: Uint8Array; readonly metadata: Uint8Array; readonly end: number }

/**
 * The schema of a file or a stream, and the messages behind it, dictionaries before the batches that need them. Which of the
 * two it is shows in the first bytes. The end marker may be missing from a stream; a file needs its footer.
 */
export function open(bytes: Uint8Array): { schema: ArrowSchema; rest: Iterable<Message> } {
  if (bytes.length === 0) throw malformed('it is empty');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (magicAt(bytes, 0)) return openFile(bytes, view);
  const first = messageAt(bytes, view, 0);
  if (first?.kind !== headers.schema) throw malformed('it does not begin with a schema');
  return { schema: schemaOf(first), rest: messages(bytes, first.end) };
}

function magicAt(bytes: Uint8Array, at: number): boolean {
  return magic.every((c, i) => bytes[at + i] === c);
}

/** A file is read by its footer: some writers put nothing else in order, and leave the schema out before it. */
function openFile(bytes: Uint8Array, view: DataView): { schema: ArrowSchema; rest: Iterable<Message> } {
  const end = bytes.length - 10;
  if (end < 8 || !magicAt(bytes, end + 4)) throw malformed('the file does not end with its magic word; it is truncated');
  const length = view.getInt32(end, true);
  if (length <= 0 || length > end - 8) throw malformed('the length of its footer is wrong');
  const body = bytes.subarray(0, end - length);
  const footer = new Flatbuffer(bytes.subarray(end - length, end)).root();
  const first = end - length > 16 ? messageAt(body, view, 8) : undefined;
  // The schema message, where there is one, is the same for every file of a client; the footer differs with its lengths.
  if (first?.kind === headers.schema) return { schema: schemaOf(first), rest: blocks(body, view, footer) };
  const table = footer.table(1);
  if (!table) throw malformed('its footer has no schema');
  return { schema: readSchema(table), rest: blocks(body, view, footer) };
}

function* blocks(body: Uint8Array, view: DataView, footer: Table): Generator<Message> {
  // Blocks lie in the file once: naming one twice must not double it.
  let left = body.length;
  for (const slot of [2, 3]) {
    const { at, length } = footer.vector(slot, 24);
    for (let i = 0; i < length; i++) {
      const start = footer.fb.size(at + 24 * i);
      const message = start + 8 <= body.length ? messageAt(body, view, start) : undefined;
      if (!message || (left -= message.end - start) < 0) throw malformed('its footer points to something that is no message');
      yield message;
    }
  }
}

/** The messages of a stream, or of any whole part of one, from byte `from` on. */
export function* messages(bytes: Uint8Array, from = 0): Generator<Message> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = from;
  while (at < bytes.length) {
    const message = messageAt(bytes, view, at);
    if (!message) {
      if (at + 8 !== bytes.length) throw malformed('more follows after the end of its stream');
      return;
    }
    yield message;
    at = message.end;
  }
}

/** The message that begins at a byte; undefined for the end marker. */
function messageAt(bytes: Uint8Array, view: DataView, start: number): Message | undefined {
  const end = bytes.length;
  if (start + 8 > end) throw malformed('it is truncated');
  if (view.getInt32(start, true) !== -1) throw malformed(start === 0 ? 'it is neither an Arrow file nor an Arrow stream' : `byte ${start} does not begin a message`);
  const length = view.getInt32(start + 4, true);
  if (length === 0) return undefined;
  const from = start + 8 + length;
  if (length < 0 || from > end) throw malformed('a message is longer than the data; it is truncated');
  const metadata = bytes.subarray(start + 8, from);
  const message = new Flatbuffer(metadata).root();
  // 3 is format version 4: the oldest that has today's layout.
  if (message.i16(0) < 3) throw malformed('its format version is older than 4');
  const bodyLength = message.size(3);
  if (from + bodyLength > end) throw malformed('a message body is longer than the data; it is truncated');
  const header = message.table(2);
  if (!header) throw malformed('a message has no header');
  return { kind: message.u8(1), header, body: bytes.subarray(from, from + bodyLength), metadata, end: from + bodyLength };
}

const cached: { readonly bytes: Uint8Array; readonly schema: ArrowSchema }[] = [];
const cacheSize = 16;
const cacheable = 16384;

/** The schema of a schema message. Clients send the same one over and over, so the last few are kept by their bytes. */
function schemaOf(message: Message): ArrowSchema {
  const { metadata } = message;
  const hit = cached.findIndex((c) => equal(c.bytes, metadata));
  if (hit >= 0) {
    const entry = cached[hit]!;
    if (hit > 0) {
      cached.splice(hit, 1);
      cached.unshift(entry);
    }
    return entry.schema;
  }
  const schema = readSchema(message.header);
  if (metadata.length <= cacheable) {
    cached.unshift({ bytes: metadata.slice(), schema });
    if (cached.length > cacheSize) cached.pop();
  }
  return schema;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
