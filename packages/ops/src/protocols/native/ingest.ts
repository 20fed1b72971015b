import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { ShipAnswer } from '@potoroo/contract';
import type { Domains } from '../../domains/domains.ts';
import { bearerToken } from '../authenticate.ts';

const maxBytes = 64 * 1024 * 1024;

/** Where engines ship their spool to, with the token of their deployment. */
export async function ingestRoute(app: FastifyInstance, { identity, logs }: Domains): Promise<void> {
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: maxBytes }, (_request, body, done) => done(null, body));
    scope.post('/internal/v1/logs/:partition', {
      bodyLimit: maxBytes, schema: { hide: true, params: Type.Object({ partition: Type.String({ minLength: 1, maxLength: 256 }) }) },
      // Before the body is read.
      preParsing: async (request, _reply, payload) => {
        deployments.set(request, identity.deploymentOf(bearerToken(request)));
        return payload;
      },
    }, async (request): Promise<ShipAnswer> => {
      const { partition } = request.params as { partition: string };
      const frames = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      return { next: await logs.ingest(deployments.get(request) as number, partition, frames) };
    });
  });
}

const deployments = new WeakMap<object, number>();
