import { PotorooError } from '@potoroo/contract';
import type { TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyRouteSchemaDef } from 'fastify/types/schema.js';

/**
 * Checks without converting: a deployment config has to come back as it was sent, and a number is not the same as its text.
 */
export function compileValidator({ schema }: FastifyRouteSchemaDef<TSchema>): (value: unknown) => { value: unknown } | { error: Error } {
  const check = TypeCompiler.Compile(schema);
  return (value) => {
    if (check.Check(value)) return { value };
    const wrong = check.Errors(value).First();
    const field = (wrong?.path ?? '').slice(1).replace(/\/(\d+)/g, '[$1]').replaceAll('/', '.') || 'the body';
    const message = wrong?.value === undefined ? 'is missing' : `is not right: ${wrong.message}`;
    return { error: new PotorooError('invalid_request', `${field} ${message}.`, { fields: [{ field, message }] }) };
  };
}
