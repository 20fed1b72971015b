import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { databases } from '../../storage/testing.ts';
import { openDomains, password, type TestDomains } from '../testing.ts';

describe.each(databases)('identity on $name', (database) => {
  let t: TestDomains;
  beforeAll(async () => { t = await openDomains(database); });
  afterAll(() => t.close());

  test('an access token verifies offline against the published keys and says who it is for', async () => {
    const { accessToken } = await t.identity.passwordGrant('ANN@ex.co', password);
    const { payload } = await jwtVerify(accessToken, createLocalJWKSet(await t.identity.jwks() as never), { issuer: t.identity.issuer(), currentDate: new Date(t.time.now) });
    expect(payload).toMatchObject({ sub: t.ann.id, email: 'ann@ex.co', preferred_username: 'ann@ex.co', role: 'user' });
    expect(JSON.stringify(await t.identity.jwks())).not.toContain('"d"');
  });

  test.each([
    ['wrong password', 'ann@ex.co', 'not the password'],
    ['unknown user', 'nobody@ex.co', password],
    ['empty name', '', password],
    ['overlong password', 'ann@ex.co', 'x'.repeat(100_000)],
  ])('%s: the same answer, which does not say which', async (_what, name, word) => {
    await expect(t.identity.passwordGrant(name, word, 'address')).rejects.toMatchObject({ code: 'invalid_credentials', message: expect.stringContaining('username or password') });
  });

  test.each(['', 'x', 'a.b.c', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.'])('token %j is refused', async (token) => {
    await expect(t.identity.actorOf(token)).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test('an access token ends; a changed one and an engine’s are not access tokens', async () => {
    const { accessToken, expiresIn } = await t.identity.passwordGrant('ann@ex.co', password);
    const [head, body, signature] = accessToken.split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify({ ...decodeJwt(accessToken), sub: t.admin.id })).toString('base64url');
    await expect(t.identity.actorOf(`${head}.${forged}.${signature}`)).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(t.identity.actorOf(`${head}.${body}.${'A'.repeat(signature.length)}`)).rejects.toMatchObject({ code: 'unauthenticated' });
    const engine = t.identity.engineToken(7);
    expect(t.identity.deploymentOf(engine)).toBe(7);
    await expect(t.identity.actorOf(engine)).rejects.toMatchObject({ code: 'unauthenticated' });
    for (const wrong of [accessToken, '', '7', '7.', engine.replace('7.', '8.'), engine.replace('7.', '07.'), `${engine}x`, `${engine}.x`, engine.slice(0, -1)]) {
      expect(() => t.identity.deploymentOf(wrong), wrong).toThrow(expect.objectContaining({ code: 'unauthenticated' }));
    }
    t.time.now += expiresIn * 1000 + 1;
    await expect(t.identity.actorOf(accessToken)).rejects.toMatchObject({ code: 'unauthenticated', message: expect.stringContaining('expired') });
  });

  test('a refresh token is used once; a copy used later ends the whole sign-in', async () => {
    const first = await t.identity.passwordGrant('bob@ex.co', password);
    const second = await t.identity.refreshGrant(first.refreshToken);
    expect(await t.identity.actorOf(second.accessToken)).toEqual(t.bob);
    // The answer was lost on the way and the client asks again at once.
    const retried = await t.identity.refreshGrant(first.refreshToken);
    t.time.now += 11_000;
    await expect(t.identity.refreshGrant(first.refreshToken)).rejects.toMatchObject({ code: 'invalid_credentials' });
    for (const { refreshToken } of [second, retried]) await expect(t.identity.refreshGrant(refreshToken)).rejects.toMatchObject({ code: 'invalid_credentials' });
  });

  test('a refresh token ends', async () => {
    const { refreshToken, refreshExpiresIn } = await t.identity.passwordGrant('bob@ex.co', password);
    t.time.now += refreshExpiresIn * 1000;
    await expect(t.identity.refreshGrant(refreshToken)).rejects.toMatchObject({ code: 'invalid_credentials' });
  });

  test('a disabled user is out at once, with every token', async () => {
    const tokens = await t.identity.passwordGrant('eve@ex.co', password);
    let told = 0;
    const stop = t.access.onChange(() => { told += 1; });
    await t.users.setEnabled(t.admin, t.eve.id, false);
    stop();
    expect(told).toBe(1);
    await expect(t.identity.actorOf(tokens.accessToken)).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(t.identity.refreshGrant(tokens.refreshToken)).rejects.toMatchObject({ code: 'invalid_credentials' });
    await expect(t.identity.passwordGrant('eve@ex.co', password)).rejects.toMatchObject({ code: 'invalid_credentials' });
    await t.users.setEnabled(t.admin, t.eve.id, true);
    expect(await t.identity.actorOf(tokens.accessToken)).toEqual(t.eve);
  });

  test('guessing is stopped for one address, others still get in, and it passes', async () => {
    for (let i = 0; i < 10; i += 1) await expect(t.identity.passwordGrant('ann@ex.co', `guess ${i}`, '10.0.0.9')).rejects.toMatchObject({ code: 'invalid_credentials' });
    await expect(t.identity.passwordGrant('ann@ex.co', password, '10.0.0.9')).rejects.toMatchObject({ code: 'rate_limited', message: expect.stringContaining('15 minutes') });
    await t.identity.passwordGrant('ann@ex.co', password, '10.0.0.10');
    t.time.now += 15 * 60_000;
    await t.identity.passwordGrant('ann@ex.co', password, '10.0.0.9');
  });
});
