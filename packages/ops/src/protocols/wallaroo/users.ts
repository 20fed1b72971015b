import { randomBytes } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { actorOf } from '../authenticate.ts';
import { generated, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { userBody } from './present.ts';

/** Users under `/v1/api`, and the same under the paths of Keycloak's administration, which the client uses as well. */
export function userRoutes(app: FastifyInstance, { domains: { users } }: Context): void {
  post(app, '/v1/api/users/query', Type.Object({ user_ids: Maybe(Type.Array(Type.String(), { maxItems: 1000 })) }), async ({ actor, body }) => {
    const found = await all((page) => users.list(actor, { ...page, ...(body.user_ids ? { ids: body.user_ids } : {}) }));
    return { users: Object.fromEntries(found.map((u) => [u.id, userBody(u)])) };
  }, { readable: generated });

  post(app, '/v1/api/users/invite', Type.Object({ email: Type.String(), password: Maybe(Type.String()) }), async ({ actor, body }) => {
    const password = body.password ?? randomBytes(12).toString('base64url');
    const user = await users.create(actor, { email: body.email, username: body.email, password, role: 'user' });
    return { ...userBody(user), password };
  }, { readable: generated }); // 403 would be shown as "the licence allows no more users"

  const path = '/auth/admin/realms/master/users';
  app.get(path, { schema: { querystring: Type.Object({ email: Type.Optional(Type.String()) }) } }, async (request) => {
    const { email } = request.query as { email?: string };
    const found = await all((page) => users.list(actorOf(request), { ...page, ...(email === undefined ? {} : { email }) }));
    return found.map(userBody);
  });

  const params = Type.Object({ id: Type.String() });
  app.get(`${path}/:id`, { schema: { params } }, async (request) => userBody(await users.get(actorOf(request), (request.params as { id: string }).id)));

  // The body is a whole user as it was read, with `enabled` turned: nothing else of it is taken.
  app.put(`${path}/:id`, { schema: { params, body: Type.Object({ enabled: Type.Boolean() }) } }, async (request, reply) => {
    await users.setEnabled(actorOf(request), (request.params as { id: string }).id, (request.body as { enabled: boolean }).enabled);
    return reply.code(204).send();
  });
}
