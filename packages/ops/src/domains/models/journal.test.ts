import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databases } from '../../storage/testing.ts';
import { plainEnvironment, runChild } from '../environments/child.ts';
import { openDomains, type TestDomains } from '../testing.ts';
import { openJournal, type Journal } from './journal.ts';
import { ModelStore } from './models.store.ts';

describe.each(databases)('the upload log of a load on $name', (database) => {
  let t: TestDomains;
  let store: ModelStore;
  let count = 0;
  beforeAll(async () => {
    t = await openDomains(database);
    store = new ModelStore(t.storage.db);
  });
  afterAll(() => t.close());

  /** A log of its own, and what of it is stored. */
  async function opened(): Promise<{ journal: Journal; stored: () => Promise<string[]> }> {
    const { id } = await t.upload(t.bob, `talks-${count++}`);
    const { next } = await store.logOf(id, 0, 1000);
    const stored = async (): Promise<string[]> => (await store.logOf(id, next, 100_000)).lines.map((line) => line.replace(/^\S+ stdout F /, ''));
    return { journal: openJournal({ versionId: id, store, clock: () => t.time.now, log: pino({ level: 'silent' }) }), stored };
  }

  it('has all of what is said in measure, as it comes, and again after its end', async () => {
    const { journal, stored } = await opened();
    for (let i = 0; i < 50; i++) journal.say(`line ${i}`);
    await journal.written();
    journal.say('late');
    await journal.written();
    await journal.written();
    expect(await stored()).toEqual([...Array.from({ length: 50 }, (_, i) => `line ${i}`), 'late']);
  });

  it.each([4499, 4500, 4501])('of %i lines has the first and the last, and how many are not there', async (said) => {
    const { journal, stored } = await opened();
    for (let i = 0; i < said; i++) journal.say(`line ${i}`);
    await journal.written();
    const lines = await stored();
    expect(lines.slice(0, 4000)).toEqual(Array.from({ length: 4000 }, (_, i) => `line ${i}`));
    expect(lines[4000]).toContain('the last 500 lines are kept');
    const missing = Math.max(0, said - 4500);
    expect(lines.slice(4001)).toEqual([...(missing === 0 ? [] : [`(${missing} lines left out.)`]), ...Array.from({ length: said - 4000 - missing }, (_, i) => `line ${4000 + missing + i}`)]);
  });

  it('of a process that prints without measure stays small, and has what it said last', async () => {
    const { journal, stored } = await opened();
    // 100 MB; a line of it is longer than any that is kept.
    const program = "const line = 'x'.repeat(9999) + '\\n'; let n = 0; const more = () => { while (n++ < 10_000) if (!process.stdout.write(line)) return process.stdout.once('drain', more); console.log('the end'); }; more();";
    const end = await runChild(process.execPath, ['-e', program], { env: plainEnvironment(), onLine: journal.say, silenceMs: 60_000, timeoutMs: 60_000 });
    expect(end).toMatchObject({ code: 0 });
    await journal.written();
    const lines = await stored();
    expect(lines.at(-1)).toBe('the end');
    expect(lines.join('').length).toBeLessThan(6 * 1024 * 1024);
    expect(lines.find((line) => line.includes('lines left out'))).toMatch(/^\(\d{4} lines left out\.\)$/);
  }, 60_000);
});
