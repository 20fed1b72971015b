import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeOwner, ownerIn } from './owner.ts';

const folder = mkdtempSync(join(tmpdir(), 'potoroo-owner-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('the mark of a data folder is made once, and anew where the file is not one', () => {
  expect(ownerIn(folder)).toBeUndefined();
  const owner = makeOwner(folder);
  expect(owner).toMatch(/^[0-9a-f]{12}$/);
  expect([makeOwner(folder), ownerIn(folder)]).toEqual([owner, owner]);
  writeFileSync(join(folder, 'image-owner'), '../../etc\n');
  expect(ownerIn(folder)).toBeUndefined();
  expect(makeOwner(folder)).not.toBe(owner);
  expect(readFileSync(join(folder, 'image-owner'), 'utf8')).toMatch(/^[0-9a-f]{12}\n$/);
});
