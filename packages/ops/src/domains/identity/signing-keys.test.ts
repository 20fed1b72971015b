import { decodeProtectedHeader } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { databases } from '../../storage/testing.ts';
import { openDomains, password, type TestDomains } from '../testing.ts';
import { SigningKeyService } from './signing-keys.service.ts';

describe.each(databases)('signing keys on $name', (database) => {
  let t: TestDomains;
  beforeEach(async () => { t = await openDomains(database); });
  afterEach(() => t.close());
  const later = (seconds: number) => { t.time.now += seconds * 1000; };
  const token = async (): Promise<string> => (await t.identity.passwordGrant('ann@ex.co', password)).accessToken;
  const kidOf = (text: string): string => decodeProtectedHeader(text).kid as string;
  const states = async (): Promise<string[]> => (await t.signingKeys.list(t.admin)).map((key) => key.state);
  const shown = async (): Promise<unknown[]> => (await t.identity.jwks()).keys.map((key) => key['kid']);

  test('a new key is shown before it signs, and the old one until its last token has ended', async () => {
    const before = await token();
    const engine = await t.identity.engineToken(7);
    const old = kidOf(before);
    const made = await t.signingKeys.rotate(t.admin);
    expect(await states()).toEqual(['next', 'signing']);
    expect(await shown()).toEqual([old, made.id]);
    expect(kidOf(await token())).toBe(old);
    await expect(t.signingKeys.rotate(t.admin)).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining(made.id) });

    later(120);
    expect(made.signsFrom.getTime()).toBe(t.time.now);
    const after = await token();
    expect([kidOf(after), await states()]).toEqual([made.id, ['signing', 'verifying']]);
    expect((await t.identity.actorOf(before)).id).toBe(t.ann.id);
    expect((await t.identity.actorOf(after)).id).toBe(t.ann.id);

    later(899);
    expect(await shown()).toEqual([old, made.id]);
    later(70);
    expect([await states(), await shown()]).toEqual([['signing', 'retired'], [made.id]]);
    await expect(t.identity.actorOf(before)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(await t.identity.deploymentOf(engine)).toBe(7);
    const json = JSON.stringify([await t.identity.jwks(), await t.signingKeys.list(t.admin)]);
    expect(json).not.toMatch(/"d":/);
  });

  test('another server on the same database knows it before it signs, and tells its engines', async () => {
    let told = 0;
    const other = new SigningKeyService(t.storage.db, t.access, { accessTokenLifetime: 900, clock: () => t.time.now, onKeys: () => { told += 1; } });
    const before = await other.signer();
    const made = await t.signingKeys.rotate(t.admin);
    later(31);
    expect([(await other.signer()).kid, told]).toEqual([before.kid, 1]);
    expect((await other.jwks()).keys).toHaveLength(2);
    later(120);
    expect([(await other.signer()).kid, told]).toEqual([made.id, 1]);
    expect(await other.verifier('made up', true)).toBeUndefined();
  });

  test('is for administrators', async () => {
    await expect(t.signingKeys.list(t.ann)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(t.signingKeys.rotate(t.ann)).rejects.toMatchObject({ code: 'forbidden' });
  });
});
