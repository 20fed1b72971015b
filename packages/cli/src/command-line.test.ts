import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCodes, PotorooError, type ErrorCode } from '@potoroo/contract';
import { duration, moment, timeoutOption } from './command.ts';
import { candidates, completionScript, shells } from './completion.ts';
import { SavedCredentials } from './credentials.ts';
import { adviceFor, exitCodes } from './exit.ts';
import { bytesText, table, type Output } from './output.ts';
import { makeProgram } from './program.ts';
import { progress } from './progress.ts';
import { readable } from './up/ops.ts';

const program = (): Command => makeProgram(() => { throw new Error('no command runs here'); });
const launcher = fileURLToPath(new URL('../bin/potoroo.mjs', import.meta.url));

let folder: string;
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'potoroo-cli-')); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function potoroo(args: readonly string[], env: Record<string, string> = {}, input = '') {
  const child = spawn(process.execPath, [launcher, ...args], { env: { PATH: process.env['PATH'] ?? '', HOME: folder, POTOROO_CONFIG_DIR: join(folder, 'config'), ...env } });
  child.stdin.end(input);
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<number | null>((resolve) => { child.once('close', resolve); })]);
  return { out, err, code };
}

function* commandsOf(command: Command): Generator<Command> {
  for (const child of command.commands) {
    if (child.name().startsWith('__')) continue;
    yield child;
    yield* commandsOf(child);
  }
}

describe('help', () => {
  it.each([...commandsOf(program())].map((command) => [pathOf(command), command] as const))('of "%s" says what it does and shows an example that parses', (path, command) => {
    let help = '';
    command.configureOutput({ writeOut: (s) => { help += s; } }).outputHelp();
    expect(command.description()).not.toBe('');
    const examples = help.split('\n').filter((line) => line.startsWith('  $ ')).map((line) => line.slice(4));
    expect(examples.length, path).toBeGreaterThan(0);
    expect(examples.some((line) => line.includes(`potoroo ${path}`)), path).toBe(true);
    expect(help).toContain('--json ');
    for (const { name, description } of command.registeredArguments.map((a) => ({ name: a.name(), description: a.description || a.argChoices }))) expect(description, `${path} <${name}>`).toBeTruthy();
    // A description squeezed behind a long name is wrapped all the same.
    for (const line of help.split('\n').filter((l) => !l.includes('$ '))) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  it('lists every exit code', async () => {
    const { out, code } = await potoroo(['--help']);
    expect(code).toBe(0);
    for (const value of Object.values(exitCodes)) expect(out).toMatch(new RegExp(`^  ${value}  `, 'm'));
  });
});

function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

describe('a wrong command line', () => {
  it.each<[string, string[], number, RegExp]>([
    ['an unknown command', ['pipelin'], 2, /unknown command 'pipelin'/],
    ['a missing argument', ['pipeline', 'deploy'], 2, /missing required argument 'name'/],
    ['half a replica', ['pipeline', 'deploy', 'p', '--replicas', '0.5'], 2, /whole number of at least 1/],
    ['a time without sense', ['pipeline', 'deploy', 'p', '--timeout', 'soon'], 2, /such as 90s/],
    ['an unknown processor', ['model', 'upload', 'm', 'f', '--arch', 'z80'], 2, /Allowed choices are/],
    ['an address that is none', ['model', 'list', '--url', 'nowhere'], 2, /"nowhere" is not one/],
    ['no log-in', ['model', 'list'], 3, /You are not logged in[^]*potoroo login/],
    ['no terminal to ask on', ['login'], 2, /no terminal to ask on/],
    ['no such admin.json', ['login', '--admin-file', '/nowhere/admin.json'], 2, /cannot be read/],
    ['no server', ['login', '--url', 'http://127.0.0.1:9', '-u', 'a', '--password-stdin'], 5, /No Potoroo answers[^]*npm start/],
  ])('%s: says what to do, no stack, and its exit code', async (_name, args, code, message) => {
    const answer = await potoroo(args, {}, 'secret\n');
    expect(answer.err).toMatch(message);
    expect(answer.err).not.toMatch(/^\s+at .*\.js/m);
    expect(answer.out).toBe('');
    expect(answer.code).toBe(code);
  });

  it('an engine without a bundle: the engine says which file, the command which exit code', async () => {
    const { out, err, code } = await potoroo(['engine', '--bundle', '/nowhere']);
    expect(out).toContain('/nowhere/pipeline.json: the file does not exist');
    expect(err).toContain('The engine stopped with exit code 3');
    expect(code).toBe(1);
  });

  it('is reported as JSON with --json', async () => {
    const { err, code } = await potoroo(['--json', 'model', 'list']);
    expect(JSON.parse(err)).toMatchObject({ code: 'unauthenticated', next: expect.stringContaining('potoroo login') });
    expect(code).toBe(3);
  });

  it.each([['an option', ['--json', 'pipeline', 'logs', 'p', '--limit', 'x'], /--limit/], ['a command', ['pipline', '--json'], /unknown command 'pipline'/], ['an argument', ['model', 'show', '--json'], /missing required argument 'name'/]])('of %s too', async (_what, args, message) => {
    const { out, err, code } = await potoroo(args);
    expect(JSON.parse(err)).toMatchObject({ code: 'invalid_request', message: expect.stringMatching(message) });
    expect({ out, code }).toEqual({ out: '', code: 2 });
  });

  it('has the exit code that says whose turn it is, for every error', () => {
    const found: Record<number, ErrorCode[]> = {};
    for (const code of Object.keys(errorCodes) as ErrorCode[]) (found[adviceFor(new PotorooError(code, 'x')).exit] ??= []).push(code);
    const { 1: failed, 2: usage, 4: missing, ...rest } = found;
    expect(rest).toEqual({ 3: ['unauthenticated', 'invalid_credentials', 'forbidden'], 5: ['unreachable'], 6: ['deadline_exceeded', 'engine_start_timeout'] });
    expect(missing).toEqual(Object.keys(errorCodes).filter((code) => code.endsWith('_not_found') || code === 'not_deployed'));
    expect(usage).toEqual(expect.arrayContaining(['invalid_request', 'invalid_name', 'body_too_large', 'idempotency_conflict', 'model_invalid', 'framework_unsupported', 'environment_failed', 'pipeline_invalid', 'schema_mismatch', 'too_many_rows', 'address_refused', 'arch_mismatch', 'settings_invalid']));
    expect(failed).toEqual(expect.arrayContaining(['already_exists', 'conflict', 'in_use', 'model_not_ready', 'overloaded', 'inference_failed', 'no_engine_ready', 'registry_unreachable', 'engine_out_of_memory', 'storage_full', 'port_in_use', 'internal']));
  });
});

describe('saved credentials', () => {
  const server = { username: 'ada', tokens: { accessToken: 'a', expiresAt: 1, refreshToken: 'r', refreshExpiresAt: 2 }, workspaceId: null };
  const open = (name: string) => new SavedCredentials({ POTOROO_CONFIG_DIR: join(folder, name) });

  it('can be read by their owner alone, also where the file was open to others before', () => {
    const saved = open('owner');
    saved.save('http://a', server);
    expect(statSync(saved.path).mode & 0o777).toBe(0o600);
    expect(statSync(join(saved.path, '..')).mode & 0o777).toBe(0o700);
    chmodSync(saved.path, 0o644);
    saved.save('http://b', server);
    expect(statSync(saved.path).mode & 0o777).toBe(0o600);
    expect([saved.current, saved.find('http://a')?.username, saved.find('http://b')?.username]).toEqual(['http://b', 'ada', 'ada']);
  });

  it('keep what they hold when one part changes, and forget one server at a time', () => {
    const saved = open('parts');
    saved.save('http://a', server);
    saved.save('http://b', server);
    saved.update('http://a', { workspaceId: 7 });
    expect(saved.find('http://a')).toMatchObject({ username: 'ada', workspaceId: 7 });
    expect([saved.remove('http://b'), saved.remove('http://b'), saved.current, saved.find('http://a')?.workspaceId]).toEqual([true, false, null, 7]);
  });

  it.each(['', '{', '[]', '{"servers":3}'])('a damaged file (%j) is said to be, not overwritten', (content) => {
    const saved = open('damaged');
    mkdirSync(join(saved.path, '..'), { recursive: true });
    writeFileSync(saved.path, content);
    expect(() => saved.save('http://a', server)).toThrow(/damaged/);
    expect(readFileSync(saved.path, 'utf8')).toBe(content);
    rmSync(saved.path);
  });

  it('stand where the system wants them', () => {
    expect(new SavedCredentials({ HOME: '/h' }, 'linux').path).toBe(join('/h', '.config', 'potoroo', 'credentials.json'));
    expect(new SavedCredentials({ HOME: '/h', XDG_CONFIG_HOME: '/x' }, 'linux').path).toBe(join('/x', 'potoroo', 'credentials.json'));
    expect(new SavedCredentials({ HOME: '/h', APPDATA: '/a' }, 'win32').path).toBe(join('/a', 'potoroo', 'credentials.json'));
  });
});

describe('completion', () => {
  it.each<[string, string[], string[]]>([
    ['commands', ['pi'], ['pipeline']],
    ['subcommands', ['pipeline', 'dep'], ['deploy']],
    ['options of a command', ['pipeline', 'deploy', 'p', '--rep'], ['--replicas']],
    ['common options', ['model', 'list', '--js'], ['--json']],
    ['choices of an option', ['model', 'upload', 'm', 'f', '--arch', 'p'], ['power10']],
    ['choices of an argument', ['completion', ''], [...shells]],
    ['nothing where a file is meant', ['pipeline', 'infer', 'p', 'rows'], []],
    ['nothing hidden', ['__'], []],
  ])('%s', (_name, words, expected) => {
    expect(candidates(program(), words)).toEqual(expected);
  });

  it('answers the shell through the command itself, options and all', async () => {
    expect(await potoroo(['__complete', '--', 'pipeline', 'logs', 'p', '--li'])).toMatchObject({ out: '--limit\n', code: 0 });
    expect(await potoroo(['__complete', '--', ''])).toMatchObject({ out: expect.stringContaining('workspace\n'), code: 0 });
  });

  it.each(shells.filter((shell) => existsSync(`/bin/${shell}`)))('%s accepts its script', async (shell) => {
    const child = spawn(shell, ['-n'], { stdio: ['pipe', 'ignore', 'pipe'] });
    child.stdin.end(completionScript(shell));
    const complaint = await text(child.stderr);
    expect(complaint).toBe('');
  });

  it.runIf(existsSync('/bin/bash'))('bash completes', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'potoroo'), `#!/bin/sh\nexec "${process.execPath}" "${launcher}" "$@"\n`, { mode: 0o755 });
    const child = spawn('bash', ['-c', `${completionScript('bash')}\nCOMP_WORDS=(potoroo pipeline dep) COMP_CWORD=2\n_potoroo\nprintf '%s\\n' "\${COMPREPLY[@]}"`], { env: { PATH: `${bin}:${process.env['PATH']}` } });
    expect(await text(child.stdout)).toBe('deploy\n');
  });
});

describe('times', () => {
  it.each<[string, number]>([['90', 90_000], ['1.5m', 90_000], ['2h', 7_200_000], ['30d', 30 * 86_400_000], ['365d', 365 * 86_400_000]])('%s', (text, milliseconds) => {
    expect(duration(text)).toBe(milliseconds);
    expect(Math.abs(Date.now() - milliseconds - moment(text === '90' ? '90s' : text).getTime())).toBeLessThan(5000);
  });

  it.each(['', '0', '-1d', '1y', '1000000d', 'soon'])('%j is none', (text) => {
    expect(() => duration(text)).toThrow(/30d/);
  });

  it('a time limit is one that a timer can take', () => {
    const limit = timeoutOption('how long to wait', 120);
    expect(limit.parseArg?.('1h', undefined)).toBe(3_600_000);
    expect(limit.parseArg?.('365d', undefined)).toBe(0x7fffffff);
  });
});

describe('output', () => {
  it('lines tables up and says when there is nothing', () => {
    expect(table(['name', 'n'], [['a', 1], ['longer', null]], 'none')).toBe('NAME    N\na       1\nlonger  -');
    expect(table(['name'], [], 'none')).toBe('none');
  });

  it.each([[0, '0 B'], [1023, '1023 B'], [1024, '1.0 KiB'], [5 * 1024 ** 3, '5.0 GiB']])('%i bytes are %s', (bytes, expected) => {
    expect(bytesText(bytes)).toBe(expected);
  });

  it('makes a log line of ops readable and leaves others alone', () => {
    expect(readable('{"level":40,"time":1700000000000,"msg":"slow","err":{"message":"why"}}')).toMatch(/^\d\d:\d\d:\d\d warning slow: why$/);
    expect(readable('{"level":50,"time":1700000000000,"msg":"It failed.","err":{"message":"It failed."}}')).toMatch(/ error It failed\.$/);
    for (const line of ['plain', '{"half', '{"x":1}', 'null', '']) expect(readable(line)).toBe(line);
  });
});

describe('progress', () => {
  function recorder(interactive: boolean, json = false) {
    const lines: string[] = [];
    const output: Output = { json, interactive, out: () => undefined, err: (s) => lines.push(s), redraw: (s) => lines.push(`~${s}`) };
    return { lines, output };
  }

  it('draws a bar on a terminal, not more often than an eye sees', () => {
    let now = 0;
    const { lines, output } = recorder(true);
    const bar = progress(output, 'Uploading m', 'bytes', () => now);
    for (now = 0; now <= 400; now += 1) bar.update(now, 400);
    bar.end();
    expect(lines.length).toBeLessThan(10);
    expect(lines[0]).toBe('~Uploading m  [░░░░░░░░░░░░░░░░░░░░░░░░] 0 B of 400 B');
    expect(lines.at(-2)).toBe('~Uploading m  [████████████████████████] 400 B of 400 B');
    expect(lines.at(-1)).toBe('~');
  });

  it('writes a plain line now and then elsewhere, and nothing with --json', () => {
    let now = 0;
    const { lines, output } = recorder(false);
    const bar = progress(output, 'Deploying p', 'replicas', () => now);
    for (now = 0; now < 12_000; now += 100) bar.update(0, 2);
    bar.update(2, 2);
    bar.end();
    expect(lines).toEqual(['Deploying p: 0 of 2', 'Deploying p: 2 of 2']);
    // What a stream reports after its end, as when the server has refused it half way.
    bar.note('late');
    bar.update(1, 2);
    expect(lines).toHaveLength(2);
    const silent = recorder(false, true);
    progress(silent.output, 'x', 'bytes').update(1, 1);
    expect(silent.lines).toEqual([]);
  });
});

it('a reader that stops early is no fault', () => {
  const { stderr } = spawnSync('bash', ['-c', `"${process.execPath}" "${launcher}" --help | head -n 1 >/dev/null`], { encoding: 'utf8' });
  expect(stderr).toBe('');
});
