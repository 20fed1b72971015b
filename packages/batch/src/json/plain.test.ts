import type { Field } from '@potoroo/contract/plain';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { TensorColumn } from '../batch.ts';
import { failure, random } from '../codecs.fixtures.ts';
import { decodeRecords } from './decode.ts';
import { readPlain } from './plain.ts';
import { JsonReader } from './reader.ts';
import { Sink } from './sink.ts';

const utf8 = new TextEncoder();
const field = (type: Field['type'], shape: number[] = [-1]): Field => ({ name: 'x', type, shape });
const next = random(31);
const upTo = (n: number): number => Math.floor(next() * n);
const digits = (n: number): string => Array.from({ length: n }, () => upTo(10)).join('');
const words = new DataView(new ArrayBuffer(8));

const notations: (() => string)[] = [
  () => { words.setUint32(0, upTo(2 ** 32)); return Number.isFinite(words.getFloat32(0)) ? String(words.getFloat32(0)) : '0'; },
  () => String(Math.fround((next() - 0.5) * 10 ** (next() * 10 - 4))),
  () => String((next() - 0.5) * 10 ** (next() * 10 - 4)),
  () => String(Math.round((next() - 0.5) * 10 ** upTo(17))),
  () => `${next() < 0.5 ? '-' : ''}${Number(digits(1 + upTo(15)))}.${digits(1 + upTo(20))}`,
  () => `${next() < 0.5 ? '-' : ''}0.${'0'.repeat(upTo(9))}${digits(1 + upTo(16))}`,
  () => ['-0', '0.0', '-0.0', '0', '9007199254740993', '0.9007199254740993', '90071992.54740992', '999999999999999.9'][upTo(8)]!,
  // Half way between two floats, and a little beyond.
  () => { const low = Math.fround(0.001 + next() * 1000); words.setFloat32(0, low); words.setUint32(0, words.getUint32(0) + 1); return `${(low + words.getFloat32(0)) / 2}${next() < 0.5 ? '' : '01'}`; },
  () => ((next() - 0.5) * 10 ** (next() * 60 - 30)).toExponential(upTo(18)),
];
const gaps = [',', ', ', ' ,\n\t', `,${' '.repeat(100)}`];

/** A list's text and what JSON.parse makes of each element, in the middle of memory that holds digits on both sides. */
function list(length: number): { body: Uint8Array; want: number[] } {
  const few = next() < 0.5 ? notations : [notations[upTo(notations.length)]!];
  const texts = Array.from({ length }, () => few[upTo(few.length)]!());
  const text = utf8.encode(`[{"x":[${texts.join(gaps[upTo(gaps.length)])}${next() < 0.3 ? '\n' : ''}]}]`);
  const around = new Uint8Array(text.length + 100).fill(0x35);
  const from = upTo(40);
  around.set(text, from);
  return { body: around.subarray(from, from + text.length), want: texts.map(Number) };
}

function wrongIn(decode: typeof decodeRecords, lists: number): unknown[] {
  const wrong: unknown[] = [];
  for (let i = 0; i < lists; i++) {
    const { body, want } = list(i % 20 === 0 ? 9000 : 1 + upTo(200));
    for (const [type, rounded] of [['float32', Math.fround], ['float64', (v: number) => v]] as const) {
      const values = (decode(body, [field(type)]).columns[0] as TensorColumn).values as Float64Array;
      if (values.length !== want.length) wrong.push({ type, length: values.length });
      for (const [k, v] of want.entries()) if (!Object.is(values[k], rounded(v))) wrong.push({ type, v, got: values[k] });
    }
  }
  return wrong;
}

describe('lists of numbers', () => {
  afterEach(() => { vi.unstubAllGlobals(); vi.resetModules(); });

  it('are bit for bit what JSON.parse gives, wherever the window of the quick way ends', () => {
    expect(wrongIn(decodeRecords, 100)).toEqual([]);
  });

  it('are the same where there is no WebAssembly', async () => {
    const sink = () => new Sink(field('float32'));
    expect(readPlain(new JsonReader(utf8.encode('1,-2.5]')), sink())).toBe(true);
    vi.stubGlobal('WebAssembly', undefined);
    vi.resetModules();
    const without = await import('./plain.ts');
    expect(without.readPlain(new JsonReader(utf8.encode('1,-2.5]')), sink())).toBe(false);
    const { decodeRecords: decode } = await import('./decode.ts');
    expect(wrongIn(decode, 20)).toEqual([]);
  });

  it('a number is never completed with what an earlier body left behind', () => {
    const before = `[{"x":[${'7,'.repeat(3000)}7]}]`;
    for (const cut of ['[{"x":[1', '[{"x":[1.', '[{"x":[-', '[{"x":[12,', '[{"x":[12, ', '[{"x":[0.12345678901234567']) {
      decodeRecords(utf8.encode(before), [field('float32')]);
      expect(failure(() => decodeRecords(utf8.encode(cut), [field('float32')])), cut).toMatchObject({ code: 'malformed_body', message: expect.stringContaining('truncated') });
    }
  });

  it.each(['01', '-01', '00.5', '1.', '-1.', '.5', '-.5', '-', '--1', '+1', '1.2.3', '1_0', '1 2', '0x10', '1e', '1.5e+', '1,', '١', '1;2', '1:2', '1/2'])('refuse %s, first, in the middle and last', (wrong) => {
    for (const text of [`${wrong},2.5,3`, `1,2.5,${wrong},3`, `1,2.5,${wrong}`]) {
      for (const type of ['float32', 'float64', 'int32'] as const) expect(failure(() => decodeRecords(utf8.encode(`[{"x":[${text}]}]`), [field(type)])).code, text).toMatch(/^(malformed_body|schema_mismatch|value_out_of_range)$/);
    }
  });
});
