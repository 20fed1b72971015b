import { readFileSync, readdirSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentOf, environmentsFolder } from '../../frameworks/support.ts';
import { run, startOps, stopOps, type Server } from '../running.ts';
import { setUpClientPython } from '../setup.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const page = readFileSync(new URL('../../../docs/guide.md', import.meta.url), 'utf8');
/** What explains a difference: the names at the beginnings of the page's rows. */
const rows = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name ?? '');
/** In the order of the guide's sections, as the page lists them. `clustering.py` needs TensorFlow and runs with the frameworks. */
const listed = [...new Set([...page.matchAll(/`([a-z_]+\.py)`/g)].map(([, name]) => name ?? ''))];
const scripts = listed.filter((name) => !['stock.py', 'clustering.py'].includes(name));

describe("the SDK guide's examples", () => {
  const named = new Set<string>();
  let python: string;
  let server: Server;
  beforeAll(async () => {
    python = setUpClientPython();
    await environmentOf('python', []);
    server = await startOps(async (data) => {
      await mkdir(data, { mode: 0o700 });
      await symlink(environmentsFolder, join(data, 'environments')); // what is there need not be made again
    }, { POTOROO_PYTHON: process.env['POTOROO_PYTHON'] ?? 'python3.11' });
  }, 600_000);
  afterAll(() => stopOps(server));

  it.each(scripts)('of %s run, and differ only as documented', async (script) => {
    const { steps, code, text } = await run(python, join('guide', script), server);
    expect(steps.filter((s) => !s.ok).map((s) => `${s.step}: ${s.error}`), `${text}\n--- ops\n${server.output()}`).toEqual([]);
    expect(code, text).toBe(0);
    expect(steps.length).toBeGreaterThan(3);
    const found = [...text.matchAll(/\{"row": "([a-z-]+)"\}/g)].map(([, name]) => name ?? '');
    expect(found.filter((name) => !rows.includes(name)), 'named by the script, and no row of docs/guide.md').toEqual([]);
    for (const name of found) named.add(name);
  });

  it('differ in every way that is documented', () => {
    expect(rows.filter((name) => !named.has(name))).toEqual([]);
    expect(new Set(rows).size).toBe(rows.length);
  });
  it('are all listed on the page', () => {
    expect(readdirSync(here).filter((name) => name.endsWith('.py') && name !== 'guide.py').toSorted()).toEqual(listed.toSorted());
  });
});
