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
}, { additionalProperties: false });
export type ApiLogQuery = Static<typeof LogQuerySchema>;

export const logStatuses = ['All', 'RecordLimited', 'ByteLimited', 'SchemaChange'] as const;
export const LogPageSchema = Type.Object({
  items: Type.Array(Type.Record(Type.String(), Type.Unknown(), { description: 'Flat columns `time`, `in.x`, `out.y`, `anomaly.count`, `metadata.*`.' })),
  status: oneOf(logStatuses, { description: 'Why the page ends where it does.' }),
  cursor: Type.Union([Type.String(), Type.Null()]),
}, { $id: 'LogPage' });
export type ApiLogPage = Static<typeof LogPageSchema>;

export const PartitionsSchema = Type.Record(Type.String(), Type.Object({ start: Type.Integer(), end: Type.Integer() }), { description: 'First and next row offset of each partition.' });
