import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { jsonType } from './content.ts';
import { bodyBuffer } from './bodies.ts';
import { decompress, tooLarge } from './coding.ts';
import type { Body, Exchange } from './exchange.ts';

export interface Limits {
  maxBodyBytes: number;
  /** A request must be complete this long after its first byte. */
  requestTimeoutMs: number;
  keepAliveMs: number;
}

export interface Front {
  readonly limits: Limits;
  /** Answers now carry `Connection: close`. */
  draining(): boolean;
  trusted(socket: Socket): boolean;
  serve(exchange: Exchange): void;
  fail(exchange: Exchange, error: unknown): void;
  /** Counts requests under way on a socket, so that a drain knows which are idle. */
  active(socket: Socket, change: 1 | -1): void;
}

class NodeExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly trusted: boolean;
  readonly startedMs = performance.now();
  body: Uint8Array = new Uint8Array(0);
  onGone: (() => void) | undefined;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #front: Front;

  constructor(request: IncomingMessage, response: ServerResponse, front: Front) {
    this.#request = request;
    this.#response = response;
    this.#front = front;
    this.method = request.method ?? '';
    const url = request.url ?? '';
    const mark = url.indexOf('?');
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = mark < 0 ? '' : url.slice(mark + 1);
    this.trusted = front.trusted(request.socket);
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  send(status: number, contentType: string, body: Body, headers = ''): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    response.statusCode = status;
    response.setHeader('Content-Type', contentType);
    response.setHeader('Content-Length', typeof body === 'string' ? Buffer.byteLength(body) : body.reduce((n, b) => n + b.length, 0));
    for (const line of headers.split('\r\n')) {
      const colon = line.indexOf(': ');
      if (colon > 0) response.setHeader(line.slice(0, colon), line.slice(colon + 2));
    }
    // What is still being sent would be taken for the next request.
    if (this.#front.draining() || !this.#request.complete) response.setHeader('Connection', 'close');
    if (typeof body === 'string') response.end(body);
    else {
      response.cork();
      for (const part of body) response.write(part);
      response.end();
      response.uncork();
    }
  }
}

/** Reads the body into one buffer; a client that goes away meanwhile leaves the promise unsettled. */
function read(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  const announced = request.headers['content-length'];
  if (announced !== undefined && Number(announced) > limit) return Promise.reject(tooLarge(limit));
  const header = Number(request.headers['inference-header-content-length'] ?? 0);
  return new Promise((resolve, reject) => {
    if (announced !== undefined) {
      const body = bodyBuffer(Number(announced), Number.isInteger(header) && header >= 0 ? header : 0);
      let at = 0;
      request.on('data', (chunk: Buffer) => {
        body.set(chunk, at);
        at += chunk.length;
      });
      request.on('end', () => resolve(body));
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) {
        request.removeAllListeners('data');
        request.removeAllListeners('end');
        request.pause();
        return reject(tooLarge(limit));
      }
      chunks.push(chunk);
    });
    request.on('end', () => {
      const body = bodyBuffer(length, Number.isInteger(header) && header >= 0 ? header : 0);
      let at = 0;
      for (const chunk of chunks) {
        body.set(chunk, at);
        at += chunk.length;
      }
      resolve(body);
    });
  });
}

const jsonError = (status: number, error: string): string => {
  const body = JSON.stringify({ code: status, status: 'Error', error, source: 'engine', type: 'invalid_request' });
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${jsonType}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
};

/** Node's own server over sockets given to it with `emit('connection', socket)`. It takes whatever HTTP/1.1 allows. */
export function createNodeServer(front: Front): Server {
  const { limits } = front;
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new NodeExchange(request, response, front);
    const { socket } = request;
    front.active(socket, 1);
    response.on('close', () => {
      front.active(socket, -1);
      if (!response.writableFinished) exchange.onGone?.();
    });
    request.on('error', () => undefined); // the client went away within its request: there is nobody to tell
    void (async () => {
      try {
        let body = await read(request, limits.maxBodyBytes);
        const encoding = request.headers['content-encoding']?.toLowerCase();
        if (encoding !== undefined && encoding !== 'identity') body = await decompress(body, encoding, limits.maxBodyBytes);
        exchange.body = body;
      } catch (error) {
        return front.fail(exchange, error);
      }
      front.serve(exchange);
    })();
  };
  const server = createServer({ requestTimeout: limits.requestTimeoutMs, headersTimeout: limits.requestTimeoutMs, keepAliveTimeout: limits.keepAliveMs, noDelay: true }, handle);
  server.on('checkContinue', (request, response) => {
    if (Number(request.headers['content-length'] ?? 0) <= limits.maxBodyBytes) response.writeContinue();
    handle(request, response);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
    socket.end(jsonError(status, status === 431 ? 'The headers are too large. Send less than 16 KiB.' : status === 408 ? 'The request did not arrive in time.' : 'This is not an HTTP/1.1 request.'));
  });
  // This server never listens itself; its check for requests that take too long starts with this event.
  server.emit('listening');
  return server;
}
