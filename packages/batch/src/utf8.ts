const strict = new TextDecoder('utf-8', { fatal: true });

/** Whether strings `offsets[i] .. offsets[i+1]` are UTF-8 each by itself: together, and with no character cut in two. */
export function areUtf8(offsets: Int32Array, bytes: Uint8Array): boolean {
  const from = offsets[0]!;
  const to = offsets[offsets.length - 1]!;
  let i = from;
  while (i < to && bytes[i]! < 128) i++;
  if (i === to) return true;
  try {
    strict.decode(bytes.subarray(i, to));
  } catch {
    return false;
  }
  for (const at of offsets) if (at < to && (bytes[at]! & 0xc0) === 0x80) return false;
  return true;
}
