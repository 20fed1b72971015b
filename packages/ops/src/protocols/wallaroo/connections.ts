import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { Actor, Connection, ConnectionKey } from '../../domains/domains.ts';
import { generated, Id, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { timeText } from './present.ts';

const ConnectionInWorkspace = Type.Object({ workspace_id: Id, connection_id: Type.String() });

const connectionBody = ({ id, name, type, createdAt, workspaces }: Connection) => ({
  id, name, type, created_at: timeText(createdAt), workspace_names: workspaces.map((w) => w.name),
});

export function connectionRoutes(app: FastifyInstance, { domains: { connections } }: Context): void {
  /** With its details: the only two reads that give them. */
  const whole = async (actor: Actor, key: ConnectionKey) => ({ ...connectionBody(await connections.get(actor, key)), details: await connections.details(actor, key) });
  const found = { readable: [...generated, 404] };

  post(app, '/v1/api/connections/create', Type.Object({ name: Type.String(), type: Type.String(), details: Type.Record(Type.String(), Type.Unknown()) }), async ({ actor, body }) => {
    return { id: (await connections.create(actor, body)).id };
  }, { readable: [...generated, 409] });
  post(app, '/v1/api/connections/get', Type.Object({ name: Type.String() }), ({ actor, body }) => whole(actor, { name: body.name }), found);
  post(app, '/v1/api/connections/get_by_id', Type.Object({ id: Type.String() }), ({ actor, body }) => whole(actor, { id: body.id }), found);
  post(app, '/v1/api/connections/list', Type.Object({ workspace_id: Maybe(Id) }), async ({ actor, body }) => {
    const items = await all((page) => connections.list(actor, { ...page, ...(body.workspace_id ? { workspaceId: body.workspace_id } : {}) }));
    return { connections: items.map(connectionBody) };
  }, { readable: generated });
  post(app, '/v1/api/connections/delete', Type.Object({ name: Type.String() }), async ({ actor, body, reply }) => {
    await connections.remove(actor, { name: body.name });
    return reply.code(204).send();
  }, { readable: generated });
  // Here the client takes every body that it can read for success, so refusals keep the statuses that it cannot.
  post(app, '/v1/api/connections/add_to_workspace', ConnectionInWorkspace, async ({ actor, body }) => {
    return { id: (await connections.addToWorkspace(actor, { id: body.connection_id }, body.workspace_id)).id };
  });
  post(app, '/v1/api/connections/remove_from_workspace', ConnectionInWorkspace, async ({ actor, body, reply }) => {
    await connections.removeFromWorkspace(actor, { id: body.connection_id }, body.workspace_id);
    return reply.code(204).send();
  }, { readable: generated });
}
