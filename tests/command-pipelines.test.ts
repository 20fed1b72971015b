import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Step } from '@potoroo/contract';
import { commandIn } from './support/command.ts';
import { admin, example, startServer, temporaryFolder, type Server } from './support/server.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let potoroo: ReturnType<typeof commandIn>['potoroo'];
let json: ReturnType<typeof commandIn>['json'];
const rows = join(example, 'rows.json');

beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startServer(join(folder.path, 'data'));
  ({ potoroo, json } = commandIn(folder.path, server.url));
  await potoroo(['login', '-u', admin.username, '--password-stdin'], admin.password);
  for (const name of ['champion', 'challenger']) await potoroo(['model', 'upload', name, join(example, 'model.onnx'), '-t', 'tensor']);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

const steps = (name: string): Promise<Step[]> => json<Step[]>('pipeline', 'step', 'list', name);
const step = (...args: string[]) => potoroo(['pipeline', 'step', ...args]);
const changed = async (...args: string[]): Promise<string> => {
  const { out, err, code } = await step(...args);
  expect({ err, code }).toEqual({ err: '', code: 0 });
  return out;
};

describe('steps on the command line', () => {
  it('of every kind, added, put in between, replaced, removed and taken back', async () => {
    await potoroo(['pipeline', 'create', 'line']);
    expect((await step('list', 'line')).out).toBe('It has no steps.\n');
    const { versions: [{ version }] } = await json<{ versions: [{ version: string }] }>('model', 'show', 'champion');
    expect(await changed('add', 'line', '--model', `champion@${version.slice(0, 8)}`)).toMatch(/^ +STEP +MODELS\n0 +champion +champion@\w{8}\n\nSaved as version [\w-]{36}\.\n$/);
    const model = (name: string) => ({ name, version: expect.any(String) });
    await changed('replace', 'line', '0', '--random-split', 'champion=2,challenger=1', '--hash-key', 'tensor');
    expect(await steps('line')).toEqual([{ type: 'random-split', hashKey: 'tensor', weights: [{ model: model('champion'), weight: 2 }, { model: model('challenger'), weight: 1 }] }]);
    await changed('replace', 'line', '0', '--key-split', 'card', '--control', 'champion', '--route', 'gold=challenger', '--route', 'a=b=challenger');
    expect(await steps('line')).toEqual([{ type: 'key-split', splitKey: 'card', control: model('champion'), routes: { gold: model('challenger'), 'a=b': model('challenger') } }]);
    await changed('replace', 'line', '0', '--shadow', 'champion', '--challenger', 'challenger=0.25');
    expect(await steps('line')).toEqual([{ type: 'shadow', champion: model('champion'), challengers: [{ model: model('challenger'), fraction: 0.25 }] }]);
    await changed('add', 'line', '--at', '0', '--validate', 'high = out.label > 0');
    expect((await steps('line')).map((s) => s.type)).toEqual(['validations', 'shadow']);
    await changed('remove', 'line', '0');
    expect((await steps('line')).map((s) => s.type)).toEqual(['shadow']);
    await changed('undo', 'line');
    expect((await steps('line')).map((s) => s.type)).toEqual(['validations', 'shadow']);
    await changed('clear', 'line');
    expect(await steps('line')).toEqual([]);
    const versions = await json<{ version: string; steps: Step[] }[]>('pipeline', 'versions', 'line');
    const split = versions.find((v) => v.steps[0]?.type === 'random-split')!;
    await changed('undo', 'line', '--to', split.version.slice(0, 12));
    expect(await steps('line')).toEqual(split.steps);
    await writeFile(join(folder.path, 'steps.json'), JSON.stringify(versions[1]!.steps));
    await changed('set', 'line', 'steps.json');
    expect(await steps('line')).toEqual(versions[1]!.steps);
    expect((await potoroo(['pipeline', 'show', 'line'])).out).toMatch(/name +line[^]*validations high[^]*champion with challenger as shadow/);
  }, 60_000);

  it.each<[string, string[], number, RegExp]>([
    ['nothing', ['add', 'line'], 2, /Say what the step does: --model, --random-split/],
    ['two kinds', ['add', 'line', '-m', 'champion', '--shadow', 'champion'], 2, /--model and --shadow are steps of their own/],
    ['what belongs to another', ['add', 'line', '-m', 'champion', '--hash-key', 'x'], 2, /--hash-key belongs to --random-split/],
    ['half of one', ['add', 'line', '--shadow', 'champion'], 2, /--shadow needs --challenger/],
    ['a split without weights', ['add', 'line', '--random-split', 'champion'], 2, /--random-split "champion" is not model=weight/],
    ['a weight that is none', ['add', 'line', '--random-split', 'champion=much'], 2, /"much" is not a number from 0 on/],
    ['weights of nothing', ['add', 'line', '--random-split', 'champion=0'], 2, /one weight at least must be above 0/],
    ['a fraction above 1', ['add', 'line', '--shadow', 'champion', '--challenger', 'challenger=2'], 2, /"2" is not a number above 0 and up to 1/],
    ['an unknown model', ['add', 'line', '-m', 'nobody'], 4, /There is no model "nobody"/],
    ['an index that is not there', ['remove', 'line', '9'], 2, /none at index 9; the first is 0/],
    ['an expression that cannot be read', ['add', 'line', '--validate', 'high = out.label >'], 2, /character 13: a column, a value[^]*\n +out\.label >\n +\^/],
    ['a validation without a name', ['add', 'line', '--validate', 'out.label > 1'], 2, /<name> = <expression>/],
    ['a file that is no list', ['set', 'line', 'credentials'], 2, /cannot be read/],
    ['a version that is not there', ['undo', 'line', '--to', 'zz'], 4, /no version that starts with "zz"/],
  ])('refuses %s, with the fix', async (_, args, code, message) => {
    const answer = await step(...args);
    expect(answer.err).toMatch(message);
    expect(answer.code).toBe(code);
  });

  it('validations as text are what the engine evaluates; an earlier version is deployed', { timeout: 120_000 }, async () => {
    await potoroo(['pipeline', 'create', 'checked', '-m', 'champion']);
    const plain = (await json<{ version: string }[]>('pipeline', 'versions', 'checked'))[0]!.version;
    await changed('add', 'checked', '--validate', 'malign = out.label == 1 and in.tensor.list.mean() > -100', '--validate', 'never: out.label in [7, 8]');
    expect((await potoroo(['pipeline', 'deploy', 'checked'])).out).toMatch(/is running/);
    const expected = (JSON.parse(await readFile(join(example, 'expected.json'), 'utf8')) as { label: number }[]).map((e) => e.label);
    const answers = JSON.parse((await potoroo(['pipeline', 'infer', 'checked', rows])).out) as Record<string, unknown>[];
    expect(answers.map((a) => [a['anomaly.malign'], a['anomaly.never'], a['anomaly.count']])).toEqual(expected.map((label) => [label === 1, false, label]));

    // What is accepted and yet not done is said beside the result, and wherever the steps are shown.
    const counted = await step('add', 'checked', '--validate', 'count = out.label == 1');
    expect(counted).toMatchObject({ code: 0, err: expect.stringMatching(/^Warning: [^\n]*'count' is ignored/) });
    for (const shown of [['step', 'list', 'checked'], ['show', 'checked']]) expect((await potoroo(['pipeline', ...shown])).err).toBe(counted.err);
    await step('undo', 'checked');
    expect(await step('add', 'checked', '--validate', 'wrong = out.lable > 1')).toMatchObject({ code: 2, err: expect.stringMatching(/no column "out\.lable"; there are in\.tensor, out\.label/) });

    expect((await potoroo(['pipeline', 'deploy', 'checked', '--pipeline-version', plain.slice(0, 10)])).out).toMatch(/is running/);
    expect((await potoroo(['pipeline', 'versions', 'checked'])).out).toMatch(new RegExp(`^\\* +${plain}`, 'm'));
    expect(Object.keys((JSON.parse((await potoroo(['pipeline', 'infer', 'checked', rows])).out) as object[])[0]!)).not.toContain('anomaly.malign');
    expect((await potoroo(['pipeline', 'delete', 'checked'])).code).toBe(1);
    await potoroo(['pipeline', 'undeploy', 'checked']);
    expect((await potoroo(['pipeline', 'delete', 'checked'])).out).toBe('Deleted pipeline checked.\n');
  });
});

describe('what is kept', () => {
  it('retention of a pipeline: one part at a time, and back to the default', async () => {
    expect((await potoroo(['pipeline', 'retention', 'line'])).out).toMatch(/age +365 days \(as the server is set\)\nsize +64\.0 GiB \(as the server is set\)/);
    expect(await json('pipeline', 'retention', 'line', '--days', '30')).toMatchObject({ days: 30, bytes: null });
    expect(await json('pipeline', 'retention', 'line', '--size', '10GB')).toMatchObject({ days: 30, bytes: 10_000_000_000 });
    expect((await potoroo(['pipeline', 'retention', 'line', '--size', '0'])).out).toMatch(/size +any$/m);
    expect(await json('pipeline', 'retention', 'line', '--default')).toMatchObject({ days: null, bytes: null });
    expect((await potoroo(['pipeline', 'retention', 'line', '--size', 'much'])).err).toMatch(/such as 100MB/);
    expect((await potoroo(['pipeline', 'partitions', 'line'])).out).toBe('Its log is empty.\n');
  });

  it('configs, searches, upload logs and deletes of model versions', async () => {
    expect(await json('model', 'configure', 'challenger', '--batch', 'single')).toMatchObject({ tensorFields: ['tensor'], batchConfig: 'single' });
    expect(await potoroo(['model', 'configure', 'challenger', '--concurrency', '3'])).toMatchObject({ code: 2, err: expect.stringMatching(/concurrency 3 has no effect: the engine runs this model/) });
    expect(await potoroo(['model', 'configure', 'challenger', '--concurrency', '99'])).toMatchObject({ code: 2, err: expect.stringContaining('concurrency') });
    expect((await potoroo(['model', 'config', 'challenger'])).out).toMatch(/^inputs +tensor float32\[30\]$/m);
    expect(await json('model', 'configure', 'challenger', '--batch', 'many', '-t', 'x')).toMatchObject({ tensorFields: ['x'] });
    expect((await potoroo(['model', 'config', 'challenger'])).out).toMatch(/tensor fields +x\nrows at once +any/);
    expect(await json<object[]>('model', 'search', 'CHALL', '--after', '1h')).toMatchObject([{ name: 'challenger' }]);
    expect((await potoroo(['model', 'search', 'nothing of that name', '--everywhere'])).out).toBe('No model version fits.\n');
    expect((await potoroo(['model', 'upload-log', 'champion'])).code).toBe(0);
    expect((await potoroo(['model', 'delete', 'champion'])).err).toMatch(/line/);
    await potoroo(['model', 'upload', 'spare', join(example, 'model.onnx')]);
    expect((await potoroo(['model', 'delete', 'spare'])).out).toMatch(/^Deleted version/);
  });

  it('what carries which tag, who is who and what is where', async () => {
    await potoroo(['tag', 'create', 'production']);
    await potoroo(['tag', 'add', 'production', '--pipeline', 'line']);
    await potoroo(['tag', 'add', 'production', '--model', 'champion']);
    expect((await potoroo(['tag', 'show', 'production'])).out).toMatch(/model version +champion@[^]*pipeline +line/);
    expect(await json('tag', 'list', '--pipeline', 'line')).toMatchObject([{ tag: 'production' }]);
    expect(await json('tag', 'list', '--model', 'champion')).toMatchObject([{ tag: 'production' }]);
    expect((await potoroo(['pipeline', 'show', 'line'])).out).toMatch(/tags +production/);
    expect(await json('user', 'show')).toMatchObject({ email: admin.username, role: 'admin' });
    expect((await potoroo(['workspace', 'show'])).out).toMatch(/members +1/);
    await potoroo(['connection', 'create', 'sales', 'POSTGRES'], '{"password":"horse"}');
    expect((await potoroo(['connection', 'show', 'sales'])).out).toMatch(/type +POSTGRES/);
    expect((await potoroo(['pipeline', 'list', '--find', 'lin'])).out).toMatch(/^line/m);
    expect((await potoroo(['pipeline', 'list', '--deployed'])).out).toMatch(/no pipeline/);
  });
});
