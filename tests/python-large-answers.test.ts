import { decodeArrow, encodeArrowStream, type Batch } from '@potoroo/batch';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PythonProcess, type Begun } from '../packages/engine/src/runtimes/python/process.ts';
import { floats, Models, numbers } from './support/models.ts';

/** A model may do something when it runs: whatever is too large of the answers to requests that were handed over together, none is run again. */

const models = new Models({ maxBodyBytes: 1 << 20 });

/** Gives as many rows as x says, each the number of the call that made them; where x is -1 the process dies, -2 memory runs out. */
const growing = `import numpy
calls = 0
def wallaroo_json(data: dict):
    global calls
    calls += 1
    x = int(data['x'][0])
    if x == -1: os.kill(os.getpid(), 9)
    if x == -2: raise MemoryError()
    return {'y': numpy.full(max(1, x), float(calls))}`;
/** Rows of which two answers fit a message and three do not; one alone does not. */
const [large, tooLarge] = [40_000, 200_000];

interface Told { rows: readonly number[]; failed: [number, string][]; messages: number; /** The call that each request was answered by. */ calls: number[] }
function read({ bodies, rows, failed }: Begun): Told {
  const batches = bodies.map((body) => decodeArrow(body).batch);
  const all = batches.flatMap((batch) => numbers(batch));
  let at = 0;
  const calls = rows.filter((n) => n > 0).map((n) => {
    const own = new Set(all.slice(at, at += n));
    expect(own.size, 'rows of one request come from one call').toBe(1);
    return [...own][0] as number;
  });
  expect(at).toBe(all.length);
  return { rows, failed: failed.map(([part, error]) => [part, error.code]), messages: bodies.length, calls };
}

async function process(): Promise<(...rows: number[]) => Promise<Told>> {
  const opened = await PythonProcess.open(models.options(models.script(growing), 'python'));
  onTestFinished(() => opened.stop());
  return async (...rows) => read(await opened.runEach(encodeArrowStream(floats(...rows)), rows.map(() => 1), 60_000) as Begun);
}

describe('requests that are handed over together', () => {
  it('whose answers do not fit one message have them in several, each from one call', async () => {
    const ask = await process();
    const [first] = (await ask(1)).calls as [number];
    expect(await ask(large, large, large, large, large)).toEqual({ rows: Array(5).fill(large), failed: [], messages: 3, calls: [1, 2, 3, 4, 5].map((n) => first + n) });
    expect(await ask(1, 2)).toEqual({ rows: [1, 2], failed: [], messages: 1, calls: [first + 6, first + 7] });
  });

  it('fail alone where one of them is answered with too much, or with nothing for want of memory', async () => {
    const ask = await process();
    const [first] = (await ask(1)).calls as [number];
    expect(await ask(large, tooLarge, large, -2, large)).toEqual({ rows: [large, 0, large, 0, large], failed: [[1, 'inference_failed'], [3, 'engine_out_of_memory']], messages: 2, calls: [first + 1, first + 3, first + 5] });
    expect(await ask(tooLarge, -2)).toMatchObject({ rows: [0, 0], failed: [[0, 'inference_failed'], [1, 'engine_out_of_memory']], messages: 0 });
    expect((await ask(1)).calls).toEqual([first + 8]);
  });

  it('have what was sent before the process died, and those behind it are not begun', async () => {
    const ask = await process();
    expect(await ask(large, large, large, -1, large)).toMatchObject({ rows: [large, large, 0, 0], failed: [[2, 'model_process_lost'], [3, 'model_process_lost']], messages: 1 });
  });

  it('are not begun any more when those before them fill what may wait', async () => {
    const runtime = await models.step(growing);
    const run = async (rows: number[]): Promise<{ failed: [number, string | undefined][]; rows: readonly number[]; batch: Batch }> => {
      const each = await runtime.runEach?.(floats(...rows), rows.map(() => 1));
      return { batch: each?.batch as Batch, rows: each?.rows ?? [], failed: [...each?.failed ?? []].map(([part, error]) => [part, (error as { code?: string }).code]) };
    };
    const [before] = numbers((await run([1])).batch) as [number];
    const { rows, failed, batch } = await run(Array(40).fill(large));
    const begun = rows.filter((n) => n > 0).length;
    expect(begun).toBeGreaterThanOrEqual(2);
    expect(begun).toBeLessThan(40);
    expect(failed).toEqual(Array.from({ length: 40 - begun }, (_, i) => [begun + i, 'overloaded']));
    expect(new Set(numbers(batch)).size).toBe(begun);
    expect(numbers((await run([1])).batch)).toEqual([before + begun + 1]);
  });
});
