import type { FastifyInstance } from 'fastify';
import { AuditQuerySchema, AuditRecordSchema, PageSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

export function auditRoutes(app: FastifyInstance, context: NativeContext): void {
  const { audit } = context.domains;
  route(app, context, 'GET', '/audit', {
    tag: 'audit', summary: 'List who changed what, and who signed in', description: 'Newest first. For administrators; with `workspaceId`, for owners of that workspace too.', query: AuditQuerySchema, answer: PageSchema(AuditRecordSchema),
  }, ({ actor, query: { start, end, ...query } }) => audit.list(actor, { ...query, ...(start && { start: new Date(start) }), ...(end && { end: new Date(end) }) }));
}
