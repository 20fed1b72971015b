import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { IdSchema, MemberChangeSchema, NewUserSchema, NewWorkspaceSchema, PageQuerySchema, PageSchema, UserChangeSchema, UserSchema, WorkspaceChangeSchema, WorkspaceSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const UserParams = Type.Object({ userId: Type.String({ maxLength: 64 }) });
const WorkspaceParams = Type.Object({ workspaceId: IdSchema });
const MemberParams = Type.Object({ workspaceId: IdSchema, userId: Type.String({ maxLength: 64 }) });

export function peopleRoutes(app: FastifyInstance, context: NativeContext): void {
  const { users, workspaces } = context.domains;
  const tag = 'users';
  route(app, context, 'GET', '/me', { tag, summary: 'Who you are', answer: UserSchema }, ({ actor }) => users.get(actor, actor.id));
  route(app, context, 'GET', '/users', {
    tag, summary: 'List users', query: Type.Composite([PageQuerySchema, Type.Object({ email: Type.Optional(Type.String()) })]), answer: PageSchema(UserSchema),
  }, ({ actor, query }) => users.list(actor, query));
  route(app, context, 'POST', '/users', { tag, summary: 'Create a user', description: 'For administrators.', body: NewUserSchema, answer: UserSchema, status: 201 },
    ({ actor, body }) => users.create(actor, { ...body, role: body.role ?? 'user' }));
  route(app, context, 'GET', '/users/:userId', { tag, summary: 'Show a user', params: UserParams, answer: UserSchema }, ({ actor, params }) => users.get(actor, params.userId));
  route(app, context, 'PATCH', '/users/:userId', { tag, summary: 'Enable or disable a user', description: 'For administrators.', params: UserParams, body: UserChangeSchema, answer: UserSchema },
    ({ actor, params, body }) => users.setEnabled(actor, params.userId, body.enabled));

  workspaceRoutes(app, context, workspaces);
}

function workspaceRoutes(app: FastifyInstance, context: NativeContext, workspaces: NativeContext['domains']['workspaces']): void {
  const tag = 'workspaces';
  route(app, context, 'GET', '/workspaces', {
    tag, summary: 'List workspaces', description: 'Those you are a member of; administrators see all.',
    query: Type.Composite([PageQuerySchema, Type.Object({ name: Type.Optional(Type.String()), userId: Type.Optional(Type.String()), archived: Type.Optional(Type.Boolean({ description: 'True for the archived ones instead of the others.' })) })]), answer: PageSchema(WorkspaceSchema),
  }, ({ actor, query }) => workspaces.list(actor, query));
  route(app, context, 'POST', '/workspaces', { tag, summary: 'Create a workspace', description: 'You become its owner. Names need not be unique.', body: NewWorkspaceSchema, answer: WorkspaceSchema, status: 201 },
    ({ actor, body }) => workspaces.create(actor, body));
  route(app, context, 'GET', '/workspaces/default', { tag, summary: 'Your default workspace', description: 'Made on first use.', answer: WorkspaceSchema }, ({ actor }) => workspaces.defaultFor(actor));
  route(app, context, 'GET', '/workspaces/:workspaceId', { tag, summary: 'Show a workspace', params: WorkspaceParams, answer: WorkspaceSchema },
    ({ actor, params }) => workspaces.get(actor, params.workspaceId));
  route(app, context, 'PATCH', '/workspaces/:workspaceId', { tag, summary: 'Archive a workspace, or take it back', description: 'For its owners. An archived one is left out of lists; what is in it stays as it is.', params: WorkspaceParams, body: WorkspaceChangeSchema, answer: WorkspaceSchema },
    ({ actor, params, body }) => workspaces.setArchived(actor, params.workspaceId, body.archived));
  route(app, context, 'PUT', '/workspaces/:workspaceId/members/:userId', { tag, summary: 'Add a member or change their role', description: 'For its owners.', params: MemberParams, body: MemberChangeSchema, answer: WorkspaceSchema },
    ({ actor, params, body }) => workspaces.setMember(actor, params.workspaceId, { userId: params.userId, role: body.role }));
  route(app, context, 'DELETE', '/workspaces/:workspaceId/members/:userId', { tag, summary: 'Take a member out', description: 'For its owners; everybody may take out themselves.', params: MemberParams, answer: WorkspaceSchema },
    ({ actor, params }) => workspaces.removeMember(actor, params.workspaceId, params.userId));
}
