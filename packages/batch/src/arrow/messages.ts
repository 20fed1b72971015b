import { Flatbuffer, malformed, type Table } from './flatbuffer.ts';
import { readSchema, type ArrowSchema } from './schema.ts';

export const headers = { schema: 1, dictionary: 2, batch: 3 } as const;
const magic = [65, 82, 82, 79, 87, 49];

/** One encapsulated message: its header table, and its body as a view. */
export interface Message { readonly kind: number; readonly header: Table; readonly body: Uint8Array; readonly metadata: Uint8Array }

export function isFile(bytes: Uint8Array): boolean {
  return magicAt(bytes, 0);
}

function magicAt(bytes: Uint8Array, at: number): boolean {
  return magic.every((c, i) => bytes[at + i] === c);
}

/** Messages of a stream, or of a file, which is a stream between a magic word and a footer. The end marker may be missing from a stream. */
export function* messages(bytes: Uint8Array): Generator<Message> {
  let at = 0;
  let end = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const file = isFile(bytes);
  if (file) {
    if (end < 18 || !magicAt(bytes, end - 6)) throw malformed('the file does not end with its magic word; it is truncated');
    const footer = view.getInt32(end - 10, true);
    if (footer <= 0 || footer > end - 18) throw malformed('the length of its footer is wrong');
    at = 8;
    end -= 10 + footer;
  }
  if (at === end) throw malformed('it is empty');
  while (at < end) {
    if (at + 8 > end) throw malformed('it is truncated');
    if (view.getInt32(at, true) !== -1) throw malformed(at === 0 ? 'it is neither an Arrow file nor an Arrow stream' : `byte ${at} does not begin a message`);
    const length = view.getInt32(at + 4, true);
    at += 8;
    if (length === 0) {
      if (!file && at !== end) throw malformed('more follows after the end of its stream');
      return;
    }
    if (length < 0 || at + length > end) throw malformed('a message is longer than the data; it is truncated');
    const metadata = bytes.subarray(at, at + length);
    at += length;
    const message = new Flatbuffer(metadata).root();
    // 3 is format version 4: the oldest that has today's layout.
    if (message.i16(0) < 3) throw malformed('its format version is older than 4');
    const bodyLength = message.size(3);
    if (at + bodyLength > end) throw malformed('a message body is longer than the data; it is truncated');
    const header = message.table(2);
    if (!header) throw malformed('a message has no header');
    yield { kind: message.u8(1), header, body: bytes.subarray(at, at + bodyLength), metadata };
    at += bodyLength;
  }
}

const cached: { readonly bytes: Uint8Array; readonly schema: ArrowSchema }[] = [];
const cacheSize = 16;
const cacheable = 16384;

/** The schema of a schema message. Clients send the same one over and over, so the last few are kept by their bytes. */
export function schemaOf(message: Message): ArrowSchema {
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
