import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { tableFromIPC, tableToIPC, tableFromArrays } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { admin, example, root, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
  await writeFile(join(folder.path, 'admin.json'), JSON.stringify({ email: admin.username, password: admin.password }));
});
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

async function potoroo(args: string[], { input = '', env = {} }: { input?: string; env?: Record<string, string> } = {}) {
  const child = spawn(process.execPath, [join(root, 'packages/cli/bin/potoroo.mjs'), ...args], {
    cwd: folder.path, env: { PATH: process.env['PATH'] ?? '', HOME: folder.path, POTOROO_URL: server.url, ...env },
  });
  child.stdin.end(input);
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { out, err, code: child.exitCode };
}

/** The JSON document that a command prints with --json; it has to succeed. */
async function json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
  const { out, err, code } = await potoroo([...args, '--json']);
  expect(err).toBe('');
  expect(code).toBe(0);
  return JSON.parse(out) as T;
}

const rows = join(example, 'rows.json');

describe('the potoroo command', () => {
  it('logs in, with the password on standard input or from the file of the server, and keeps only tokens', async () => {
    const wrong = await potoroo(['login', '-u', admin.username, '--password-stdin'], { input: 'wrong\n' });
    expect(wrong).toMatchObject({ code: 3, err: expect.stringContaining('admin.json') });
    expect((await potoroo(['login', '-u', admin.username, '--password-stdin'], { input: `${admin.password}\n` })).out).toBe(`Logged in to ${server.url} as ${admin.username}.\n`);
    expect(await json('login', '--admin-file', 'admin.json')).toEqual({ url: server.url, username: admin.username });
    const file = join(folder.path, '.config', 'potoroo', 'credentials.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).not.toContain(admin.password);
    const { token } = await json<{ token: string }>('token');
    expect((await potoroo(['workspace', 'list'], { env: { POTOROO_TOKEN: token, HOME: '/nowhere' } })).code).toBe(0);
  });

  it('works in the workspace that was chosen', async () => {
    expect((await potoroo(['workspace', 'create', 'fraud', '--use'])).out).toMatch(/^Created workspace fraud \(id \d+\)\.\n$/);
    const listed = await json<{ name: string; current: boolean }[]>('workspace', 'list');
    expect(listed.filter((w) => w.current).map((w) => w.name)).toEqual(['fraud']);
    expect((await potoroo(['workspace', 'use', 'nowhere'])).code).toBe(4);
    // Names are not unique: none of two is chosen for the user.
    const [one, two] = [await json<{ id: number }>('workspace', 'create', 'twins'), await json<{ id: number }>('workspace', 'create', 'twins')];
    expect(await potoroo(['-w', 'twins', 'model', 'list'])).toMatchObject({ code: 1, err: expect.stringMatching(new RegExp(`2 workspaces .* "twins"; give the id of one: (${one.id}, ${two.id}|${two.id}, ${one.id})\\.`)) });
    expect((await potoroo(['-w', String(two.id), 'workspace', 'show'])).out).toContain('twins');
  });

  it('uploads a model and shows it', async () => {
    const upload = await potoroo(['model', 'upload', 'classifier', join(example, 'model.onnx'), '--tensor-field', 'tensor']);
    expect(upload.err).toMatch(/Uploading model\.onnx: 1\.1 KiB of 1\.1 KiB/);
    expect(upload.out).toMatch(/^Model classifier is ready\./);
    const { out } = await potoroo(['model', 'show', 'classifier']);
    expect(out).toMatch(/inputs +tensor float32\[30\]/);
    expect(out).toMatch(/tensor fields +tensor/);
    expect(await json<{ name: string }[]>('model', 'list')).toMatchObject([{ name: 'classifier' }]);
    expect(await potoroo(['model', 'upload', 'x', rows])).toMatchObject({ code: 2, err: expect.stringContaining('--framework') });
    expect((await potoroo(['model', 'show', 'nothing'])).code).toBe(4);
  });

  it('creates, deploys and changes one thing at a time', { timeout: 120_000 }, async () => {
    expect((await potoroo(['pipeline', 'create', 'classify', '--model', 'classifier'])).out).toMatch(/has the steps classifier/);
    const first = await json<{ status: { state: string }; deployment: { config: unknown } }>('pipeline', 'deploy', 'classify', '--cpus', '0.5', '--memory', '512Mi');
    expect(first.status.state).toBe('running');
    const { deployment } = await json<{ deployment: { config: { engine: unknown } } }>('pipeline', 'deploy', 'classify', '--replicas', '2');
    expect(deployment.config.engine).toMatchObject({ replicas: 2, cpu: 0.5, resources: { limits: { cpu: 0.5, memory: '512Mi' } } });
    const status = await potoroo(['pipeline', 'status', 'classify']);
    expect(status.out).toMatch(/replicas +2 of 2 ready/);
    expect(status.out.match(/^engine-\S+ +running/gm)).toHaveLength(2);
    expect((await potoroo(['pipeline', 'deploy', 'classify', '--model', 'classifier@ffffffff'])).code).toBe(4);
    for (const command of ['create', 'deploy']) expect((await potoroo(['pipeline', command, 'stillborn', '--model', 'misspelt'])).code).toBe(4);
    expect((await json<{ name: string }[]>('pipeline', 'list')).map((p) => p.name)).toEqual(['classify']);
  });

  it('an update that cannot run ends the wait at once, with the reason, and what ran before serves on', { timeout: 60_000 }, async () => {
    const { code, err } = await potoroo(['pipeline', 'deploy', 'classify', '--memory', '1Mi']);
    expect(err).toMatch(/Error: The update of classify failed and what ran before serves on: .* more than its limit of 1 MiB/);
    expect(code).toBe(1);
    expect((await potoroo(['pipeline', 'status', 'classify'])).out).toMatch(/replicas +2 of 2 ready/);
    expect(await potoroo(['pipeline', 'deploy', 'classify', '--memory', '512'])).toMatchObject({ code: 2, err: expect.stringContaining('"512": use a number and a unit') });
    expect((await potoroo(['pipeline', 'deploy', 'classify', '--memory', '512Mi'])).code).toBe(0);
  });

  it('infers from JSON and Arrow, from a file and from standard input', async () => {
    const expected = (JSON.parse(await readFile(join(example, 'expected.json'), 'utf8')) as { label: number }[]).map((e) => e.label);
    const labels = (text: string) => (JSON.parse(text) as { 'out.label': number }[]).map((row) => Number(row['out.label']));
    const asked = await potoroo(['pipeline', 'infer', 'classify', rows, '--dataset', 'out.label', '--dataset', 'out_second.label']);
    expect(labels(asked.out)).toEqual(expected);
    expect(asked.err).toBe('Note: the answer has nothing for --dataset out_second.label.\n');
    expect(await potoroo(['pipeline', 'infer', 'classify', rows, '--dataset', 'out.lable'])).toMatchObject({ code: 2, err: expect.stringMatching(/dataset 'out\.lable' .*out\.label/) });
    expect(labels((await potoroo(['pipeline', 'infer', 'classify'], { input: await readFile(rows, 'utf8') })).out)).toEqual(expected);

    const [column] = (JSON.parse(await readFile(rows, 'utf8')) as { tensor: number[] }[]).map((row) => Float32Array.from(row.tensor));
    await writeFile(join(folder.path, 'scalars.arrow'), tableToIPC(tableFromArrays({ wrong: column ?? [] }), 'file'));
    expect(await potoroo(['pipeline', 'infer', 'classify', 'scalars.arrow'])).toMatchObject({ code: 2, err: expect.stringMatching(/wrong[^]*potoroo model show/) });

    expect(await potoroo(['pipeline', 'infer', 'classify', rows, '--output', 'no/such/folder.json'])).toMatchObject({ code: 2, err: expect.stringContaining('cannot be written') });
    await potoroo(['pipeline', 'infer', 'classify', rows, '--output', 'answer.json']);
    expect(labels(await readFile(join(folder.path, 'answer.json'), 'utf8'))).toEqual(expected);
  });

  it('reads the log as a table, as JSON and into an Arrow file', async () => {
    const count = async () => (await json<unknown[]>('pipeline', 'logs', 'classify')).length;
    await expect.poll(count, { timeout: 15_000 }).toBe(24);
    const { out } = await potoroo(['pipeline', 'logs', 'classify', '--limit', '2']);
    expect(out.split('\n')[0]).toMatch(/^TIME +IN\.TENSOR +OUT\.LABEL/);
    expect(out.trim().split('\n')).toHaveLength(3);
    expect((await potoroo(['pipeline', 'logs', 'classify', '--start', '1h', '--oldest-first', '-o', 'logs.arrow'])).out).toBe('Wrote 24 records to logs.arrow.\n');
    const table = tableFromIPC(await readFile(join(folder.path, 'logs.arrow')));
    expect(table.numRows).toBe(24);
    expect((await potoroo(['pipeline', 'logs', 'classify', '--end', '2000-01-01'])).out).toBe('No records.\n');
    expect(await potoroo(['pipeline', 'logs', 'classify', '--start', '2001-01-01', '--end', '2000-01-01'])).toMatchObject({ code: 2, err: expect.stringContaining('is after --end') });
    const [version = { version: '' }] = await json<{ version: string }[]>('pipeline', 'versions', 'classify');
    expect(await json<unknown[]>('pipeline', 'logs', 'classify', '--pipeline-version', version.version.slice(0, 6))).toHaveLength(24);
    expect(await potoroo(['pipeline', 'logs', 'classify', '--pipeline-version', 'none'])).toMatchObject({ code: 4 });
    const strange = await potoroo(['pipeline', 'logs', 'classify', '-o', 'more.ndjson', '--continue', 'nonsense']);
    expect(strange).toMatchObject({ code: 2, err: expect.not.stringContaining('To go on') });
    expect((await potoroo(['pipeline', 'logs', 'classify', '--anomalies'])).out).toBe('No records.\n');
    expect(await json<unknown[]>('model', 'logs', 'classifier')).toHaveLength(24);
    expect(await potoroo(['model', 'logs', 'nobody'])).toMatchObject({ code: 4 });
  });

  it('opens a model to every user and takes it back; writes the API document of what is deployed', async () => {
    expect((await potoroo(['model', 'share', 'classifier'])).out).toMatch(/^Version [\w-]+ of classifier is public\.\n$/);
    expect(await json('model', 'unshare', 'classifier')).toMatchObject({ visibility: 'private' });
    expect(await potoroo(['model', 'share', 'classifier@none'])).toMatchObject({ code: 4, err: expect.stringContaining('none') });
    const { openapi, components } = JSON.parse((await potoroo(['deployment', 'openapi', 'classify'])).out) as { openapi: string; components: { schemas: { Row: object; Outputs: object } } };
    expect(openapi).toBe('3.1.0');
    expect(components.schemas.Row).toMatchObject({ properties: { tensor: { type: 'array', minItems: 30 } }, required: ['tensor'] });
    expect(components.schemas.Outputs).toMatchObject({ properties: { label: { type: 'integer', format: 'int64' } } });
  });

  it('undeploys, and then says how to deploy', { timeout: 60_000 }, async () => {
    expect((await potoroo(['pipeline', 'undeploy', 'classify'])).out).toBe('Pipeline classify is stopped.\n');
    expect(await potoroo(['pipeline', 'infer', 'classify', rows])).toMatchObject({ code: 4, err: expect.stringContaining('potoroo pipeline deploy') });
    expect(await potoroo(['pipeline', 'status', 'nothing'])).toMatchObject({ code: 4, err: expect.stringContaining('potoroo pipeline list') });
  });

  it('logs out', async () => {
    expect((await potoroo(['logout'])).out).toBe(`Logged out of ${server.url}.\n`);
    expect((await potoroo(['model', 'list'])).code).toBe(3);
  });
});
