import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Potoroo } from '@potoroo/sdk';
import { admin, example, startServer, temporaryFolder, type Server } from '../support/server.ts';
import { startKeycloak, type Keycloak, type Person } from './keycloak.ts';

const maria: Person = { email: 'maria@example.com', password: 'the password of maria' };
const boss: Person = { email: 'boss@example.com', password: 'the password of boss', roles: ['potoroo-admin'] };
const stranger: Person = { email: 'stranger@example.com', password: 'the password of stranger' };
const unverified: Person = { email: 'unverified@example.com', password: 'the password of nobody', verified: false };
const impostor: Person = { email: admin.username, password: 'the password of an impostor', roles: ['potoroo-admin'] };

describe('users of a real Keycloak', () => {
  let keycloak: Keycloak;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let server: Server;
  beforeAll(async () => {
    keycloak = await startKeycloak();
    for (const person of [maria, boss, stranger, unverified, impostor]) await keycloak.addUser(person);
    folder = await temporaryFolder();
    server = await startServer(join(folder.path, 'data'), { POTOROO_OIDC_ISSUER: keycloak.issuer });
  });
  afterAll(async () => {
    await server?.stop();
    await folder?.remove();
    await keycloak?.stop();
  });

  const client = (token: string) => new Potoroo({ url: server.url, token });
  const as = async (person: Person) => client(await keycloak.token(person));
  const local = () => new Potoroo({ url: server.url, ...admin });

  it('are created when they first come, all at once or one by one, and are the same afterwards', async () => {
    const token = await keycloak.token(maria);
    const seen = await Promise.all(Array.from({ length: 5 }, () => client(token).users.me()));
    expect(new Set(seen.map((user) => user.id)).size).toBe(1);
    expect(seen[0]).toMatchObject({ email: maria.email, role: 'user', enabled: true });
    expect((await (await as(maria)).users.me()).id).toBe(seen[0]?.id);
    expect((await (await as(maria)).workspaces.default()).name).toBe(`${maria.email} - Default Workspace`);
  });

  it('are administrators when they have the role there, as long as they have it', async () => {
    const potoroo = await as(boss);
    expect((await potoroo.users.me()).role).toBe('admin');
    await potoroo.users.create({ email: 'made@example.com', password: 'made by an administrator' });
    await expect((await as(maria)).users.create({ email: 'no@example.com', password: 'not made by one' })).rejects.toMatchObject({ code: 'forbidden' });
    await keycloak.setPersonRoles(boss, []);
    await expect((await as(boss)).users.create({ email: 'no@example.com', password: 'not made by one' })).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('are not let in with what is not an access token of theirs for this server', async () => {
    const good = await keycloak.token(maria);
    const [head, body, signature] = good.split('.') as [string, string, string];
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
    const forged = Buffer.from(JSON.stringify({ ...claims, email: boss.email })).toString('base64url');
    const bad = {
      'of another client': await keycloak.token(maria, 'something-else'),
      'an identity token': await keycloak.token(maria, 'potoroo', 'id_token'),
      'a refresh token': await keycloak.token(maria, 'potoroo', 'refresh_token'),
      'of an unverified e-mail': await keycloak.token(unverified),
      'of one who has the e-mail of a local user': await keycloak.token(impostor),
      'changed': `${head}.${forged}.${signature}`,
      'unsigned': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`,
    };
    for (const [what, token] of Object.entries(bad)) await expect(client(token).users.me(), what).rejects.toMatchObject({ code: 'unauthenticated' });
    expect((await local().users.me()).role).toBe('admin');
  });

  it('infer through the server and straight at the engine, where others are refused', async () => {
    const potoroo = await as(maria);
    const rows = await readFile(join(example, 'rows.json'), 'utf8');
    const workspace = await potoroo.workspaces.default();
    const model = await workspace.uploadModel('breast-cancer', join(example, 'model.onnx'), { framework: 'onnx' });
    await model.configure({ tensorFields: ['tensor'] });
    const pipeline = (await workspace.buildPipeline('line')).addModelStep(model);
    const deployment = await pipeline.deploy();
    await deployment.waitUntilRunning();
    expect(await pipeline.infer(JSON.parse(rows) as never)).toHaveLength((JSON.parse(rows) as unknown[]).length);

    const { port } = (await pipeline.deployment()).info;
    const direct = async (token: string) => (await fetch(`http://127.0.0.1:${port}/pipelines/line`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: rows })).status;
    expect(await direct(await keycloak.token(maria))).toBe(200);
    expect(await direct(await local().token()), 'the built-in issuer beside it').toBe(200);
    const { token } = await local().personalTokens.create({ name: 'script' });
    expect(await direct(token), 'a personal token has to be exchanged').toBe(401);
    const exchanged = await fetch(`${server.url}/auth/realms/master/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: token }) });
    expect(await direct(((await exchanged.json()) as { access_token: string }).access_token)).toBe(200);
    await (await as(stranger)).users.me();
    expect(await direct(await keycloak.token(stranger))).toBe(403);
    expect(await direct(await keycloak.token(maria, 'something-else'))).toBe(401);
    await expect((await as(stranger)).pipelines.get(pipeline.id)).rejects.toMatchObject({ code: 'pipeline_not_found' });
    await pipeline.undeploy();
  });

  it('go on when the issuer changes its keys', async () => {
    const kid = (token: string) => (JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as { kid: string }).kid;
    const before = await keycloak.token(maria);
    await keycloak.rotateKeys();
    const after = await keycloak.token(maria);
    expect(kid(after)).not.toBe(kid(before));
    // An unknown key makes the keys be read again, at most every few seconds.
    await expect.poll(() => client(after).users.me().then((user) => user.email, (error: { code: string }) => error.code), { timeout: 20_000, interval: 500 }).toBe(maria.email);
    expect((await client(before).users.me()).email).toBe(maria.email);
  });

  it('are out at once when they are disabled here', async () => {
    const token = await keycloak.token(maria);
    const { id } = await client(token).users.me();
    await local().users.setEnabled(id, false);
    await expect(client(token).users.me()).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('keep nobody else out when their issuer is away', async () => {
    const token = await keycloak.token(stranger);
    await keycloak.stop();
    expect((await client(token).users.me()).email).toBe(stranger.email);
    expect((await local().users.me()).role).toBe('admin');
  });
});
