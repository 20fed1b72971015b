import type { Socket } from 'node:net';
import { PotorooError, type ErrorCode, type Field } from '@potoroo/contract/plain';

/** Messages between an engine and a model's process; the form is documented in `python/potoroo_runtime/wire.py`. */
export type FromPython =
  | { type: 'progress'; stage: string; cpu: number; rss: number }
  | { type: 'ready'; inputs: Field[] | null; outputs: Field[] | null; warmUpMs: number; aligned: boolean; notes: string[]; inputBytes: number; outputBytes: number }
  | { type: 'failed'; code: ErrorCode; message: string }
  | { type: 'result'; id: number; ms: number; rows?: number[]; failed?: [part: number, code: ErrorCode, message: string][]; more?: true }
  | { type: 'error'; id: number; code: ErrorCode; message: string }
  | { type: 'pong'; id: number; rss: number };
export type ToPython = { op: 'run' | 'describe' | 'ping'; id: number; parts?: readonly number[]; withinMs?: number };

const prefixBytes = 12;
const maxHead = 1024 * 1024;
/** Smaller bodies are copied behind their head, which costs less than a buffer more in the write. */
const copyBelow = 8192;

/** Messages that start in one turn of the event loop go out together: the process wakes once for them. */
export function writeMessage(socket: Socket, head: ToPython, body?: Uint8Array): void {
  const text = Buffer.from(JSON.stringify(head));
  const size = body?.length ?? 0;
  const inOne = size <= copyBelow;
  const start = Buffer.allocUnsafe(prefixBytes + text.length + (inOne ? size : 0));
  start.writeUInt32LE(text.length, 0);
  start.writeBigUInt64LE(BigInt(size), 4);
  text.copy(start, prefixBytes);
  if (socket.writableCorked === 0) {
    socket.cork();
    process.nextTick(() => socket.uncork());
  }
  if (inOne && body !== undefined) start.set(body, prefixBytes + text.length);
  socket.write(start);
  if (!inOne && body !== undefined) socket.write(body);
}

/**
 * Cuts what arrives into messages. A body is one buffer whose first byte is aligned to 8, so that columns can be views of it.
 * `onError` is told once when the peer sends what is not a message; nothing is read after that.
 */
export function readMessages(socket: Socket, maxBody: number, onMessage: (head: FromPython, body: Uint8Array) => void, onError: (error: PotorooError) => void): void {
  const prefix = Buffer.alloc(prefixBytes);
  let target: Uint8Array = prefix;
  let have = 0;
  let headBytes = -1;
  let head: Uint8Array | undefined;
  const fail = (why: string): void => {
    socket.destroy();
    onError(new PotorooError('model_process_lost', `The model's process sent what is not a message: ${why}.`));
  };
  socket.on('data', (chunk: Buffer) => {
    let at = 0;
    while (at < chunk.length && !socket.destroyed) {
      const count = Math.min(target.length - have, chunk.length - at);
      target.set(chunk.subarray(at, at + count), have);
      at += count;
      have += count;
      if (have === target.length) next();
    }
  });
  function next(): void {
    have = 0;
    if (headBytes < 0) {
      headBytes = prefix.readUInt32LE(0);
      const bodyBytes = Number(prefix.readBigUInt64LE(4));
      if (headBytes > maxHead || bodyBytes > maxBody) return fail(`it announces ${headBytes} + ${bodyBytes} bytes`);
      target = new Uint8Array(headBytes);
      if (headBytes === 0) fail('its head is empty');
    } else if (head === undefined) {
      head = target;
      target = new Uint8Array(Number(prefix.readBigUInt64LE(4)));
      if (target.length === 0) next();
    } else {
      const body = target;
      const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('utf8');
      target = prefix;
      headBytes = -1;
      head = undefined;
      let message: FromPython;
      try {
        message = JSON.parse(text) as FromPython;
      } catch {
        return fail('its head is not JSON');
      }
      onMessage(message, body);
    }
  }
}
