import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { encodeArrowFile, encodeRecords, select } from '@potoroo/batch';
import { PotorooError } from '@potoroo/contract';
import type { Actor, Model, ModelVersion, Pipeline, PipelineVersion } from '../../domains/domains.ts';
import { actorOf } from '../authenticate.ts';
import { bodyOf, leaveBodies } from '../streams.ts';
import { generated, Id, Maybe, post, type Context } from './http.ts';
import { readCursor, writeCursor } from '../log-cursor.ts';
import { holdPage } from '../unread-pages.ts';
import { flatVersion } from './models.ts';
import { all } from './pages.ts';
import { inferenceUrl, pipelineNamed } from './pipelines.ts';
import { configBody, modelBody, pipelineBody, timeText, topicOf, versionBody, workspaceBody } from './present.ts';

const arrowFile = 'application/vnd.apache.arrow.file';
const Uuids = Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 1000 });
/** What would go is told without it going when this is false. */
const confirm_delete = Maybe(Type.Boolean());
const Named = Type.Object({ pipeline_name: Type.String(), workspace_id: Id });

/** Calls that the Python client never makes: for who speaks HTTP. */
export async function plainRoutes(app: FastifyInstance, context: Context): Promise<void> {
  userCalls(app, context);
  modelCalls(app, context);
  pipelineCalls(app, context);
  logCalls(app, context);
  await app.register((scope) => streamCall(scope, context));
}

function userCalls(app: FastifyInstance, { domains: { users, workspaces } }: Context): void {
  const byEmail = async (actor: Actor, email: string): Promise<string> => {
    const { items: [user] } = await users.list(actor, { email, limit: 1 });
    if (user === undefined) throw new PotorooError('user_not_found', `user ${JSON.stringify(email.slice(0, 80))} does not exist.`);
    return user.id;
  };
  for (const [call, enabled] of [['activate', true], ['deactivate', false]] as const) {
    post(app, `/v1/api/users/${call}`, Type.Object({ email: Type.String() }), async ({ actor, body }) => {
      await users.setEnabled(actor, await byEmail(actor, body.email), enabled);
      return {};
    }, { readable: generated });
  }
  // Of a user, whether they are enabled can be changed; their names are not kept.
  post(app, '/v1/api/user', Type.Object({ id: Type.String(), email: Type.String(), enabled: Type.Boolean(), isAdmin: Type.Boolean() }), async ({ actor, body }) => {
    const user = await users.get(actor, body.id);
    if (body.email !== user.email) throw new PotorooError('invalid_request', `email ${JSON.stringify(body.email.slice(0, 80))} is not that of user ${user.id}: addresses cannot be changed. Send ${user.email}.`, { fields: [{ field: 'email', message: 'cannot be changed' }] });
    if (body.isAdmin !== (user.role === 'admin')) throw new PotorooError('invalid_request', `isAdmin ${body.isAdmin} is not what user ${user.email} is: roles are given when a user is created.`, { fields: [{ field: 'isAdmin', message: 'cannot be changed' }] });
    if (body.enabled !== user.enabled) await users.setEnabled(actor, user.id, body.enabled);
    return {};
  }, { readable: generated });

  post(app, '/v1/api/workspaces/remove_user', Type.Object({ workspace_id: Id, user_id: Maybe(Type.String()), email: Maybe(Type.String()) }), async ({ actor, body }) => {
    if (!body.user_id && !body.email) throw new PotorooError('invalid_request', 'user_id is missing: name the user by it, or by email.', { fields: [{ field: 'user_id', message: 'missing' }] });
    await workspaces.removeMember(actor, body.workspace_id, body.user_id || await byEmail(actor, body.email as string));
    return { affected_rows: 1 };
  }, { readable: generated });
  // Whether who asks can work here at all.
  app.post('/v1/api/workspaces/validate', { config: { wallaroo: { readable: generated } } }, async (request) => {
    await workspaces.defaultFor(actorOf(request));
    return {};
  });
  app.post('/v1/api/features/list', async (request) => {
    actorOf(request);
    return { name: 'Potoroo', is_auth_enabled: true, features: {} };
  });
}

function modelCalls(app: FastifyInstance, { domains: { models, workspaces } }: Context): void {
  const named = async (actor: Actor, workspaceId: number, name: string): Promise<Model> => {
    const { items: [model] } = await models.list(actor, { workspaceId, name, limit: 1 });
    if (model === undefined) throw new PotorooError('model_not_found', `model ${JSON.stringify(name.slice(0, 80))} does not exist in workspace ${workspaceId}, or you may not see it.`);
    return model;
  };
  const configured = async (actor: Actor, version: ModelVersion) => ({ model_version: versionBody(version), config: configBody(await models.config(actor, version.id)) });
  /** One after the other; what cannot go leaves what went before it gone. */
  const remove = async (actor: Actor, versions: readonly ModelVersion[], confirmed: boolean): Promise<{ bytes: number }> => {
    if (confirmed) for (const { id } of versions) await models.remove(actor, id);
    return { bytes: versions.reduce((sum, v) => sum + v.size, 0) };
  };

  post(app, '/v1/api/models/get_by_id', Type.Object({ id: Id }), async ({ actor, body }) => modelBody(await models.get(actor, body.id)), { readable: generated });
  post(app, '/v1/api/models/get_model_version_by_id', Type.Object({ model_version_id: Id }), async ({ actor, body }) => {
    return { model_version: await configured(actor, await models.version(actor, body.model_version_id)) };
  });
  post(app, '/v1/api/models/list_versions', Type.Object({ model_id: Maybe(Type.String()), models_pk_id: Maybe(Id) }), async ({ actor, body }) => {
    if (body.models_pk_id) return (await models.get(actor, body.models_pk_id)).versions.map((v) => ({ ...flatVersion(v), status: v.status }));
    if (!body.model_id) throw new PotorooError('invalid_request', 'models_pk_id is missing: name the model by it, or by its name as model_id.', { fields: [{ field: 'models_pk_id', message: 'missing' }] });
    const found = await all((page) => models.list(actor, { ...page, name: body.model_id as string }));
    return found.flatMap((m) => m.versions).map((v) => ({ ...flatVersion(v), status: v.status }));
  }, { readable: generated });
  post(app, '/v1/api/models/list_versions_for_model', Type.Object({ model_id: Type.String(), workspace_id: Id }), async ({ actor, body }) => {
    const model = await named(actor, body.workspace_id, body.model_id);
    return { models: [{ model: modelBody(model), model_versions: await Promise.all(model.versions.map((v) => configured(actor, v))), workspace: workspaceBody(await workspaces.get(actor, model.workspaceId)) }] };
  });
  post(app, '/v1/api/models/delete_model', Type.Object({ model_id: Type.String(), workspace_id: Id, confirm_delete }), async ({ actor, body }) => {
    return remove(actor, (await named(actor, body.workspace_id, body.model_id)).versions, body.confirm_delete !== false);
  });
  post(app, '/v1/api/models/delete_model_versions', Type.Object({ model_versions: Uuids, confirm_delete }), async ({ actor, body }) => {
    const found = await all((page) => models.list(actor, page));
    const versions = body.model_versions.map((uuid) => {
      const version = found.flatMap((m) => m.versions).find((v) => v.version === uuid);
      if (version === undefined) throw new PotorooError('model_not_found', `model version ${JSON.stringify(uuid)} does not exist, or you may not see it.`);
      return version;
    });
    return remove(actor, versions, body.confirm_delete !== false);
  });
}

/** An ONNX file as the body itself. */
async function streamCall(app: FastifyInstance, { domains: { models } }: Context): Promise<void> {
  leaveBodies(app);
  const querystring = Type.Object({
    name: Type.String(), filename: Type.String(), workspace_id: Type.Integer({ minimum: 1 }), visibility: Type.Optional(Type.Union([Type.Literal('private'), Type.Literal('public')])),
  });
  app.post('/v1/api/models/upload_stream', { schema: { querystring }, config: { wallaroo: { readable: generated } } }, async (request) => {
    const { name, filename, workspace_id, visibility = 'private' } = request.query as { name: string; filename: string; workspace_id: number; visibility?: 'private' | 'public' };
    const version = await models.upload(actorOf(request), { workspaceId: workspace_id, name, fileName: filename, framework: 'onnx', visibility, content: bodyOf(request) });
    return { insert_models: { returning: [{ models: [{ id: version.id }] }] } };
  });
}

function pipelineCalls(app: FastifyInstance, context: Context): void {
  const { domains: { pipelines, workspaces } } = context;

  post(app, '/v1/api/admin/get_pipeline_internal_url', Named, async ({ actor, body, request }) => {
    return { url: await inferenceUrl(context, actor, await pipelineNamed(context, actor, body.workspace_id, body.pipeline_name), request) };
  }, { readable: generated });
  post(app, '/v1/api/plateau/get_pipeline_topic_name', Type.Object({ pipeline_name: Type.String(), workspace_id: Maybe(Id) }), async ({ actor, body }) => {
    const workspaceId = body.workspace_id ?? (await workspaces.defaultFor(actor)).id;
    return { topic_name: topicOf(await pipelineNamed(context, actor, workspaceId, body.pipeline_name)) };
  }, { readable: generated });
  post(app, '/v1/api/pipelines/list_pipeline_versions', Type.Object({ pipeline_id: Type.String(), workspace_id: Id }), async ({ actor, body }) => {
    const pipeline = await pipelineNamed(context, actor, body.workspace_id, body.pipeline_id);
    const workspace = workspaceBody(await workspaces.get(actor, pipeline.workspaceId));
    return { pipeline_versions: pipeline.versions.map((v) => ({ pipeline: pipelineBody(pipeline), plateau_topic: topicOf(pipeline), workspace, pipeline_version: legacyVersion(pipeline, v) })) };
  });
  post(app, '/v1/api/pipelines/delete_pipeline', Type.Object({ pipeline_id: Type.String(), workspace_id: Id }), async ({ actor, body }) => {
    await pipelines.remove(actor, (await pipelineNamed(context, actor, body.workspace_id, body.pipeline_id)).id);
    return body;
  });
  post(app, '/v1/api/pipelines/delete_pipeline_versions', Type.Object({ pipeline_versions: Uuids }), async ({ actor, body }) => {
    for (const uuid of body.pipeline_versions) await pipelines.removeVersion(actor, (await pipelines.versionByUuid(actor, uuid)).id);
    return body;
  });
}

const legacyVersion = ({ name, workspaceId }: Pipeline, v: PipelineVersion) => ({
  id: name, workspace_id: workspaceId, version: v.version, created_at: timeText(v.createdAt), created_by: v.createdBy,
});

/** Pages of a log, as JSON records or as an Arrow file, by `Accept`; where to go on is a header of the answer. */
function logCalls(app: FastifyInstance, context: Context): void {
  post(app, '/v1/api/pipelines/get_logs', Type.Object({
    ...Named.properties, order: Maybe(Type.Union([Type.Literal('asc'), Type.Literal('desc')])), cursor: Maybe(Type.String({ maxLength: 65_536 })), page_size: Maybe(Type.Integer({ minimum: 1, maximum: 100_000 })),
    start_time: Maybe(Type.String({ format: 'date-time' })), end_time: Maybe(Type.String({ format: 'date-time' })),
  }), async ({ actor, body, request, reply }) => {
    const { id } = await pipelineNamed(context, actor, body.workspace_id, body.pipeline_name);
    const page = await context.domains.logs.read(actor, {
      signal: holdPage(request, reply), pipelineId: id, limit: body.page_size ?? 100, order: body.order ?? 'desc',
      ...(body.start_time && { start: new Date(body.start_time) }), ...(body.end_time && { end: new Date(body.end_time) }), ...(body.cursor && { cursor: readCursor(body.cursor) }),
    });
    reply.header('x-iteration-status', page.status);
    if (page.next !== null) reply.header('x-iteration-cursor', writeCursor(page.next));
    const batch = page.batch.rows === 0 ? page.batch : select(page.batch, ['*', 'metadata'], []);
    if (request.headers.accept?.includes(arrowFile) === true) return reply.type(arrowFile).send(Buffer.from(encodeArrowFile(batch, { separator: '.' })));
    return reply.type('application/json; format=pandas-records').send(batch.rows === 0 ? '[]' : encodeRecords(batch, '.'));
  }, { readable: [...generated, 502] });
}
