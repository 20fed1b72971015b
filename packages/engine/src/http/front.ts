import { unlinkSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { connect, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { PotorooError } from '@potoroo/contract/plain';
import { readDirectly } from './direct.ts';
import type { Exchange } from './exchange.ts';
import { Lane, type LaneHost } from './lane.ts';
import { createNodeServer, type Front, type Limits } from './node.ts';
import type { Routes } from './routes.ts';

interface Connection {
  trusted: boolean;
  /** Who reads it; undefined once it is Node's. */
  lane: Lane | undefined;
  /** Requests under way at Node's server. */
  active: number;
}

const sweepMs = 5000;

/** Every connection of the engine, whoever accepted it: serves them, and closes them in good order. */
export class Connections implements Front, LaneHost {
  readonly limits: Limits;
  readonly #routes: Pick<Routes, 'serve' | 'fail'>;
  readonly #http: HttpServer;
  readonly #servers: Server[] = [];
  readonly #open = new Map<Socket, Connection>();
  readonly #sweeper: NodeJS.Timeout;
  #dirty: Lane[] = [];
  #draining = false;
  #lingered = false;
  #closed: (() => void) | undefined;

  constructor(routes: Pick<Routes, 'serve' | 'fail'>, limits: Limits) {
    this.#routes = routes;
    this.limits = limits;
    this.#http = createNodeServer(this);
    this.#sweeper = setInterval(() => {
      const now = performance.now();
      for (const { lane } of this.#open.values()) lane?.sweep(now);
    }, sweepMs).unref();
  }

  get count(): number {
    return this.#open.size;
  }

  draining(): boolean {
    return this.#draining;
  }

  trusted(socket: Socket): boolean {
    return this.#open.get(socket)?.trusted === true;
  }

  serve(exchange: Exchange): void {
    this.#routes.serve(exchange);
  }

  fail(exchange: Exchange, error: unknown): void {
    this.#routes.fail(exchange, error);
  }

  active(socket: Socket, change: 1 | -1): void {
    const connection = this.#open.get(socket);
    if (connection === undefined) return;
    connection.active += change;
    if (this.#lingered && connection.active === 0) socket.end();
  }

  dirty(lane: Lane): void {
    if (this.#dirty.push(lane) === 1) process.nextTick(() => this.flush());
  }

  /** Writes all that has been answered. Called after each run of the pipeline, so that its answers go out together. */
  flush(): void {
    const lanes = this.#dirty;
    if (lanes.length === 0) return;
    this.#dirty = [];
    for (const lane of lanes) lane.flush();
    if (this.#lingered) for (const lane of lanes) lane.endIdle();
  }

  /** Serves a connection that somebody else accepted. */
  accept(accepted: Socket, trusted: boolean): void {
    const lane = new Lane(accepted, trusted, this);
    const direct = readDirectly(accepted, lane);
    if (direct !== undefined) lane.direct(direct);
    const socket = direct ?? accepted;
    this.#open.set(socket, { trusted, lane, active: 0 });
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#open.get(socket)?.lane?.closed();
      this.#open.delete(socket);
      // Whoever gave the connection, the server or the host, counts it by this socket.
      accepted.destroy();
      if (this.#open.size === 0) this.#closed?.();
    });
    socket.resume(); // a connection handed over by another process arrives paused
  }

  handOver(socket: Socket, bytes: Buffer): void {
    const connection = this.#open.get(socket);
    if (connection === undefined) return;
    connection.lane = undefined;
    socket.pause();
    socket.unshift(bytes);
    this.#http.emit('connection', socket);
    socket.resume();
  }

  /** @throws PotorooError `port_in_use`, `settings_invalid` */
  async listen(where: { host: string; port: number }): Promise<number> {
    const server = await this.#listen(where, false, `${where.host}:${where.port}`);
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : where.port;
  }

  /** Opens the trusted side: a socket that only this user can connect to. */
  async listenSocket(path: string): Promise<void> {
    await this.#clearStale(path);
    const before = process.umask(0o177);
    try {
      await this.#listen({ path }, true, path);
    } finally {
      process.umask(before);
    }
  }

  /** A socket file that nobody answers on was left by an engine that was killed. */
  #clearStale(path: string): Promise<void> {
    return new Promise((resolve) => {
      const probe = connect(path);
      probe.on('connect', () => {
        probe.destroy();
        resolve();
      });
      probe.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') unlinkSync(path);
        resolve();
      });
    });
  }

  #listen(where: ListenOptions, trusted: boolean, name: string): Promise<Server> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.accept(socket, trusted));
    return new Promise((resolve, reject) => {
      server.on('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'it is taken. Choose another, or stop what uses it.' : `${error.code}.`;
        reject(new PotorooError(error.code === 'EADDRINUSE' ? 'port_in_use' : 'settings_invalid', `Cannot listen on ${name}: ${why}`, { cause: error }));
      });
      server.listen({ ...where, backlog: 1024 }, () => {
        this.#servers.push(server);
        resolve(server);
      });
    });
  }

  /**
   * Takes no more connections, answers what comes on the open ones with `Connection: close`, closes idle ones after
   * `lingerMs` (a client may just be sending on one), and resolves when all are closed or `deadlineMs` is over.
   */
  async drain(lingerMs: number, deadlineMs: number): Promise<void> {
    this.#draining = true;
    for (const server of this.#servers) server.close();
    const linger = setTimeout(() => {
      this.#lingered = true;
      for (const [socket, { lane, active }] of this.#open) {
        if (lane !== undefined) lane.endIdle();
        else if (active === 0) socket.end();
      }
    }, lingerMs);
    let deadline: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#closed = resolve;
      deadline = setTimeout(resolve, deadlineMs);
      if (this.#open.size === 0) resolve();
    });
    clearTimeout(linger);
    clearTimeout(deadline);
    clearInterval(this.#sweeper);
    for (const socket of this.#open.keys()) socket.destroy();
    this.#http.close();
  }
}
