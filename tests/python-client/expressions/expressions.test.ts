import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { compileValidation, utf8From, type Column, type Values } from '@potoroo/batch';
import type { ElementType, Field } from '@potoroo/contract';
import { expect, test } from 'vitest';
import { setUpPython } from '../../support/python-environment.mjs';
import { setUpClientPython } from '../setup.mjs';

/** The columns that generate.py fills; a list is marked by its shape. */
const fields: Field[] = [
  { name: 'in.a', type: 'float32', shape: [] }, { name: 'in.b', type: 'float64', shape: [] }, { name: 'in.i', type: 'int32', shape: [] }, { name: 'in.j', type: 'int64', shape: [] },
  { name: 'in.k', type: 'int8', shape: [] }, { name: 'in.u', type: 'uint8', shape: [] }, { name: 'in.s', type: 'string', shape: [] }, { name: 'in.t', type: 'bool', shape: [] },
  { name: 'out.x', type: 'float32', shape: [-1] }, { name: 'out.y', type: 'int64', shape: [-1] }, { name: 'out.w', type: 'string', shape: [-1] },
];
const arrays = { float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, bool: Uint8Array };

function valuesOf(type: ElementType, values: readonly unknown[]): Values {
  if (type === 'string') return utf8From(values as string[]);
  if (type === 'int64') return BigInt64Array.from(values as number[], BigInt);
  return new arrays[type as keyof typeof arrays](values.map(Number));
}
function columnOf(field: Field, rows: readonly unknown[]): Column {
  if (field.shape.length === 0) return { kind: 'tensor', name: field.name, type: field.type, shape: [], values: valuesOf(field.type, rows) };
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, i) => { offsets[i + 1] = (offsets[i] as number) + (row as unknown[]).length; });
  return { kind: 'list', name: field.name, offsets, items: { kind: 'tensor', name: 'item', type: field.type, shape: [], values: valuesOf(field.type, rows.flat()) } };
}

interface Case { expression: string; data: Record<string, unknown[]>; answer: boolean[]; text: string }
const versions = {
  'of the published client': setUpClientPython,
  'that is current': () => setUpPython('polars', join(import.meta.dirname, 'requirements.txt')),
};
const count = 4000;

test.each(Object.entries(versions))(`${count} random validations mean what the polars %s says they mean`, (_which, setUp) => {
  const lines = execFileSync(setUp(), ['-W', 'ignore', join(import.meta.dirname, 'generate.py'), '7', String(count)], { encoding: 'utf8', maxBuffer: 1 << 28 }).trim().split('\n');
  expect(lines).toHaveLength(count);
  for (const line of lines) {
    const { expression, data, answer, text } = JSON.parse(line) as Case;
    const batch = { rows: answer.length, columns: fields.map((f) => columnOf(f, data[f.name] ?? [])) };
    const got = [...compileValidation(expression, fields).evaluate(batch)].map(Boolean);
    expect(got, `${text}\n${expression}\n${JSON.stringify(data)}`).toEqual(answer);
  }
});
