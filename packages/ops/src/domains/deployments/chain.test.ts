import { describe, expect, test } from 'vitest';
import type { Field, ModelRef, Step } from '@potoroo/contract';
import { checkChain, type Link } from './chain.ts';

const field = (name: string, shape: number[] = [4]): Field => ({ name, type: 'float32', shape });
const at = (name: string): ModelRef => ({ name, version: name });
/** A chain of these models. */
const chain = (links: Link[]): void => checkChain(links.map(({ name }): Step => ({ type: 'model', model: at(name) })), ({ name }) => links.find((l) => l.name === name) as Link);
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
    expect(() => chain(links)).not.toThrow();
  });

  test('without a column that the next step takes is refused, naming the step and the column', () => {
    expect(() => chain([link('a', [], [field('x'), field('y')]), link('b', [field('z')], [])]))
      .toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringMatching(/Step 1 \(model b\).*"z".*step 0 \(model a\).*"x", "y"/) }));
  });

  test('with rows that can never fit is refused', () => {
    expect(() => chain([link('a', [], [field('x', [3])]), link('b', [field('x', [4])], [])]))
      .toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringContaining('[3]') }));
  });
});

describe('a step of several models', () => {
  const links = [
    link('a', [field('x')], [field('y', [])]), link('same', [field('x')], [field('y', [])]), link('renamed', [field('z')], [field('y', [])]),
    link('wide', [field('x', [9])], [field('y', [])]), link('other', [field('x')], [field('q', [])]), link('two', [field('x'), field('w')], [field('y', [])]),
  ];
  const of = ({ name }: ModelRef): Link => links.find((l) => l.name === name) as Link;
  const split = (...names: string[]): Step => ({ type: 'random-split', weights: names.map((name) => ({ model: at(name), weight: 1 })) });
  test.each<[string, Step[]]>([
    ['the same columns', [split('a', 'same')]],
    ['one input each, of whatever name', [split('a', 'renamed')]],
    ['a shadow that gives something else', [{ type: 'shadow', champion: at('a'), challengers: [{ model: at('other') }] }]],
  ])('with %s fits', (_, steps) => {
    expect(() => checkChain(steps, of)).not.toThrow();
  });
  test.each<[string, Step[], RegExp]>([
    ['other outputs', [split('a', 'other')], /models a, which gives "y" \(float32\[\]\), and other, which gives "q"/],
    ['other shapes', [{ type: 'key-split', splitKey: 'k', control: at('a'), routes: { v: at('wide') } }], /model wide.*\[9\].*model a of the same step takes \[4\]/],
    ['an input more', [{ type: 'shadow', champion: at('a'), challengers: [{ model: at('two') }] }], /model two.*"w".*model a/],
    ['a validation of no column', [split('a', 'same'), { type: 'validations', validations: [{ name: 'v', expression: { BinaryExpr: { left: { Column: 'out.nothing' }, op: 'Gt', right: { Literal: { Float64: 1 } } } } }] }], /"out\.nothing"/],
  ])('with %s is refused, naming both', (_, steps, message) => {
    expect(() => checkChain(steps, of)).toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringMatching(message) }));
  });
});
