import { describe, expect, it } from 'vitest';
import type { Session } from './session.ts';
import { distinct, matches, pinned, sorted, type Node, type Where } from './where.ts';

const session = {} as Session;
const time = new Date('2024-03-04T20:34:00Z');
const row: Node = { id: 7, name: 'Ccfraud-Model', created_at: time, gone: null, workspace: async () => ({ id: 3, name: 'fraud' }), nothing: async () => null };

describe('a filter', () => {
  it.each<[Where, boolean]>([
    [{}, true],
    [{ id: { _eq: 7 } }, true],
    [{ id: { _eq: 8 } }, false],
    [{ id: { _in: [1, 7] } }, true],
    [{ id: { _in: [] } }, false],
    [{ id: { _neq: 7 } }, false],
    [{ name: { _ilike: 'ccfraud%' } }, true],
    [{ name: { _ilike: '%FRAUD-m_del' } }, true],
    [{ name: { _ilike: 'fraud' } }, false],
    [{ name: { _ilike: '.*' } }, false],
    [{ name: { _ilike: '%%%' } }, true],
    [{ created_at: { _gte: '2024-03-04T20:34:00+00:00', _lte: '2024-03-04T21:34:00+01:00' } }, true],
    [{ created_at: { _gt: '2024-03-04T20:34:00Z' } }, false],
    [{ gone: { _is_null: true } }, true],
    [{ id: { _is_null: true } }, false],
    [{ _and: [{ id: { _eq: 7 } }, { workspace: { _and: [{ id: { _eq: 3 } }, { name: { _eq: 'fraud' } }] } }] }, true],
    [{ _and: [{ id: { _eq: 7 } }, { workspace: { name: { _eq: 'other' } } }] }, false],
    [{ nothing: { id: { _eq: 1 } } }, false],
    [{ nothing: {} }, true],
  ])('%j: %s', async (where, wanted) => {
    expect(await matches(where, row, session)).toBe(wanted);
  });

  it('with null is refused, so that it cannot match everything', async () => {
    await expect(matches({ id: { _eq: null } }, row, session)).rejects.toThrow(/id\._eq is null/);
  });

  it('walks a pattern of many wildcards at once', async () => {
    const hostile = { name: { _ilike: `${'%a'.repeat(500)}b` } };
    expect(await matches(hostile, { name: 'a'.repeat(2000) }, session)).toBe(false);
  });

  it('tells what it pins, however deep', () => {
    const where = { _and: [{ owner_id: { _eq: 'x' } }, { model: { workspace: { _and: [{ id: { _eq: 4 } }] } } }] };
    expect(pinned(where, 'model', 'workspace', 'id')).toBe(4);
    expect(pinned(where, 'owner_id')).toBe('x');
    expect(pinned(where, 'model', 'name')).toBeUndefined();
    expect(pinned(undefined, 'id')).toBeUndefined();
  });
});

describe('an order', () => {
  const rows = [{ id: 1, at: new Date(2) }, { id: 2, at: new Date(2) }, { id: 3, at: new Date(1) }];
  it('takes the first column that differs', () => {
    expect(sorted(rows, [{ at: 'desc' }, { id: 'desc' }]).map((r) => r.id)).toEqual([2, 1, 3]);
    expect(sorted(rows, null).map((r) => r.id)).toEqual([1, 2, 3]);
  });
  it('keeps the first of each kind', () => {
    expect(distinct(rows, ['at']).map((r) => r.id)).toEqual([1, 3]);
    expect(distinct(rows, null)).toHaveLength(3);
  });
});
