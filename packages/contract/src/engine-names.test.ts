import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { engineNode } from './engine-names.ts';

test('an engine has more room for new objects, unless its memory is small', () => {
  const mib = 1024 * 1024;
  expect(engineNode(256 * mib)).toEqual([]);
  expect(engineNode()).toEqual(engineNode(512 * mib));
  const heap = (options: string[]): number => Number(execFileSync(process.execPath, [...options, '-p', 'v8.getHeapStatistics().heap_size_limit'], { encoding: 'utf8' }));
  expect(heap(engineNode())).toBeGreaterThan(heap([]));
});
