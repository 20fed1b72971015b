import { getIntrospectionQuery } from 'graphql';
import { describe, expect, it } from 'vitest';
import { limits, parseBounded } from './limits.ts';

const nested = (depth: number): string => `{ ${'a { '.repeat(depth - 1)} b ${'}'.repeat(depth - 1)} }`;

describe('a document', () => {
  it('passes when it is the introspection of a client', () => {
    expect(() => parseBounded(getIntrospectionQuery({ descriptions: true, specifiedByUrl: true, inputValueDeprecation: true }))).not.toThrow();
  });

  it.each<[string, string, RegExp]>([
    ['too deep', nested(limits.depth + 1), /nests deeper/],
    ['too deep through fragments', `query { ...f0 } ${Array.from({ length: 20 }, (_, i) => `fragment f${i} on t { a { ...f${i + 1} } }`).join(' ')} fragment f20 on t { b }`, /nests deeper/],
    ['too wide', `{ ${Array.from({ length: limits.fields + 1 }, (_, i) => `a${i}: b`).join(' ')} }`, /more than|tokens/],
    ['of fragments that double at every level', `query { ...f0 } ${Array.from({ length: 15 }, (_, i) => `fragment f${i} on t { ...f${i + 1} ...f${i + 1} }`).join(' ')} fragment f15 on t { b }`, /more than/],
    ['of a fragment in a circle', '{ ...f } fragment f on t { a ...g } fragment g on t { ...f }', /spreads itself/],
    ['of too many tokens', `{ a(x: [${'1 '.repeat(limits.tokens)}]) }`, /tokens/],
    ['with two operations', 'query a { b } query c { d }', /more than one operation/],
    ['not GraphQL', '{ a', /Syntax Error/],
    ['empty', '', /Syntax Error/],
  ])('is refused when it is %s', (_, source, message) => {
    expect(() => parseBounded(source)).toThrow(message);
  });

  it('may be as deep as the bound', () => {
    expect(() => parseBounded(nested(limits.depth))).not.toThrow();
  });
});
