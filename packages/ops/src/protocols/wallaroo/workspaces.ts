import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Page, PageQuery } from '../../domains/domains.ts';
import { generated, Id, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { userBody, workspaceBody } from './present.ts';

export function workspaceRoutes(app: FastifyInstance, { domains: { workspaces, models, pipelines, users } }: Context): void {
  /** Ids of all that the actor may see, by workspace: two reads, however many workspaces there are. */
  const idsByWorkspace = async (read: (page: PageQuery) => Promise<Page<{ id: number; workspaceId: number }>>) => {
    const ids = new Map<number, number[]>();
    for (const item of await all(read)) ids.set(item.workspaceId, [...(ids.get(item.workspaceId) ?? []), item.id]);
    return ids;
  };

  post(app, '/v1/api/workspaces/list', Type.Object({ user_id: Maybe(Type.String()) }), async ({ actor, body }) => {
    await workspaces.defaultFor(actor);
    const found = await all((page) => workspaces.list(actor, { ...page, ...(body.user_id ? { userId: body.user_id } : {}) }));
    const [modelIds, pipelineIds] = await Promise.all([idsByWorkspace((page) => models.list(actor, page)), idsByWorkspace((page) => pipelines.list(actor, page))]);
    // Oldest first, as the guide numbers them.
    return { workspaces: found.reverse().map((w) => ({ ...workspaceBody(w), models: modelIds.get(w.id) ?? [], pipelines: pipelineIds.get(w.id) ?? [] })) };
  }, { readable: generated });

  post(app, '/v1/api/workspaces/create', Type.Object({ workspace_name: Type.String() }), async ({ actor, body }) => {
    return { workspace_id: (await workspaces.create(actor, { name: body.workspace_name })).id };
  }, { readable: generated });

  post(app, '/v1/api/workspaces/add_user', Type.Object({
    workspace_id: Id, user_id: Type.String(), user_type: Maybe(Type.String()), email: Maybe(Type.String()), url: Maybe(Type.String()),
  }), async ({ actor, body }) => {
    const role = body.user_type?.toLowerCase() === 'owner' ? 'owner' : 'collaborator';
    await workspaces.setMember(actor, body.workspace_id, { userId: body.user_id, role });
    return {};
  });

  post(app, '/v1/api/workspaces/list_users', Type.Object({ workspace_id: Id }), async ({ actor, body }) => {
    const { members } = await workspaces.get(actor, body.workspace_id);
    const found = await all((page) => users.list(actor, { ...page, ids: members.map((m) => m.userId) }));
    return { users: found.map((u) => ({ ...userBody(u), user_id: u.id, user_type: members.find((m) => m.userId === u.id)?.role.toUpperCase() })) };
  });
}
