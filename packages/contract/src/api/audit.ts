import { Type, type Static } from '@sinclair/typebox';
import { IdSchema, PageQuerySchema, TimeSchema } from './common.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const AuditRecordSchema = Type.Object({
  id: IdSchema, time: TimeSchema, userId: Type.String(), email: Type.String({ description: 'Of that user, at that time.' }),
  action: Type.String({ description: 'What was done, such as `pipelines.addVersion`.' }), kind: Type.String({ description: 'What kind of thing it was done to.' }),
  objectId: nullable(Type.String()), workspaceId: nullable(IdSchema),
  outcome: Type.String({ description: '`done`, or the code of the error that it was refused with.' }), requestId: nullable(Type.String()),
}, { $id: 'AuditRecord' });
export type ApiAuditRecord = Static<typeof AuditRecordSchema>;

export const AuditQuerySchema = Type.Composite([PageQuerySchema, Type.Object({
  workspaceId: Type.Optional(IdSchema), userId: Type.Optional(Type.String({ maxLength: 64 })), kind: Type.Optional(Type.String({ maxLength: 64 })),
  objectId: Type.Optional(Type.String({ maxLength: 64 })), action: Type.Optional(Type.String({ maxLength: 64 })),
})]);
