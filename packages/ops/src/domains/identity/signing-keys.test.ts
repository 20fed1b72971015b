import { randomBytes } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sealAnew } from '../../storage/seal-anew.ts';
import { Secrets } from '../../storage/secrets.ts';
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

  /** Another server on the same database. */
  const again = (onKeys?: () => void, secrets = t.secrets): SigningKeyService => new SigningKeyService(t.storage.db, t.access, { secrets, accessTokenLifetime: 900, clock: () => t.time.now, onKeys });

  test('a new key is shown before it signs, and the old one until its last token has ended', async () => {
    const before = await token();
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
    const json = JSON.stringify([await t.identity.jwks(), await t.signingKeys.list(t.admin)]);
    expect(json).not.toMatch(/"d":/);
  });

  test('another server on the same database knows it before it signs, and tells its engines', async () => {
    let told = 0;
    const other = again(() => { told += 1; });
    const before = await other.signer();
    const made = await t.signingKeys.rotate(t.admin);
    later(31);
    expect([(await other.signer()).kid, told]).toEqual([before.kid, 1]);
    expect((await other.jwks()).keys).toHaveLength(2);
    later(120);
    expect([(await other.signer()).kid, told]).toEqual([made.id, 1]);
    expect(await other.verifier('made up')).toBeUndefined();
  });

  test('a revoked key is refused at once, another one signs in its place, and sign-ins last', async () => {
    let told = 0;
    const other = again(() => { told += 1; });
    await other.signer();
    const { accessToken: before, refreshToken } = await t.identity.passwordGrant('ann@ex.co', password);
    const engine = t.identity.engineToken(7);
    expect((await t.identity.actorOf(before)).id).toBe(t.ann.id);
    const revoked = await t.signingKeys.revoke(t.admin, kidOf(before));
    expect([revoked.id, revoked.state, await states()]).toEqual([kidOf(before), 'revoked', ['signing', 'revoked']]);
    await expect(t.identity.actorOf(before)).rejects.toMatchObject({ code: 'unauthenticated' });
    const { accessToken: after } = await t.identity.refreshGrant(refreshToken);
    expect((await t.identity.actorOf(after)).id).toBe(t.ann.id);
    expect(await shown()).toEqual([kidOf(after)]);
    expect(t.identity.deploymentOf(engine)).toBe(7);
    // A server that has not heard of the new one looks when it first meets it; what it knows of the old one it learns with that.
    later(2);
    expect([await other.verifier(kidOf(after)), await other.verifier(kidOf(before)), told]).toEqual([expect.anything(), undefined, 1]);
    // Again nothing changes; and an older key that had ended does not come back.
    await t.signingKeys.revoke(t.admin, kidOf(before));
    expect(await states()).toEqual(['signing', 'revoked']);
    await t.signingKeys.rotate(t.admin);
    later(120 + 900 + 60 + 1);
    expect(await states()).toEqual(['signing', 'retired', 'revoked']);
    await t.signingKeys.revoke(t.admin, kidOf(await token()));
    expect(await states()).toEqual(['signing', 'revoked', 'retired', 'revoked']);
  });

  test('one that waits, or has ended, can be revoked as well; one that is not there cannot', async () => {
    const [first] = await t.signingKeys.list(t.admin);
    const next = await t.signingKeys.rotate(t.admin);
    await t.signingKeys.revoke(t.admin, next.id);
    later(200);
    expect([await states(), kidOf(await token())]).toEqual([['revoked', 'signing'], first!.id]);
    await expect(t.signingKeys.revoke(t.admin, 'nothing')).rejects.toMatchObject({ code: 'signing_key_not_found', message: expect.stringContaining('"nothing"') });
  });

  test('are sealed in the database; those of before that was so are, too', async () => {
    const before = await token();
    const rows = () => t.storage.db.selectFrom('signingKeys').selectAll().orderBy('id').execute();
    const [row] = await rows();
    expect(row!.privateJwk).not.toMatch(/[{"]/);
    const readable = t.secrets.open(row!.privateJwk, row!.kid);
    expect(JSON.parse(readable)).toMatchObject({ kty: 'EC', d: expect.any(String) });
    await t.storage.db.updateTable('signingKeys').set({ privateJwk: readable }).execute();
    expect((await again().signer()).kid).toBe(kidOf(before));
    expect((await rows())[0]!.privateJwk).not.toMatch(/[{"]/);
  });

  test('are sealed anew where the secret key was changed', async () => {
    const [old, now] = [randomBytes(32), randomBytes(32)];
    const { kid } = await again(undefined, new Secrets(old)).signer();
    expect(await sealAnew(t.storage.db, new Secrets(now, old))).toEqual({ sealed: 1, lost: 1 }); // the one lost is that of the server that made the users
    for (const secrets of [new Secrets(now, old), new Secrets(now)]) expect((await again(undefined, secrets).signer()).kid).toBe(kid);
    expect((await again(undefined, new Secrets(old)).signer()).kid).not.toBe(kid);
  });

  test('that do not open any more go on verifying, and another one signs', async () => {
    const before = await token();
    const lost = again(undefined, new Secrets(randomBytes(32)));
    const { kid } = await lost.signer();
    expect(kid).not.toBe(kidOf(before));
    expect(await lost.verifier(kidOf(before))).toBeDefined();
    expect((await lost.signer()).kid).toBe(kid);
  });

  test('is for administrators', async () => {
    await expect(t.signingKeys.list(t.ann)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(t.signingKeys.rotate(t.ann)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(t.signingKeys.revoke(t.ann, 'x')).rejects.toMatchObject({ code: 'forbidden' });
  });
});
