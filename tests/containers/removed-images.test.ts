import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Potoroo, type ModelVersion, type Workspace } from '@potoroo/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporary } from '../frameworks/support.ts';
import { scalar } from '../support/models.ts';
import { admin, root, startServer, type Server } from '../support/server.ts';
import { buildServerImage, startRegistry, type ImageRegistry } from './images.ts';
import { build, podman, runArgs } from './podman.ts';

const { folder, remove } = temporary();
let registry: ImageRegistry;
let server: Server;
let workspace: Workspace;

async function open(name: string): Promise<{ started: Server; own: Workspace }> {
  const data = join(folder, name);
  if (!existsSync(data)) mkdirSync(data, { mode: 0o700 });
  const started = await startServer(data, { POTOROO_INSECURE_REGISTRIES: registry.address, POTOROO_REGISTRY_AUTH: registry.authFile });
  return { started, own: await new Potoroo({ url: started.url, ...admin }).workspaces.default() };
}
beforeAll(async () => {
  registry = await startRegistry(folder);
  ({ started: server, own: workspace } = await open('first'));
}, 300_000);
afterAll(async () => {
  await server?.stop();
  await registry?.stop();
  remove();
});

let count = 0;
/** An image like no other that only the registry has. */
function pushed(): string {
  const name = `served-${count++}`;
  buildServerImage(name, name);
  const image = registry.push(name, `team/${name}:1`);
  podman('rmi', `localhost/${name}`);
  expect(isHere(image)).toBe(false);
  return image;
}
const names = (): string[] => podman('images', '--format', '{{.Repository}}:{{.Tag}}').split('\n');
const isHere = (image: string): boolean => names().some((name) => name.includes(image.slice(image.indexOf('/'), image.lastIndexOf(':'))));
const marks = (image: string): string[] => names().filter((name) => name.startsWith('localhost/potoroo-') && name.includes(image.slice(image.indexOf('/'), image.lastIndexOf(':'))));
const register = (image: string, where = workspace): Promise<ModelVersion> => where.registerImage('served', { image, inputSchema: [scalar('x')], outputSchema: [scalar('y')] });
const gone = async (image: string): Promise<void> => { await expect.poll(() => isHere(image), { timeout: 30_000, interval: 200 }).toBe(false); };
/** The server has looked through its images since: it does so in their order. */
async function lookedThrough(where = workspace): Promise<void> {
  const other = pushed();
  await (await register(other, where)).delete();
  await gone(other);
}

describe('an image that a server has pulled', () => {
  it('goes with the last model version that names it, after its pipeline has run', async () => {
    const image = pushed();
    const [one, two] = [await register(image), await register(image)];
    expect(marks(image)).toHaveLength(1);
    const pipeline = await workspace.buildPipeline('served');
    const deployment = await pipeline.addModelStep(two).deploy({ config: { engine: { replicas: 1 } } });
    await deployment.waitUntilRunning();
    await one.delete();
    await lookedThrough();
    expect(await deployment.infer([{ x: 2 }])).toMatchObject([{ 'out.y': 4 }]);
    await deployment.undeploy();
    await expect.poll(() => pipeline.delete().then(() => true, (error: Error) => error.message), { timeout: 30_000 }).toBe(true); // its engines stop first
    await two.delete();
    await gone(image);
  });

  it('goes also where it was named by its digest, and where it failed its test load', async () => {
    const image = pushed();
    const byTag = await register(image);
    const digest = byTag.info.fileName;
    await byTag.delete();
    await gone(image);
    await (await register(digest)).delete();
    await gone(image);
    const wrong = pushed();
    await expect(workspace.registerImage('wrong', { image: wrong, inputSchema: [scalar('x')], outputSchema: [scalar('z')] })).rejects.toMatchObject({ code: 'warm_up_failed' });
    expect(isHere(wrong)).toBe(true);
    for await (const model of workspace.models()) if (model.name === 'wrong') for (const version of model.versions) await version.delete();
    await gone(wrong);
  });

  it('stays where it was there before', async () => {
    const image = pushed();
    podman('pull', '--quiet', '--tls-verify=false', '--authfile', registry.authFile, image);
    await (await register(image)).delete();
    await lookedThrough();
    expect(names()).toContain(image);
    podman('rmi', image);
  });

  it('stays where somebody else has named it meanwhile, without the mark', async () => {
    const image = pushed();
    const model = await register(image);
    podman('tag', image, 'localhost/mine:1');
    await model.delete();
    await expect.poll(() => marks(image), { timeout: 30_000 }).toEqual([]);
    expect(names()).toEqual(expect.arrayContaining([image, 'localhost/mine:1']));
    podman('rmi', 'localhost/mine:1', image);
  });

  it('that somebody has removed and pulled by himself is his', async () => {
    const image = pushed();
    const model = await register(image);
    podman('rmi', '--force', podman('image', 'inspect', '--format', '{{.Id}}', image));
    podman('pull', '--quiet', '--tls-verify=false', '--authfile', registry.authFile, image);
    await model.delete();
    await lookedThrough();
    expect(names()).toContain(image);
    podman('rmi', image);
  });

  it('stays for another server that uses it too, and goes with that one', async () => {
    const second = await open('second');
    try {
      const image = pushed();
      const [mine, theirs] = [await register(image), await register(image, second.own)];
      expect(marks(image)).toHaveLength(2);
      await mine.delete();
      await expect.poll(() => marks(image).length, { timeout: 30_000 }).toBe(1);
      expect(names()).toContain(image);
      await theirs.delete();
      await gone(image);
    } finally {
      await second.started.stop();
    }
  });

  it('stays while a container was made of it, and goes at the start after a server that was killed', async () => {
    const image = pushed();
    const model = await register(image);
    podman('create', '--name', 'user-of-it', '--network', 'none', ...runArgs, image);
    await model.delete();
    await lookedThrough();
    expect(names()).toContain(image);
    const ended = once(server.process, 'exit');
    server.process.kill('SIGKILL');
    await ended;
    podman('rm', 'user-of-it');
    expect(names()).toContain(image);
    ({ started: server, own: workspace } = await open('first'));
    await gone(image);
  });

  it('and that another was built from stays in that', async () => {
    const image = pushed();
    const model = await register(image);
    const context = join(folder, 'child');
    mkdirSync(context);
    writeFileSync(join(context, 'Containerfile'), `FROM ${image}\nLABEL is=child\n`);
    build('localhost/child', context);
    await model.delete();
    await gone(image);
    expect(podman('run', '--rm', '--network', 'none', ...runArgs, '--entrypoint', 'python3', 'localhost/child', '-c', 'print("runs")')).toBe('runs');
    podman('rmi', 'localhost/child');
  });
});

describe('a server that is killed while it pulls', () => {
  const program = join(root, 'packages/engine/dist/image.js');
  it.each([0, 150, 300, 450, 800])('leaves no image without its mark, %i ms into it', async (ms) => {
    const image = pushed();
    const child = spawn(process.execPath, [program, '--pull', image, '--arch', 'amd64', '--owner', '0123456789ab', '--insecure'], { stdio: ['pipe', 'ignore', 'inherit'], env: { ...process.env, POTOROO_REGISTRY_AUTH: registry.authFile } });
    const ended = once(child, 'exit');
    await Promise.race([ended, pause(ms)]);
    child.stdin.destroy();
    await ended;
    expect(marks(image)).toHaveLength(isHere(image) ? 1 : 0);
    if (isHere(image)) podman('rmi', '--force', podman('image', 'inspect', '--format', '{{.Id}}', image));
  });
});
