import { Type, type Static } from '@sinclair/typebox';
import { IdSchema, TimeSchema } from './common.ts';

export const TagSchema = Type.Object({
  id: IdSchema, tag: Type.String(), createdAt: TimeSchema, createdBy: Type.String({ description: 'A user id.' }),
  modelVersionIds: Type.Array(IdSchema, { description: 'Model versions that carry it, of those that you may see.' }),
  pipelineIds: Type.Array(IdSchema, { description: 'Pipelines that carry it, of those that you may see.' }),
}, { $id: 'Tag' });
export type ApiTag = Static<typeof TagSchema>;

export const NewTagSchema = Type.Object({ tag: Type.String({ description: '1 to 256 printable characters.' }) }, { additionalProperties: false });
/** Tags of one thing. */
export const TagNamesSchema = Type.Object({ items: Type.Array(Type.Object({ id: IdSchema, tag: Type.String() })) });

export const ConnectionSchema = Type.Object({
  id: Type.String({ description: 'A UUID.' }), name: Type.String(), type: Type.String(), createdAt: TimeSchema, createdBy: Type.String({ description: 'A user id.' }),
  workspaces: Type.Array(Type.Object({ id: IdSchema, name: Type.String() }), { description: 'Workspaces that have it, of those that you may see.' }),
}, { $id: 'Connection' });
export type ApiConnection = Static<typeof ConnectionSchema>;

export const ConnectionDetailsSchema = Type.Record(Type.String(), Type.Unknown(), { description: 'Whatever whoever uses the connection needs: address, user, password.' });
export const NewConnectionSchema = Type.Object({
  name: Type.String({ description: 'Unique on the server.' }), type: Type.String({ description: 'What it leads to, in your own word, such as `POSTGRES`.' }), details: Type.Unsafe<Static<typeof ConnectionDetailsSchema>>({ ...ConnectionDetailsSchema, writeOnly: true }),
}, { additionalProperties: false });
export type NewConnection = Static<typeof NewConnectionSchema>;
