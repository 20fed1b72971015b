import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server as Gate, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Potoroo } from '@potoroo/sdk';
import { admin, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
const gates: Gate[] = [];
beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
});
afterAll(async () => {
  for (const gate of gates) gate.close();
  await server.stop();
  await folder.remove();
});

/** The way to the server, which breaks once: when so many bytes of an upload have passed, or when its answer begins. */
async function breakingAt(bytes: number | 'the answer'): Promise<{ url: string; uploads(): number }> {
  let broken = false;
  let uploads = 0;
  const gate = createServer((near: Socket) => {
    const far = connect(Number(new URL(server.url).port), '127.0.0.1');
    let uploading = false;
    let passed = 0;
    const end = () => { near.destroy(); far.destroy(); };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.on('data', (piece) => {
      if (/^POST \S+\/versions\?/.test(piece.toString('latin1'))) [uploading, uploads, passed] = [true, uploads + 1, 0];
      far.write(piece);
      passed += piece.length;
      if (uploading && !broken && passed > Number(bytes)) { broken = true; end(); }
    });
    far.on('data', (piece) => {
      if (uploading && !broken && bytes === 'the answer') { broken = true; return end(); }
      near.write(piece);
    });
  });
  gates.push(gate);
  gate.listen(0, '127.0.0.1');
  await once(gate, 'listening');
  return { url: `http://127.0.0.1:${(gate.address() as AddressInfo).port}`, uploads: () => uploads };
}

it('an upload that was answered by nobody, as the server was killed, is known to the next server', async () => {
  const own = await temporaryFolder();
  const data = join(own.path, 'data');
  let running = await startServer(data);
  try {
    const potoroo = new Potoroo({ url: running.url, ...admin });
    const { id } = await potoroo.workspaces.default();
    const send = async (url: string, token: string) => fetch(`${url}/api/v1/workspaces/${id}/models/m/versions?framework=onnx`, { method: 'PUT', headers: { authorization: `Bearer ${token}`, 'idempotency-key': 'k' }, body: 'no model' });
    // Most often it is cut off; where the answer is quicker, that is as good.
    let end: string | undefined;
    const answered = send(running.url, await potoroo.token()).then(async (answer) => `${answer.status} ${await answer.text()}`, String).then((text) => { end = text; });
    const models = (client: Potoroo) => client.models.list({ workspaceId: id, name: 'm' }).toArray();
    await expect.poll(async () => end !== undefined || (await models(potoroo)).length === 1, { interval: 5 }).toBe(true);
    expect(end ?? '200').toMatch(/^200/);
    running.process.kill('SIGKILL');
    await once(running.process, 'exit');
    await answered;
    running = await startServer(data);
    const next = new Potoroo({ url: running.url, ...admin });
    const again = await send(running.url, await next.token());
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
    expect((await models(next)).flatMap((model) => model.versions.map((version) => version.id))).toEqual([((await again.json()) as { id: number }).id]);
  } finally {
    await running.stop();
    await own.remove();
  }
});

it.each([['while the file is sent', 300_000], ['when it has arrived', 'the answer']] as const)('an upload whose connection breaks %s is sent again and makes one version', async (what, at) => {
  const gate = await breakingAt(at);
  const potoroo = new Potoroo({ url: gate.url, ...admin });
  const { id } = await potoroo.workspaces.default();
  const name = what.replaceAll(' ', '-');
  // No model: each upload of it would be a version of its own.
  await expect(potoroo.models.upload(id, name, Buffer.alloc(1_000_000, 'x'), { framework: 'onnx' })).rejects.toMatchObject({ code: 'model_invalid' });
  expect(gate.uploads()).toBeGreaterThan(1);
  const [model] = await potoroo.models.list({ workspaceId: id, name }).toArray();
  expect(model?.versions).toHaveLength(1);
});
