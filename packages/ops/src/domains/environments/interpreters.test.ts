import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Environments } from './environments.service.ts';
import { checkInterpreter, choose, findInterpreters, pythonVersions, type Interpreter } from './interpreters.ts';

const here: Interpreter[] = [{ version: '3.11', path: '/a/python3.11' }, { version: '3.9', path: '/a/python3.9' }];

describe('the Python of a model', () => {
  it('is the one that was asked for, else the first there is', () => {
    expect(choose(here, '3.9').path).toBe('/a/python3.9');
    expect(choose(here, undefined).version).toBe('3.11');
    // What the Python client always sends is no wish.
    expect(choose(here, '3.8').version).toBe('3.11');
  });
  it('that is not here is an error that says what is', () => {
    expect(() => choose(here, '3.12')).toThrow(expect.objectContaining({ code: 'environment_failed', message: expect.stringMatching(/Python 3\.12 was asked for and this machine has 3\.11, 3\.9/) as string }) as Error);
    expect(() => choose([], '3.12')).toThrow(expect.objectContaining({ code: 'environment_failed', message: expect.stringContaining('No Python was found') as string }) as Error);
  });
  it('is found in PATH, one a version, of those that the runtime is made for', async () => {
    const found = await findInterpreters();
    expect(found.length).toBeGreaterThan(0);
    expect(new Set(found.map((i) => i.version)).size).toBe(found.length);
    for (const { version } of found) expect(pythonVersions).toContain(version);
    for (const wrong of ['/no/such/python', '/bin/true']) await expect(findInterpreters(wrong)).rejects.toMatchObject({ code: 'settings_invalid', message: expect.stringContaining(`POTOROO_PYTHON: "${wrong}"`) as string });
  });
  it('that is too slow to say what it is, on a busy machine, is not said to be wrong', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'potoroo-test-'));
    const slow = join(folder, 'python');
    await writeFile(slow, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    await expect(findInterpreters(slow, 500)).rejects.toMatchObject({ code: 'environment_failed', message: expect.stringContaining(`${slow} did not say`) as string });
    await checkInterpreter(slow, 100);
    await expect(checkInterpreter('/bin/true')).rejects.toMatchObject({ code: 'settings_invalid' });
    await rm(folder, { recursive: true });
  });
  it('that could not be asked is asked again the next time', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'potoroo-test-'));
    const python = join(folder, 'python');
    const environments = new Environments({ root: join(folder, 'environments'), python });
    await expect(environments.pythons()).rejects.toMatchObject({ code: 'settings_invalid' });
    const [real] = await findInterpreters();
    await symlink(real?.path ?? '', python);
    expect((await environments.pythons())[0]).toBe(real?.version);
    await rm(folder, { recursive: true });
  });
});
