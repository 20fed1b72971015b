import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { bodyBuffer, recycle } from './bodies.ts';
import type { Reader } from './direct.ts';
import type { Body, Exchange } from './exchange.ts';
import { readHead, type Head } from './head.ts';
import type { Limits } from './node.ts';

export interface LaneHost {
  readonly limits: Limits;
  draining(): boolean;
  serve(exchange: Exchange): void;
  /** This lane has something to write; it is told to `flush` within this turn of the event loop. */
  dirty(lane: Lane): void;
  /** Serves the connection from here on, beginning with these bytes. */
  handOver(socket: Socket, bytes: Buffer): void;
}

/** Requests of one connection that may wait for answers at once; a client that pipelines more waits. */
const pipelined = 64;
/** Answers a client has not taken yet, above which nothing more is read from it. */
const unsentBytes = 1 << 20;

/** Where bytes go that belong to no body yet: heads, and bodies that came along with them. What is in it is read at once. */
const landing = Buffer.allocUnsafeSlow(16 * 1024);

/** Answers up to this size are copied together: one buffer is sent with less ado than several. */
const joined = 16 * 1024;

let second = 0;
let dateLine = '';
function date(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    dateLine = `Date: ${new Date(now * 1000).toUTCString()}\r\n`;
  }
  return dateLine;
}

const starts = new Map<string, string>();
/** Status line and content type of a good answer: a few texts, over and over. */
function start(status: number, contentType: string): string {
  if (status !== 200) return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: ${contentType}\r\n`;
  let text = starts.get(contentType);
  if (text === undefined) {
    text = `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n`;
    starts.set(contentType, text);
  }
  return text;
}

class LaneExchange implements Exchange {
  readonly method = 'POST';
  readonly path: string;
  readonly query: string;
  readonly trusted: boolean;
  readonly startedMs: number;
  readonly body: Uint8Array;
  onGone: (() => void) | undefined;
  readonly head: Head;
  /** Set once it is answered: head and body, to be sent when its turn comes. */
  answer: (string | Uint8Array)[] | undefined;
  readonly #lane: Lane;

  readonly #whole: boolean;

  /** @param whole the body has a buffer of its own */
  constructor(lane: Lane, head: Head, body: Uint8Array, whole: boolean, startedMs: number) {
    this.#lane = lane;
    this.#whole = whole;
    this.head = head;
    this.path = head.path;
    this.query = head.query;
    this.trusted = lane.trusted;
    this.body = body;
    this.startedMs = startedMs;
  }

  header(name: string): string | undefined {
    return this.head.fields[name];
  }

  release(): void {
    if (this.#whole) recycle(this.body);
  }

  send(status: number, contentType: string, body: Body, headers = ''): void {
    if (this.answer !== undefined) return;
    const text = typeof body === 'string';
    let length = 0;
    if (text) length = Buffer.byteLength(body);
    else for (const part of body) length += part.length;
    const head = `${start(status, contentType)}${date()}${headers}${this.#lane.closesAfter(this) ? 'Connection: close\r\n' : ''}Content-Length: ${length}\r\n\r\n`;
    if (!text) this.answer = length <= joined ? [Buffer.concat([Buffer.from(head, 'latin1'), ...body])] : [head, ...body];
    else if (length === body.length) this.answer = [head + body]; // ASCII throughout: one string, written as it is
    else this.answer = [head, Buffer.from(body)];
    this.#lane.answered(this);
  }
}

/**
 * The fast lane: reads plain POSTs straight from the socket and writes the answers of a turn at once. As soon as anything
 * else arrives, the connection and its bytes go to Node's own server, for good.
 */
export class Lane implements Reader {
  readonly trusted: boolean;
  #socket: Socket;
  readonly #host: LaneHost;
  /** What is left of the body on its way, while the next bytes go straight there. */
  #into: Uint8Array | undefined;
  /** Requests in order of arrival; answers go out in this order. */
  readonly #waiting: LaneExchange[] = [];
  /** Bytes that are no complete head yet, or that may not be read yet. */
  #rest: Buffer | undefined;
  /** A body on its way. */
  #partial: { head: Head; body: Uint8Array; filled: number } | undefined;
  /** The last head: clients repeat theirs to the byte, and comparing is cheaper than reading. */
  #last: Head | undefined;
  #out: (string | Uint8Array)[] = [];
  #ending = false;
  #other = false;
  #paused = false;
  /** The connection is Node's now. */
  #left = false;
  #since: number;
  readonly #onData = (chunk: Buffer): void => this.#data(chunk);
  readonly #onEnd = (): void => this.#gone();
  readonly #onDrain = (): void => this.#go();

  constructor(socket: Socket, trusted: boolean, host: LaneHost) {
    this.#socket = socket;
    this.trusted = trusted;
    this.#host = host;
    this.#since = performance.now();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
  }

  /** The connection goes on as this socket, which reads to where this lane says. */
  direct(socket: Socket): void {
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('drain', this.#onDrain);
    this.#socket = socket;
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
  }

  target(): Uint8Array {
    const partial = this.#partial;
    this.#into = partial?.body.subarray(partial.filled);
    return this.#into ?? landing;
  }

  took(count: number, target: Uint8Array): void {
    const partial = this.#partial;
    if (this.#left) this.#socket.push(Buffer.from(target.subarray(0, count)));
    else if (partial === undefined || target !== this.#into) this.#data(Buffer.from(target.subarray(0, count)));
    else if (!this.#ending) {
      partial.filled += count;
      if (partial.filled === partial.body.length) this.#filled(partial);
    }
  }

  #filled({ head, body }: { head: Head; body: Uint8Array }): void {
    this.#partial = undefined;
    this.#into = undefined;
    this.#serve(head, body, true, performance.now());
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#partial === undefined && this.#rest === undefined && this.#out.length === 0;
  }

  #data(chunk: Buffer): void {
    if (this.#ending) return;
    const now = performance.now();
    if (this.idle) this.#since = now;
    const partial = this.#partial;
    if (partial === undefined) return this.#read(this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]), 0, now);
    const take = Math.min(chunk.length, partial.body.length - partial.filled);
    partial.body.set(take === chunk.length ? chunk : chunk.subarray(0, take), partial.filled);
    partial.filled += take;
    if (partial.filled < partial.body.length) return;
    this.#filled(partial);
    if (take < chunk.length) this.#read(chunk, take, now);
  }

  #read(bytes: Buffer, from: number, now: number): void {
    let at = from;
    this.#rest = undefined;
    while (at < bytes.length) {
      if (this.#ending) return;
      if (this.#other || this.#waiting.length >= pipelined || this.#socket.writableLength > unsentBytes) {
        this.#paused = true;
        this.#socket.pause();
        break;
      }
      const head = this.#head(bytes, at);
      if (head === 'more') break;
      if (head === 'other' || head.contentLength > this.#host.limits.maxBodyBytes) {
        if (this.#waiting.length === 0 && this.#out.length === 0) return this.#leave(bytes.subarray(at));
        this.#other = true; // after the answers before it
        continue;
      }
      const body = at + head.bytes.length;
      const end = body + head.contentLength;
      if (end > bytes.length) {
        const buffer = bodyBuffer(head.contentLength, head.innerLength);
        buffer.set(bytes.subarray(body), 0);
        this.#partial = { head, body: buffer, filled: bytes.length - body };
        return;
      }
      at = end;
      this.#serve(head, bytes.subarray(body, end), false, now);
    }
    if (at < bytes.length && !this.#ending) this.#rest = at === 0 ? bytes : bytes.subarray(at);
  }

  #head(bytes: Buffer, at: number): Head | 'more' | 'other' {
    const last = this.#last;
    if (last !== undefined && bytes.length - at >= last.bytes.length && bytes.compare(last.bytes, 0, last.bytes.length, at, at + last.bytes.length) === 0) return last;
    const head = readHead(bytes, at);
    if (typeof head === 'object') this.#last = head;
    return head;
  }

  #serve(head: Head, body: Uint8Array, whole: boolean, now: number): void {
    const exchange = new LaneExchange(this, head, body, whole, now);
    this.#waiting.push(exchange);
    if (head.close) this.#ending = true;
    this.#host.serve(exchange);
  }

  /** Whether the connection closes after this answer: the client wants it, or the engine drains and nothing follows. */
  closesAfter(exchange: LaneExchange): boolean {
    if (exchange.head.close) return true;
    if (!this.#host.draining() || this.#waiting.at(-1) !== exchange || this.#rest !== undefined || this.#partial !== undefined) return false;
    this.#ending = true;
    return true;
  }

  answered(exchange: LaneExchange): void {
    const waiting = this.#waiting;
    if (waiting[0] !== exchange) return;
    let sent = 0;
    for (; sent < waiting.length; sent++) {
      const answer = waiting[sent]?.answer;
      if (answer === undefined) break;
      for (const part of answer) this.#out.push(part);
    }
    if (sent === 1) waiting.shift();
    else waiting.splice(0, sent);
    this.#host.dirty(this);
  }

  /** Writes what has been answered. */
  flush(): void {
    const socket = this.#socket;
    const out = this.#out;
    if (out.length === 0) return;
    this.#out = [];
    if (!socket.destroyed) {
      if (out.length === 1) this.#write(out[0] as string | Uint8Array);
      else {
        socket.cork();
        let text = '';
        for (const part of out) {
          if (typeof part === 'string') text += part;
          else {
            if (text !== '') this.#write(text);
            text = '';
            this.#write(part);
          }
        }
        if (text !== '') this.#write(text);
        socket.uncork();
      }
    }
    this.#since = performance.now();
    if (this.#ending && this.#waiting.length === 0) socket.end();
    else this.#go();
  }

  #write(part: string | Uint8Array): void {
    if (typeof part === 'string') this.#socket.write(part, 'latin1');
    else this.#socket.write(part);
  }

  /** Takes up reading again where it had to stop. */
  #go(): void {
    if (!this.#paused || this.#waiting.length >= pipelined / 2 || this.#socket.writableLength > unsentBytes) return;
    if (this.#other && this.#waiting.length > 0) return;
    this.#paused = false;
    this.#other = false;
    const rest = this.#rest;
    if (rest !== undefined) this.#read(rest, 0, performance.now());
    if (!this.#paused) this.#socket.resume();
  }

  #leave(bytes: Buffer): void {
    const socket = this.#socket;
    this.#left = true;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('drain', this.#onDrain);
    this.#host.handOver(socket, bytes);
  }

  #gone(): void {
    this.closed();
    this.#socket.end();
  }

  /** The client is gone: nothing of its requests may start any more. */
  closed(): void {
    this.#ending = true;
    for (const exchange of this.#waiting.splice(0)) exchange.onGone?.();
  }

  /** Closes the connection if it has nothing under way. */
  endIdle(): void {
    if (!this.idle) return;
    this.#ending = true;
    this.#socket.end();
  }

  /** Closes what has been idle, or has not completed a request, for too long. */
  sweep(now: number): void {
    const { keepAliveMs, requestTimeoutMs } = this.#host.limits;
    if (this.idle) {
      if (now - this.#since > keepAliveMs) this.endIdle();
    } else if ((this.#partial !== undefined || this.#rest !== undefined) && this.#waiting.length === 0 && now - this.#since > requestTimeoutMs) this.#socket.destroy();
  }
}
