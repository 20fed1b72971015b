import type { FastifyInstance } from 'fastify';

/** In this scope bodies are not read but left on `request.raw`, whatever their type: for uploads and inferences. */
export function leaveBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
}
