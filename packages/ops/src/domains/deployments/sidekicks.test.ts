import type { EngineSidekick, EngineSidekickLines, EngineSidekicks, Reason } from '@potoroo/contract';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { EngineExit, Host } from '../../hosts/host.ts';
import { databases, type TestStorage } from '../../storage/testing.ts';
import { deployed } from '../logs/testing.ts';
import { Sidekicks } from './sidekicks.ts';
import { SidekickStore } from './sidekicks.store.ts';

const name = (n: number): string => `engine-sidekick-m-1-e${n}`;
const view = (n: number, more: Partial<EngineSidekick> = {}): EngineSidekick => ({
  name: name(n), model: 'm', version: 'v', modelVersionId: 1, sha: 'a'.repeat(64), step: 0, challenger: false, state: 'running', reason: null, restarts: 0, failures: 0, since: 0, pid: 1, memoryBytes: null, cpuSeconds: null, ...more,
});
const days = 86_400_000;

describe.each(databases)('what sidekicks were and wrote, on $name', ({ open }) => {
  let storage: TestStorage;
  let sidekicks: Sidekicks;
  let deploymentId: number;
  let now = 0;
  let say: (engine: number, said: EngineSidekicks | EngineSidekickLines) => void;
  let end: (engine: number, reason: Reason | null) => void;
  const errors: unknown[] = [];

  /** The end of a host that is of use here: what engines say, in order, and that they ended. */
  async function start(bytes = 1_000_000): Promise<void> {
    sidekicks = new Sidekicks({ store: new SidekickStore(storage.db), clock: () => now, bounds: { days: 7, bytes }, onError: (error) => errors.push(error) });
    const exits = new Map<string, EngineExit>();
    sidekicks.listen({
      onSidekicks: (listener: Parameters<Host['onSidekicks']>[0]) => { say = (engine, said) => listener({ name: `e${engine}`, deploymentId }, said); },
      onChange: (listener: (id: number) => void) => {
        end = (engine, reason) => {
          exits.set(`e${engine}`, { at: now, reason: reason ?? { code: 'draining', message: 'Asked.' }, permanent: false, asked: reason === null });
          listener(deploymentId);
        };
      },
      engines: () => [...exits].map(([engine, exit]) => ({ name: engine, exit })) as unknown as ReturnType<Host['engines']>,
    });
    await sidekicks.start();
  }
  const begin = async (bytes?: number): Promise<void> => {
    now = 1_000_000;
    storage = await open();
    ({ deploymentId } = await deployed(storage.db));
    await start(bytes);
  };
  const run = (n: number, more?: Partial<EngineSidekick>): void => say(n, { type: 'sidekicks', sidekicks: [view(n, more)] });
  const write = (n: number, ...texts: string[]): void => say(n, { type: 'sidekick-lines', sidekick: name(n), lines: texts.map((text) => ({ time: (now += 1), stream: 'stdout', text })) });
  const log = async (n: number, query = {}) => (await sidekicks.log(deploymentId, name(n), query)).items.map((line) => line.text);
  const list = async (query = {}) => (await sidekicks.list(deploymentId, query)).items;
  afterEach(async () => {
    await sidekicks.close();
    await storage.close();
    if (errors.length > 0) throw new Error(errors.splice(0).map(String).join('\n'));
  });

  test('is read newest first, in pages that neither lose nor repeat a line while more are written', async () => {
    await begin();
    run(1);
    for (let i = 0; i < 40; i++) write(1, ...Array.from({ length: 25 }, (_, k) => `line ${i * 25 + k} ${'x'.repeat(100)}`));
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await sidekicks.log(deploymentId, name(1), { limit: 70, ...(cursor !== undefined && { cursor }) });
      seen.push(...page.items.map((line) => line.text.split(' ')[1] ?? ''));
      write(1, 'later');
      if (page.cursor === null) break;
      cursor = page.cursor;
    }
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, i) => String(999 - i)));
    await expect(sidekicks.log(deploymentId, 'nobody', {})).rejects.toMatchObject({ code: 'sidekick_not_found' });
    await expect(sidekicks.log(deploymentId + 1, name(1), {})).rejects.toMatchObject({ code: 'sidekick_not_found' });
    await expect(sidekicks.log(deploymentId, name(1), { cursor: 'x' })).rejects.toMatchObject({ code: 'invalid_cursor' });
  });

  test('is read between two times, both of them included', async () => {
    await begin();
    run(1);
    write(1, 'a', 'b');
    const b = now;
    write(1, 'c', 'd');
    expect(await log(1, { start: new Date(b) })).toEqual(['d', 'c', 'b']);
    expect(await log(1, { end: new Date(b) })).toEqual(['b', 'a']);
    expect(await log(1, { start: new Date(b), end: new Date(b) })).toEqual(['b']);
    expect(await log(1, { start: new Date(now + 1) })).toEqual([]);
  });

  test('is kept up to a bound, the newest', async () => {
    await begin(100_000);
    run(1);
    for (let i = 0; i < 50; i++) write(1, ...Array.from({ length: 10 }, (_, k) => `${i * 10 + k} ${'x'.repeat(1000)}`));
    await sidekicks.flush();
    const kept = (await log(1, { limit: 1000 })).map((text) => Number(text.split(' ')[0]));
    expect(kept.length * 1000).toBeLessThan(100_000);
    expect(kept.length * 1000).toBeGreaterThan(60_000);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => 499 - i));
  });

  test('ends with its engine, says why, and is forgotten after days', async () => {
    await begin();
    run(1);
    run(2);
    run(3, { state: 'error', restarts: 2, reason: { code: 'model_process_lost', message: 'It aborted.' } });
    write(1, 'words');
    now += 10;
    end(1, null);
    end(3, { code: 'engine_crashed', message: 'Gone.' });
    await vi.waitFor(async () => expect(await list({ current: true })).toMatchObject([{ name: name(2), endedAt: null }]));
    expect(await list({ current: false })).toMatchObject([
      { name: name(3), engine: 'e3', restarts: 2, endedAt: new Date(now), reason: { message: 'It aborted.' } }, { name: name(1), engine: 'e1', endedAt: new Date(now), reason: null, model: 'm', step: 0 },
    ]);
    expect(await log(1)).toEqual(['words']);
    expect(await list({ model: 'other' })).toEqual([]);
    // A restart of the server: what ran has ended with it.
    await sidekicks.close();
    await start();
    expect(await list({ current: true })).toEqual([]);
    now += 8 * days;
    await sidekicks.close();
    await start();
    expect(await list()).toEqual([]);
    await expect(sidekicks.log(deploymentId, name(1), {})).rejects.toMatchObject({ code: 'sidekick_not_found' });
  });

  test('of a deployment that has had very many is forgotten but for the newest, and those that are', async () => {
    await begin();
    for (let n = 1; n <= 6; n++) {
      run(n);
      write(n, 'words');
    }
    await sidekicks.flush();
    for (const n of [1, 3, 4, 5]) end(n, null);
    await sidekicks.flush();
    await new SidekickStore(storage.db).prune(0, 3);
    expect((await list()).map((s) => s.name)).toEqual([6, 5, 4, 2].map(name));
    expect(await storage.db.selectFrom('sidekickLines').select('id').execute()).toHaveLength(4);
  });

  test('is followed from its last lines to its end, by who may', async () => {
    await begin();
    run(1);
    write(1, 'a', 'b', 'c');
    const heard: string[] = [];
    let allowed = true;
    const check = async (): Promise<void> => { if (!allowed) throw new Error('not any more'); };
    const follow = async (tail: number, into: string[]): Promise<void> => {
      for await (const lines of sidekicks.follow(deploymentId, name(1), tail, new AbortController().signal, check)) into.push(...lines.map((line) => line.text));
    };
    const following = follow(2, heard);
    await vi.waitFor(() => expect(heard).toEqual(['b', 'c']));
    write(1, 'd');
    await vi.waitFor(() => expect(heard).toEqual(['b', 'c', 'd']));
    write(1, 'e');
    end(1, null);
    await following;
    expect(heard).toEqual(['b', 'c', 'd', 'e']);
    const nothing: string[] = [];
    await follow(0, nothing);
    expect(nothing).toEqual([]);
    allowed = false;
    await expect(follow(1, [])).rejects.toThrow('not any more');
  });

  test('of a deployment that is gone is dropped without a word', async () => {
    await begin();
    await storage.db.deleteFrom('deployments').where('id', '=', deploymentId).execute();
    run(1);
    write(1, 'a');
    await sidekicks.flush();
    expect(await list()).toEqual([]);
  });
});
