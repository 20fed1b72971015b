import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorCodes, PotorooError, ProblemSchema } from '@potoroo/contract';
import { toPotorooError } from './errors.ts';

test('docs/errors.md lists every code with its status and title, and no other', () => {
  const page = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');
  const listed = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (.+) \|$/gm)].map(([, code, status, title]) => [code, { status: Number(status), title }]);
  expect(Object.fromEntries(listed)).toEqual(errorCodes);
  expect(listed).toHaveLength(Object.keys(errorCodes).length);
});

test('the schema of a problem knows every code', () => {
  expect((ProblemSchema.properties.code as unknown as { anyOf: { const: string }[] }).anyOf.map((s) => s.const)).toEqual(Object.keys(errorCodes));
});

test.each([
  [Object.assign(new Error('disk'), { code: 'ENOSPC', syscall: 'write' }), 'storage_full'],
  [Object.assign(new Error('disk'), { code: 'SQLITE_FULL' }), 'storage_full'],
  [Object.assign(new Error('disk'), { code: '53100' }), 'storage_full'],
  [Object.assign(new Error('folder'), { code: 'EROFS' }), 'storage_read_only'],
  [Object.assign(new Error('folder'), { code: 'SQLITE_READONLY_DBMOVED' }), 'storage_read_only'],
  [new PotorooError('in_use', 'x'), 'in_use'],
  [new Error('secret details'), 'internal'],
  ['a string', 'internal'],
  [null, 'internal'],
])('%o is %s', (thrown, code) => {
  const error = toPotorooError(thrown);
  expect(error.code).toBe(code);
  expect(error.message).not.toContain('secret details');
});
