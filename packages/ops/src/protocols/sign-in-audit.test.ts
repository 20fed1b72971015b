import { afterAll, beforeAll, expect, test } from 'vitest';
import { databases } from '../storage/testing.ts';
import { adminEmail, adminPassword, startOps, type TestOps } from '../testing.ts';

let t: TestOps;
beforeAll(async () => { t = await startOps(databases[0]!); });
afterAll(() => t.close());

const signIn = (username: string, password: string) =>
  fetch(`${t.url}/auth/realms/master/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'password', client_id: 'x', username, password }) });
interface Record { action: string; kind: string; objectId: string; outcome: string; email: string; userId: string }
const records = async (query = ''): Promise<Record[]> => (await t.call<{ items: Record[] }>('GET', `/api/v1/audit?kind=address&limit=1000${query}`)).body.items;

test('sign-ins are in the audit record, made or refused, without what was typed; a limit once', async () => {
  const before = (await records()).length;
  expect((await signIn(adminEmail, adminPassword)).status).toBe(200);
  expect((await records())[0]).toMatchObject({ action: 'identity.signIn', outcome: 'done', email: adminEmail, objectId: '127.0.0.1' });
  await signIn(adminEmail, 'wrong one');
  expect((await records())[0]).toMatchObject({ outcome: 'invalid_credentials', email: adminEmail });
  await signIn('hunter2', 'typed into the wrong field');
  expect((await records())[0]).toMatchObject({ outcome: 'invalid_credentials', email: '', userId: '' });
  for (let i = 0; i < 15; i += 1) await signIn(adminEmail, 'guess');
  const limited = await records('&outcome=rate_limited');
  expect(limited).toHaveLength(1);
  expect(limited[0]).toMatchObject({ email: adminEmail });
  const all = await records();
  expect(all.length - before).toBe(1 + 1 + 1 + 9 + 1);
  expect(JSON.stringify(all)).not.toMatch(/hunter2|guess|typed into/);
});
