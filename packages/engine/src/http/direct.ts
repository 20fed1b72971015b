import { Socket } from 'node:net';

/** Where a connection's bytes go. */
export interface Reader {
  /** The place for the next bytes; asked after every read. */
  target(): Uint8Array;
  /** So many bytes are at the start of `target`. */
  took(count: number, target: Uint8Array): void;
}

interface Handle { useUserBuffer?: unknown }
type WithHandle = { _handle: Handle | null };
/** `onread` is what `net.connect` documents; for a handle that is connected already the constructor takes it just the same. */
type Options = ConstructorParameters<typeof Socket>[0] & { handle: Handle; onread: { buffer: () => Uint8Array; callback: (count: number, target: Uint8Array) => boolean } };

/**
 * The same connection as a socket whose bytes are read straight to where they belong. Otherwise Node allocates 64 KiB for
 * every read and the body is copied out of that: for large bodies most of the engine's garbage. It takes the handle of a
 * connection that nothing has been read from yet, which is internal to Node: undefined where there is none of the kind we
 * know, and then the socket is used as it is.
 */
export function readDirectly(socket: Socket, reader: Reader): Socket | undefined {
  const holder = socket as unknown as WithHandle;
  const handle = holder._handle;
  if (handle === null || handle === undefined || typeof handle.useUserBuffer !== 'function') return undefined;
  holder._handle = null; // as child_process does with a socket that it hands to another process
  const options: Options = {
    handle, allowHalfOpen: true, readable: true, writable: true,
    onread: { buffer: () => reader.target(), callback: (count, target) => { reader.took(count, target); return true; } },
  };
  return new Socket(options);
}
