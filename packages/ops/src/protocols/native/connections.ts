import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { ConnectionDetailsSchema, ConnectionSchema, IdSchema, NewConnectionSchema, PageQuerySchema, PageSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const tag = 'connections';
const Params = Type.Object({ connectionId: Type.String({ maxLength: 64 }) });
const InWorkspace = Type.Object({ workspaceId: IdSchema, connectionId: Type.String({ maxLength: 64 }) });
const Query = Type.Composite([PageQuerySchema, Type.Object({ workspaceId: Type.Optional(IdSchema), name: Type.Optional(Type.String()) })]);

export function connectionRoutes(app: FastifyInstance, context: NativeContext): void {
  const { connections } = context.domains;
  route(app, context, 'GET', '/connections', { tag, summary: 'List connections', description: 'Those you made and those of your workspaces, without their details.', query: Query, answer: PageSchema(ConnectionSchema) },
    ({ actor, query }) => connections.list(actor, query));
  route(app, context, 'POST', '/connections', { tag, summary: 'Create a connection', description: 'The details are kept encrypted.', body: NewConnectionSchema, answer: ConnectionSchema, status: 201 },
    ({ actor, body }) => connections.create(actor, body));
  route(app, context, 'GET', '/connections/:connectionId', { tag, summary: 'Show a connection', params: Params, answer: ConnectionSchema },
    ({ actor, params }) => connections.get(actor, { id: params.connectionId }));
  route(app, context, 'GET', '/connections/:connectionId/details', { tag, summary: 'Read the details of a connection', description: 'For who made it, members of its workspaces and administrators.', params: Params, answer: ConnectionDetailsSchema },
    ({ actor, params }) => connections.details(actor, { id: params.connectionId }));
  route(app, context, 'DELETE', '/connections/:connectionId', { tag, summary: 'Delete a connection', description: 'For who made it and administrators; not while a workspace has it.', params: Params },
    ({ actor, params }) => connections.remove(actor, { id: params.connectionId }));
  route(app, context, 'PUT', '/workspaces/:workspaceId/connections/:connectionId', { tag, summary: 'Add a connection to a workspace', description: 'Its members may then use it.', params: InWorkspace, answer: ConnectionSchema },
    ({ actor, params }) => connections.addToWorkspace(actor, { id: params.connectionId }, params.workspaceId));
  route(app, context, 'DELETE', '/workspaces/:workspaceId/connections/:connectionId', { tag, summary: 'Take a connection out of a workspace', params: InWorkspace },
    ({ actor, params }) => connections.removeFromWorkspace(actor, { id: params.connectionId }, params.workspaceId));
}
