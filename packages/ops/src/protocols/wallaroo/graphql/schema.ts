import { buildSchema, GraphQLError, GraphQLScalarType, valueFromASTUntyped, type GraphQLSchema, type ValueNode } from 'graphql';
import { sdl } from './sdl.ts';

/** A 64-bit integer column: a JSON number out; a number, or the same in quotes, in. */
function bigint(value: unknown): number {
  const number = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) throw new GraphQLError(`bigint takes an integer within ±2^53, not ${JSON.stringify(value)?.slice(0, 40)}.`);
  return number;
}

/** ISO 8601 with an offset out, any ISO 8601 time in. */
function timestamptz(value: unknown): string {
  const time = value instanceof Date ? value : new Date(typeof value === 'string' ? value : Number.NaN);
  if (Number.isNaN(time.getTime())) throw new GraphQLError(`timestamptz takes an ISO 8601 time, not ${JSON.stringify(value)?.slice(0, 40)}.`);
  return time.toISOString().replace('Z', '+00:00');
}

function uuid(value: unknown): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) throw new GraphQLError(`uuid takes a UUID, not ${JSON.stringify(value)?.slice(0, 40)}.`);
  return value;
}

const coercions: Record<string, (value: unknown) => unknown> = { bigint, timestamptz, uuid, jsonb: (value) => value };

/** The schema with its scalars; resolvers are functions on the objects themselves (see nodes.ts). */
export function graphqlSchema(): GraphQLSchema {
  const schema = buildSchema(sdl);
  for (const [name, coerce] of Object.entries(coercions)) {
    const type = schema.getType(name);
    if (!(type instanceof GraphQLScalarType)) throw new Error(`The schema has no scalar ${name}.`);
    type.serialize = coerce;
    type.parseValue = coerce;
    type.parseLiteral = (node: ValueNode) => coerce(node.kind === 'IntValue' ? node.value : valueFromASTUntyped(node));
  }
  return schema;
}
