import formbody from '@fastify/formbody';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import type { DeviceSignIns, Identity, Tokens } from '../domains/domains.ts';
import { devicePage, devicePath } from './device-page.ts';
import { logFailure, toPotorooError } from './errors.ts';

const realm = '/auth/realms/master';
const openid = `${realm}/protocol/openid-connect`;

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
/** What each grant needs, for the message. */
const grants: Readonly<Record<string, string>> = {
  password: 'username and password', refresh_token: 'refresh_token', [deviceGrant]: 'device_code', [exchangeGrant]: 'subject_token, a personal access token,',
};
const refusals = {
  pending: ['authorization_pending', 'The sign-in is not confirmed yet: ask again after the interval.'],
  slow_down: ['slow_down', 'Asked again before the interval was over.'],
  expired: ['expired_token', 'The device code is unknown, used or expired: start again.'],
  denied: ['access_denied', 'The sign-in was refused.'],
} as const;

const Grant = Type.Union([
  Type.Object({ grant_type: Type.Literal('password'), username: Type.String({ minLength: 1 }), password: Type.String({ minLength: 1 }) }),
  Type.Object({ grant_type: Type.Literal(deviceGrant), device_code: Type.String({ minLength: 1, maxLength: 256 }) }),
  Type.Object({ grant_type: Type.Literal(exchangeGrant), subject_token: Type.String({ minLength: 1 }) }),
  Type.Object({ grant_type: Type.Literal('refresh_token'), refresh_token: Type.String({ minLength: 1 }) }),
]);

/** The issuer's place below a server's address, the same as the clients of the realm `master` expect. */
export const issuerPath = realm;

/** OpenID Connect: the token endpoint, the keys, the discovery document. Errors in the form of RFC 6749. */
export async function openidProtocol(app: FastifyInstance, { identity, devices, publicUrl }: { identity: Identity; devices: DeviceSignIns; publicUrl: () => string }): Promise<void> {
  await app.register(formbody, { bodyLimit: 16_384 });
  app.setErrorHandler((thrown, request, reply) => {
    const error = toPotorooError(thrown);
    logFailure(request.log, error);
    const name = error.code === 'invalid_credentials' || error.code === 'unauthenticated' ? 'invalid_grant' : error.status >= 500 ? 'server_error' : error.code === 'rate_limited' ? 'slow_down' : 'invalid_request';
    return reply.code(error.status).send({ error: name, error_description: error.message, code: error.code });
  });

  app.post(`${openid}/token`, async (request, reply) => {
    const { body } = request;
    const given = (body as { grant_type?: unknown } | null)?.grant_type;
    if (!Value.Check(Grant, body)) {
      const known = typeof given === 'string' && Object.hasOwn(grants, given);
      return reply.code(400).send({
        error: known || given === undefined ? 'invalid_request' : 'unsupported_grant_type', code: 'invalid_request',
        error_description: known ? `Send ${grants[given]} once each and not empty.` : `Send a form with grant_type, one of ${Object.keys(grants).join(', ')}.`,
      });
    }
    reply.header('cache-control', 'no-store');
    if (body.grant_type === exchangeGrant) {
      const { accessToken, expiresIn } = await identity.exchange(body.subject_token);
      return { access_token: accessToken, expires_in: expiresIn, token_type: 'Bearer', issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' };
    }
    if (body.grant_type === deviceGrant) {
      const outcome = await devices.poll(body.device_code);
      if (typeof outcome === 'object') return tokenBody(outcome);
      const [error, description] = refusals[outcome];
      return reply.code(400).send({ error, error_description: description, code: 'invalid_request' });
    }
    const tokens = body.grant_type === 'password'
      ? await identity.passwordGrant(body.username, body.password, request.ip)
      : await identity.refreshGrant(body.refresh_token);
    return tokenBody(tokens);
  });

  app.post(`${openid}/auth/device`, async (request, reply) => {
    const { deviceCode, userCode, expiresIn, interval } = await devices.start(request.ip);
    const page = `${publicUrl()}${devicePath}`;
    return reply.header('cache-control', 'no-store').send({
      device_code: deviceCode, user_code: userCode, verification_uri: page, verification_uri_complete: `${page}?user_code=${userCode}`, expires_in: expiresIn, interval,
    });
  });
  devicePage(app, { devices, publicUrl });

  app.get(`${openid}/certs`, () => identity.jwks());

  app.get(`${realm}/.well-known/openid-configuration`, async () => ({
    issuer: identity.issuer(),
    token_endpoint: `${publicUrl()}${openid}/token`,
    jwks_uri: `${publicUrl()}${openid}/certs`,
    device_authorization_endpoint: `${publicUrl()}${openid}/auth/device`,
    grant_types_supported: Object.keys(grants),
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
