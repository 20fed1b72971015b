import { crc32 } from 'node:zlib';

/** One file of an archive; its bytes are asked for when it is its turn. */
export interface ZipEntry { readonly path: string; content(): AsyncIterable<Uint8Array> }

const utf8Name = 0x0800;
const sizesFollow = 0x0008;
const version = 45;
/** Any time would do; one that never changes makes the same files the same archive. */
const date = (1 << 5) | 1;
const large = 0xffff_ffff;

/**
 * A zip archive as its files come, in constant memory: stored, not compressed, with the 64-bit fields throughout, so that
 * one form serves for every size.
 */
export async function* zipOf(entries: readonly ZipEntry[]): AsyncGenerator<Uint8Array> {
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.path, 'utf8');
    const start = offset;
    const head = record(30, [[0, 0x0403_4b50], [4, version, 2], [6, utf8Name | sizesFollow, 2], [12, date, 2], [26, name.length, 2]]);
    yield head;
    yield name;
    let crc = 0;
    let size = 0;
    for await (const piece of entry.content()) {
      crc = crc32(piece, crc);
      size += piece.byteLength;
      yield piece;
    }
    const end = Buffer.concat([record(8, [[0, 0x0807_4b50], [4, crc]]), longs(size, size)]);
    yield end;
    offset += head.length + name.length + size + end.length;
    const extra = Buffer.concat([record(4, [[0, 1, 2], [2, 24, 2]]), longs(size, size, start)]);
    directory.push(
      record(46, [[0, 0x0201_4b50], [4, (3 << 8) | version, 2], [6, version, 2], [8, utf8Name | sizesFollow, 2], [14, date, 2], [16, crc], [20, large], [24, large], [28, name.length, 2], [30, extra.length, 2], [38, (0o100644 << 16) >>> 0], [42, large]]),
      name, extra,
    );
  }
  const central = Buffer.concat(directory);
  yield central;
  yield record(12, [[0, 0x0606_4b50], [4, 44]]);
  yield record(12, [[0, version, 2], [2, version, 2]]);
  yield longs(entries.length, entries.length, central.length, offset);
  yield record(8, [[0, 0x0706_4b50]]);
  yield longs(offset + central.length);
  yield record(4, [[0, 1]]);
  yield record(22, [[0, 0x0605_4b50], [8, 0xffff, 2], [10, 0xffff, 2], [12, large], [16, large]]);
}

/** Little-endian numbers at their places, of four bytes where nothing else is said. */
function record(length: number, fields: readonly (readonly [at: number, value: number, bytes?: 2 | 4])[]): Buffer {
  const bytes = Buffer.alloc(length);
  for (const [at, value, size = 4] of fields) bytes.writeUIntLE(value, at, size);
  return bytes;
}
function longs(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => bytes.writeBigUInt64LE(BigInt(value), 8 * i));
  return bytes;
}
