import { createServer, type Server, type Socket } from 'node:net';
import { PotorooError } from '@potoroo/contract';

const maxWaiting = 1_024;
const maxWaitMs = 10_000;

export interface EntryOptions {
  readonly address: string;
  /** Hands the connection to an engine; false when none takes connections now. */
  readonly give: (socket: Socket) => boolean;
}

/**
 * The public port of one deployment. Ops accepts, an engine serves: each connection is handed over before a byte of it is
 * read (docs/decisions/0001). A connection that comes while an engine is on its way waits for it, up to `maxWaiting`
 * connections and `maxWaitMs`; after that, or when none is on its way, it is answered 503.
 */
export class Entry {
  expect = true;
  readonly #options: EntryOptions;
  readonly #server: Server;
  readonly #waiting = new Map<Socket, NodeJS.Timeout>();

  constructor(options: EntryOptions) {
    this.#options = options;
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      socket.on('error', () => {});
      this.admit(socket);
    });
  }

  /** @throws port_in_use */
  async open(port: number | null): Promise<number> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' || error.code === 'EACCES'
        ? new PotorooError('port_in_use', `Port ${port} of this deployment cannot be opened on ${this.#options.address}: another process has it. End that process, or undeploy and deploy again to get another port.`, { cause: error })
        : error));
      server.listen({ host: this.#options.address, port: port ?? 0, backlog: 1_024 }, resolve);
    });
    // What goes wrong with one accept (no file handles left, say) must not end the server.
    server.removeAllListeners('error').on('error', () => {});
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new PotorooError('internal', 'The port of the deployment could not be read back.');
    return bound.port;
  }

  /** Takes a connection: a new one, or one that the engine it was meant for can no longer take. */
  admit(socket: Socket): void {
    if (socket.destroyed || this.#options.give(socket)) return;
    if (!this.expect || this.#waiting.size >= maxWaiting) return refuse(socket);
    this.#waiting.set(socket, setTimeout(() => {
      this.#waiting.delete(socket);
      refuse(socket);
    }, maxWaitMs));
  }

  /** Hands over what waits, as far as engines take it; refuses it when none is on its way any more. */
  pump(): void {
    for (const [socket, timer] of this.#waiting) {
      const given = this.#options.give(socket);
      if (!given && this.expect) return;
      this.#waiting.delete(socket);
      clearTimeout(timer);
      if (!given) refuse(socket);
    }
  }

  close(): void {
    // Not awaited: it would wait for connections that engines hold.
    this.#server.close();
    this.expect = false;
    this.pump();
  }
}

const body = JSON.stringify({ type: 'about:blank', title: 'No engine is ready', status: 503, code: 'no_engine_ready', detail: 'No engine of this deployment is ready. Look at the status of the deployment for the reason.' });
const refusal = `HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n${body}`;

/** What the client sends is read and dropped until it has seen the answer: closing with unread bytes would reset it away. */
function refuse(socket: Socket): void {
  socket.setTimeout(2_000, () => socket.destroy());
  socket.resume();
  socket.end(refusal);
}
