import { expect, test } from 'vitest';
import { bodyBuffer, recycle } from './bodies.ts';

test('what follows the inner header is aligned for eight-byte elements', () => {
  for (const header of [0, 1, 7, 8, 113]) expect((bodyBuffer(1000, header).byteOffset + header) % 8).toBe(0);
});

test('memory is used again only after it was given back', () => {
  const first = bodyBuffer(100_000, 5);
  const second = bodyBuffer(100_000, 5);
  expect(second.buffer).not.toBe(first.buffer);
  recycle(first);
  const third = bodyBuffer(98_305, 0);
  expect(third.buffer).toBe(first.buffer);
  expect(third.length).toBe(98_305);
  expect(bodyBuffer(100_000, 0).buffer).not.toBe(first.buffer);
});

test('an engine at rest keeps no more than a few of them', () => {
  const many = Array.from({ length: 40 }, () => bodyBuffer(1_000_000, 0));
  for (const body of many) recycle(body);
  const again = new Set(Array.from({ length: 40 }, () => bodyBuffer(1_000_000, 0).buffer));
  expect(many.filter((body) => again.has(body.buffer)).length).toBeLessThanOrEqual(8);
});
