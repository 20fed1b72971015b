import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

test('so many at a time, in their order, also after one that fails; too many are refused', async () => {
  const turns = new Turns({ atOnce: 2, waiting: 3 });
  const [started, ended]: [number[], (() => void)[]] = [[], []];
  const work = (n: number) => turns.take(() => new Promise<number>((resolve, reject) => {
    started.push(n);
    ended[n] = () => { if (n === 1) reject(new Error('one')); else resolve(n); };
  }));
  const all = [0, 1, 2, 3, 4].map((n) => work(n).catch((error: unknown) => (error as Error).message));
  await expect(work(5)).rejects.toMatchObject({ code: 'overloaded' });
  expect(started).toEqual([0, 1]);
  ended[1]!();
  await all[1];
  expect(started).toEqual([0, 1, 2]);
  for (const n of [2, 0, 3]) {
    ended[n]!();
    await all[n];
  }
  expect(started).toEqual([0, 1, 2, 3, 4]);
  ended[4]!();
  expect(await Promise.all(all)).toEqual([0, 'one', 2, 3, 4]);
  const last = work(6);
  ended[6]!();
  expect(await last).toBe(6);
});

test('who gives up waiting makes room for another, and his work is never begun', async () => {
  const turns = new Turns({ atOnce: 1, waiting: 2 });
  const began: string[] = [];
  let end!: () => void;
  const first = turns.take(() => new Promise<void>((resolve) => { end = resolve; }));
  const gone = new AbortController();
  const wait = (name: string, signal?: AbortSignal) => turns.take(async () => { began.push(name); }, signal);
  const leaving = wait('leaving', gone.signal);
  const staying = wait('staying', new AbortController().signal);
  await expect(wait('one too many')).rejects.toMatchObject({ code: 'overloaded' });
  gone.abort(new Error('gone'));
  await expect(leaving).rejects.toThrow('gone');
  const later = wait('later');
  end();
  await Promise.all([first, staying, later]);
  await expect(wait('after', gone.signal)).rejects.toThrow('gone');
  // Giving up after the turn has come takes nobody else's.
  const late = new AbortController();
  await turns.take(async () => { late.abort(new Error('late')); }, late.signal);
  await wait('last');
  expect(began).toEqual(['staying', 'later', 'last']);
});
