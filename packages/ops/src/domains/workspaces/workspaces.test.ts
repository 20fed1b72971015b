import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../../storage/testing.ts';
import { openDomains, password, type TestDomains } from '../testing.ts';

describe.each(databases)('users and workspaces on $name', (database) => {
  let t: TestDomains;
  beforeAll(async () => { t = await openDomains(database); });
  afterAll(() => t.close());

  test.each([
    [{ email: 'no address' }, 'email'], [{ email: '' }, 'email'], [{ email: `${'x'.repeat(300)}@ex.co` }, 'email'],
    [{ email: 'x@ex.co', password: 'short' }, 'password'], [{ email: 'x@ex.co', password: 'x'.repeat(257) }, 'password'],
    [{ email: 'x@ex.co', username: 'two words' }, 'username'], [{ email: 'x@ex.co', username: '' }, 'username'],
  ])('user %# is refused', async (input, field) => {
    await expect(t.users.create(t.admin, { password, role: 'user', ...input })).rejects.toMatchObject({ code: 'invalid_request', fields: [{ field }] });
  });

  test('one e-mail and one username is one user, whatever the case; also when two ask at once', async () => {
    const create = (email: string, username?: string) => t.users.create(t.admin, { email, password, role: 'user', ...(username && { username }) });
    const both = await Promise.allSettled([create('Twin@ex.co'), create('twin@EX.co')]);
    expect(both.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected']);
    await expect(create('other@ex.co', 'TWIN@ex.co')).rejects.toMatchObject({ code: 'already_exists' });
  });

  test('only administrators create and disable users, and never themselves or the last of them', async () => {
    await expect(t.users.create(t.ann, { email: 'f@ex.co', password, role: 'admin' })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(t.users.setEnabled(t.ann, t.bob.id, false)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(t.users.setEnabled(t.admin, t.admin.id, false)).rejects.toMatchObject({ code: 'conflict' });
    await expect(t.users.setEnabled(t.admin, 'nobody', false)).rejects.toMatchObject({ code: 'user_not_found' });
  });

  test('pages are whole, in order and without end in a circle', async () => {
    for (let i = 0; i < 5; i += 1) await t.workspaces.create(t.eve, { name: `w${i}` });
    const names: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await t.workspaces.list(t.eve, { limit: 2, ...(cursor && { cursor }) });
      names.push(...page.items.map((w) => w.name));
      cursor = page.cursor ?? undefined;
      pages += 1;
    } while (cursor !== undefined && pages < 10);
    expect(names).toEqual(['w4', 'w3', 'w2', 'w1', 'w0']);
    expect(pages).toBe(3);
  });

  test.each(['', 'x', '!!', 'aWQ6MQ==x', Buffer.from('id:-1').toString('base64url'), Buffer.from('{"id":1}').toString('base64url')])('cursor %j is refused', async (cursor) => {
    await expect(t.workspaces.list(t.ann, { cursor })).rejects.toMatchObject({ code: 'invalid_cursor' });
  });
  test.each([0, -1, 1001, 1.5, Number.NaN])('limit %d is refused', async (limit) => {
    await expect(t.users.list(t.ann, { limit })).rejects.toMatchObject({ code: 'invalid_request' });
  });
  test.each(['', ' x', 'a\nb', 'x'.repeat(257)])('workspace name %# is refused', async (name) => {
    await expect(t.workspaces.create(t.ann, { name })).rejects.toMatchObject({ code: 'invalid_name' });
  });

  test('what you are not in does not exist; what you are in but do not own is not yours to change', async () => {
    const id = t.workspaceId;
    await expect(t.workspaces.get(t.eve, id)).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(t.workspaces.get(t.eve, 999_999)).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(t.workspaces.setMember(t.eve, id, { userId: t.eve.id, role: 'owner' })).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(t.workspaces.setMember(t.bob, id, { userId: t.eve.id, role: 'owner' })).rejects.toMatchObject({ code: 'forbidden' });
    expect((await t.workspaces.get(t.bob, id)).name).toBe('credit cards');
    expect((await t.workspaces.list(t.bob, {})).items.map((w) => w.id)).toEqual([id]);
    expect((await t.workspaces.get(t.admin, id)).members).toHaveLength(2);
  });

  test('members are listed in the order in which they came to the server', async () => {
    const { id } = await t.workspaces.create(t.bob, { name: 'order' });
    const late = await Promise.all(['p@ex.co', 'q@ex.co', 'r@ex.co', 's@ex.co'].map((email) => t.users.create(t.admin, { email, password, role: 'user' })));
    const ids = [t.ann, t.bob, ...late].map((u) => u.id);
    const came = [...(await t.users.list(t.admin, { ids })).items].reverse().map((u) => u.id); // made at the same time, in any order
    for (const userId of came.toReversed()) if (userId !== t.bob.id) await t.workspaces.setMember(t.bob, id, { userId, role: 'collaborator' });
    await t.workspaces.setMember(t.bob, id, { userId: t.ann.id, role: 'owner' });
    expect((await t.workspaces.get(t.bob, id)).members.map((m) => m.userId)).toEqual(came);
  });

  test('members come and go, an owner stays, and whoever may use the workspace is told', async () => {
    const { id } = await t.workspaces.create(t.ann, { name: 'team' });
    expect(await t.workspaces.subjects(id)).toEqual([t.admin.id, t.ann.id].sort());
    let told = 0;
    const stop = t.access.onChange(() => { told += 1; });
    await t.workspaces.setMember(t.ann, id, { userId: t.eve.id, role: 'collaborator' });
    expect(await t.workspaces.subjects(id)).toEqual([t.admin.id, t.ann.id, t.eve.id].sort());
    await expect(t.workspaces.setMember(t.ann, id, { userId: 'nobody', role: 'owner' })).rejects.toMatchObject({ code: 'user_not_found' });
    await expect(t.workspaces.removeMember(t.ann, id, t.ann.id)).rejects.toMatchObject({ code: 'conflict', message: `User ann@ex.co is the only owner of workspace "team" (${id}); make somebody else an owner first.` });
    await expect(t.workspaces.removeMember(t.ann, id, t.bob.id)).rejects.toMatchObject({ code: 'user_not_found', message: `User bob@ex.co is not a member of workspace "team" (${id}).` });
    await expect(t.workspaces.setMember(t.ann, id, { userId: t.ann.id, role: 'collaborator' })).rejects.toMatchObject({ code: 'conflict' });
    await t.workspaces.setMember(t.ann, id, { userId: t.eve.id, role: 'owner' });
    await t.workspaces.removeMember(t.eve, id, t.ann.id);
    expect(told).toBe(3);
    stop();
    await expect(t.workspaces.get(t.ann, id)).rejects.toMatchObject({ code: 'workspace_not_found' });
  });

  test('everybody has one default workspace, also when asked for twice at once, and is never taken out of it', async () => {
    const asked = await Promise.all([1, 2, 3].map(() => t.workspaces.defaultFor(t.bob)));
    expect(new Set(asked.map((w) => w.id)).size).toBe(1);
    expect(asked[0]).toMatchObject({ name: 'bob@ex.co - Default Workspace', members: [{ userId: t.bob.id, role: 'owner' }] });
    const { id } = asked[0] as { id: number };
    await t.workspaces.setMember(t.bob, id, { userId: t.ann.id, role: 'owner' });
    await expect(t.workspaces.removeMember(t.ann, id, t.bob.id)).rejects.toMatchObject({ code: 'conflict', message: `Workspace "bob@ex.co - Default Workspace" (${id}) is the default workspace of user bob@ex.co; nobody is taken out of their own.` });
  });

  test('an archived workspace is left out of lists and can be had back; by its owners, and never somebody’s default one', async () => {
    const { id } = await t.workspaces.create(t.ann, { name: 'old project' });
    await t.workspaces.setMember(t.ann, id, { userId: t.bob.id, role: 'collaborator' });
    const ids = async (archived?: boolean) => (await t.workspaces.list(t.bob, archived === undefined ? {} : { archived })).items.map((w) => w.id);
    await expect(t.workspaces.setArchived(t.bob, id, true)).rejects.toMatchObject({ code: 'forbidden', message: `Only an owner of workspace "old project" (${id}) or an administrator may do this; ask one of them.` });
    await expect(t.workspaces.setArchived(t.eve, id, true)).rejects.toMatchObject({ code: 'workspace_not_found' });
    expect((await t.workspaces.setArchived(t.ann, id, true)).archived).toBe(true);
    expect(await ids()).not.toContain(id);
    expect(await ids(true)).toEqual([id]);
    expect((await t.workspaces.get(t.bob, id)).archived).toBe(true);
    await t.workspaces.setArchived(t.ann, id, false);
    expect(await ids()).toContain(id);
    await expect(t.workspaces.setArchived(t.ann, (await t.workspaces.defaultFor(t.ann)).id, true)).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(/^Workspace "ann@ex.co - Default Workspace" \(\d+\) is/) as string });
  });
});
