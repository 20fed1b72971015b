import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Potoroo } from '@potoroo/sdk';
import { admin, example, root, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let potoroo: Potoroo;

async function command(args: readonly string[], input = '', env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(root, 'packages', 'cli', 'dist', 'main.js'), ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_CONFIG_DIR: join(folder.path, 'config'), POTOROO_URL: server.url, ...env },
  });
  child.stdin.end(input);
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<number | null>((resolve) => { child.once('close', resolve); })]);
  return { out: out.trim(), err, code };
}
async function ok(args: readonly string[], input = '', env: Record<string, string> = {}): Promise<string> {
  const { out, err, code } = await command(args, input, env);
  expect(code, `${args.join(' ')}: ${err}`).toBe(0);
  return out;
}

beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
  potoroo = new Potoroo({ url: server.url, ...admin });
  await ok(['login', '-u', admin.username, '--password-stdin'], admin.password);
  const workspace = await potoroo.workspaces.default();
  await workspace.uploadModel('m', join(example, 'model.onnx'), { framework: 'onnx' });
  await workspace.buildPipeline('line');
});
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

// Each command is a process of its own: on a busy machine that adds up.
describe('the command line', { timeout: 120_000 }, () => {
  it('puts tags on things and takes them off', async () => {
    await ok(['tag', 'create', 'production']);
    await ok(['tag', 'add', 'production', '--pipeline', 'line']);
    await ok(['tag', 'add', 'production', '--model', 'm']);
    expect(JSON.parse(await ok(['tag', 'list', '--json']))).toMatchObject([{ tag: 'production', modelVersionIds: [expect.any(Number)], pipelineIds: [expect.any(Number)] }]);
    await ok(['tag', 'remove', 'production', '--pipeline', 'line']);
    expect(await command(['tag', 'remove', 'production', '--pipeline', 'line'])).toMatchObject({ code: 4, err: expect.stringContaining('does not carry') });
    expect(await command(['tag', 'add', 'production'])).toMatchObject({ code: 2, err: expect.stringContaining('--model <name> or --pipeline') });
    expect(await command(['tag', 'add', 'none', '--model', 'm'])).toMatchObject({ code: 4, err: expect.stringContaining('potoroo tag list') });
    await ok(['tag', 'delete', 'production']);
    expect(await ok(['tag', 'list'])).toContain('no tag yet');
  });

  it('keeps connections and shows their details only when they are asked for', async () => {
    const file = join(folder.path, 'sales.json');
    await writeFile(file, '{"password": "correct horse"}');
    const shown = [await ok(['connection', 'create', 'sales', 'POSTGRES', file]), await ok(['connection', 'create', 'stream', 'KAFKA'], '{"token": "battery staple"}'), await ok(['connection', 'add', 'sales']), await ok(['connection', 'list']), await ok(['connection', 'list', '--here', '--json'])];
    expect(shown.join()).not.toMatch(/horse|staple/);
    expect(JSON.parse(shown[4] as string)).toMatchObject([{ name: 'sales' }]);
    expect(JSON.parse(await ok(['connection', 'details', 'stream']))).toEqual({ token: 'battery staple' });
    expect(await command(['connection', 'delete', 'sales'])).toMatchObject({ code: 1, err: expect.stringContaining('remove it from there first') });
    await ok(['connection', 'remove', 'sales']);
    await ok(['connection', 'delete', 'sales']);
    for (const wrong of ['secret but no JSON', '["secret"]', '']) {
      const refused = await command(['connection', 'create', 'bad', 'X', '-'], wrong);
      expect(refused).toMatchObject({ code: 2, out: '' });
      expect(refused.err).not.toContain('secret');
    }
    expect(await command(['connection', 'create', 'bad', 'X', '/nowhere/at/all.json'])).toMatchObject({ code: 2, err: expect.stringContaining('cannot be read') });
  });

  it('invites users, takes them into a workspace, disables them', async () => {
    const { password } = JSON.parse(await ok(['user', 'invite', 'maria@example.com', '--json'])) as { password: string };
    const maria = new Potoroo({ url: server.url, username: 'maria@example.com', password });
    expect((await maria.users.me()).role).toBe('user');
    await ok(['workspace', 'create', 'fraud', '--use']);
    expect((await maria.workspaces.list({ name: 'fraud' }).toArray()).length).toBe(0);
    await ok(['workspace', 'add', 'maria@example.com']);
    expect(await ok(['workspace', 'members'])).toMatch(/maria@example.com +collaborator/);
    expect((await maria.workspaces.list({ name: 'fraud' }).toArray()).length).toBe(1);
    await ok(['workspace', 'remove', 'maria@example.com']);
    await ok(['user', 'disable', 'maria@example.com']);
    // Her token is refused, and so is the password that the client then tries.
    await expect(maria.users.me()).rejects.toMatchObject({ code: 'invalid_credentials' });
    await ok(['user', 'enable', 'maria@example.com']);
    expect((await potoroo.users.list({ email: 'maria@example.com' }).toArray())[0]?.enabled).toBe(true);
    expect(await command(['user', 'disable', 'nobody@example.com'])).toMatchObject({ code: 4, err: expect.stringContaining('potoroo user list') });
  });

  it('archives workspaces', async () => {
    await potoroo.workspaces.create('fraud of last year');
    const { id } = JSON.parse(await ok(['workspace', 'archive', 'fraud of last year', '--json'])) as { id: number };
    expect(await ok(['workspace', 'list'])).not.toContain('last year');
    expect(await ok(['workspace', 'list', '--archived'])).toContain('last year');
    expect(await command(['workspace', 'archive', String((await potoroo.workspaces.default()).id)])).toMatchObject({ code: 1, err: expect.stringContaining('default workspace') });
    await ok(['workspace', 'unarchive', String(id)]);
    expect(await ok(['workspace', 'list'])).toContain('last year');
  });

  it('makes tokens for scripts and revokes them', async () => {
    const token = await ok(['token', 'create', 'nightly', '--expires', '1h']);
    expect(token).toMatch(/^potoroo_pat_/);
    expect(await ok(['workspace', 'list'], '', { POTOROO_TOKEN: token })).toContain('fraud');
    const [listed] = JSON.parse(await ok(['token', 'list', '--json'])) as { id: string; expiresAt: string; lastUsedAt: string }[];
    expect(listed).toMatchObject({ name: 'nightly', expiresAt: expect.any(String), lastUsedAt: expect.any(String) });
    expect(await command(['token', 'create', 'more'], '', { POTOROO_TOKEN: token })).toMatchObject({ code: 3 });
    await ok(['token', 'revoke', listed!.id]);
    expect(await command(['workspace', 'list'], '', { POTOROO_TOKEN: token })).toMatchObject({ code: 3 });
    expect(await ok(['token'])).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  it('shows who changed what', async () => {
    const all = JSON.parse(await ok(['audit', '--all', '--limit', '200', '--json'])) as { action: string; email: string; workspaceId: number | null }[];
    expect(all.map((r) => r.action)).toEqual(expect.arrayContaining(['tags.add', 'connections.create', 'users.create', 'workspaces.setMember', 'personalTokens.create', 'models.upload']));
    expect(await ok(['audit'])).toMatch(/workspaces.setMember/);
    expect(JSON.stringify(all)).not.toMatch(/horse|staple|potoroo_pat_/);
  });
});

describe('the SDK', () => {
  it('tags what it has at hand', async () => {
    const workspace = await potoroo.workspaces.default();
    const [model] = await workspace.models({ name: 'm' }).toArray();
    const pipeline = await workspace.buildPipeline('line');
    const tag = await potoroo.tags.create('from the SDK');
    await tag.addTo(model!.latest);
    await tag.addTo(pipeline);
    expect((await potoroo.tags.get(tag.id)).info).toMatchObject({ modelVersionIds: [model!.latest.id], pipelineIds: [pipeline.id] });
    await tag.removeFrom(model!.latest);
    await expect(tag.removeFrom(model!.latest)).rejects.toMatchObject({ code: 'tag_not_found' });
    await tag.delete();
    await expect(potoroo.tags.get(tag.id)).rejects.toMatchObject({ code: 'tag_not_found' });
  });

  it('shares a connection through a workspace', async () => {
    const workspace = await potoroo.workspaces.default();
    const made = await potoroo.connections.create({ name: 'lake', type: 'S3', details: { key: 'k' } });
    expect((await made.addToWorkspace(workspace.id)).info.workspaces).toMatchObject([{ id: workspace.id }]);
    expect(await (await potoroo.connections.get(made.id)).details()).toEqual({ key: 'k' });
    expect((await potoroo.connections.list({ workspaceId: workspace.id, name: 'lake' }).toArray()).map((c) => c.type)).toEqual(['S3']);
    await made.removeFromWorkspace(workspace.id);
    await made.delete();
    await expect(potoroo.connections.get(made.id)).rejects.toMatchObject({ code: 'connection_not_found' });
  });
});
