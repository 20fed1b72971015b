import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Connections on which no request is in progress. Node closes those that have carried one when the server closes, but waits
 * for those that have not yet: browsers and pools open connections ahead, and each would hold up the stop.
 */
export function spareConnections(server: Server): { close(): void } {
  const working = new Map<Socket, number>();
  server.on('connection', (socket: Socket) => {
    working.set(socket, 0);
    socket.once('close', () => working.delete(socket));
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const count = (by: number): void => { working.set(socket, (working.get(socket) ?? 0) + by); };
    count(1);
    response.once('close', () => { if (!socket.destroyed) count(-1); });
  });
  return {
    close() {
      for (const [socket, requests] of working) if (requests === 0) socket.destroy();
    },
  };
}
