import { isDeepStrictEqual } from 'node:util';
import type { Field } from '@potoroo/contract/plain';
import { describe, expect, it } from 'vitest';
import { attempt, failure, random, tableOf } from '../codecs.fixtures.ts';
import { decodeDictionary, decodeRecords } from './decode.ts';
import { JsonReader } from './reader.ts';

const utf8 = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true });
const pieces = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u00e9', '\\ud83d', '0', '-', '1e5', '.', 'E+', 'true', 'null', ' ', '\n', '\t', 'é', '😀', '1', 'NaN', '/*', "'", '\u0000', '\u007f', '\u2028'];

/** A text with a few bytes replaced, removed, repeated or put in. */
function damage(text: string, next: () => number): Uint8Array {
  let bytes = [...utf8.encode(text)];
  for (let hits = 1 + Math.floor(next() * 3); hits > 0; hits--) {
    const at = Math.floor(next() * bytes.length);
    const piece = [...utf8.encode(pieces[Math.floor(next() * pieces.length)]!)];
    const kind = next();
    if (kind < 0.4) bytes.splice(at, 1, ...piece);
    else if (kind < 0.6) bytes.splice(at, 0, ...piece);
    else if (kind < 0.8) bytes.splice(at, 1 + Math.floor(next() * 4));
    else if (kind < 0.9) bytes[at] = Math.floor(next() * 256);
    else bytes = bytes.slice(0, at);
  }
  return Uint8Array.from(bytes);
}

describe('damaged JSON', () => {
  it('is accepted by our reader exactly where JSON.parse accepts it, and read the same', () => {
    const next = random(11);
    const seed = '[{"a":[1,-2.5e3,0.125],"b":"x\\n\\u00e9\\ud83d\\ude00","c":null,"d":true,"é":{"k":[[],{}]}},{"a":[0]}]';
    const wrong: unknown[] = [];
    let accepted = 0;
    for (let i = 0; i < 6000; i++) {
      const body = damage(seed, next);
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body);
      let theirs: unknown;
      try {
        theirs = JSON.parse(strict.decode(body));
      } catch {
        theirs = undefined;
      }
      const ours = attempt(() => {
        const reader = new JsonReader(body);
        const value = plain(reader.value());
        reader.finish();
        return value;
      });
      // What we refuse beyond the grammar: keys given twice, half of a surrogate pair, numbers too large for a double. What we
      // accept beyond it: Python's NaN and infinities, and a byte order mark.
      const agreed = 'value' in ours ? (theirs === undefined ? /NaN|Infinity|^\ufeff/.test(text) : isDeepStrictEqual(ours.value, theirs))
        : theirs === undefined ? /^(malformed_body|value_out_of_range)$/.test(ours.code) : /given twice|surrogate|too large/.test(ours.message);
      if (!agreed) wrong.push({ text, ours, theirs });
      if ('value' in ours) accepted++;
    }
    expect(wrong).toEqual([]);
    expect(accepted).toBeGreaterThan(150);
  });

  const fields: Field[] = [{ name: 'a', type: 'float32', shape: [3] }, { name: 'b', type: 'string', shape: [] }, { name: 'n', type: 'int64', shape: [-1], nullable: true }, { name: 't', type: 'bool', shape: [] }];
  const codes = /^(malformed_body|schema_mismatch|value_out_of_range|null_not_allowed|empty_batch|body_too_large)$/;

  it.each([
    ['records', '[{"a":[1,-2.5e3,0.125],"b":"x\\n\\u00e9","n":[1,9007199254740993],"t":true},{"b":"é","t":false,"a":[0,1,2],"n":[3,null]}]', (b: Uint8Array) => decodeRecords(b, fields)],
    ['a dictionary', '{"a":[[1,-2.5e3,0.125],[0,1,2]],"b":["x\\n","é"],"n":[[1,2],[3,4]],"t":[true,false]}', (b: Uint8Array) => decodeDictionary(b, fields)],
  ])('as %s either fails as a bad request or gives what JSON.parse gives', (_, seed, decode) => {
    const next = random(12);
    const wrong: unknown[] = [];
    let accepted = 0;
    for (let i = 0; i < 3000; i++) {
      const body = damage(seed, next);
      const ours = attempt(() => tableOf(decode(body)));
      if ('code' in ours) {
        if (!codes.test(ours.code)) wrong.push(ours);
        continue;
      }
      accepted++;
      const text = strict.decode(body).replace(/^\ufeff/, '');
      if (text.includes('NaN')) continue;
      const parsed = JSON.parse(text) as Record<string, unknown>[] | Record<string, unknown[]>;
      const cell = (name: string, row: number) => (Array.isArray(parsed) ? parsed[row]![name] : parsed[name]![row]);
      for (const [name, values] of Object.entries(ours.value)) {
        for (const [row, value] of values.entries()) if (!isDeepStrictEqual(rounded(value), rounded(cell(name, row) ?? null))) wrong.push({ text, name, row, value });
      }
    }
    expect(wrong).toEqual([]);
    expect(accepted).toBeGreaterThan(60);
  });

  it('costs no more than its length', () => {
    const long = 200_000;
    for (const text of [`[{"a":[${'1'.repeat(long)}`, `[{"n":[${'9'.repeat(long)}]}]`, `[{"n":[1${'0'.repeat(long)}e-${long}]}]`, `[{"b":"${'\\u0041'.repeat(long)}`, `[{"b":"${'\\'.repeat(long)}`, ' '.repeat(long), `[{"a":[0.${'0'.repeat(long)}1,2,3]`]) {
      expect(failure(() => decodeRecords(utf8.encode(text), fields)).code).toMatch(codes);
    }
  });
});

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...(value as Map<string, unknown>)].map(([k, v]) => [k, plain(v)]));
  return typeof value === 'bigint' ? Number(value) : value;
}

/**
 * As a float32 and in the least nesting, for a value alone and a list of one are the same to a schema. NaN is null, and so is
 * a key that is not there.
 */
function rounded(value: unknown): unknown {
  if (value !== value) return null;
  if (Array.isArray(value)) return value.length === 1 ? rounded(value[0]) : value.map(rounded);
  if (typeof value === 'bigint' || typeof value === 'number') return Math.fround(Number(value)) + 0;
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).flatMap(([k, v]) => (v === null ? [] : [[k, rounded(v)]])));
  return value;
}
