import { Type } from '@sinclair/typebox';
import { describe, expect, it } from 'vitest';
import { StepSchema, type PotorooError } from '@potoroo/contract';
import { compileValidator } from './validation.ts';

const Body = Type.Object({ steps: Type.Array(StepSchema), config: Type.Optional(Type.Union([Type.Object({ replicas: Type.Integer() }), Type.Null()])), size: Type.Optional(Type.Union([Type.Integer(), Type.String()])) });
const check = compileValidator({ schema: Body, httpPart: 'body', method: 'POST', url: '/' });
const wrongs = (body: unknown): unknown => {
  const answer = check(body);
  return 'error' in answer ? (answer.error as PotorooError).fields : [];
};
const model = { name: 'm', version: 'v' };

describe('a body of which one part may have several forms', () => {
  it.each<[string, unknown, unknown]>([
    ['fits', { steps: [{ type: 'model', model }], config: null, size: 'x' }, []],
    ['names what is wrong with the form that it says to be', { steps: [{ type: 'model', model: { name: 'm' } }] }, [{ field: 'steps[0].model.version', message: expect.stringMatching(/^is missing/) as string }]],
    ['names the forms when it is none of them', { steps: [{ type: 'modle', model }] }, [{ field: 'steps[0]', message: expect.stringMatching(/it needs a type, one of "model", "random-split", /) as string }]],
    ['names the forms when it says nothing of its own', { steps: [{ tensor: [1, 2] }, 3] }, [{ field: 'steps[0]', message: expect.stringContaining('it needs a type') as string }, { field: 'steps[1]', message: expect.stringContaining('it needs a type') as string }]],
    ['names what is wrong with what may also be null', { steps: [], config: { replicas: 'two' } }, [{ field: 'config.replicas', message: '"two" is not right: expected integer' }]],
    ['says what it may be, where nothing tells which was meant', { steps: [], size: true }, [{ field: 'size', message: 'true is not right: expected integer or string' }]],
  ])('%s', (_name, body, expected) => expect(wrongs(body)).toEqual(expected));
});
