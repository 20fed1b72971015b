import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey } from 'jose';
import type { AccessList } from '@potoroo/contract/plain';
import { beforeAll, describe, expect, test } from 'vitest';
import { Access } from './access.ts';

const issuer = 'https://potoroo.test';
const now = Date.parse('2030-01-01T00:00:00Z');
let list: AccessList;
let keys: { privateKey: CryptoKey; publicKey: CryptoKey };
let foreign: { privateKey: CryptoKey; publicKey: CryptoKey };

beforeAll(async () => {
  keys = await generateKeyPair('RS256');
  foreign = await generateKeyPair('RS256');
  list = { issuer, jwks: { keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' }] }, subjects: ['alice'] };
});

interface Claims { sub?: string; iss?: string; exp?: number; kid?: string; key?: CryptoKey }
async function token({ sub = 'alice', iss = issuer, exp = now / 1000 + 60, kid = 'k1', key = keys.privateKey }: Claims = {}): Promise<string> {
  return `Bearer ${await new SignJWT({}).setProtectedHeader({ alg: 'RS256', kid }).setSubject(sub).setIssuer(iss).setExpirationTime(exp).sign(key)}`;
}

test('a good token is verified once and then known until it expires', async () => {
  let time = now;
  const access = new Access(list, () => time);
  const header = await token();
  expect(access.knows(header)).toBe(false);
  await access.verify(header);
  expect(access.knows(header)).toBe(true);
  time = now + 60_001;
  expect(access.knows(header)).toBe(false);
  await expect(access.verify(header)).rejects.toMatchObject({ code: 'unauthenticated', message: 'The bearer token has expired. Sign in again.' });
});

describe('refused', () => {
  const cases: [string, () => string | undefined | Promise<string>, string, RegExp][] = [
    ['no header', () => undefined, 'unauthenticated', /needs a bearer token/],
    ['another scheme', () => 'Basic YTpi', 'unauthenticated', /needs a bearer token/],
    ['no token', () => 'Bearer nonsense', 'unauthenticated', /needs a bearer token/],
    ['expired', () => token({ exp: now / 1000 - 1 }), 'unauthenticated', /expired/],
    ['a key of somebody else under our name', () => token({ key: foreign.privateKey }), 'unauthenticated', /not valid/],
    ['an unknown key', () => token({ kid: 'other', key: foreign.privateKey }), 'unauthenticated', /key that is not known/],
    ['another issuer', () => token({ iss: 'https://elsewhere' }), 'unauthenticated', /not from https:\/\/potoroo\.test/],
    ['tampered', async () => {
      const [head, , signature] = (await token()).split('.');
      return `${head}.${Buffer.from(JSON.stringify({ sub: 'alice', iss: issuer, exp: now / 1000 + 9999 })).toString('base64url')}.${signature}`;
    }, 'unauthenticated', /not valid/],
    ['unsigned', () => `Bearer ${new UnsecuredJWT({}).setSubject('alice').setIssuer(issuer).setExpirationTime(now / 1000 + 60).encode()}x`, 'unauthenticated', /not valid/],
    ['signed with the public key as a shared secret', async () => {
      const secret = new TextEncoder().encode(JSON.stringify(list.jwks.keys[0]));
      return `Bearer ${await new SignJWT({}).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).setSubject('alice').setIssuer(issuer).setExpirationTime(now / 1000 + 60).sign(secret)}`;
    }, 'unauthenticated', /not valid/],
    ['without an end', async () => `Bearer ${await new SignJWT({}).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).setSubject('alice').setIssuer(issuer).sign(keys.privateKey)}`, 'unauthenticated', /not valid/],
    ['not on the list', () => token({ sub: 'mallory' }), 'forbidden', /mallory has no access/],
  ];
  test.each(cases)('%s', async (_, header, code, message) => {
    const access = new Access(list, () => now);
    const text = await header();
    await expect(access.verify(text)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(access.knows(text)).toBe(false);
  });
});

test('a new list takes effect at once', async () => {
  const access = new Access(list, () => now);
  const header = await token();
  await access.verify(header);
  access.replace({ ...list, subjects: ['bob'] });
  expect(access.knows(header)).toBe(false);
  await expect(access.verify(header)).rejects.toMatchObject({ code: 'forbidden' });
});

test('without a list everybody is let in', async () => {
  const access = new Access(undefined);
  expect(access.knows(undefined)).toBe(true);
  await access.verify(undefined);
});

describe('another issuer beside ours', () => {
  const other = 'https://login.test/realms/ml';
  let both: AccessList;
  beforeAll(async () => {
    both = { ...list, external: { issuer: other, clientId: 'potoroo', jwks: { keys: [{ ...(await exportJWK(foreign.publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' }] } } };
  });
  const theirs = async (claims: Record<string, unknown>, from: { iss?: string; key?: CryptoKey } = {}) =>
    `Bearer ${await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).setSubject('alice').setIssuer(from.iss ?? other).setExpirationTime(now / 1000 + 60).sign(from.key ?? foreign.privateKey)}`;

  test.each<[string, Record<string, unknown>]>([['azp', { azp: 'potoroo' }], ['aud', { aud: 'potoroo' }], ['one of aud', { aud: ['account', 'potoroo'], typ: 'Bearer' }]])('is believed about a token made for the client (%s), and ours as before', async (_what, claims) => {
    const access = new Access(both, () => now);
    for (const header of [await theirs(claims), await token()]) {
      await access.verify(header);
      expect(access.knows(header)).toBe(true);
    }
  });

  test.each<[string, () => Promise<string>, RegExp]>([
    ['for another client', () => theirs({ azp: 'other', aud: 'account' }), /not made for the client potoroo/],
    ['that only names its user', () => theirs({ azp: 'potoroo', typ: 'ID' }), /not made for the client potoroo/],
    ['in our name with its key', () => theirs({ azp: 'potoroo' }, { iss: issuer }), /not valid/],
    ['in its name with our key', () => theirs({ azp: 'potoroo' }, { key: keys.privateKey }), /not valid/],
  ])('is not believed about a token %s', async (_what, header, message) => {
    await expect(new Access(both, () => now).verify(await header())).rejects.toMatchObject({ code: 'unauthenticated', message: expect.stringMatching(message) });
  });
});
