import type { FastifyInstance, FastifyRequest } from 'fastify';

const drainMs = 30_000;

/** In this scope bodies are not read but left on `request.raw`, whatever their type: for uploads and inferences. */
export function leaveBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  // A refused upload is answered before its end. Clients write the whole body before they look for the answer: what is left
  // of it is read and dropped, or they would wait for ever. Not without end, though.
  app.addHook('onResponse', async ({ raw }) => {
    if (raw.readableEnded || raw.destroyed) return;
    const patience = setTimeout(() => raw.destroy(), drainMs).unref();
    raw.once('close', () => clearTimeout(patience)).resume();
  });
}

/** The body as it comes, for whoever may stop reading before its end: that leaves the connection to the answer. */
export function bodyOf(request: FastifyRequest): AsyncIterable<Uint8Array> {
  return request.raw.iterator({ destroyOnReturn: false });
}
