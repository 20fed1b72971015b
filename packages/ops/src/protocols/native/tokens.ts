import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { CreatedPersonalTokenSchema, NewPersonalTokenSchema, PageQuerySchema, PageSchema, PersonalTokenSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const tag = 'tokens';

export function tokenRoutes(app: FastifyInstance, context: NativeContext): void {
  const { personalTokens } = context.domains;
  route(app, context, 'GET', '/tokens', { tag, summary: 'List your personal access tokens', description: 'Without the tokens themselves.', query: PageQuerySchema, answer: PageSchema(PersonalTokenSchema) },
    ({ actor, query }) => personalTokens.list(actor, query));
  // 200 and not 201: answers of creates are kept for repeated requests, and this one must be kept nowhere.
  route(app, context, 'POST', '/tokens', {
    tag, summary: 'Create a personal access token', description: 'For scripts; it may do what you may, but not make another token. The answer holds the token: it is not shown again.', body: NewPersonalTokenSchema, answer: CreatedPersonalTokenSchema,
  }, ({ actor, body: { name, expiresAt } }) => personalTokens.create(actor, { name, ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }) }));
  route(app, context, 'DELETE', '/tokens/:tokenId', { tag, summary: 'Revoke a personal access token', params: Type.Object({ tokenId: Type.String({ maxLength: 64 }) }) },
    ({ actor, params }) => personalTokens.revoke(actor, params.tokenId));
}
