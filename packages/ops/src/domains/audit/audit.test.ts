import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../../storage/testing.ts';
import { openSecrets } from '../../storage/secrets.ts';
import { ConnectionService } from '../connections/connections.service.ts';
import type { Actor } from '../domains.ts';
import { TagService } from '../tags/tags.service.ts';
import { openDomains, type TestDomains } from '../testing.ts';
import { audited } from './audited.ts';
import { AuditService, currentRequest } from './audit.service.ts';

describe.each(databases)('audit on $name', (database) => {
  let t: TestDomains;
  let audit: AuditService;
  let domains: ReturnType<typeof wrap>;
  const wrap = () => {
    const clock = () => t.time.now;
    const connections = new ConnectionService(t.storage.db, t.access, openSecrets(t.storage.dataDir, undefined), clock);
    // Deployments, logs, registries and images are not part of this test: stand-ins that are never called.
    return audited({ ...t, deployments: {} as never, logs: {} as never, registries: {} as never, images: {} as never, connections, tags: new TagService(t.storage.db, t.access, t.models, t.pipelines, clock) }, audit);
  };
  beforeAll(async () => {
    t = await openDomains(database);
    audit = new AuditService(t.storage.db, t.access, () => t.time.now);
    domains = wrap();
  });
  afterAll(() => t.close());
  const last = async (actor: Actor = t.admin) => (await audit.list(actor, { limit: 1 })).items[0];

  test('every change leaves who, what, where, when and in which request', async () => {
    const pipeline = await currentRequest.run({ id: 'request-7' }, () => domains.pipelines.create(t.ann, { workspaceId: t.workspaceId, name: 'line' }));
    expect(await last()).toEqual({
      id: expect.any(Number), time: new Date(t.time.now), userId: t.ann.id, email: 'ann@ex.co', action: 'pipelines.create', kind: 'pipeline', objectId: String(pipeline.id),
      workspaceId: t.workspaceId, outcome: 'done', requestId: 'request-7',
    });
    await domains.pipelines.remove(t.ann, pipeline.id);
    expect(await last()).toMatchObject({ action: 'pipelines.remove', objectId: String(pipeline.id), workspaceId: t.workspaceId, requestId: null });
  });

  test('so does what was refused, with the reason; what only reads does not', async () => {
    await expect(domains.workspaces.removeMember(t.eve, t.workspaceId, t.bob.id)).rejects.toMatchObject({ code: 'workspace_not_found' });
    const refused = await last();
    expect(refused).toMatchObject({ email: 'eve@ex.co', action: 'workspaces.removeMember', workspaceId: t.workspaceId, outcome: 'workspace_not_found' });
    await domains.workspaces.get(t.ann, t.workspaceId);
    expect((await last())?.id).toBe(refused?.id);
  });

  test('a change is written down before it is made: what a crash cuts off is there as begun', async () => {
    let meanwhile: unknown;
    const cut = audited({ ...domains, tags: new Proxy(domains.tags, { get: () => async () => { meanwhile = await last(); throw new Error('the power goes'); } }) }, audit);
    await expect(cut.tags.create(t.ann, 'x')).rejects.toThrow('the power goes');
    expect(meanwhile).toMatchObject({ email: 'ann@ex.co', action: 'tags.create', kind: 'tag', objectId: null, outcome: 'begun' });
    expect(await last()).toMatchObject({ action: 'tags.create', outcome: 'internal' });
    const [made] = [await domains.tags.create(t.ann, 'kept')];
    expect(await last()).toMatchObject({ action: 'tags.create', objectId: String(made.id), outcome: 'done' });
  });

  test('what cannot be written down is not done; an end that cannot be is told, and the change stands', async () => {
    const told: unknown[] = [];
    const failing = (method: 'begin' | 'end') => audited(domains, { begin: (...given) => (method === 'begin' ? Promise.reject(new Error('disk full')) : audit.begin(...given)), end: (...given) => audit.end(...given) });
    await expect(failing('begin').tags.create(t.ann, 'never')).rejects.toThrow('disk full');
    expect((await domains.tags.list(t.ann, { tag: 'never' })).items).toEqual([]);
    const closed = await databases[0]!.open();
    const broken = new AuditService(closed.db, t.access, () => t.time.now, (error) => told.push(error));
    await closed.close();
    const half = audited(domains, { begin: (...given) => audit.begin(...given), end: (...given) => broken.end(...given) });
    await half.tags.create(t.ann, 'stands');
    expect([told.length, (await domains.tags.list(t.ann, { tag: 'stands' })).items.length]).toEqual([1, 1]);
  });

  test('no secret gets into it', async () => {
    const made = await domains.connections.create(t.ann, { name: 'sales', type: 'X', details: { password: 'correct horse' } });
    await domains.connections.details(t.ann, { id: made.id });
    expect(await last()).toMatchObject({ action: 'connections.details', objectId: made.id });
    const { token } = await domains.personalTokens.create(t.ann, { name: 'script' });
    await domains.users.create(t.admin, { email: 'new@ex.co', password: 'battery staple', role: 'user' });
    const rows = JSON.stringify(await t.storage.db.selectFrom('auditRecords').selectAll().execute());
    for (const secret of ['horse', 'staple', token]) expect(rows).not.toContain(secret);
    expect(rows).toContain(made.id);
  });

  test('is read by administrators, and by owners for their workspace, in pages', async () => {
    const mine = await audit.list(t.ann, { workspaceId: t.workspaceId });
    expect(mine.items.length).toBeGreaterThan(2);
    expect(mine.items.every((record) => record.workspaceId === t.workspaceId)).toBe(true);
    await expect(audit.list(t.bob, { workspaceId: t.workspaceId })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(audit.list(t.eve, { workspaceId: t.workspaceId })).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(audit.list(t.ann)).rejects.toMatchObject({ code: 'forbidden' });
    const first = await audit.list(t.admin, { limit: 2 });
    const next = await audit.list(t.admin, { limit: 2, cursor: first.cursor! });
    expect(next.items[0]!.id).toBeLessThan(first.items[1]!.id);
    expect((await audit.list(t.admin, { userId: t.eve.id })).items.map((r) => r.outcome)).toEqual(['workspace_not_found']);
    expect((await audit.list(t.admin, { kind: 'connection', action: 'connections.create' })).items).toHaveLength(1);
  });

  test('is narrowed by time and outcome, and goes when it is old', async () => {
    const { now } = t.time;
    t.time.now += 10 * 86_400_000;
    const day = (n: number) => new Date(now + n * 86_400_000);
    await domains.tags.create(t.ann, 'later');
    expect((await audit.list(t.admin, { start: day(9) })).items.map((r) => r.action)).toEqual(['tags.create']);
    expect((await audit.list(t.admin, { end: day(1), limit: 1 })).items[0]!.time.getTime()).toBe(now);
    expect((await audit.list(t.admin, { outcome: 'workspace_not_found' })).items.length).toBe(1);
    const before = Number((await t.storage.db.selectFrom('auditRecords').select(({ fn }) => fn.countAll().as('n')).executeTakeFirstOrThrow()).n);
    expect(await audit.removeExpired(0)).toBe(0);
    expect(await audit.removeExpired(11)).toBe(0);
    // More than go in one statement.
    await t.storage.db.insertInto('auditRecords').values(Array.from({ length: 2500 }, (_, i) => ({ time: i, userUuid: 'u', email: 'e', action: 'a', kind: 'k', objectId: null, workspaceId: null, outcome: 'done', requestId: null }))).execute();
    expect(await audit.removeExpired(9)).toBe(before + 2500 - 1);
    expect((await audit.list(t.admin)).items).toHaveLength(1);
    t.time.now = now;
  });
});
