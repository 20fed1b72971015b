import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commandIn } from './support/command.ts';
import { admin, root, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
});
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

/** Starts the sign-in and does on its page what a person would. */
async function signIn(answer: Record<string, string>): Promise<{ out: string; err: string; code: number | null; sameCode: boolean }> {
  const child = spawn(process.execPath, [join(root, 'packages/cli/bin/potoroo.mjs'), 'login', '--browser'], { env: { PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_URL: server.url } });
  let [out, err] = ['', ''];
  child.stdout.on('data', (text: Buffer) => { out += text.toString(); });
  child.stderr.on('data', (text: Buffer) => { err += text.toString(); });
  const exited = once(child, 'exit');
  const told = /shows ([A-Z]{4}-[A-Z]{4}),[^]*?(http:\S+)/;
  await expect.poll(() => err, { timeout: 15_000 }).toMatch(told);
  const [, shown, address] = told.exec(err) as unknown as [string, string, string];
  const page = await fetch(address);
  const html = await page.text();
  const proof = /name="proof" value="([^"]+)"/.exec(html)![1]!;
  await fetch(address.split('?')[0]!, { method: 'POST', headers: { cookie: page.headers.get('set-cookie')!.split(';')[0]! }, body: new URLSearchParams({ proof, user_code: shown, ...answer }) });
  await exited;
  return { out, err, code: child.exitCode, sameCode: html.includes(shown) };
}

it('signs in on a page, and keeps tokens as after any log-in', async () => {
  expect(await signIn({ answer: 'allow', ...admin })).toMatchObject({ code: 0, sameCode: true, out: `Logged in to ${server.url} as ${admin.username}.\n` });
  const { json } = commandIn(folder.path, server.url);
  expect(await json('user', 'show')).toMatchObject({ email: admin.username });
}, 30_000);

it('says so when it is refused there, and what does not go together', async () => {
  expect(await signIn({ answer: 'deny' })).toMatchObject({ code: 3, err: expect.stringContaining('The sign-in was refused on the page.') });
  const { potoroo } = commandIn(folder.path, server.url);
  expect(await potoroo(['login', '--browser', '-u', 'ada'])).toMatchObject({ code: 2, err: expect.stringContaining('leave the other options out') });
}, 30_000);
