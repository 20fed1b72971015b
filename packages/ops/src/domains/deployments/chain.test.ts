import { describe, expect, test } from 'vitest';
import type { Field } from '@potoroo/contract';
import { checkChain, type Link } from './chain.ts';

const field = (name: string, shape: number[] = [4]): Field => ({ name, type: 'float32', shape });
const link = (name: string, inputs: Field[] | null, outputs: Field[] | null): Link => ({ name, inputs, outputs });

describe('a chain of steps', () => {
  test.each<[string, Link[]]>([
    ['one step', [link('a', [field('x')], [field('y')])]],
    ['columns of one name', [link('a', [], [field('x'), field('y')]), link('b', [field('y'), field('x')], [])]],
    ['one column each, of whatever name', [link('a', [], [field('y')]), link('b', [field('tensor')], [])]],
    ['a free dimension', [link('a', [], [field('x', [-1])]), link('b', [field('x', [7])], [])]],
    ['another shape of as many elements', [link('a', [], [field('x', [2, 2])]), link('b', [field('x', [4])], [])]],
    ['models that declare nothing', [link('a', null, null), link('b', [field('x')], [])]],
  ])('with %s fits', (_, links) => {
    expect(() => checkChain(links)).not.toThrow();
  });

  test('without a column that the next step takes is refused, naming the step and the column', () => {
    expect(() => checkChain([link('a', [], [field('x'), field('y')]), link('b', [field('z')], [])]))
      .toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringMatching(/Step 1 \(model b\).*"z".*step 0 \(model a\).*"x", "y"/) }));
  });

  test('with rows that can never fit is refused', () => {
    expect(() => checkChain([link('a', [], [field('x', [3])]), link('b', [field('x', [4])], [])]))
      .toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringContaining('[3]') }));
  });
});
