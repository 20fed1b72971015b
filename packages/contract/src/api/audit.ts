import { Type, type Static } from '@sinclair/typebox';
import { IdSchema, PageQuerySchema, TimeSchema } from './common.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const AuditRecordSchema = Type.Object({
  id: IdSchema, time: TimeSchema, userId: Type.String({ description: 'Empty for a sign-in under a name that nobody has.' }), email: Type.String({ description: 'Of that user, at that time.' }),
  action: Type.String({ description: 'What was done, such as `pipelines.addVersion`; sign-ins are `identity.signIn` and `devices.approve`.' }), kind: Type.String({ description: 'What kind of thing it was done to; of a sign-in, `address`: where it came from.' }),
  objectId: nullable(Type.String()), workspaceId: nullable(IdSchema),
  outcome: Type.String({ description: '`done`, the code of the error that it was refused with, or `begun`: under way, or cut off by an end of the server.' }), requestId: nullable(Type.String()),
}, { $id: 'AuditRecord' });
export type ApiAuditRecord = Static<typeof AuditRecordSchema>;

export const AuditQuerySchema = Type.Composite([PageQuerySchema, Type.Object({
  workspaceId: Type.Optional(IdSchema), userId: Type.Optional(Type.String({ maxLength: 64 })), kind: Type.Optional(Type.String({ maxLength: 64 })),
  objectId: Type.Optional(Type.String({ maxLength: 64 })), action: Type.Optional(Type.String({ maxLength: 64 })), outcome: Type.Optional(Type.String({ maxLength: 64 })), start: Type.Optional(TimeSchema), end: Type.Optional(TimeSchema),
})]);
