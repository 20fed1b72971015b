import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { databases } from '../../storage/testing.ts';
import { openDomains, password, type TestDomains } from '../testing.ts';
import { DeviceService } from './device.service.ts';

describe.each(databases)('signing in on $name', (database) => {
  let t: TestDomains;
  let devices: DeviceService;
  beforeEach(async () => {
    t = await openDomains(database);
    devices = new DeviceService(t.storage.db, t.identity, () => t.time.now);
  });
  afterEach(() => t.close());
  const later = (ms: number) => { t.time.now += ms; };

  test('a device gets tokens once its user has confirmed its code, once', async () => {
    const { deviceCode, userCode, interval, expiresIn } = await devices.start('here');
    expect(userCode).toMatch(/^[B-Z]{4}-[B-Z]{4}$/);
    expect([interval, expiresIn]).toEqual([2, 600]);
    expect(await devices.poll(deviceCode)).toBe('pending');
    later(100);
    expect(await devices.poll(deviceCode)).toBe('slow_down');
    later(2000);
    expect(await devices.poll(deviceCode)).toBe('pending');
    expect(await devices.isPending(userCode.toLowerCase().replace('-', ' '), 'there')).toBe(true);
    await expect(devices.approve(userCode, 'ann@ex.co', 'wrong', 'there')).rejects.toMatchObject({ code: 'invalid_credentials' });
    await devices.approve(userCode, 'ann@ex.co', password, 'there');
    await expect(devices.approve(userCode, 'bob@ex.co', password, 'there')).rejects.toMatchObject({ code: 'invalid_request' });
    const both = await Promise.all([devices.poll(deviceCode), devices.poll(deviceCode)]);
    const [tokens] = both.filter((outcome) => typeof outcome === 'object');
    expect(both).toContain('expired');
    expect(await t.identity.actorOf(tokens!.accessToken)).toEqual(t.ann);
    expect(await devices.poll(deviceCode)).toBe('expired');
  });

  test('a code that was refused, has ended or never was gives nothing', async () => {
    const refused = await devices.start('here');
    await devices.deny(refused.userCode, 'there');
    expect(await devices.poll(refused.deviceCode)).toBe('denied');
    const ended = await devices.start('here');
    later(600_000);
    expect(await devices.poll(ended.deviceCode)).toBe('expired');
    await expect(devices.approve(ended.userCode, 'ann@ex.co', password, 'there')).rejects.toMatchObject({ code: 'invalid_request' });
    expect(await devices.poll('made up')).toBe('expired');
    const disabled = await devices.start('here');
    await devices.approve(disabled.userCode, 'ann@ex.co', password, 'there');
    await t.users.setEnabled(t.admin, t.ann.id, false);
    await expect(devices.poll(disabled.deviceCode)).rejects.toMatchObject({ code: 'invalid_credentials' });
  });

  test('codes cannot be guessed, and cannot fill the server', async () => {
    const { userCode } = await devices.start('here');
    for (let i = 0; i < 10; i += 1) expect(await devices.isPending('BBBB-BBBB', 'there')).toBe(false);
    await expect(devices.isPending(userCode, 'there')).rejects.toMatchObject({ code: 'rate_limited' });
    expect(await devices.isPending(userCode, 'elsewhere')).toBe(true);
    for (let i = 1; i < 50; i += 1) await devices.start('here');
    await expect(devices.start('here')).rejects.toMatchObject({ code: 'rate_limited' });
    await devices.start('elsewhere');
    later(600_000);
    await devices.start('here');
  });

  test('a personal access token is its user until it ends or is revoked; it is kept as a hash', async () => {
    const endless = await t.personalTokens.create(t.ann, { name: 'nightly' });
    const short = await t.personalTokens.create(t.ann, { name: 'short', expiresAt: new Date(t.time.now + 60_000) });
    expect(endless.token).toMatch(/^potoroo_pat_[\w-]{43}$/);
    expect(JSON.stringify(await t.storage.db.selectFrom('personalTokens').selectAll().execute())).not.toContain(endless.token.slice(12));
    expect(await t.identity.actorOf(endless.token)).toEqual({ ...t.ann, personalToken: true });
    later(60_000);
    await expect(t.identity.actorOf(short.token)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect((await t.personalTokens.list(t.ann)).items).toMatchObject([{ name: 'short', lastUsedAt: null }, { name: 'nightly', expiresAt: null, lastUsedAt: new Date(t.time.now - 60_000) }]);
    expect((await t.personalTokens.list(t.admin)).items).toEqual([]);
    await expect(t.personalTokens.revoke(t.admin, endless.id)).rejects.toMatchObject({ code: 'token_not_found' });
    await t.personalTokens.revoke(t.ann, endless.id);
    await expect(t.identity.actorOf(endless.token)).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(t.identity.actorOf('potoroo_pat_made-up')).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test('it makes no other token, nor does the access token that it was exchanged for', async () => {
    const { token } = await t.personalTokens.create(t.ann, { name: 'one' });
    const { accessToken } = await t.identity.exchange(token);
    for (const shown of [token, accessToken]) {
      const actor = await t.identity.actorOf(shown);
      expect(actor.id).toBe(t.ann.id);
      await expect(t.personalTokens.create(actor, { name: 'another' })).rejects.toMatchObject({ code: 'forbidden' });
    }
    await expect(t.identity.exchange(accessToken)).rejects.toMatchObject({ code: 'invalid_credentials' });
    await t.users.setEnabled(t.admin, t.ann.id, false);
    await expect(t.identity.exchange(token)).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test.each([[{ name: '' }, 'invalid_name'], [{ name: 'x'.repeat(129) }, 'invalid_name'], [{ name: 'a\nb' }, 'invalid_name'], [{ name: 'past', expiresAt: new Date(0) }, 'invalid_request']])('refused: %j', async (input, code) => {
    await expect(t.personalTokens.create(t.ann, input)).rejects.toMatchObject({ code });
  });
});
