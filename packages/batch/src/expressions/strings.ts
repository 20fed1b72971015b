import { expect, lift, refuse, rowsOf, word, type Node, type Path } from './node.ts';
import type { Make } from './functions.ts';
import type { Dtype } from './dtype.ts';
import { fromNumbers, fromStrings, isNull, stringAt, type Vector } from './vector.ts';

const isString = (d: Dtype): boolean => d === 'string';
const text = (path: Path, inputs: readonly Node[], at = 0): Node => expect(path, inputs[at] ?? refuse(path, 'an input is missing'), isString, 'text');

function map(f: (s: string) => string): Make {
  return (path, inputs) => {
    const input = text(path, inputs);
    return { dtype: 'string', scalar: input.scalar, rowwise: input.rowwise, run(c) { const v = input.run(c); return fromStrings(Array.from({ length: v.length }, (_, i) => f(stringAt(v, i))), v.nulls, v.scalar); } };
  };
}
function measure(f: (s: string) => number): Make {
  return (path, inputs) => {
    const input = text(path, inputs);
    return { dtype: 'uint32', scalar: input.scalar, rowwise: input.rowwise, run(c) { const v = input.run(c); return fromNumbers('uint32', Float64Array.from({ length: v.length }, (_, i) => f(stringAt(v, i))), v.nulls, v.scalar); } };
  };
}
function compare(f: (s: string, t: string) => boolean): Make {
  return (path, inputs) => {
    const [a, b] = [text(path, inputs), text(path, inputs, 1)];
    return {
      dtype: 'bool', scalar: a.scalar && b.scalar, rowwise: a.rowwise && b.rowwise,
      run(c) {
        const [x, y] = [a.run(c), b.run(c)];
        const rows = rowsOf(c, [x, y]);
        const out = new Float64Array(x.scalar && y.scalar ? 1 : rows);
        const done = lift([x, y], rows, (i) => { out[i] = Number(f(stringAt(x, i), stringAt(y, i))); });
        return fromNumbers('bool', out, done.nulls, done.scalar);
      },
    };
  };
}

/**
 * A pattern in the syntax that Rust's regex crate and JavaScript share. Look-around and back-references are refused as the
 * crate refuses them: what is left runs in time that a row of text bounds in practice.
 */
function pattern(path: Path, source: string): RegExp {
  if (source.length > 1000) refuse(path, 'the pattern is longer than 1000 characters');
  if (/\(\?[=!<]/.test(source) && !/\(\?<[a-zA-Z]/.test(source)) refuse(path, 'look-around is not supported in patterns');
  if (/(^|[^\\])(\\\\)*\\[1-9k]/.test(source)) refuse(path, 'back-references are not supported in patterns');
  const flags = /^\(\?([ims]+)\)/.exec(source);
  try { return new RegExp(flags ? source.slice(flags[0].length) : source, `u${flags?.[1] ?? ''}`); } catch { return refuse(path, `${JSON.stringify(source)} is not a pattern`); }
}

const trim = (side: 'both' | 'start' | 'end'): Make => (path, inputs, options) => {
  const written = typeof options === 'string' ? options : inputs[1]?.dtype === 'string' ? stringAt(inputs[1].run({ rows: 1, column: () => refuse(path, 'the characters to strip are written out') }), 0) : undefined;
  return map((s) => {
    let [a, b] = [0, s.length];
    const gone = (ch: string | undefined): boolean => ch !== undefined && (written === undefined ? /\s/.test(ch) : written.includes(ch));
    if (side !== 'end') while (a < b && gone(s[a])) a++;
    if (side !== 'start') while (b > a && gone(s[b - 1])) b--;
    return s.slice(a, b);
  })(path, inputs.slice(0, 1), undefined);
};

export const string: Record<string, Make> = {
  Lowercase: map((s) => s.toLowerCase()),
  Uppercase: map((s) => s.toUpperCase()),
  StartsWith: compare((s, t) => s.startsWith(t)),
  EndsWith: compare((s, t) => s.endsWith(t)),
  Length: measure((s) => Buffer.byteLength(s)), LenBytes: measure((s) => Buffer.byteLength(s)),
  NChars: measure((s) => Array.from(s).length), LenChars: measure((s) => Array.from(s).length),
  Strip: trim('both'), StripChars: trim('both'), LStrip: trim('start'), StripCharsStart: trim('start'), RStrip: trim('end'), StripCharsEnd: trim('end'),
  Contains: (path, inputs, options) => {
    const literal = typeof options === 'object' && options !== null && 'literal' in options && options.literal === true;
    if (literal) return compare((s, t) => s.includes(t))(path, inputs, undefined);
    const source = text(path, inputs, 1);
    const compiled = new Map<string, RegExp>();
    if (source.scalar && source.rowwise) { const v: Vector = source.run({ rows: 1, column: () => refuse(path, 'the pattern is not written out') }); if (!isNull(v, 0)) compiled.set(stringAt(v, 0), pattern(path, stringAt(v, 0))); } else refuse(path, 'a pattern has to be written out; use literal=True to look for another column\'s text');
    return compare((s, t) => compiled.get(t)?.test(s) ?? false)(path, inputs, undefined);
  },
  ConcatHorizontal: (path, inputs, options) => {
    const delimiter = typeof options === 'string' ? options : typeof options === 'object' && options !== null && 'delimiter' in options ? word(options.delimiter) : '';
    inputs.forEach((_, i) => text(path, inputs, i));
    return {
      dtype: 'string', scalar: inputs.every((n) => n.scalar), rowwise: inputs.every((n) => n.rowwise),
      run(c) {
        const parts = inputs.map((n) => n.run(c));
        const rows = rowsOf(c, parts);
        const out = Array.from({ length: parts.every((p) => p.scalar) ? 1 : rows }, () => '');
        const done = lift(parts, rows, (i) => { out[i] = parts.map((p) => stringAt(p, i)).join(delimiter); });
        return fromStrings(out, done.nulls, done.scalar);
      },
    };
  },
};
