import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { PotorooError } from '@potoroo/contract';

/** A file's path, its bytes, or a stream of them, which is read once. */
export type ModelSource = string | URL | Uint8Array | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** Bytes handed on so far; `total` is null for a stream of unknown length. */
export interface UploadProgress {
  readonly sent: number;
  readonly total: number | null;
}

export interface Upload {
  readonly fileName: string | undefined;
  readonly size: number | null;
  /** True when `open` can be called again, for a retry. */
  readonly repeatable: boolean;
  open(): ReadableStream<Uint8Array>;
}

/** @throws PotorooError invalid_request for a path that is no file */
export async function uploadOf(source: ModelSource, onProgress: ((progress: UploadProgress) => void) | undefined): Promise<Upload> {
  if (source instanceof Uint8Array) {
    const open = (): AsyncIterable<Uint8Array> => pieces(source);
    return { fileName: undefined, size: source.byteLength, repeatable: true, open: () => counted(open(), source.byteLength, onProgress) };
  }
  if (typeof source === 'string' || source instanceof URL) {
    const found = await stat(source).catch((cause: unknown) => { throw new PotorooError('invalid_request', `The model file ${String(source)} cannot be read; give the path of a file.`, { cause }); });
    if (!found.isFile()) throw new PotorooError('invalid_request', `${String(source)} is not a file; give the path of a model file.`);
    return { fileName: basename(String(source)), size: found.size, repeatable: true, open: () => counted(createReadStream(source, { highWaterMark: 256 * 1024 }), found.size, onProgress) };
  }
  return { fileName: undefined, size: null, repeatable: false, open: () => counted(source, null, onProgress) };
}

function* chunks(bytes: Uint8Array): Generator<Uint8Array> {
  const size = 256 * 1024;
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}
async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* chunks(bytes);
}

function counted(source: AsyncIterable<Uint8Array>, total: number | null, onProgress: ((progress: UploadProgress) => void) | undefined): ReadableStream<Uint8Array> {
  async function* count(): AsyncGenerator<Uint8Array> {
    let sent = 0;
    onProgress?.({ sent, total });
    for await (const chunk of source) {
      yield chunk;
      sent += chunk.byteLength;
      onProgress?.({ sent, total });
    }
  }
  return Readable.toWeb(Readable.from(count(), { objectMode: true, highWaterMark: 1 })) as unknown as ReadableStream<Uint8Array>;
}

/** An upload as a form of `options` and `file`, for what does not fit a query. */
export function formOf(options: Readonly<Record<string, unknown>>, upload: Upload): { readonly contentType: string; open(): ReadableStream<Uint8Array> } {
  const boundary = `potoroo-${randomUUID()}`;
  const part = (name: string, type: string, fileName = ''): string => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${fileName}\r\ncontent-type: ${type}\r\n\r\n`;
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(`${part('options', 'application/json')}${JSON.stringify(options)}\r\n${part('file', 'application/octet-stream', '; filename="model"')}`);
    yield* upload.open();
    yield Buffer.from(`\r\n--${boundary}--\r\n`);
  }
  return { contentType: `multipart/form-data; boundary=${boundary}`, open: () => Readable.toWeb(Readable.from(parts(), { objectMode: true, highWaterMark: 1 })) as unknown as ReadableStream<Uint8Array> };
}
