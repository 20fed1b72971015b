import formbody from '@fastify/formbody';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import type { Identity, Tokens } from '../domains/domains.ts';
import { toPotorooError } from './errors.ts';

const realm = '/auth/realms/master';
const openid = `${realm}/protocol/openid-connect`;

const Grant = Type.Union([
  Type.Object({ grant_type: Type.Literal('password'), username: Type.String({ minLength: 1 }), password: Type.String({ minLength: 1 }) }),
  Type.Object({ grant_type: Type.Literal('refresh_token'), refresh_token: Type.String({ minLength: 1 }) }),
]);

/** The issuer's place below a server's address, the same as the clients of the realm `master` expect. */
export const issuerPath = realm;

/** OpenID Connect: the token endpoint, the keys, the discovery document. Errors in the form of RFC 6749. */
export async function openidProtocol(app: FastifyInstance, { identity, publicUrl }: { identity: Identity; publicUrl: () => string }): Promise<void> {
  await app.register(formbody, { bodyLimit: 16_384 });
  app.setErrorHandler((thrown, request, reply) => {
    const error = toPotorooError(thrown);
    if (error.status >= 500) request.log.error({ err: thrown }, error.message);
    const name = error.code === 'invalid_credentials' ? 'invalid_grant' : error.status >= 500 ? 'server_error' : error.code === 'rate_limited' ? 'slow_down' : 'invalid_request';
    return reply.code(error.status).send({ error: name, error_description: error.message, code: error.code });
  });

  app.post(`${openid}/token`, async (request, reply) => {
    const { body } = request;
    const given = (body as { grant_type?: unknown } | null)?.grant_type;
    if (!Value.Check(Grant, body)) {
      const known = given === 'password' || given === 'refresh_token';
      return reply.code(400).send({
        error: known || given === undefined ? 'invalid_request' : 'unsupported_grant_type', code: 'invalid_request',
        error_description: known ? 'Send username and password, or refresh_token, once each and not empty.' : 'Send a form with grant_type=password or grant_type=refresh_token.',
      });
    }
    const tokens = body.grant_type === 'password'
      ? await identity.passwordGrant(body.username, body.password, request.ip)
      : await identity.refreshGrant(body.refresh_token);
    return reply.header('cache-control', 'no-store').send(tokenBody(tokens));
  });

  app.get(`${openid}/certs`, () => identity.jwks());

  app.get(`${realm}/.well-known/openid-configuration`, async () => ({
    issuer: identity.issuer(),
    token_endpoint: `${publicUrl()}${openid}/token`,
    jwks_uri: `${publicUrl()}${openid}/certs`,
    grant_types_supported: ['password', 'refresh_token'],
    response_types_supported: ['none'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    token_endpoint_auth_methods_supported: ['none'],
    claims_supported: ['sub', 'email', 'preferred_username', 'role', 'iss', 'aud', 'exp', 'iat'],
  }));
}

const tokenBody = ({ accessToken, expiresIn, refreshToken, refreshExpiresIn }: Tokens) => ({
  access_token: accessToken, expires_in: expiresIn, refresh_token: refreshToken, refresh_expires_in: refreshExpiresIn, token_type: 'Bearer', scope: 'profile email',
});
