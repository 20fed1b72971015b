import { PotorooError } from '@potoroo/contract';

export type Token = { readonly at: number; readonly text: string } & (
  | { readonly kind: 'number'; readonly value: number | bigint }
  | { readonly kind: 'text'; readonly value: string }
  /** `quoted`: between backticks, so that it is a name whatever it says. */
  | { readonly kind: 'name'; readonly value: string; readonly quoted: boolean }
  | { readonly kind: 'sign' }
  | { readonly kind: 'end' });

const pattern = /\s*(?:(?<number>(?:\d[\d_]*)(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?|\.\d[\d_]*(?:[eE][+-]?\d+)?)|(?<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<name>[\p{L}_][\p{L}\p{N}_]*)|`(?<quoted>[^`]+)`|(?<sign>\*\*|\/\/|<=|>=|==|!=|<>|[-+*/%<>=()[\],.&|~^]))/suy;
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

/** @throws PotorooError pipeline_invalid with the place of what is no part of an expression */
export function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (source.slice(at).trim() !== '') {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    const start = at + (/^\s*/.exec(source.slice(at))?.[0].length ?? 0);
    if (found === null) {
      const open = source.charAt(start);
      throw unexpected(source, start, /["'`]/.test(open) ? `this ${open} is never closed` : `${JSON.stringify(open)} is no part of an expression`);
    }
    const { number, text, name, quoted, sign } = found.groups as Record<string, string | undefined>;
    const token = { at: start, text: source.slice(start, pattern.lastIndex) };
    if (number !== undefined) tokens.push({ ...token, kind: 'number', value: numberOf(number) });
    else if (text !== undefined) tokens.push({ ...token, kind: 'text', value: text.slice(1, -1).replace(/\\(.)/gsu, (_, c: string) => escapes[c] ?? c) });
    else if (sign !== undefined) tokens.push({ ...token, kind: 'sign' });
    else tokens.push({ ...token, kind: 'name', value: (name ?? quoted) as string, quoted: quoted !== undefined });
    at = pattern.lastIndex;
  }
  tokens.push({ kind: 'end', at: source.trimEnd().length, text: '' });
  return tokens;
}

function numberOf(text: string): number | bigint {
  const digits = text.replaceAll('_', '');
  return /^\d+$/.test(digits) && !Number.isSafeInteger(Number(digits)) ? BigInt(digits) : Number(digits);
}

/** Shows the place below the text, as compilers do. */
export function unexpected(source: string, at: number, why: string): PotorooError {
  const start = Math.max(0, at - 50);
  const shown = source.slice(start, at + 50).replace(/\s/g, ' ');
  return new PotorooError('pipeline_invalid', `The expression cannot be read at character ${at + 1}: ${why}.\n  ${shown}\n  ${' '.repeat(at - start)}^`, { fields: [{ field: 'expression', message: `character ${at + 1}: ${why}` }] });
}
