import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PotorooError } from '@potoroo/contract';
import { Spools, type SpoolOwner } from './spools.ts';

let root: string;
const owner = (partition: string): SpoolOwner => ({ deploymentId: 7, partition });
async function leave(partition: string): Promise<void> {
  await mkdir(join(root, '7', partition), { recursive: true });
  await writeFile(join(root, '7', partition, 'rows'), 'rows');
}
const left = (): Promise<string[]> => readdir(join(root, '7'));

beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'potoroo-spools-')); });
afterEach(() => rm(root, { recursive: true, force: true }));

describe('spools of dead engines', () => {
  test('what lies there at the start is taken in once each, then removed', async () => {
    await leave('engine-a');
    await leave('engine-b');
    const taken: string[] = [];
    const spools = new Spools(root, async (folder, { partition }) => { taken.push(partition, ...(await readdir(folder))); }, (error) => { throw error; });
    await spools.collectAll();
    expect(taken.sort()).toEqual(['engine-a', 'engine-b', 'rows', 'rows']);
    expect(await left()).toEqual([]);
  });

  test('what cannot be taken in stays and is tried again; the others are not held up', async () => {
    await leave('engine-a');
    await leave('engine-b');
    let full = true;
    const errors: unknown[] = [];
    const spools = new Spools(root, async (_, { partition }) => {
      if (full && partition === 'engine-a') throw new PotorooError('storage_full', 'No space is left.');
    }, (error) => errors.push(error));
    await spools.collectAll();
    expect(await left()).toEqual(['engine-a']);
    expect(errors).toHaveLength(1);
    full = false;
    await spools.close(10_000);
    expect(await left()).toEqual([]);
  });

  test('the rows of a pipeline that was removed go with it', async () => {
    await leave('engine-a');
    const spools = new Spools(root, async () => { throw new PotorooError('deployment_not_found', 'Gone.'); }, (error) => { throw error; });
    spools.collect(owner('engine-a'));
    await vi.waitFor(async () => expect(await left()).toEqual([]));
  });

  test('closing does not wait for ever', async () => {
    await leave('engine-a');
    const spools = new Spools(root, () => new Promise(() => {}), () => {});
    spools.collect(owner('engine-a'));
    await spools.close(50);
    expect(await left()).toEqual(['engine-a']);
  });
});
