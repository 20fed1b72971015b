import { describe, expect, it } from 'vitest';
import type { Step } from '@potoroo/contract';
import { readDefinition, writeDefinition } from './definition.ts';

const version = '163ff0a9-0f1a-4229-bbf2-a19e4385f10f';
const inference = (name: string) => ({ ModelInference: { models: [{ name, version, sha: 'aa' }] } });

describe('a definition', () => {
  it('is the same after both ways', async () => {
    const definition = { id: 'imdb', steps: [inference('embedder'), inference('smodel')] };
    const steps = readDefinition(definition);
    expect(steps).toEqual<Step[]>([{ type: 'model', model: { name: 'embedder', version } }, { type: 'model', model: { name: 'smodel', version } }]);
    expect(await writeDefinition('imdb', steps, async () => 'aa')).toEqual(definition);
  });

  it.each([[{}], [null], [undefined], [{ id: 'x' }]])('%j has no steps', (definition) => {
    expect(readDefinition(definition)).toEqual([]);
  });

  it.each<[unknown, RegExp]>([
    [{ steps: {} }, /definition\.steps/],
    [{ steps: null }, /definition\.steps/],
    [{ id: 'x', steps: [] }, /no step.*add_model_step/],
    [{ steps: [null] }, /steps\[0\].*one key/],
    [{ steps: [{}] }, /steps\[0\].*one key/],
    [{ steps: ['ModelInference'] }, /steps\[0\]/],
    [{ steps: [{ ModelInference: {}, Check: {} }] }, /steps\[0\].*one key/],
    [{ steps: [inference('a'), { Check: { tree: [] } }] }, /steps\[1\].*Check.*ModelInference/],
    [{ steps: [{ constructor: {} }] }, /steps\[0\].*constructor/],
    [{ steps: [{ ModelInference: null }] }, /ModelInference\.models/],
    [{ steps: [{ ModelInference: { models: [] } }] }, /ModelInference\.models/],
    [{ steps: [{ ModelInference: { models: [{ name: 'a' }] } }] }, /models\[0\].*version/],
    [{ steps: [{ ModelInference: { models: [{ name: 'a', version }, { name: 'b', version }] } }] }, /step of 2 models/],
  ])('%j is refused by name', (definition, message) => {
    expect(() => readDefinition(definition)).toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringMatching(message) as string }) as Error);
  });
});
