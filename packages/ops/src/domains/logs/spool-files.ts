import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { shadowFolder } from '@potoroo/contract';
import { decodeSchema, FrameReader } from '@potoroo/batch/frames';

export interface SpoolPiece {
  readonly partition: string;
  readonly file: string;
  /** Whole frames, beginning with the schema that holds for them. */
  readonly frames: Uint8Array;
  /** Why the rest of the file is left out. */
  readonly torn: string | undefined;
}

const pieceBytes = 4 * 1024 * 1024;

/** All frames in the spool files of a folder, and of the one in it for challengers, in pieces of a few MiB; of each partition in the order of its rows. No folder has no files. */
export async function* spoolPieces(folder: string): AsyncGenerator<SpoolPiece> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  // A name ends with the padded offset of the file's first row.
  for (const name of names.filter((n) => n.endsWith('.spool')).toSorted()) yield* piecesOf(join(folder, name));
  if (names.includes(shadowFolder)) yield* spoolPieces(join(folder, shadowFolder));
}

async function* piecesOf(file: string): AsyncGenerator<SpoolPiece> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    let schema: Uint8Array = new Uint8Array(0);
    let partition = '';
    let endRow = Number(/\.(\d+)\.spool$/.exec(file)?.[1] ?? 0);
    for (let at = 0, want = pieceBytes; at < size;) {
      const buffer = Buffer.allocUnsafeSlow(schema.length + Math.min(want, size - at));
      buffer.set(schema);
      const { bytesRead } = await handle.read(buffer, schema.length, buffer.length - schema.length, at);
      const reader = new FrameReader(buffer.subarray(0, schema.length + bytesRead), 0, endRow);
      const before = schema.length;
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        if (frame.kind !== 'schema') continue;
        schema = Uint8Array.prototype.slice.call(buffer, frame.start, frame.end);
        partition = decodeSchema(frame.payload).partition;
      }
      const got = reader.position - before;
      at += got;
      endRow = reader.endRow;
      // A frame that only reaches behind this piece is read with the next one, whole.
      const damaged = reader.torn !== undefined && (reader.wanted === 0 || at + reader.wanted > size);
      want = Math.max(pieceBytes, reader.wanted);
      if (got > 0 || damaged) yield { partition, file, frames: buffer.subarray(0, got > 0 ? reader.position : 0), torn: damaged ? reader.torn : undefined };
      if (damaged || (got <= 0 && reader.wanted === 0)) return;
    }
  } finally {
    await handle.close();
  }
}
