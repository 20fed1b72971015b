import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createReadStream } from 'node:fs';
import { imageFramework } from '@potoroo/contract';
import { sql } from 'kysely';
import { pino } from 'pino';
import { openBlobFolder } from '../../storage/blobs.ts';
import { databases } from '../../storage/testing.ts';
import { openDomains, type TestDomains } from '../testing.ts';
import { inspectInChild, type Inspect } from './inspection.ts';
import { ModelService } from './models.service.ts';
import { ModelStore } from './models.store.ts';
import { runsInEngine } from './python-loads.ts';

const fixture = (name: string) => createReadStream(fileURLToPath(new URL(`../../../../engine/fixtures/${name}`, import.meta.url)));
async function* bytes(...parts: string[]) { for (const part of parts) yield Buffer.from(part); }

describe.each(databases)('models on $name', (database) => {
  let t: TestDomains;
  beforeAll(async () => { t = await openDomains(database); });
  afterAll(() => t.close());

  test('an upload is stored, loaded once, and says what the model declares', async () => {
    const version = await t.upload(t.bob, 'cancer');
    expect(version).toMatchObject({ name: 'cancer', status: 'ready', reason: null, fileName: 'cancer.onnx', framework: 'onnx', runtime: 'onnx', visibility: 'private', createdBy: t.bob.id });
    expect(version.inputs).toMatchObject([{ type: 'float32', shape: [30] }]);
    expect(version.outputs?.map((f) => f.name)).toEqual(['label', 'probabilities']);
    const { lines: log } = await t.models.uploadLog(t.ann, version.id);
    expect(log.every((line) => /^\d{4}-\d\d-\d\dT[\d:.]+Z stdout F ./.test(line))).toBe(true);
    expect(log.at(-1)).toContain('ready');
    expect(await t.models.version(t.ann, version.id)).toEqual(version);
    expect(await t.models.versionByName(t.ann, 'cancer', version.version, t.workspaceId)).toEqual(version);
  });

  test('an upload log is read page by page, while it grows and to its end', async () => {
    const made = await t.upload(t.bob, 'talks');
    const { lines: own, next: start } = await t.models.uploadLog(t.ann, made.id);
    const store = new ModelStore(t.storage.db);
    const other = (await t.upload(t.bob, 'other')).id;
    const said = Array.from({ length: 2400 }, (_, i) => `line ${i}`);
    for (let at = 0; at < said.length; at += 200) {
      await store.log(made.id, said.slice(at, at + 200));
      await store.log(other, ['of another']);
    }
    const pages: string[][] = [];
    let after = start;
    for (;;) {
      const page = await t.models.uploadLog(t.ann, made.id, { after });
      if (page.lines.length === 0) { expect(page.next).toBe(after); break; }
      pages.push(page.lines);
      after = page.next;
    }
    expect(pages.map((lines) => lines.length)).toEqual([1000, 1000, 400]);
    expect(pages.flat()).toEqual(said);
    expect((await t.models.uploadLog(t.ann, made.id, { limit: 5000 })).lines).toHaveLength(1000);
    expect((await t.models.uploadLog(t.ann, made.id, { limit: own.length + 1 })).lines).toEqual([...own, 'line 0']);
    await store.log(made.id, ['one more']);
    expect((await t.models.uploadLog(t.ann, made.id, { after })).lines).toEqual(['one more']);
    expect(await t.models.uploadLog(t.ann, made.id, { after: 2_000_000_000 })).toEqual({ lines: [], next: 2_000_000_000 });
  });

  test('the same bytes again are the same version, also when two upload them at once', async () => {
    const all = await Promise.all([1, 2, 3].map(() => t.upload(t.ann, 'twice')));
    expect(new Set(all.map((v) => v.id)).size).toBe(1);
    const { id } = await t.upload(t.bob, 'twice');
    expect(id).toBe(all[0]?.id);
    const other = await t.upload(t.ann, 'twice', fixture('ccfraud.onnx'));
    expect(other.id).not.toBe(id);
    const model = await t.models.get(t.ann, other.modelId);
    expect(model.versions.map((v) => v.id)).toEqual([other.id, id]);
  });

  test.each([
    ['not a model', () => bytes('hello'), 'model_invalid'],
    ['nothing', () => bytes(), 'model_invalid'],
    ['too much', () => bytes('x'.repeat(600_000), 'x'.repeat(600_000)), 'body_too_large'],
  ])('%s never becomes ready', async (what, content, code) => {
    const result = await t.upload(t.ann, 'bad', content()).then((v) => v.reason, (error: unknown) => error);
    expect(result, what).toMatchObject({ code });
  });

  test('a model that cannot run says why, and its bytes get another try', async () => {
    const version = await t.upload(t.ann, 'old', fixture('bad-opset.onnx'));
    expect(version).toMatchObject({ status: 'error', reason: { code: 'model_unsupported' } });
    expect((await t.upload(t.ann, 'old', fixture('bad-opset.onnx'))).id).not.toBe(version.id);
  });

  test.each([
    [{ name: 'under_score' }, 'invalid_name'], [{ name: '' }, 'invalid_name'], [{ name: '1st' }, 'invalid_name'], [{ name: 'x'.repeat(64) }, 'invalid_name'],
    [{ framework: 'abacus' }, 'framework_unsupported'], [{ fileName: '../up.onnx' }, 'invalid_request'], [{ fileName: '' }, 'invalid_request'],
    [{ workspaceId: 424_242 }, 'workspace_not_found'],
  ])('upload of %j is refused before a byte is read', async (change, code) => {
    let read = 0;
    async function* content() { read += 1; yield Buffer.from('x'); }
    await expect(t.models.upload(t.admin, { workspaceId: t.workspaceId, name: 'ok', fileName: 'ok.onnx', framework: 'onnx', content: content(), ...change })).rejects.toMatchObject({ code });
    expect(read).toBe(0);
  });

  test('strangers see nothing of it', async () => {
    const { id, modelId, version } = await t.upload(t.ann, 'secret');
    const config = await t.models.config(t.ann, id);
    const asked = [
      t.upload(t.eve, 'secret'), t.models.get(t.eve, modelId), t.models.version(t.eve, id), t.models.versionByName(t.eve, 'secret', version),
      t.models.config(t.eve, id), t.models.configById(t.eve, config.id), t.models.configure(t.eve, id, {}), t.models.uploadLog(t.eve, id), t.models.remove(t.eve, id),
    ];
    for (const result of await Promise.allSettled(asked)) expect(result).toMatchObject({ status: 'rejected', reason: { code: expect.stringMatching(/^(model|workspace)_not_found$/) } });
    expect((await t.models.list(t.eve)).items).toEqual([]);
    expect((await t.models.search(t.eve, { term: '' })).items).toEqual([]);
  });

  test('a public model is there for everybody to use, not to change', async () => {
    const version = await t.models.upload(t.ann, { workspaceId: t.workspaceId, name: 'open', fileName: 'm.onnx', framework: 'onnx', visibility: 'public', content: fixture('ccfraud.onnx') });
    expect((await t.models.version(t.eve, version.id)).name).toBe('open');
    await expect(t.models.configure(t.eve, version.id, {})).rejects.toMatchObject({ code: 'forbidden', message: 'Model open is in a workspace that you are not in; only its members may change it.' });
    await expect(t.models.remove(t.eve, version.id)).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('its workspace opens a model and takes it back; others find it by search while it is open', async () => {
    const { id } = await t.upload(t.ann, 'opened');
    const found = async () => (await t.models.search(t.eve, { term: 'opened' })).items.map((v) => v.id);
    expect(await found()).toEqual([]);
    await expect(t.models.setVisibility(t.eve, id, 'public')).rejects.toMatchObject({ code: 'model_not_found' });
    expect(await t.models.setVisibility(t.bob, id, 'public')).toMatchObject({ id, visibility: 'public' });
    expect(await found()).toEqual([id]);
    await expect(t.models.setVisibility(t.eve, id, 'private')).rejects.toMatchObject({ code: 'forbidden' });
    expect(await t.models.setVisibility(t.ann, id, 'private')).toMatchObject({ id, visibility: 'private' });
    expect(await found()).toEqual([]);
    await expect(t.models.version(t.eve, id)).rejects.toMatchObject({ code: 'model_not_found' });
  });

  test('search finds parts of names, versions, digests and files, and takes its signs literally', async () => {
    const version = await t.upload(t.ann, 'Needle');
    const found = async (term: string) => (await t.models.search(t.ann, { term })).items.map((v) => v.id);
    for (const term of ['nEEdl', version.version.slice(3, 12), version.sha256.slice(0, 20).toUpperCase(), 'needle.ONNX']) expect(await found(term)).toContain(version.id);
    for (const term of ['%', '_eedle', '\\', "'"]) expect(await found(term)).toEqual([]);
    expect((await t.models.search(t.ann, { term: '', createdAfter: new Date(t.time.now + 1) })).items).toEqual([]);
  });

  test('a config fits the model; the newest counts', async () => {
    const { id } = await t.upload(t.ann, 'tuned');
    expect(await t.models.config(t.ann, id)).toMatchObject({ modelVersionId: id, runtime: 'onnx' });
    const stored = await t.models.configure(t.bob, id, { tensorFields: ['input'], batchConfig: 'single' }, { openai: null });
    expect(await t.models.config(t.ann, id)).toEqual({ ...stored, tensorFields: ['input'], batchConfig: 'single', extra: { openai: null } });
    expect(await t.models.configById(t.ann, stored.id)).toEqual(stored);
    await expect(t.models.configure(t.ann, id, { tensorFields: ['a', 'b'] })).rejects.toMatchObject({ code: 'invalid_request', fields: [{ field: 'tensorFields' }] });
    await expect(t.models.configure(t.ann, id, { tensorFields: ['a', 'a'] })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(t.models.configure(t.ann, id, { batchConfig: 'many' as 'single' })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  test('a concurrency is refused where the engine runs the model, and nothing else with it', async () => {
    const { id } = await t.upload(t.ann, 'native');
    await expect(t.models.configure(t.bob, id, { concurrency: 3 })).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringMatching(/^concurrency 3 has no effect: the engine runs this model .*leave it away\.$/), fields: [{ field: 'concurrency' }] });
    expect(await t.models.config(t.ann, id)).not.toHaveProperty('concurrency');
    // As it is where a model was configured before its load made ONNX of it.
    await new ModelStore(t.storage.db).addConfig(id, { concurrency: 3 }, {}, t.time.now);
    await expect(t.models.configure(t.bob, id, { concurrency: 4 })).rejects.toMatchObject({ fields: [{ field: 'concurrency' }] });
    expect(await t.models.configure(t.bob, id, { concurrency: 3, tensorFields: ['input'] })).toMatchObject({ tensorFields: ['input'] });
  });

  test.each<[string, Parameters<typeof runsInEngine>[0], boolean | undefined]>([
    ['ONNX', { framework: 'onnx', status: 'pending_load_native', environment: null }, true],
    ['what became ONNX', { framework: 'sklearn', status: 'ready', environment: null }, true],
    ['what did not', { framework: 'sklearn', status: 'ready', environment: 'abc' }, false],
    ['what nobody knows of yet', { framework: 'sklearn', status: 'attempting_load_native', environment: null }, undefined],
    ['an image', { framework: imageFramework, status: 'ready', environment: null }, false],
  ])('whether the engine runs %s by itself', (_, version, expected) => {
    expect(runsInEngine(version)).toBe(expected);
  });

  test('a removed version is gone, its model with the last one, and its file once nobody has it', async () => {
    const version = await t.upload(t.ann, 'gone', fixture('chain-first.onnx'));
    await t.models.remove(t.ann, version.id);
    await expect(t.models.version(t.ann, version.id)).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(t.models.get(t.ann, version.modelId)).rejects.toMatchObject({ code: 'model_not_found' });
    const before = t.time.now;
    t.time.now = Date.now() + 3_700_000;
    expect(await t.models.sweep()).toBeGreaterThanOrEqual(1);
    t.time.now = before;
    expect(await t.upload(t.ann, 'gone', fixture('chain-first.onnx'))).toMatchObject({ status: 'ready' });
  });

  describe('the child that loads', () => {
    const program = async (text: string): Promise<string> => {
      const file = join(t.storage.dataDir, `program-${Math.random()}.mjs`);
      await writeFile(file, text);
      return file;
    };
    test.each([
      ['never ends', 'setInterval(() => {}, 1000)', /within 0.3 seconds/],
      ['dies', 'process.stderr.write("last words\\n"); process.kill(process.pid, "SIGKILL")', /SIGKILL/],
      ['says nothing', '', /status 0/],
      ['says nonsense', 'console.log("{}")', /status 0/],
      ['does not exist', undefined, /status 1/],
    ])('%s: an error with its last words, never a hang', async (_what, text, message) => {
      const inspect = inspectInChild(text === undefined ? '/nowhere.mjs' : await program(text), 300);
      const finding = await inspect('/dev/null', 'onnx', new AbortController().signal);
      expect(finding).toMatchObject({ ok: false, reason: { code: 'model_invalid', message: expect.stringMatching(message) } });
      expect(finding.log.includes('last words')).toBe(text?.includes('last words') === true);
    });

    test('gets none of our secrets', async () => {
      process.env['POTOROO_ADMIN_PASSWORD'] = 'secret of ours';
      const inspect = inspectInChild(await program('console.log(JSON.stringify({ ok: false, code: "model_invalid", message: JSON.stringify(process.env) }))'), 5000);
      const finding = await inspect('/dev/null', 'onnx', new AbortController().signal);
      delete process.env['POTOROO_ADMIN_PASSWORD'];
      expect(finding).toMatchObject({ ok: false, reason: { message: expect.not.stringContaining('secret of ours') } });
    });
  });

  test('a load that the end of the server cut short is done at the next start', async () => {
    const stuck = await t.modelsAgain((_file, _framework, signal) => new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve({ ok: false, log: [], reason: { code: 'model_invalid', message: 'cut short' } }));
    }));
    const uploading = stuck.upload(t.ann, { workspaceId: t.workspaceId, name: 'resumed', fileName: 'm.onnx', framework: 'onnx', content: fixture('ccfraud.onnx') });
    await expect.poll(async () => (await t.models.search(t.ann, { term: 'resumed' })).items[0]?.status).toBe('attempting_load_native');
    await stuck.close();
    const { id, status } = await uploading;
    expect(status).toBe('attempting_load_native');
    await (await t.modelsAgain()).resume();
    await expect.poll(async () => (await t.models.version(t.ann, id)).status, { timeout: 10_000 }).toBe('ready');
  });

  test.runIf(database.name === 'sqlite')('a load whose outcome cannot be written down for a while is done again', async () => {
    const { db, dataDir } = t.storage;
    const said: string[] = [];
    const program = fileURLToPath(new URL('../../../../engine/dist/inspect.js', import.meta.url));
    const inspect: Inspect = async (...args) => {
      if (said.length === 0) await sql`pragma query_only = 1`.execute(db);
      return inspectInChild(program, 30_000)(...args);
    };
    const log = pino({ level: 'error' }, { write: (line: string) => { said.push(line); } });
    const service = new ModelService(db, await openBlobFolder(join(dataDir, 'blobs')), t.access, { inspect, loadsAtOnce: 1, maxBytes: 1_000_000, clock: () => t.time.now, log });
    const uploading = service.upload(t.ann, { workspaceId: t.workspaceId, name: 'later', fileName: 'm.onnx', framework: 'onnx', content: fixture('ccfraud.onnx'), patienceMs: 60_000 });
    await expect.poll(() => said, { timeout: 10_000 }).toHaveLength(1);
    expect(said[0]).toContain('tried again');
    await sql`pragma query_only = 0`.execute(db);
    expect((await uploading).status).toBe('ready');
    await service.close();
  });
});
