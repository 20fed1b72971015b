import type { Readable } from 'node:stream';
import { PotorooError } from '@potoroo/contract';

/** One part of a multipart form; what is not read of its content is skipped when the next part is asked for. */
export interface FormPart {
  readonly name: string;
  readonly fileName: string | undefined;
  readonly content: AsyncGenerator<Buffer, void, undefined>;
}

const maxHead = 16 * 1024;
const bad = (message: string): PotorooError => new PotorooError('malformed_body', `The form cannot be read: ${message}.`);

/**
 * The parts of a multipart/form-data body as they arrive (RFC 7578), holding no more of it than one chunk. A form that ends
 * before its last boundary is an error, so that a file which was cut off on the way is never taken for a whole one.
 * @throws unsupported_content_type, malformed_body
 */
export async function* readForm(body: Readable, contentType: string | undefined): AsyncGenerator<FormPart, void, undefined> {
  const delimiter = Buffer.from(`\r\n--${boundaryOf(contentType)}`, 'latin1');
  // Leaving the loop must not close the connection: the answer goes out on it.
  const chunks = body.iterator({ destroyOnReturn: false });
  let held: Buffer = Buffer.from('\r\n');
  /** Whether what is next belongs to a part's content. */
  let inside = true;

  /** False at the end of the body. */
  const more = async (): Promise<boolean> => {
    try {
      const { value, done } = await chunks.next();
      if (!done) held = Buffer.concat([held, value as Buffer]);
      return !done;
    } catch (error) {
      throw new PotorooError('malformed_body', 'The connection was closed before the form was complete.', { cause: error });
    }
  };
  const atLeast = async (bytes: number): Promise<void> => {
    while (held.length < bytes) if (!(await more())) throw bad('it ends before its last boundary');
  };
  /** What comes before the next delimiter; takes the delimiter away. */
  async function* upToDelimiter(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const at = held.indexOf(delimiter);
      if (at >= 0) {
        const last = held.subarray(0, at);
        held = held.subarray(at + delimiter.length);
        inside = false;
        if (last.length > 0) yield last;
        return;
      }
      // The end of what is here may be the beginning of a delimiter.
      const safe = held.length - (delimiter.length - 1);
      if (safe > 0) {
        const piece = held.subarray(0, safe);
        held = held.subarray(safe);
        yield piece;
      }
      await atLeast(held.length + 1);
    }
  }
  const skip = async (): Promise<void> => {
    const rest = upToDelimiter();
    while (inside && !(await rest.next()).done);
  };
  const readHead = async (): Promise<{ name: string; fileName: string | undefined }> => {
    for (;;) {
      const end = held.indexOf('\r\n\r\n');
      if (end >= 0 && end <= maxHead) {
        const head = held.toString('utf8', 0, end);
        held = held.subarray(end + 4);
        return disposition(head);
      }
      if (held.length > maxHead) throw bad('the head of a part is too long');
      await atLeast(held.length + 1);
    }
  };

  try {
    await skip();
    for (;;) {
      await atLeast(2);
      if (held.toString('latin1', 0, 2) === '--') return;
      const { name, fileName } = await readHead();
      inside = true;
      yield { name, fileName, content: upToDelimiter() };
      await skip();
    }
  } finally {
    // Lets go of the body, so that whoever answers can have the rest of it dropped.
    await chunks.return?.();
  }
}

function boundaryOf(contentType = ''): string {
  if (!/^multipart\/form-data\s*(;|$)/i.test(contentType)) throw new PotorooError('unsupported_content_type', 'An upload is multipart/form-data with the parts "metadata" and "file".');
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined) throw bad('its content type names no boundary');
  return boundary;
}

function disposition(head: string): { name: string; fileName: string | undefined } {
  const line = head.split('\r\n').find((l) => /^content-disposition:/i.test(l)) ?? '';
  const parameter = (key: string): string | undefined => {
    const quoted = new RegExp(`;\\s*${key}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(line)?.[1];
    // Clients escape the quote either with a backslash or, as HTML says, in percents.
    return quoted?.replace(/\\(.)/g, '$1').replaceAll('%22', '"') ?? new RegExp(`;\\s*${key}=([^\\s;"]+)`, 'i').exec(line)?.[1];
  };
  const name = parameter('name');
  if (name === undefined) throw bad('a part has no name');
  return { name, fileName: parameter('filename') };
}

/** A part that is a text, at most so many bytes of it. @throws body_too_large */
export async function textOf({ name, content }: FormPart, most: number): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of content) {
    size += piece.length;
    if (size > most) throw new PotorooError('body_too_large', `${name} is larger than ${most} bytes.`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/**
 * The content of the one file of a form. The form has to be whole: what comes after the file is read before the last piece
 * counts as the end of the file.
 */
export async function* fileOf(file: FormPart, form: AsyncGenerator<FormPart>): AsyncGenerator<Uint8Array> {
  yield* file.content;
  while (!(await form.next()).done);
}
