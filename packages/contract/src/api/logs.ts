import { Type, type Static } from '@sinclair/typebox';
import { oneOf, TimeSchema } from './common.ts';

/**
 * Query of `GET /pipelines/{id}/logs`. Answers as JSON (this page), NDJSON, Arrow IPC file or stream, by `Accept`. Outside JSON
 * the page's `status` and `cursor` are in the headers `potoroo-log-status` and `potoroo-log-cursor`.
 */
export const LogQuerySchema = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, description: 'Records a page; 100 when not given.' })),
  order: Type.Optional(oneOf(['asc', 'desc'], { description: '`desc`, the default, is newest first.' })),
  start: Type.Optional(TimeSchema), end: Type.Optional(TimeSchema),
  cursor: Type.Optional(Type.String({ maxLength: 65_536 })),
  pipelineVersion: Type.Optional(Type.String({ maxLength: 64 })), partition: Type.Optional(Type.String({ maxLength: 256 })),
  anomalies: Type.Optional(Type.Boolean({ description: 'True for the records that failed a validation, and no others.' })),
}, { additionalProperties: false });
export type ApiLogQuery = Static<typeof LogQuerySchema>;

export const logStatuses = ['All', 'RecordLimited', 'ByteLimited', 'SchemaChange'] as const;
export const LogPageSchema = Type.Object({
  items: Type.Array(Type.Record(Type.String(), Type.Unknown(), { description: 'Flat columns `time`, `in.x`, `out.y`, `anomaly.count`, `metadata.*`.' })),
  status: oneOf(logStatuses, { description: 'Why the page ends where it does.' }),
  cursor: Type.Union([Type.String(), Type.Null()]),
}, { $id: 'LogPage' });
export type ApiLogPage = Static<typeof LogPageSchema>;

const Days = Type.Integer({ minimum: 0, maximum: 36_500, description: 'Days that records are kept; 0 is for ever.' });
const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Size up to which the log is kept; 0 is any.' });
/** What is null or missing is as the server is set. */
export const SetLogRetentionSchema = Type.Object({ days: Type.Optional(Type.Union([Days, Type.Null()])), bytes: Type.Optional(Type.Union([Bytes, Type.Null()])) }, { additionalProperties: false });
export type ApiSetLogRetention = Static<typeof SetLogRetentionSchema>;
export const LogRetentionSchema = Type.Object({
  days: Type.Union([Days, Type.Null()]), bytes: Type.Union([Bytes, Type.Null()]), effective: Type.Object({ days: Days, bytes: Bytes }, { description: 'What holds.' }),
}, { $id: 'LogRetention' });
export type ApiLogRetention = Static<typeof LogRetentionSchema>;

export const PartitionsSchema = Type.Record(Type.String(), Type.Object({ start: Type.Integer(), end: Type.Integer() }), { description: 'First and next row offset of each partition.' });
