import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from './support/server.ts';

interface Locked { version?: string; integrity?: string; resolved?: string; link?: boolean; optionalDependencies?: Record<string, string> }

// `npm ci` of npm 11 refuses a lock without the binaries of other systems; a registry that lacks some of them writes such a lock.
it('the lock names every optional package of every system, and no registry', async () => {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Locked> };
  const problems: string[] = [];
  for (const [path, locked] of Object.entries(packages)) {
    for (const name of Object.keys(locked.optionalDependencies ?? {})) {
      if (!(`node_modules/${name}` in packages) && !(`${path}/node_modules/${name}` in packages)) problems.push(`${path}: ${name} is missing; take the newest version of the package whose binaries are all there`);
    }
    if (locked.resolved !== undefined && /^https?:/.test(locked.resolved)) problems.push(`${path}: names a registry`);
    if (path.startsWith('node_modules/') && locked.link !== true && (locked.version === undefined || locked.integrity === undefined)) problems.push(`${path}: no version or no integrity`);
  }
  expect(problems).toEqual([]);
});

it('set-up has nothing to say when there is nothing to do', { timeout: 120_000 }, async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(root, 'scripts/setup.mjs')], { cwd: root });
  expect(stdout + stderr).toBe('');
});
