import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root, temporaryFolder } from './server.ts';

const execute = promisify(execFile);

export interface Snippet {
  /** `README.md:25`: where it begins. */
  readonly place: string;
  readonly language: string;
  readonly text: string;
}

/** The blocks of README.md and docs/ that are marked `run`, in the order in which they stand. */
export async function snippets(): Promise<Snippet[]> {
  const pages = ['README.md', ...(await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md')).toSorted().map((name) => join('docs', name))];
  const found: Snippet[] = [];
  for (const page of pages) {
    const text = await readFile(join(root, page), 'utf8');
    for (const block of text.matchAll(/^```(\w+) run\n([^]*?)^```$/gm)) {
      found.push({ place: `${page}:${text.slice(0, block.index).split('\n').length}`, language: block[1] ?? '', text: block[2] ?? '' });
    }
  }
  return found;
}

export interface Checkout {
  readonly folder: string;
  readonly url: string;
  /** Runs one snippet as a reader would paste it; gives what it printed. @throws Error with its output when it fails */
  run(snippet: Snippet, python?: string): Promise<string>;
  /** Ends the server and removes the folder. */
  stop(): Promise<void>;
}

const timeout = 120_000;

/** A folder that looks like a checkout, with a server as `npm start` starts it, on a free port and with data of its own. */
export async function startCheckout(): Promise<Checkout> {
  const { path: folder, remove } = await temporaryFolder();
  for (const name of ['examples', 'node_modules', 'packages']) await symlink(join(root, name), join(folder, name), 'dir');
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const base = { ...process.env, POTOROO_CONFIG_DIR: join(folder, 'config'), npm_config_update_notifier: 'false' };
  const child = spawn(process.execPath, [join(root, 'packages/cli/dist/main.js'), 'up', '--example'], { cwd: folder, env: { ...base, POTOROO_PORT: '0', POTOROO_DATA_DIR: '.potoroo' } });
  const url = await address(child);
  const env = { ...base, POTOROO_URL: url, HOME: folder, XDG_CACHE_HOME: join(folder, 'cache'), MPLBACKEND: 'Agg' };
  let number = 0;
  return {
    folder, url,
    async run({ place, language, text }, python = 'python3') {
      const code = text.replaceAll('http://127.0.0.1:8080', url);
      const name = `snippet-${++number}`;
      try {
        const [command, args] = await prepared(folder, name, language, code, python);
        const { stdout } = await execute(command, args, { cwd: folder, env, timeout, maxBuffer: 1 << 24 });
        return stdout;
      } catch (error) {
        const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
        throw new Error(`${place} fails: ${message}\n${stdout}\n${stderr}`, { cause: error });
      }
    },
    async stop() {
      if (child.exitCode === null) {
        child.kill('SIGINT');
        await once(child, 'exit');
      }
      await remove();
    },
  };
}

/** TypeScript is compiled first, strictly, so that a snippet that no longer fits the SDK fails too. */
async function prepared(folder: string, name: string, language: string, code: string, python: string): Promise<[string, string[]]> {
  if (language === 'bash') return ['bash', ['-euo', 'pipefail', '-c', code]];
  if (language === 'python') {
    await writeFile(join(folder, `${name}.py`), code);
    return [python, [`${name}.py`]];
  }
  if (language !== 'ts') throw new Error(`no way to run ${language}`);
  await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, name, 'main.ts'), code);
  const options = ['--strict', '--target', 'es2023', '--module', 'nodenext', '--types', 'node', '--skipLibCheck', '--noEmitOnError', '--ignoreConfig'];
  await execute(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, join(name, 'main.ts')], { cwd: folder, timeout });
  return [process.execPath, [join(name, 'main.js')]];
}

async function address(child: ChildProcess): Promise<string> {
  let text = '';
  return await new Promise((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      text += chunk.toString();
      const found = /Potoroo runs at (http:\S+)[^]*Ctrl-C stops it/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    child.once('exit', (code) => reject(new Error(`potoroo up ended with ${code}:\n${text}`)));
  });
}
