import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openSecrets } from '../../storage/secrets.ts';
import { databases, type TestStorage } from '../../storage/testing.ts';
import { Access } from '../access.ts';
import type { Actor } from '../domains.ts';
import { UserService } from '../users/users.service.ts';
import { WorkspaceService } from '../workspaces/workspaces.service.ts';
import { ConnectionService } from './connections.service.ts';

describe.each(databases)('connections on $name', ({ open }) => {
  let storage: TestStorage;
  let connections: ConnectionService;
  let workspaces: WorkspaceService;
  let [admin, maker, member, stranger]: Actor[] = [];
  const details = { host: 'db.example.com', password: 'correct horse' };

  beforeEach(async () => {
    storage = await open();
    const access = new Access(storage.db);
    const users = new UserService(storage.db, access, Date.now);
    const boss: Actor = { id: 'boss', email: 'boss@example.com', role: 'admin' };
    const actor = async (name: string, role: 'admin' | 'user'): Promise<Actor> => {
      const { id, email } = await users.create(boss, { email: `${name}@example.com`, password: 'a long password', role });
      return { id, email, role };
    };
    [admin, maker, member, stranger] = [await actor('admin', 'admin'), await actor('maker', 'user'), await actor('member', 'user'), await actor('stranger', 'user')];
    workspaces = new WorkspaceService(storage.db, access, users, Date.now);
    connections = new ConnectionService(storage.db, access, openSecrets(storage.dataDir, undefined), () => 1_700_000_000_000);
  });
  afterEach(() => storage.close());

  const shared = async () => {
    const { id } = await workspaces.create(maker!, { name: 'shared' });
    await workspaces.setMember(maker!, id, { userId: member!.id, role: 'collaborator' });
    return id;
  };

  test('details come back whole, and neither lists nor the database show them', async () => {
    const made = await connections.create(maker!, { name: 'sales', type: 'POSTGRES', details });
    expect(made).toMatchObject({ name: 'sales', type: 'POSTGRES', workspaces: [], createdAt: new Date(1_700_000_000_000) });
    expect(await connections.details(maker!, { id: made.id })).toEqual(details);
    expect(JSON.stringify(await connections.list(maker!))).not.toContain('horse');
    const rows = await storage.db.selectFrom('connections').selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain('horse');
  });

  test('only who made it, members of its workspaces and administrators see it', async () => {
    const { id } = await connections.create(maker!, { name: 'sales', type: 'KAFKA', details });
    for (const actor of [member!, stranger!]) {
      await expect(connections.get(actor, { id })).rejects.toMatchObject({ code: 'connection_not_found' });
      await expect(connections.details(actor, { name: 'sales' })).rejects.toMatchObject({ code: 'connection_not_found' });
      expect((await connections.list(actor)).items).toEqual([]);
    }
    const workspaceId = await shared();
    await expect(connections.addToWorkspace(member!, { id }, workspaceId)).rejects.toMatchObject({ code: 'connection_not_found' });
    expect((await connections.addToWorkspace(maker!, { id }, workspaceId)).workspaces).toEqual([{ id: workspaceId, name: 'shared' }]);
    await connections.addToWorkspace(maker!, { id }, workspaceId);
    expect(await connections.details(member!, { id })).toEqual(details);
    expect((await connections.list(member!, { workspaceId })).items.map((c) => c.name)).toEqual(['sales']);
    expect((await connections.list(admin!)).items).toHaveLength(1);
    await expect(connections.list(stranger!, { workspaceId })).rejects.toMatchObject({ code: 'workspace_not_found' });
    await expect(connections.details(stranger!, { id })).rejects.toMatchObject({ code: 'connection_not_found' });
  });

  test('deleted by its maker when no workspace has it any more', async () => {
    const { id } = await connections.create(maker!, { name: 'sales', type: 'KAFKA', details });
    const workspaceId = await shared();
    await connections.addToWorkspace(maker!, { id }, workspaceId);
    await expect(connections.remove(member!, { id })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(connections.remove(maker!, { id })).rejects.toMatchObject({ code: 'in_use', message: expect.stringContaining('"shared"') });
    await connections.removeFromWorkspace(member!, { id }, workspaceId);
    await expect(connections.removeFromWorkspace(maker!, { id }, workspaceId)).rejects.toMatchObject({ code: 'connection_not_found', message: expect.stringMatching(/ is not in workspace ".+" \(\d+\)\.$/) as string });
    await connections.remove(maker!, { id });
    await expect(connections.get(maker!, { id })).rejects.toMatchObject({ code: 'connection_not_found' });
  });

  test.each([
    ['a name twice', { name: 'sales', type: 'X', details: {} }, 'already_exists'],
    ['no name', { name: ' ', type: 'X', details: {} }, 'invalid_name'],
    ['a name too long', { name: 'n'.repeat(257), type: 'X', details: {} }, 'invalid_name'],
    ['a control character', { name: 'a\u0000b', type: 'X', details: {} }, 'invalid_name'],
    ['no type', { name: 'other', type: '', details: {} }, 'invalid_name'],
    ['details without end', { name: 'other', type: 'X', details: { blob: 'x'.repeat(300_000) } }, 'invalid_request'],
  ])('refused: %s', async (_, input, code) => {
    await connections.create(maker!, { name: 'sales', type: 'KAFKA', details });
    await expect(connections.create(maker!, input)).rejects.toMatchObject({ code });
  });

  test('with another key a stored secret does not open, and the message says which key is wanted', async () => {
    const { id } = await connections.create(maker!, { name: 'sales', type: 'KAFKA', details });
    rmSync(join(storage.dataDir, 'secret.key'));
    const other = new ConnectionService(storage.db, new Access(storage.db), openSecrets(storage.dataDir, undefined), Date.now);
    await expect(other.details(maker!, { id })).rejects.toMatchObject({ message: expect.stringContaining('secret.key') });
  });

  test('pages', async () => {
    for (const name of ['a', 'b', 'c']) await connections.create(maker!, { name, type: 'X', details: {} });
    const first = await connections.list(maker!, { limit: 2 });
    expect(first.items.map((c) => c.name)).toEqual(['c', 'b']);
    expect((await connections.list(maker!, { limit: 2, cursor: first.cursor! })).items.map((c) => c.name)).toEqual(['a']);
  });
});

test.each([['too short', Buffer.alloc(16).toString('base64')], ['no base64', '???']])('a key that is %s is refused with what would be right', (_, key) => {
  expect(() => openSecrets('unused', key)).toThrow(/POTOROO_SECRET_KEY.*openssl rand/);
});
