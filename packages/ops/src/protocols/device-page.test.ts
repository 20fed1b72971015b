import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databases, type TestDatabase } from '../storage/testing.ts';
import { adminEmail, adminPassword, startOps, type TestOps } from '../testing.ts';

const openid = '/auth/realms/master/protocol/openid-connect';

describe('the sign-in page', () => {
  let t: TestOps;
  beforeAll(async () => { t = await startOps(databases[0] as TestDatabase); });
  afterAll(() => t.close());

  interface Start { device_code: string; user_code: string; verification_uri: string; verification_uri_complete: string; interval: number; expires_in: number }
  const form = (path: string, fields: Record<string, string>, headers: Record<string, string> = {}) => fetch(t.url + path, { method: 'POST', body: new URLSearchParams(fields), headers });
  const start = async (): Promise<Start> => (await form(`${openid}/auth/device`, { client_id: 'sdk-client' })).json() as Promise<Start>;
  const poll = async (device_code: string) => {
    const answer = await form(`${openid}/token`, { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code, client_id: 'sdk-client' });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  /** What a browser does: opens the page, keeps its cookie, sends its form. */
  const open = async (address: string) => {
    const answer = await fetch(address);
    const html = await answer.text();
    const [cookie = ''] = (answer.headers.get('set-cookie') ?? '').split(';');
    const proof = /name="proof" value="([^"]+)"/.exec(html)?.[1] ?? '';
    const code = /name="user_code" value="([^"]+)"/.exec(html)?.[1] ?? '';
    const send = async (fields: Record<string, string>, headers: Record<string, string> = { cookie }) => {
      const sent = await form('/auth/realms/master/device', { proof, user_code: code, ...fields }, headers);
      return { status: sent.status, html: await sent.text() };
    };
    return { status: answer.status, headers: answer.headers, html, proof, cookie, send };
  };
  const right = { answer: 'allow', username: adminEmail, password: adminPassword };

  test('lets a device in', async () => {
    const device = await start();
    expect(device).toMatchObject({ expires_in: 600, interval: 2, verification_uri: `${t.url}/auth/realms/master/device` });
    expect(await poll(device.device_code)).toMatchObject({ status: 400, body: { error: 'authorization_pending' } });
    expect(await poll(device.device_code)).toMatchObject({ status: 400, body: { error: 'slow_down' } });
    const page = await open(device.verification_uri_complete);
    expect(page.html).toContain(device.user_code);
    const wrong = await page.send({ ...right, password: 'wrong"><script>' });
    expect(wrong).toMatchObject({ status: 401, html: expect.stringContaining('role="alert"') });
    expect(wrong.html).not.toMatch(/<script/);
    const again = await open(device.verification_uri_complete);
    expect(await again.send(right)).toMatchObject({ status: 200, html: expect.stringContaining('Signed in') });
    const { status, body } = await poll(device.device_code);
    expect(status).toBe(200);
    expect((await t.call<{ email: string }>('GET', '/api/v1/me', undefined, { token: body['access_token'] as string })).body.email).toBe(adminEmail);
    expect(await poll(device.device_code)).toMatchObject({ status: 400, body: { error: 'expired_token' } });
    expect((await open(device.verification_uri_complete)).status).toBe(404);
  });

  test('keeps a device out that its user refuses', async () => {
    const device = await start();
    expect(await (await open(device.verification_uri_complete)).send({ answer: 'deny' })).toMatchObject({ status: 200, html: expect.stringContaining('Refused') });
    expect(await poll(device.device_code)).toMatchObject({ status: 400, body: { error: 'access_denied' } });
  });

  test('takes a code as it is typed, keeps what was wrong to be put right, and asks for the password alone when only that was wrong', async () => {
    const device = await start();
    const typed = `${device.verification_uri}?user_code=${encodeURIComponent(device.user_code.toLowerCase().replace('-', ' '))}`;
    const page = await open(typed);
    expect(page.html).toContain(`<code>${device.user_code}</code>`);
    expect(page.html).toMatch(/id="username"[^>]* autofocus/);
    const wrong = await page.send({ ...right, password: 'wrong' });
    expect(wrong.html).toMatch(/id="password"[^>]* autofocus[^>]* aria-describedby="problem"/);
    expect(wrong.html).toContain(`value="${adminEmail}"`);
    expect(wrong.html).not.toMatch(/id="username"[^>]* autofocus/);
    const unknown = await open(`${device.verification_uri}?user_code=BBBB-BBB`);
    expect(unknown).toMatchObject({ status: 404, html: expect.stringMatching(/value="BBBB-BBB" aria-describedby="problem" aria-invalid="true"/) });
  });

  test('takes no form from another site or without its own cookie', async () => {
    const device = await start();
    const page = await open(device.verification_uri_complete);
    for (const headers of [{}, { cookie: 'potoroo_sign_in=other' }, { cookie: page.cookie, 'sec-fetch-site': 'cross-site' }]) {
      expect((await page.send(right, headers as Record<string, string>)).status).toBe(403);
    }
    expect(await poll(device.device_code)).toMatchObject({ body: { error: 'authorization_pending' } });
    expect((await page.send({ answer: 'allow' })).status).toBe(400);
    expect((await page.send({ ...right, answer: 'perhaps' })).status).toBe(400);
  });

  test('loads and runs nothing from anywhere, and names every field', async () => {
    const { verification_uri_complete, verification_uri } = await start();
    for (const address of [verification_uri_complete, verification_uri, `${verification_uri}?user_code=%3Cscript%3E`]) {
      const { headers, html } = await open(address);
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(html).not.toMatch(/<script|https?:|src=/);
      for (const [, id] of html.matchAll(/<input id="(\w+)"/g)) expect(html).toContain(`<label for="${id}">`);
      expect(html).toContain('<html lang="en">');
    }
    expect((await open(verification_uri_complete)).headers.get('set-cookie')).toMatch(/HttpOnly; SameSite=Strict/);
  });

  test('a personal access token works as a bearer and is exchanged for one that engines take', async () => {
    const created = await t.call<{ id: string; token: string }>('POST', '/api/v1/tokens', { name: 'script' });
    expect(created.status).toBe(200);
    const { token, id } = created.body;
    expect((await t.call('GET', '/api/v1/me', undefined, { token })).status).toBe(200);
    expect((await t.call('POST', '/v1/api/workspaces/list', {}, { token })).status).toBe(200);
    expect((await t.call('POST', '/api/v1/tokens', { name: 'more' }, { token })).status).toBe(403);
    const exchanged = (await (await form(`${openid}/token`, { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: token })).json()) as { access_token: string };
    expect((await t.call('GET', '/api/v1/me', undefined, { token: exchanged.access_token })).status).toBe(200);
    expect((await t.call<{ items: unknown[] }>('GET', '/api/v1/tokens')).text).not.toContain(token);
    expect((await t.call('DELETE', `/api/v1/tokens/${id}`)).status).toBe(204);
    expect((await t.call('GET', '/api/v1/me', undefined, { token })).status).toBe(401);
    expect((await form(`${openid}/token`, { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: token })).status).toBe(401);
  });
});
