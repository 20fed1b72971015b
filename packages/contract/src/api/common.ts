import { Type, type Static, type TSchema } from '@sinclair/typebox';
import { errorCodes, type ErrorCode } from '../errors.ts';

/** The native API: `/api/v1/...`. Times are ISO 8601 in UTC. Unknown fields of a request are refused, of an answer to be ignored. */
export const apiPrefix = '/api/v1';

export const IdSchema = Type.Integer({ minimum: 1, maximum: 2_147_483_647 });
export const TimeSchema = Type.String({ format: 'date-time' });

/** One of a few words. */
export const oneOf = <const T extends readonly string[]>(words: T, options: { description?: string } = {}) =>
  Type.Unsafe<T[number]>(Type.Union(words.map((word) => Type.Literal(word)), options));

/** A password in a request; no answer has it. */
export const PasswordSchema = (options: { minLength?: number; maxLength?: number; description?: string } = {}) => Type.String({ writeOnly: true, format: 'password', ...options });

/** Query of every list: how many, and where to go on. */
export const PageQuerySchema = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Items a page; 100 when not given.' })),
  cursor: Type.Optional(Type.String({ maxLength: 512, description: '`cursor` of the page before.' })),
});

/** A page, newest first; `cursor` is null on the last one. */
export const PageSchema = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), cursor: Type.Union([Type.String(), Type.Null()], { description: 'Pass it to get the next page; null on the last.' }) });

/** Every error, as RFC 9457 puts it. `code` is stable, `detail` one sentence that names the field and the fix. */
export const ProblemSchema = Type.Object({
  type: Type.String({ description: 'Address of the page that explains this code.' }),
  title: Type.String(),
  status: Type.Integer(),
  code: oneOf(Object.keys(errorCodes) as ErrorCode[]),
  detail: Type.String(),
  instance: Type.Optional(Type.String({ description: 'Id of the request, as in the log and in the x-request-id header.' })),
  errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
}, { $id: 'Problem' });
export type Problem = Static<typeof ProblemSchema>;
