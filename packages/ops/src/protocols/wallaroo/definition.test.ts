import { describe, expect, it } from 'vitest';
import type { Step } from '@potoroo/contract';
import { keepFractions, readDefinition, writeDefinition } from './definition.ts';

const version = '163ff0a9-0f1a-4229-bbf2-a19e4385f10f';
const wireless = { name: 'a', version };
const inference = (name: string) => ({ ModelInference: { models: [{ name, version, sha: 'aa' }] } });

describe('a definition', () => {
  it('is the same after both ways', async () => {
    const definition = { id: 'imdb', steps: [inference('embedder'), inference('smodel')] };
    const steps = readDefinition(definition);
    expect(steps).toEqual<Step[]>([{ type: 'model', model: { name: 'embedder', version } }, { type: 'model', model: { name: 'smodel', version } }]);
    expect(await writeDefinition('imdb', steps, async () => 'aa')).toEqual(definition);
  });

  const ref = (name: string) => ({ name, version });
  const wire = (name: string) => ({ name, version, sha: 'aa' });
  const tree = ['{"Alias":[{"BinaryExpr":{"left":{"Column":"out.y"},"op":"Gt","right":{"Literal":{"Float64":0.9}}}},"fraud"]}'];
  it.each<[string, object[], Step[]]>([
    ['a random split', [{ RandomSplit: { hash_key: null, weights: [{ model: wire('a'), weight: 2 }, { model: wire('b'), weight: 1 }] } }], [{ type: 'random-split', weights: [{ model: ref('a'), weight: 2 }, { model: ref('b'), weight: 1 }] }]],
    ['a random split by a key', [{ RandomSplit: { hash_key: 'customer', weights: [{ model: wire('a'), weight: 0.5 }] } }], [{ type: 'random-split', hashKey: 'customer', weights: [{ model: ref('a'), weight: 0.5 }] }]],
    ['a key split', [{ MetaValueSplit: { split_key: 'tier', control: wire('a'), routes: { gold: wire('b'), '': wire('c') } } }], [{ type: 'key-split', splitKey: 'tier', control: ref('a'), routes: { gold: ref('b'), '': ref('c') } }]],
    ['a shadow deploy between steps', [inference('x'), { ModelInference: { models: [wire('a'), wire('b'), wire('c')] } }, { AuditResults: { from: 1, to: null } }, { MultiOut: {} }, inference('y')],
      [{ type: 'model', model: ref('x') }, { type: 'shadow', champion: ref('a'), challengers: [{ model: ref('b') }, { model: ref('c') }] }, { type: 'model', model: ref('y') }]],
    ['validations', [inference('a'), { Check: { tree } }, { Check: { tree: [] } }], [{ type: 'model', model: ref('a') }, { type: 'validations', validations: [{ name: 'fraud', expression: tree[0]! }] }, { type: 'validations', validations: [] }]],
  ])('with %s is the same after both ways', async (_, steps, native) => {
    expect(readDefinition({ id: 'p', steps })).toEqual(native);
    expect(await writeDefinition('p', native, async () => 'aa')).toEqual({ id: 'p', steps });
  });

  it('shows the client validations that were not written by it', async () => {
    const expression = (JSON.parse(tree[0]!) as { Alias: [object] }).Alias[0];
    expect(await writeDefinition('p', [{ type: 'validations', validations: [{ name: 'fraud', expression }] }], async () => 'aa')).toEqual({ id: 'p', steps: [{ Check: { tree } }] });
  });

  it('that comes back keeps the shares of its challengers, as long as it is the same shadow deploy in the same place', () => {
    const shadow = (champion: string, ...challengers: [string, number?][]): Step => ({ type: 'shadow', champion: ref(champion), challengers: challengers.map(([name, fraction]) => ({ model: ref(name), ...(fraction !== undefined && { fraction }) })) });
    const before = [shadow('a', ['b', 0.1], ['c'])];
    expect(keepFractions([shadow('a', ['b'], ['c'])], before)).toEqual(before);
    for (const other of [[shadow('x', ['b'], ['c'])], [shadow('a', ['b'])], [shadow('a', ['c'], ['b'])], [{ type: 'model', model: ref('a') } as Step, shadow('a', ['b'], ['c'])]]) expect(keepFractions(other, before)).toEqual(other);
    expect(keepFractions([shadow('a', ['b'])], [])).toEqual([shadow('a', ['b'])]);
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
    [{ steps: [inference('a'), { Average: {} }] }, /steps\[1\].*Average.*ModelInference/],
    [{ steps: [{ MultiOut: {} }] }, /MultiOut.*add_shadow_deploy/],
    [{ steps: [{ ModelInference: { models: [wireless, wireless] } }, { AuditResults: { from: 0, to: null } }, { MultiOut: {} }] }, /add_shadow_deploy/],
    [{ steps: [{ Check: { tree: ['{'] } }] }, /Check\.tree\[0\].*alias/],
    [{ steps: [{ Check: { tree: [{}] } }] }, /Check\.tree\[0\]/],
    [{ steps: [{ Check: {} }] }, /Check\.tree/],
    [{ steps: [{ RandomSplit: { weights: [] } }] }, /RandomSplit\.weights/],
    [{ steps: [{ RandomSplit: { weights: [{ weight: -1, model: wireless }] } }] }, /weights\[0\]\.weight/],
    [{ steps: [{ RandomSplit: { weights: [{ weight: 1 }] } }] }, /weights\[0\]\.model/],
    [{ steps: [{ RandomSplit: { hash_key: 7, weights: [{ weight: 1, model: wireless }] } }] }, /hash_key/],
    [{ steps: [{ MetaValueSplit: { split_key: 'k', control: wireless } }] }, /routes/],
    [{ steps: [{ MetaValueSplit: { split_key: '', control: wireless, routes: {} } }] }, /split_key/],
    [{ steps: [{ constructor: {} }] }, /steps\[0\].*constructor/],
    [{ steps: [{ ModelInference: null }] }, /ModelInference\.models/],
    [{ steps: [{ ModelInference: { models: [] } }] }, /ModelInference\.models/],
    [{ steps: [{ ModelInference: { models: [{ name: 'a' }] } }] }, /models\[0\].*version/],
    [{ steps: [{ ModelInference: { models: [{ name: 'a', version }, { name: 'b', version }] } }] }, /step of 2 models.*add_shadow_deploy/],
  ])('%j is refused by name', (definition, message) => {
    expect(() => readDefinition(definition)).toThrow(expect.objectContaining({ code: 'pipeline_invalid', message: expect.stringMatching(message) as string }) as Error);
  });
});
