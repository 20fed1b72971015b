import type { Utf8 } from '../batch.ts';
import { quote } from '../shapes.ts';
import { areUtf8 } from '../utf8.ts';
import { malformed } from './flatbuffer.ts';

export interface Span { readonly at: number; readonly length: number }

const viewBytes = 16;
/** A text up to this long lies in its view. */
const inlineBytes = 12;

/**
 * Texts as Arrow's string views tell where they lie: each in 16 bytes, its length and then itself, or four of its bytes and its place in one of
 * the `data` buffers. Views may share bytes of those, so that a small body can stand for any amount of text.
 * @param spend is told how many bytes there will be before they are made; throws when it is too much
 */
export function readViews(body: Uint8Array, name: string, rows: number, views: Span, data: readonly Span[], nulls: Uint8Array | undefined, spend: (bytes: number) => void): Utf8 {
  const at = new DataView(body.buffer, body.byteOffset + views.at, rows * viewBytes);
  const offsets = new Int32Array(rows + 1);
  let end = 0;
  for (let i = 0; i < rows; i++) {
    if (nulls?.[i] !== 1) {
      const length = at.getInt32(i * viewBytes, true);
      if (length < 0) throw malformed(`column ${quote(name)} has a text of a negative length`);
      end += length;
      if (end > 0x7fffffff) throw malformed(`column ${quote(name)} has more than 2 GiB of text`);
    }
    offsets[i + 1] = end;
  }
  spend(end);
  const bytes = new Uint8Array(end);
  for (let i = 0; i < rows; i++) {
    const length = (offsets[i + 1] as number) - (offsets[i] as number);
    if (length === 0) continue;
    const start = i * viewBytes;
    let from = views.at + start + 4;
    if (length > inlineBytes) {
      const buffer = data[at.getInt32(start + 8, true)];
      const offset = at.getInt32(start + 12, true);
      if (buffer === undefined || offset < 0 || offset + length > buffer.length) throw malformed(`column ${quote(name)} has a text outside its buffers`);
      from = buffer.at + offset;
    }
    bytes.set(body.subarray(from, from + length), offsets[i]);
  }
  if (!areUtf8(offsets, bytes)) throw malformed(`column ${quote(name)} is not valid UTF-8`);
  return { offsets, bytes };
}
