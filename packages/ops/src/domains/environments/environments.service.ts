import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fromSystemError, PotorooError } from '@potoroo/contract';
import { tryLock } from '../../storage/file-lock.ts';
import { plainEnvironment, runChild } from './child.ts';
import { install } from './install.ts';
import { choose, findInterpreters, type Interpreter } from './interpreters.ts';
import { mergeRequirements } from './requirements.ts';

/** What the Python side says of its frameworks. */
export interface FrameworkFacts { requirements: string[]; guideRequirements: string[]; archive: 'no' | 'always' | 'maybe'; converts: boolean; runtime: string; /** Takes settings of its own. */ settings: boolean; /** Pythons that its packages install on; empty: every one. */ pythons: string[]; /** An upload has to say what its model takes. */ needsInputSchema: boolean }
export interface Catalog { base: string[]; frameworks: Record<string, FrameworkFacts> }

/** What an environment is made of; equal plans have equal hashes. */
export interface Plan { readonly hash: string; readonly interpreter: Interpreter; readonly requirements: readonly string[] }
export interface Environment { readonly hash: string; readonly python: string; readonly pythonVersion: string; readonly packages: readonly string[] }
export interface Wanted {
  framework: string;
  /** The model's own, from the upload's settings and its archive. */
  requirements: readonly string[];
  pythonVersion?: string | undefined;
  /** `guide`: the versions that the guide names instead of current ones. */
  versions?: 'current' | 'guide' | undefined;
}
export interface EnvironmentsOptions {
  /** Environments lie below it, by their hash. */
  readonly root: string;
  /** Downloads; `<root>/cache` by default. */
  readonly cache?: string;
  /** An interpreter that goes before those in PATH. */
  readonly python?: string | undefined;
  readonly sourceBuilds?: boolean;
  /** Which versions uploads get that do not say. */
  readonly versions?: 'current' | 'guide';
  /** `false`: `venv` and `pip` even where `uv` is present. */
  readonly uv?: false;
  readonly silenceMs?: number;
  readonly timeoutMs?: number;
}

export const pythonRoot = process.env['POTOROO_PYTHON_ROOT'] ?? fileURLToPath(new URL('../../../../../python', import.meta.url));

/** How often it is looked whether another server is done. */
const turnMs = 250;

interface Build { readonly result: Promise<Environment>; readonly lines: string[]; readonly listeners: Set<(line: string) => void>; readonly stop: AbortController }

/** Python environments: resolved once, built in a confined child process, kept by hash, never changed. */
export class Environments {
  readonly #options: Required<Omit<EnvironmentsOptions, 'python' | 'uv'>> & EnvironmentsOptions;
  readonly #builds = new Map<string, Build>();
  #interpreters: Promise<Interpreter[]> | undefined;
  #catalog: Promise<Catalog> | undefined;
  #uv: Promise<string | undefined> | undefined;

  constructor(options: EnvironmentsOptions) {
    this.#options = { cache: join(options.root, 'cache'), sourceBuilds: false, versions: 'current', silenceMs: 300_000, timeoutMs: 3_600_000, ...options };
  }

  /** The frameworks that Python serves. @throws environment_failed when there is no Python */
  catalog(): Promise<Catalog> {
    this.#catalog ??= this.#ask<Catalog>('potoroo_runtime.catalog', []).catch((error: unknown) => {
      this.#catalog = undefined;
      throw error;
    });
    return this.#catalog;
  }

  /** Versions of the Pythons of this machine, the one that is used when nothing is asked for first. */
  async pythons(): Promise<string[]> {
    return (await this.#found()).map((interpreter) => interpreter.version);
  }

  /** The lines of the requirements.txt in an uploaded archive, none where there is none. @throws model_invalid */
  async requirementsOf(file: string): Promise<string[]> {
    return (await this.needsOf(file)).lines;
  }

  /** The same, and the Python that the model was made with, where its archive says so. @throws model_invalid */
  async needsOf(file: string): Promise<{ lines: string[]; python: string | null }> {
    const answer = await this.#ask<{ ok: true; lines: string[]; python: string | null } | { ok: false; message: string }>('potoroo_runtime.requirements', [file], [file]);
    if (!answer.ok) throw new PotorooError('model_invalid', answer.message);
    return answer;
  }

  /** @throws framework_unsupported, environment_failed */
  async plan(wanted: Wanted): Promise<Plan> {
    const { base, frameworks } = await this.catalog();
    const facts = frameworks[wanted.framework];
    if (facts === undefined) throw new PotorooError('framework_unsupported', `Framework ${JSON.stringify(wanted.framework)} is not one of ${Object.keys(frameworks).join(', ')}.`);
    const interpreter = choose(pythonsFor(facts, await this.#found()), wanted.pythonVersion);
    const guide = (wanted.versions ?? this.#options.versions) === 'guide' && facts.guideRequirements.length > 0;
    const own = mergeRequirements(base, facts.requirements);
    const pinned = guide ? mergeRequirements(own, facts.guideRequirements) : own;
    const requirements = mergeRequirements(pinned, wanted.requirements);
    const hash = createHash('sha256').update(JSON.stringify([1, interpreter.version, process.platform, process.arch, this.#options.sourceBuilds, requirements])).digest('hex').slice(0, 32);
    return { hash, interpreter, requirements };
  }

  /** The finished environment of a hash, if there is one. */
  async find(hash: string): Promise<Environment | undefined> {
    if (!/^[0-9a-f]{32}$/.test(hash)) return undefined;
    try {
      const noted = JSON.parse(await readFile(this.#mark(hash), 'utf8')) as Omit<Environment, 'python'>;
      return { ...noted, python: this.#pythonOf(hash) }; // not a noted path: the data folder may have moved
    } catch {
      return undefined;
    }
  }

  /**
   * The environment of a plan, built when there is none; whoever asks for one that is being built waits for the same build
   * and sees its lines. The build goes on when one of several that wait is aborted.
   * @throws environment_failed naming the requirement and why; draining when aborted
   */
  async ensure(plan: Plan, onLine: (line: string) => void = () => {}, signal?: AbortSignal): Promise<Environment> {
    const ready = await this.find(plan.hash);
    if (ready !== undefined) return ready;
    let build = this.#builds.get(plan.hash);
    if (build === undefined) {
      const lines: string[] = [];
      const listeners = new Set<(line: string) => void>();
      const stop = new AbortController();
      const tell = (line: string): void => {
        lines.push(line);
        for (const listener of listeners) listener(line);
      };
      build = { lines, listeners, stop, result: this.#build(plan, tell, stop.signal).finally(() => this.#builds.delete(plan.hash)) };
      this.#builds.set(plan.hash, build);
    }
    for (const line of build.lines) onLine(line);
    const joined = build;
    joined.listeners.add(onLine);
    const leave = (): void => {
      joined.listeners.delete(onLine);
      if (joined.listeners.size === 0) joined.stop.abort();
    };
    if (signal?.aborted === true) leave();
    signal?.addEventListener('abort', leave, { once: true });
    try {
      return await joined.result;
    } finally {
      signal?.removeEventListener('abort', leave);
      joined.listeners.delete(onLine);
    }
  }

  /** Removes what no model needs: finished environments that are not in `used`, and what unfinished builds left behind. */
  async collect(used: () => Promise<ReadonlySet<string>>): Promise<string[]> {
    const there = await readdir(this.#options.root).catch(() => [] as string[]);
    const keep = await used();
    const unused = there.filter((name) => /^[0-9a-f]{32}$/.test(name) && !keep.has(name) && !this.#builds.has(name));
    const gone: string[] = [];
    for (const hash of unused) {
      const release = tryLock(this.#lock(hash));
      if (release === undefined) continue; // another server is making it
      try {
        await rm(this.#mark(hash), { force: true }); // from here on it counts as not there
        await rm(join(this.#options.root, hash), { recursive: true, force: true });
      } finally {
        release();
      }
      gone.push(hash);
    }
    return gone;
  }

  /** Ends the builds under way. */
  async close(): Promise<void> {
    const builds = [...this.#builds.values()];
    for (const build of builds) build.stop.abort();
    await Promise.allSettled(builds.map((build) => build.result));
  }

  async #build(plan: Plan, tell: (line: string) => void, signal: AbortSignal): Promise<Environment> {
    const folder = join(this.#options.root, plan.hash);
    const { root, cache } = this.#options;
    try {
      await mkdir(root, { recursive: true });
      await mkdir(cache, { recursive: true });
    } catch (error) {
      throw fromSystemError(error, 'Making the folder of a Python environment');
    }
    const release = await this.#turn(plan.hash, tell, signal);
    try {
      // Whoever had the lock before may have made it.
      return await this.find(plan.hash) ?? await this.#make(plan, folder, tell, signal);
    } finally {
      release();
    }
  }

  /** Servers that share the folder, each with a data folder of its own, make one environment one after the other. */
  async #turn(hash: string, tell: (line: string) => void, signal: AbortSignal): Promise<() => void> {
    for (let told = false; ; told = true) {
      const release = tryLock(this.#lock(hash));
      if (release !== undefined) return release;
      if (!told) tell(`Another server is making environment ${hash}; waiting for it.`);
      await setTimeout(turnMs, undefined, { signal }).catch(() => { throw new PotorooError('draining', 'The server is shutting down.'); });
    }
  }

  async #make(plan: Plan, folder: string, tell: (line: string) => void, signal: AbortSignal): Promise<Environment> {
    const { cache, sourceBuilds, silenceMs, timeoutMs } = this.#options;
    const uv = await this.#findUv();
    tell(`Making environment ${plan.hash} with Python ${plan.interpreter.version} and ${uv === undefined ? 'pip' : 'uv'}: ${plan.requirements.join(', ')}.`);
    try {
      await install({ folder, interpreter: plan.interpreter, requirements: plan.requirements, cache, pythonRoot, uv, sourceBuilds, signal, onLine: tell, silenceMs, timeoutMs });
      const python = this.#pythonOf(plan.hash);
      const packages = await this.#prove(python);
      const environment: Environment = { hash: plan.hash, python, pythonVersion: plan.interpreter.version, packages };
      await writeFile(`${this.#mark(plan.hash)}.new`, JSON.stringify(environment));
      await rename(`${this.#mark(plan.hash)}.new`, this.#mark(plan.hash));
      tell(`The environment is ready: ${packages.length} packages.`);
      return environment;
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Imports what the runtime itself needs and lists what is installed. */
  async #prove(python: string): Promise<string[]> {
    const script = 'import json, importlib.metadata as m, numpy, pandas, pyarrow, potoroo_runtime.model; print(json.dumps(sorted({f"{d.metadata[\'Name\']}=={d.version}" for d in m.distributions()})))';
    const end = await runChild(python, ['-c', script], { env: plainEnvironment({ PYTHONPATH: pythonRoot, PYTHONNOUSERSITE: '1' }), silenceMs: 120_000, timeoutMs: 120_000 });
    if (end.code !== 0) throw new PotorooError('environment_failed', `The environment was made, but its Python cannot load what every model needs: ${end.lines.at(-1) ?? 'it says nothing'}. Do the requirements ask for versions that do not go together?`);
    return JSON.parse(end.stdout.trim().split('\n').at(-1) ?? '[]') as string[];
  }

  #pythonOf(hash: string): string {
    return join(this.#options.root, hash, 'bin', 'python');
  }

  #lock(hash: string): string {
    return join(this.#options.root, `${hash}.lock`);
  }

  #mark(hash: string): string {
    return join(this.#options.root, hash, 'environment.json');
  }

  #found(): Promise<Interpreter[]> {
    this.#interpreters ??= findInterpreters(this.#options.python).catch((error: unknown) => {
      this.#interpreters = undefined;
      throw error;
    });
    return this.#interpreters;
  }

  async #ask<T>(module: string, args: readonly string[], readable: readonly string[] = []): Promise<T> {
    const interpreter = choose(await this.#found(), undefined);
    const confined = ['-m', 'potoroo_runtime.confined', '--no-network', ...readable.flatMap((path) => ['--read', path]), '--', interpreter.path, '-m', module, ...args];
    const end = await runChild(interpreter.path, confined, { env: plainEnvironment({ PYTHONPATH: pythonRoot }), silenceMs: 60_000, timeoutMs: 60_000 });
    try {
      return JSON.parse(end.stdout) as T;
    } catch {
      throw new PotorooError('environment_failed', `Python could not run ${module}: ${end.lines.at(-1) ?? 'it says nothing'}.`);
    }
  }

  #findUv(): Promise<string | undefined> {
    if (this.#options.uv === false) return Promise.resolve(undefined);
    this.#uv ??= (async () => {
      for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
        const path = join(folder, 'uv');
        if (folder !== '' && await access(path).then(() => true, () => false)) return path;
      }
      return undefined;
    })();
    return this.#uv;
  }
}

/** @throws environment_failed when the framework installs on none of them */
function pythonsFor({ pythons }: FrameworkFacts, found: readonly Interpreter[]): readonly Interpreter[] {
  const fit = pythons.length === 0 ? found : found.filter((i) => pythons.includes(i.version));
  if (fit.length === 0 && found.length > 0) throw new PotorooError('environment_failed', `The packages of this framework install on Python ${pythons.join(', ')} and this machine has ${found.map((i) => i.version).join(', ')}. Install one of these where PATH finds it.`);
  return fit;
}
