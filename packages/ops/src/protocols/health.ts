import { sql, type Kysely } from 'kysely';
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import type { Database } from '../storage/database.ts';

/** Whether this server lives (`/healthz`), whether it should get requests (`/readyz`), and its numbers for Prometheus (`/metrics`). */
export function healthRoutes(app: FastifyInstance, { db, stopping }: { db: Kysely<Database>; stopping: AbortSignal }): void {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const seconds = new Histogram({
    name: 'potoroo_ops_request_duration_seconds', help: 'Time from the head of a request to the end of its answer.', registers: [register],
    labelNames: ['method', 'route', 'status'], buckets: [0.002, 0.01, 0.05, 0.2, 1, 5, 20, 60],
  });
  app.addHook('onResponse', async (request, reply) => {
    // The pattern, not the address: addresses are without number.
    seconds.observe({ method: request.method, route: request.routeOptions.url ?? 'none', status: reply.statusCode }, reply.elapsedTime / 1000);
  });

  app.get('/healthz', { schema: { summary: 'Whether the server lives', tags: ['server'], operationId: 'healthz' } }, async () => ({ status: 'ok' }));
  app.get('/readyz', { schema: { summary: 'Whether the server takes requests', tags: ['server'], operationId: 'readyz' } }, async (_request, reply) => {
    const database = stopping.aborted ? false : await sql`select 1`.execute(db).then(() => true, () => false);
    return reply.code(database ? 200 : 503).send({ status: stopping.aborted ? 'stopping' : database ? 'ready' : 'database unreachable' });
  });
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => reply.type(register.contentType).send(await register.metrics()));
}
