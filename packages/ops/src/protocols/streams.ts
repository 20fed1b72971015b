import type { FastifyInstance, FastifyRequest } from 'fastify';

/** In this scope bodies are not read but left on `request.raw`, whatever their type: for uploads and inferences. */
export function leaveBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
}

/** The body as it comes, for whoever may stop reading before its end: that leaves the connection to the answer. */
export function bodyOf(request: FastifyRequest): AsyncIterable<Uint8Array> {
  return request.raw.iterator({ destroyOnReturn: false });
}
