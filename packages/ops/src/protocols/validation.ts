import { FormatRegistry, Kind, type TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { ValueErrorType, type ValueError } from '@sinclair/typebox/value';
import type { FastifyRouteSchemaDef } from 'fastify/types/schema.js';
import { PotorooError, type ErrorField } from '@potoroo/contract';
import { fromText } from '../text.ts';

FormatRegistry.Set('date-time', (text) => /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)$/.test(text) && !Number.isNaN(Date.parse(text)));
FormatRegistry.Set('password', () => true);

const maxFields = 20;

/**
 * The validator of every route. Bodies are taken as they are: a number is not the same as its text. Query, path and headers
 * are text on the wire and become what their schema says.
 */
export function compileValidator({ schema, httpPart }: FastifyRouteSchemaDef<TSchema>): (value: unknown) => { value: unknown } | { error: Error } {
  const check = TypeCompiler.Compile(schema);
  const where = httpPart === 'body' ? 'the body' : httpPart === 'querystring' ? 'the query' : 'the path';
  return (given) => {
    const value = httpPart === 'body' ? given : convert(schema, given as Record<string, unknown>);
    if (check.Check(value)) return { value };
    const fields = [...fieldsOf(check.Errors(value))];
    return { error: new PotorooError('invalid_request', fields.map((f) => `${f.field || where} ${f.message}.`).join(' '), { fields: fields.map((f) => ({ ...f, field: f.field || where })) }) };
  };
}

function convert(schema: TSchema, given: Record<string, unknown>): unknown {
  const properties = schema['properties'] as Record<string, TSchema>;
  return Object.fromEntries(Object.entries(given).map(([name, text]) => [name, properties[name] === undefined ? text : fromText(properties[name], text)]));
}

function* fieldsOf(errors: Iterable<ValueError>): Generator<ErrorField> {
  const seen = new Set<string>();
  for (const error of meant(errors)) {
    const field = error.path.slice(1).replace(/\/(\d+)/g, '[$1]').replaceAll('/', '.');
    if (seen.has(field)) continue;
    seen.add(field);
    yield { field, message: messageOf(error) };
    if (seen.size >= maxFields) return;
  }
}

/** Of a value that may have several forms, what is wrong with the one that its `type` says, or with the only one beside null. */
function* meant(errors: Iterable<ValueError>): Generator<ValueError> {
  for (const error of errors) {
    const variants = error.type === ValueErrorType.Union ? (error.schema['anyOf'] as TSchema[]) : [];
    const objects = variants.filter((variant) => variant[Kind] === 'Object');
    const given = typeof error.value === 'object' && error.value !== null && !Array.isArray(error.value) ? (error.value as Record<string, unknown>)['type'] : null;
    const chosen = given === null ? undefined : objects.find((variant) => given !== undefined && typeOf(variant) === given) ?? (objects.length === 1 && variants.length === 2 ? objects[0] : undefined);
    const inside = chosen === undefined ? undefined : error.errors[variants.indexOf(chosen)];
    if (inside === undefined) yield error;
    else yield* meant(inside);
  }
}

const typeOf = (variant: TSchema): unknown => (variant['properties'] as Record<string, TSchema> | undefined)?.['type']?.['const'];

function messageOf({ type, value, schema, message }: ValueError): string {
  if (type === ValueErrorType.ObjectRequiredProperty) return ['is missing', ...(schema.description === undefined ? [] : [lower(schema.description).replace(/\.$/, '')])].join(': ');
  if (type === ValueErrorType.ObjectAdditionalProperties) return 'is not known here';
  const words = schema[Kind] === 'Union' ? (schema['anyOf'] as TSchema[]).map((s) => s['const'] as unknown) : [];
  const types = schema[Kind] === 'Union' ? (schema['anyOf'] as TSchema[]).map(typeOf).filter((type) => type !== undefined) : [];
  if (types.length > 0) return `${JSON.stringify(value)?.slice(0, 80)} is not right: it needs a type, one of ${types.map((type) => JSON.stringify(type)).join(', ')}`;
  const kinds = schema[Kind] === 'Union' ? [...new Set((schema['anyOf'] as TSchema[]).map((s) => s['type'] as unknown))] : [];
  const rule = words.length > 0 && words.every((w) => w !== undefined) ? `use one of ${words.map((w) => JSON.stringify(w)).join(', ')}`
    : kinds.length > 0 && kinds.every((k) => typeof k === 'string') ? `expected ${kinds.join(' or ')}` : lower(message);
  // What is only ever written, such as a token, is not said back.
  const shown = schema['writeOnly'] === true ? undefined : JSON.stringify(value)?.slice(0, 80);
  return `${shown === undefined ? '' : `${shown} `}is not right: ${rule}`;
}

const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
