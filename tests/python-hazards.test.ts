import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { spawn, spawnSync } from 'node:child_process';
import { utf8At, type Batch, type Column, type TensorColumn, type Utf8 } from '@potoroo/batch';
import type { Field } from '@potoroo/contract';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Runtime } from '../packages/engine/src/runtimes/runtime.ts';
import { pythonRoot } from '../packages/ops/src/domains/environments/environments.service.ts';
import { isolation } from './frameworks/support.ts';
import { floats, Models, numbers, refusal, scalar, type More } from './support/models.ts';

const models = new Models();
const { folder } = models;
const [x, y] = [scalar('x'), scalar('y')];
const step = (body: string, more?: More): Promise<Runtime> => models.step(body, more);
const load = (file: string, framework: string, more?: More): Promise<Runtime> => models.load(file, framework, more);

/** A step that doubles rows; where x is -1, -2… it does the first, second… of these things instead, so that its warm-up passes. */
const doubles = (...bad: string[]): string => `def wallaroo_json(data: dict):\n    x = data['x']\n    mode = -int(min(x))\n${bad.map((code, i) => `    if mode == ${i + 1}:\n        ${code}\n`).join('')}    return {'y': [v * 2 for v in x]}`;
/** The next request is served, if need be by a new process. */
const answers = async (runtime: Runtime): Promise<void> => expect(numbers(await runtime.run(floats(1, 2, 3)))).toEqual([2, 4, 6]);

describe('what a model does wrong on a request is an error of that request', () => {
  const table = [
    ['raises', "raise ValueError('bad row')", 'inference_failed', 'ValueError: bad row'],
    ['lacks the declared name', "return {'z': x}", 'schema_mismatch', "'y' is missing"],
    ['gives text for a number', "return {'y': ['text'] * len(x)}", 'schema_mismatch', "'y'"],
    ['gives lists for a scalar', "return {'y': [[1.0, 2.0]] * len(x)}", 'schema_mismatch', "'y'"],
    ['gives columns of differing length', "import pandas; return pandas.concat([pandas.DataFrame({'y': [1.0]}), pandas.DataFrame({'z': [1, 2]})], axis=1)[['z']]", 'schema_mismatch', "'y' is missing"],
    ['gives nothing', 'return None', 'inference_failed', 'NoneType'],
    ['gives a list of numbers', 'return [1.0]', 'inference_failed', 'dictionaries'],
    ['gives text that is not JSON', "return 'hello'", 'inference_failed', 'not JSON'],
    ['gives more than may be sent', "return {'y': [0.5] * 300_000}", 'inference_failed', 'bytes; at most'],
    ['gives a number that is none', "return {'y': [10 ** 400]}", 'schema_mismatch', "'y'"],
    ['writes a file without end', "f = open('large', 'wb')\n        while True: f.write(bytes(1 << 20))", 'inference_failed', 'File too large'],
    ['recurses for ever', 'return wallaroo_json(data)', 'inference_failed', 'RecursionError'],
    ['exits', 'sys.exit(3)', 'model_process_lost', 'status'],
    ['ends itself as a crash does', 'os.abort()', 'model_process_lost', 'SIGABRT'],
    ['reads memory that is not there', 'import ctypes; ctypes.string_at(0)', 'model_process_lost', 'SIGSEGV'],
    ['starts processes without end', 'for _ in range(300):\n            if os.fork() == 0: time.sleep(60); os._exit(0)\n        time.sleep(60)', 'model_process_lost', 'more than 256 processes'],
  ].filter(([name]) => isolation === 'process' || name !== 'starts processes without end') as [string, string, string, string][];
  let runtime: Runtime;
  beforeAll(async () => { runtime = await step(doubles(...table.map(([, code]) => code)), { maxBodyBytes: 1 << 20, maxFileBytes: 8 << 20 }); });

  it.each(table.map(([name, , code, message], i) => [name, i + 1, code, message] as const))('%s', async (_, mode, code, message) => {
    expect(await refusal(runtime.run(floats(-mode)))).toMatchObject({ code, message: expect.stringContaining(message) as string });
    await answers(runtime);
  });

  it('hangs: its process is ended and the next request served', async () => {
    const slow = await step(doubles('time.sleep(3600)'), { runMs: 500 });
    expect(await refusal(slow.run(floats(-1)))).toMatchObject({ code: 'deadline_exceeded' });
    await answers(slow);
  });

  it('takes too much memory: a typed error, and the process goes on; keeps it: another process takes over', async () => {
    let starts = 0;
    const hungry = await step(`print('started')\nkept = []\n${doubles("return {'y': [len(bytearray(4 << 30))]}", 'while True: kept.append(bytearray(64 << 20))')}`, {
      python: { memoryBytes: 1 << 30 }, onLog: (_, line) => { if (line === 'started') starts += 1; },
    });
    for (const [mode, processes] of [[1, 1], [2, 2]] as const) {
      expect(await refusal(hungry.run(floats(-mode)))).toMatchObject({ code: 'engine_out_of_memory' });
      await expect.poll(async () => Promise.resolve(hungry.run(floats(5))).then(numbers, () => 'not yet'), { timeout: 20_000 }).toEqual([10]);
      expect(starts).toBe(processes);
    }
  });

  it('prints without end: the answer comes and the log is bounded', async () => {
    let lines = 0;
    const loud = await step(doubles("sys.stdout.write('a line\\n' * 3_000_000 + 'x' * 100_000_000)"), { onLog: () => { lines++; } });
    expect(numbers(await loud.run(floats(-1)))).toEqual([-2]);
    expect(lines).toBeGreaterThan(100);
    expect(lines).toBeLessThan(20_000);
  });

  it('fails in the same way on every request: the log says so once in a while, and how often', async () => {
    const lines: string[] = [];
    const failing = await step(doubles("raise ValueError(f'bad row {time.time()}')"), { onLog: (_, line) => { lines.push(line); } });
    let asked = 0;
    while (!lines.some((line) => line.includes('more like it'))) {
      expect(await refusal(failing.run(floats(-1)))).toMatchObject({ message: expect.stringContaining('ValueError: bad row') as string });
      asked += 1;
    }
    const told = lines.filter((line) => line.startsWith('ValueError: bad row')).length;
    expect(told).toBeLessThan(asked);
    expect(lines.find((line) => line.includes('more like it'))).toMatch(new RegExp(`^\\([1-9]\\d* more like it`));
    expect(lines.filter((line) => line.startsWith('Traceback'))).toHaveLength(told);
  });
  it('only what was in flight is lost when the process is killed', async () => {
    let starts = 0;
    const mortal = await step(`print('started')\n${doubles('os.kill(os.getpid(), 9); time.sleep(60)')}`, { onLog: (_, line) => { if (line === 'started') starts += 1; } });
    expect(await refusal(mortal.run(floats(-1)))).toMatchObject({ code: 'model_process_lost', message: expect.stringContaining('SIGKILL') as string });
    const after = await Promise.all(Array.from({ length: 20 }, (_, i) => mortal.run(floats(i))));
    expect(after.map((a) => numbers(a)[0])).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i));
    expect(starts).toBe(2);
  });

  it.runIf(process.platform === 'linux' && isolation === 'process')('the process ends when the engine is killed', async () => {
    const file = join(folder, 'step-orphan.py');
    writeFileSync(file, "import os\nprint('pid', os.getpid())\ndef wallaroo_json(data: dict):\n    return {'y': data['x']}\n");
    const built = new URL('../packages/engine/dist/runtimes/python/python.js', import.meta.url).href;
    const options = { file, fileName: 'step.py', framework: 'python', threads: 1, inputSchema: [x], outputSchema: [y], python: { environment: models.environment.hash, python: models.environment.python } };
    const engine = spawn(process.execPath, ['--input-type=module', '-e', `import { loadPython } from ${JSON.stringify(built)}; await loadPython(${JSON.stringify(options)}); console.log('ready');`], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    await new Promise<void>((resolve) => { engine.stdout.on('data', (d: Buffer) => { if ((output += d.toString()).includes('ready')) resolve(); }); });
    const pid = Number(/pid (\d+)/.exec(output)?.[1]);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    engine.kill('SIGKILL');
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
  });

  it('works on as many requests at once as its concurrency says', async () => {
    const runtime = await step('import threading\nbarrier = threading.Barrier(3, timeout=20)\ndef wallaroo_json(data: dict):\n    if data["x"][0] > 1:\n        barrier.wait()\n    return {"y": data["x"]}', { python: { concurrency: 3 } });
    expect(runtime.slots).toBeGreaterThanOrEqual(3);
    const at = await Promise.all([2, 3, 4].map((v) => runtime.run(floats(v))));
    expect(at.map((a) => numbers(a)[0])).toEqual([2, 3, 4]);
  });
});

describe('what a model may do', () => {
  it('change folder, replace stdout, leave threads behind, give NaN and no value, and bear any name', async () => {
    const odd = { x: { ...x, name: 'größe' }, y: { ...y, name: '数 "y"' } };
    const runtime = await step(`import io, threading
def wallaroo_json(data: dict):
    os.chdir('/')
    sys.stdout = io.StringIO()
    print('nobody reads this')
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return {'数 "y"': [None if v == 1 else float('nan') if v == 2 else v for v in data['größe']]}`, { inputSchema: [odd.x], outputSchema: [odd.y] });
    const named = (...values: number[]): Batch => ({ ...floats(...values), columns: floats(...values).columns.map((c) => ({ ...c, name: 'größe' })) });
    for (let i = 0; i < 3; i++) {
      const column = (await runtime.run(named(1, 2, 3))).columns[0] as TensorColumn;
      expect([column.name, [...(column.nulls ?? [])], (column.values as Float64Array)[1], (column.values as Float64Array)[2]]).toEqual(['数 "y"', [1, 0, 0], Number.NaN, 3]);
    }
    const started = Date.now();
    await runtime.unload(); // its threads do not keep it
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  it('take its time to load, as long as it gets on', async () => {
    const stages: string[] = [];
    const runtime = await step(`until = time.time() + 7\nwhile time.time() < until:\n    print('reading weights', flush=True)\n    sum(range(300_000))\n${doubles()}`, { stallMs: 4500, onLog: (_, line) => { stages.push(line); } });
    expect(stages).toContain('reading weights');
    await answers(runtime);
  });
});

describe('what cannot be loaded is refused with a reason', () => {
  const refusedStep = async (body: string, more: More = {}): Promise<{ code: string; message: string }> => refusal(step(body, more));
  it('a script without the entry function', async () => expect(await refusedStep('pass')).toMatchObject({ code: 'model_invalid', message: expect.stringContaining('wallaroo_json') as string }));
  it('a script that is not Python', async () => expect(await refusedStep('def (:')).toMatchObject({ code: 'model_invalid', message: expect.stringContaining('cannot be read as Python') as string }));
  it('a script that needs a package that is not there', async () => expect(await refusedStep('import no_such_package')).toMatchObject({ code: 'model_invalid', message: expect.stringContaining('no_such_package') as string }));
  it('a script that ends the process', async () => expect(await refusedStep('os._exit(7)')).toMatchObject({ code: 'model_process_lost', message: expect.stringContaining('status 7') as string }));
  it('one that never gets ready', async () => expect(await refusedStep('time.sleep(3600)', { stallMs: 2500 })).toMatchObject({ code: 'engine_start_timeout' }));
  it('one that works for ever', async () => expect(await refusedStep('while True: pass', { startMs: 2500 })).toMatchObject({ code: 'engine_start_timeout' }));
  it('one whose warm-up gives other columns than declared', async () => expect(await refusedStep("def wallaroo_json(data):\n    return {'z': [1.0]}")).toMatchObject({ code: 'warm_up_failed', message: expect.stringContaining("'y'") as string }));
  it('a pickle of something that does not predict', async () => {
    const file = join(folder, 'dict.pkl');
    spawnSync('python3', ['-c', `import pickle; pickle.dump({'a': 1}, open(${JSON.stringify(file)}, 'wb'))`]);
    expect(await refusal(load(file, 'sklearn'))).toMatchObject({ code: 'model_invalid', message: expect.stringContaining('neither predicts nor transforms') as string });
  });
  it.each([
    ['an empty file', '', 'empty or cut off'], ['a file of something else', 'hello world', 'is not a pickle'], ['half a pickle', '\x80\x04\x95\xff\xff', 'empty or cut off'],
    ['an ONNX model', '\x08\x07\x12\x00', 'is not a pickle'],
  ])('%s for a pickle', async (_, content, said) => {
    const file = models.path('.pkl');
    writeFileSync(file, content, 'latin1');
    expect(await refusal(load(file, 'sklearn'))).toMatchObject({ code: 'model_invalid', message: expect.stringMatching(said) as string });
  });
  it('an environment that is not there', async () => expect(await refusal(load(join(folder, 'x.pkl'), 'sklearn', { python: { python: join(folder, 'no-python') } }))).toMatchObject(isolation === 'process' ? { code: 'model_process_lost', message: expect.stringContaining('could not be started') as string } : { code: 'environment_failed', message: expect.stringContaining('no-python') as string }));
});

describe('archives', () => {
  const unpacked: [string, string, string][] = [
    ['a path upwards', "z.writestr('../evil.py', 'x')", 'outside the archive'],
    ['an absolute path', "z.writestr('/etc/evil.py', 'x')", 'outside the archive'],
    ['a path of Windows', "z.writestr('a\\\\..\\\\..\\\\evil.py', 'x')", 'outside the archive'],
    ['a drive of Windows', "z.writestr('C:/evil.py', 'x')", 'outside the archive'],
    ['a link', "i = zipfile.ZipInfo('link'); i.external_attr = (stat.S_IFLNK | 0o777) << 16; z.writestr(i, '/etc/passwd')", 'link'],
    ['a device', "i = zipfile.ZipInfo('null'); i.external_attr = (stat.S_IFCHR | 0o666) << 16; z.writestr(i, '')", 'special file'],
    ['a bomb', "z.writestr('zeros', bytes(200 << 20))", 'grows from'],
    ['many small bombs', "[z.writestr(str(n), bytes(60 << 20)) for n in range(3)]", 'at most'],
    ['a size that is a lie', "z.writestr('a', b'x' * 5000); z.filelist[0].file_size = 10", 'cannot be unpacked'],
    ['one name twice', "z.writestr('a.py', 'x'); z.writestr('a.py', 'y')", 'two entries'],
    ['a file that is a folder too', "z.writestr('a', 'x'); z.writestr('a/b', 'y')", 'both a file and a folder'],
    ['thousands of files', "[z.writestr(str(n), '') for n in range(20_001)]", 'entries'],
    ['a password', "z.writestr('a', 'x'); z.filelist[0].flag_bits |= 1", 'cannot be unpacked'],
    ['a way of packing that is unknown', "z.writestr('a', 'x'); z.filelist[0].compress_type = 97", 'cannot be unpacked'],
  ];
  let said: string[];
  beforeAll(() => {
    const script = `import json, pathlib, stat, sys, tempfile, warnings, zipfile
from potoroo_runtime.archive import unpack
from potoroo_runtime.errors import ModelError
warnings.simplefilter('ignore')
def code_of(n, z):
${unpacked.map(([, code], i) => `    if n == ${i}:\n        ${code}`).join('\n')}
said = []
for n in range(${unpacked.length}):
    folder = pathlib.Path(tempfile.mkdtemp(dir=sys.argv[1]))
    z = zipfile.ZipFile(folder / 'model.zip', 'w', zipfile.ZIP_DEFLATED)
    code_of(n, z)
    z.close()
    (folder / 'into').mkdir()
    try:
        unpack(folder / 'model.zip', folder / 'into', max_bytes=150 << 20 if n == 7 else 32 << 30)
        said.append('unpacked')
    except ModelError as error:
        said.append(f'{error.code}: {error.message}')
print(json.dumps(said))`;
    const done = spawnSync('python3', ['-c', script, folder], { encoding: 'utf8', env: { PATH: process.env['PATH'], PYTHONPATH: pythonRoot }, maxBuffer: 1 << 24 });
    if (done.status !== 0) throw new Error(done.stderr);
    said = JSON.parse(done.stdout) as string[];
  });
  it.each(unpacked.map(([name, , message], i) => [name, message, i] as const))('with %s are refused', (_, message, i) => {
    expect(said[i]).toMatch(/^model_invalid: /);
    expect(said[i]).toContain(message);
  });

  const builder = (name: string): string => `from mac.inference.creation import InferenceBuilder\\nclass ${name}(InferenceBuilder):\\n    inference = None\\n    def create(self, config): pass\\n`;
  it.each([
    ['no archive at all', "open(path, 'w').write('hello')", 'not a zip'],
    ['half an archive', "z = zipfile.ZipFile(path, 'w'); z.writestr('a.py', 'x' * 10_000); z.close(); d = open(path, 'rb').read(); open(path, 'wb').write(d[:5000])", 'not a zip'],
    ['an archive in an archive', "import io; b = io.BytesIO(); i = zipfile.ZipFile(b, 'w'); i.writestr('a.py', ''); i.close(); z = zipfile.ZipFile(path, 'w'); z.writestr('model.zip', b.getvalue()); z.close()", 'InferenceBuilder'],
    ['nothing that extends the classes', "z = zipfile.ZipFile(path, 'w'); z.writestr('a.py', 'x = 1'); z.close()", 'InferenceBuilder'],
    ['two builders', `z = zipfile.ZipFile(path, 'w'); z.writestr('a.py', '${builder('A')}'); z.writestr('b.py', '${builder('B')}'); z.close()`, '2 classes'],
    ['a builder that gives nothing', `z = zipfile.ZipFile(path, 'w'); z.writestr('a.py', '${builder('A')}'); z.close()`, 'must return an instance'],
    ['Python that cannot be read', "z = zipfile.ZipFile(path, 'w'); z.writestr('a.py', 'def ('); z.close()", 'cannot be read as Python'],
  ])('as %s are refused', async (_, script, message) => {
    const path = models.path('.zip');
    const done = spawnSync('python3', ['-c', `import sys, zipfile\npath = sys.argv[1]\n${script}`, path], { encoding: 'utf8' });
    expect(done.stderr).toBe('');
    expect(await refusal(load(path, 'custom'))).toMatchObject({ code: 'model_invalid', message: expect.stringContaining(message) as string });
  });
  it('leave nothing behind', () => expect(readdirSync(folder, { recursive: true }).filter((name) => String(name).includes('evil') || String(name).includes('link'))).toEqual([]));
});

describe.runIf(process.platform === 'linux')('code in a model is contained', () => {
  const look = (code: string): string => `import json\nfound = {}\n${code}\ndef wallaroo_json(data: dict):\n    return {'y': [json.dumps(found)] * len(data['x'])}`;
  const text: Field = { name: 'y', type: 'string', shape: [] };
  const seen = async (code: string): Promise<Record<string, string>> => {
    const runtime = await step(look(code), { outputSchema: [text] });
    const { values } = (await runtime.run(floats(1))).columns[0] as Column & { values: Utf8 };
    return JSON.parse(utf8At(values, 0)) as Record<string, string>;
  };
  it('sees no secrets in its environment, nor in that of its parent', async () => {
    process.env['POTOROO_TEST_SECRET'] = 'do-not-tell';
    try {
      const found = await seen("found['own'] = json.dumps(dict(os.environ))\ntry:\n    found['parent'] = open(f'/proc/{os.getppid()}/environ').read()\nexcept OSError as e:\n    found['parent'] = type(e).__name__");
      expect(found['own']).not.toContain('do-not-tell');
      expect(found['parent']).toBe('PermissionError');
    } finally {
      delete process.env['POTOROO_TEST_SECRET'];
    }
  });
  it('writes in its own folder only, reads no files of others, and signals nobody', async () => {
    const secret = join(folder, 'secret.txt');
    writeFileSync(secret, 'do-not-tell');
    const target = join(folder, 'written.txt');
    const attempt = (name: string, code: string): string => `try:\n    ${code}\n    found['${name}'] = 'done'\nexcept OSError as e:\n    found['${name}'] = type(e).__name__\n`;
    const found = await seen(attempt('own', "open('mine.txt', 'w').write('x')") + attempt('write', `open(${JSON.stringify(target)}, 'w').write('x')`) + attempt('read', `open(${JSON.stringify(secret)}).read()`) + attempt('signal', 'os.kill(os.getppid(), 0)'));
    // In a container the files of others are not even there.
    expect(found).toEqual({ own: 'done', write: 'PermissionError', read: isolation === 'process' ? 'PermissionError' : 'FileNotFoundError', signal: 'PermissionError' });
    expect(existsSync(target)).toBe(false);
  });
  it('reaches no network while it is converted, and a pickle that tries cannot write elsewhere', async () => {
    const connections: string[] = [];
    const server = createServer((socket) => { connections.push('one'); socket.destroy(); });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const { port } = server.address() as { port: number };
    const [work, marks] = [join(folder, 'convert-work'), join(folder, 'marks')];
    mkdirSync(work);
    mkdirSync(marks);
    const file = join(folder, 'evil.pkl');
    const code = `import socket\nfor path in (${JSON.stringify(join(work, 'ran'))}, ${JSON.stringify(join(marks, 'ran'))}):\n    try: open(path, 'w').close()\n    except OSError: pass\nsocket.create_connection(('127.0.0.1', ${port}), 2)`;
    spawnSync('python3', ['-c', `import pickle\nclass E:\n    def __reduce__(self): return (exec, (${JSON.stringify(code)},))\npickle.dump(E(), open(${JSON.stringify(file)}, 'wb'))`]);
    const config = JSON.stringify({ fileName: 'evil.pkl', inputSchema: [{ name: 'inputs', type: 'float64', shape: [4] }], outputSchema: [y] });
    const done = await new Promise<string>((resolve) => {
      const child = spawn(models.environment.python, ['-m', 'potoroo_runtime.convert', '--model', file, '--framework', 'sklearn', '--out', join(work, 'out.onnx'), '--work', work, '--config', config], { env: { PATH: process.env['PATH'], PYTHONPATH: pythonRoot, HOME: work, TMPDIR: work }, stdio: ['pipe', 'pipe', 'ignore'] });
      let out = '';
      child.stdout.on('data', (d: Buffer) => { out += d.toString(); });
      child.once('close', () => resolve(out));
    });
    server.close();
    expect(JSON.parse(done)).toMatchObject({ ok: false });
    expect(readdirSync(work)).toContain('ran'); // the code did run,
    expect(readdirSync(marks)).toEqual([]); // but reached neither another folder
    expect(connections).toEqual([]); // nor the network
  });
});
