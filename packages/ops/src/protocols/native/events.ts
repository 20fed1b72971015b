import type { OutgoingHttpHeaders } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { toPotorooError } from '../errors.ts';
import { problemOf } from './problem.ts';

const heartbeatMs = 15_000;

/** Answers with server-sent events, one an item, until the caller goes away or the server stops. */
export function sendEvents<T>(request: FastifyRequest, reply: FastifyReply, event: string, stopping: AbortSignal, watch: (signal: AbortSignal) => AsyncIterable<T>): FastifyReply {
  const gone = new AbortController();
  const stream = new Readable({ read() {} });
  const end = () => gone.abort();
  stopping.addEventListener('abort', end, { once: true });
  // Comments keep proxies from closing a connection on which nothing happens.
  const heartbeat = setInterval(() => stream.push(': still here\n\n'), heartbeatMs).unref();
  void (async () => {
    try {
      for await (const item of watch(gone.signal)) stream.push(`event: ${event}\ndata: ${JSON.stringify(item)}\n\n`);
    } catch (error) {
      if (!gone.signal.aborted) stream.push(`event: error\ndata: ${JSON.stringify(problemOf(toPotorooError(error), request))}\n\n`);
    } finally {
      clearInterval(heartbeat);
      stopping.removeEventListener('abort', end);
      stream.push(null);
    }
  })();
  // Written past Fastify, to which a caller who goes away is an error that it wants to answer.
  reply.header('content-type', 'text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no').hijack();
  reply.raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders);
  pipeline(stream, reply.raw, end);
  return reply;
}
