import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import { decodeArrowSchema } from './read.ts';
import { encodeArrowSchema } from './write.ts';

describe('a schema with records', () => {
  it('comes back as it was: records in lists, lists in records, records in records', () => {
    const fields: Field[] = [
      { name: 'text', type: 'string', shape: [] },
      { name: 'chunks', type: 'string', shape: [-1], fields: [{ name: 'text', type: 'string', shape: [] }, { name: 'timestamp', type: 'float32', shape: [-1] }] },
      { name: 'pair', type: 'string', shape: [2], fields: [{ name: 'inner', type: 'string', shape: [], fields: [{ name: 'x', type: 'int64', shape: [3] }] }] },
    ];
    expect(decodeArrowSchema(encodeArrowSchema(fields))).toEqual(fields);
  });
});
