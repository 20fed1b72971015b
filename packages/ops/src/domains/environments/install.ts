import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PotorooError } from '@potoroo/contract';
import { plainEnvironment, runChild, type ChildEnd } from './child.ts';
import type { Interpreter } from './interpreters.ts';

export interface InstallOptions {
  readonly folder: string;
  readonly interpreter: Interpreter;
  readonly requirements: readonly string[];
  /** Downloads are kept there. */
  readonly cache: string;
  readonly pythonRoot: string;
  /** The path of `uv`; without it `venv` and `pip` are used. */
  readonly uv: string | undefined;
  /** Also packages without a wheel, whose build runs their code. */
  readonly sourceBuilds: boolean;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
  readonly silenceMs: number;
  readonly timeoutMs: number;
}

/** Where packages come from is set where pip and uv look for it. */
const indexSettings = /^(?:PIP|UV)_(?:INDEX_URL|EXTRA_INDEX_URL|DEFAULT_INDEX|INDEX|FIND_LINKS|TRUSTED_HOST|CERT|PROXY|DEFAULT_TIMEOUT|HTTP_TIMEOUT)$|^(?:https?|no|all)_proxy$/i;

/** Makes the environment in `folder`. @throws PotorooError `environment_failed` naming the requirement and why, `draining` when aborted */
export async function install(options: InstallOptions): Promise<void> {
  const { folder, interpreter, requirements, uv, cache } = options;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const settings = Object.fromEntries(Object.entries(process.env).filter(([name, value]) => indexSettings.test(name) && value !== undefined)) as Record<string, string>;
  // Compiled now, as pip does it: a model's process may not write there, and would compile all it imports at every start.
  const env = plainEnvironment({
    ...settings, HOME: cache, TMPDIR: cache, PYTHONPATH: options.pythonRoot, PYTHONNOUSERSITE: '1', PIP_CACHE_DIR: join(cache, 'pip'), UV_CACHE_DIR: join(cache, 'uv'),
    UV_PYTHON_DOWNLOADS: 'never', UV_NO_CONFIG: '1', UV_COMPILE_BYTECODE: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1', PIP_PROGRESS_BAR: 'off',
  });
  const run = (command: readonly string[]): Promise<ChildEnd> =>
    runChild(interpreter.path, ['-m', 'potoroo_runtime.confined', '--write', folder, '--write', cache, ...(uv === undefined ? [] : ['--read', uv]), '--', ...command], {
      env, cwd: cache, onLine: options.onLine, signal: options.signal, silenceMs: options.silenceMs, timeoutMs: options.timeoutMs,
    });
  const python = join(folder, 'bin', 'python');
  const wheels = options.sourceBuilds ? [] : ['--only-binary', ':all:'];
  const made = await run(uv === undefined ? [interpreter.path, '-m', 'venv', folder] : [uv, 'venv', '--python', interpreter.path, '--allow-existing', folder]);
  if (made.code !== 0) throw failure(made, options, 'The environment could not be made');
  if (requirements.length === 0) return;
  const installed = await run(uv === undefined ? [python, '-m', 'pip', 'install', ...wheels, ...requirements] : [uv, 'pip', 'install', '--python', python, ...wheels, ...requirements]);
  if (installed.code !== 0) throw failure(installed, options, 'The requirements could not be installed');
}

function failure(end: ChildEnd, options: InstallOptions, what: string): PotorooError {
  if (end.ended === 'aborted') return new PotorooError('draining', 'The server is shutting down.');
  if (end.ended !== undefined) {
    const limit = end.ended === 'silence' ? `said nothing for ${options.silenceMs / 1000} s` : `took longer than ${options.timeoutMs / 1000} s`;
    return new PotorooError('environment_failed', `${what}: the installer ${limit}.${culprit(end.lines, options.requirements)} Is the package index reachable?`);
  }
  return new PotorooError('environment_failed', `${what}: ${reason(end.lines)}${culprit(end.lines, options.requirements)}${options.sourceBuilds ? '' : ' Only packages with a ready-made wheel are installed.'}`);
}

/** The installer's own words, without their decoration. */
function reason(lines: readonly string[]): string {
  const at = lines.findIndex((line) => /No solution found|^ERROR:|^\s*×|^error:/i.test(line));
  const picked = (at < 0 ? lines.slice(-3) : lines.slice(at).filter((line) => !/^\s*(?:hint:|note:)/i.test(line)).slice(0, 8))
    .map((line) => line.replace(/^[\s×╰─▶│├→]+/u, '').replace(/^(?:ERROR|error):\s*/, '').trim()).filter((line) => line !== '');
  const text = picked.join(' ').slice(0, 600);
  return text === '' ? 'the installer failed without saying why.' : /[.!?]$/.test(text) ? text : `${text}.`;
}

/** The requirement that the installer's words name, when there is just one such. */
function culprit(lines: readonly string[], requirements: readonly string[]): string {
  const text = lines.slice(-40).join('\n').toLowerCase();
  const named = requirements.filter((r) => {
    const name = /^[A-Za-z0-9._-]+/.exec(r)?.[0].toLowerCase().replace(/[-_.]+/g, '[-_.]+');
    return name !== undefined && new RegExp(`(?:for|of|require|because|×|requirement)\\s+(?:you require\\s+)?${name}(?![a-z0-9-])`).test(text);
  });
  return named.length === 1 ? ` The requirement is ${JSON.stringify(named[0])}.` : '';
}
