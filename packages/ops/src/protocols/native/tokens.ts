import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { CreatedPersonalTokenSchema, NewPersonalTokenSchema, PageQuerySchema, PageSchema, PersonalTokenSchema, SigningKeySchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const tag = 'tokens';

export function tokenRoutes(app: FastifyInstance, context: NativeContext): void {
  const { personalTokens, signingKeys } = context.domains;
  route(app, context, 'GET', '/tokens', { tag, summary: 'List your personal access tokens', description: 'Without the tokens themselves.', query: PageQuerySchema, answer: PageSchema(PersonalTokenSchema) },
    ({ actor, query }) => personalTokens.list(actor, query));
  // 200 and not 201: answers of creates are kept for repeated requests, and this one must be kept nowhere.
  route(app, context, 'POST', '/tokens', {
    tag, summary: 'Create a personal access token', description: 'For scripts; it may do what you may, but not make another token. The answer holds the token: it is not shown again.', body: NewPersonalTokenSchema, answer: CreatedPersonalTokenSchema,
  }, ({ actor, body: { name, expiresAt } }) => personalTokens.create(actor, { name, ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }) }));
  route(app, context, 'DELETE', '/tokens/:tokenId', { tag, summary: 'Revoke a personal access token', params: Type.Object({ tokenId: Type.String({ maxLength: 64 }) }) },
    ({ actor, params }) => personalTokens.revoke(actor, params.tokenId));
  route(app, context, 'GET', '/signing-keys', { tag, summary: 'List the keys that access tokens are signed with', description: 'For administrators; newest first, without what is secret of them.', answer: Type.Object({ items: Type.Array(SigningKeySchema) }) },
    async ({ actor }) => ({ items: await signingKeys.list(actor) }));
  route(app, context, 'POST', '/signing-keys', {
    tag, summary: 'Make a new key to sign access tokens with', description: 'For administrators. Engines and other servers get to know it first; some minutes later it signs, and the one before goes on verifying until its last token has ended.', answer: SigningKeySchema, status: 201,
  }, ({ actor }) => signingKeys.rotate(actor));
  route(app, context, 'DELETE', '/signing-keys/:keyId', {
    tag, summary: 'Revoke a key that access tokens are signed with', description: 'For administrators, when somebody else may have the key. Its tokens are refused at once (by other servers on the same database within half a minute); when it is the one that signs, another one does from now on. Whoever is signed in stays so: refresh tokens and personal ones are not signed with it.',
    params: Type.Object({ keyId: Type.String({ maxLength: 128 }) }), answer: SigningKeySchema,
  }, ({ actor, params }) => signingKeys.revoke(actor, params.keyId));
}
