import { isDeepStrictEqual } from 'node:util';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import type { Actor, Pipeline } from '../../domains/domains.ts';
import { keepFractions, readDefinition, writeDefinition } from './definition.ts';
import { inferencePath } from './deployments.ts';
import { generated, Id, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { pipelineBody, topicOf, workspaceBody } from './present.ts';

/** The pipeline of this name in a workspace. @throws pipeline_not_found */
export async function pipelineNamed({ domains: { pipelines } }: Context, actor: Actor, workspaceId: number, name: string): Promise<Pipeline> {
  const { items } = await pipelines.list(actor, { workspaceId, name, limit: 1 });
  if (items[0] === undefined) throw new PotorooError('pipeline_not_found', `Pipeline ${JSON.stringify(name.slice(0, 80))} was not found in workspace ${workspaceId}, or you may not see it.`);
  return items[0];
}

/** Where inferences of a pipeline go: the address by which this very client reaches us, unless another one is set. @throws not_deployed */
export async function inferenceUrl({ domains: { deployments }, settings }: Context, actor: Actor, { deploymentId, name }: Pipeline, request: FastifyRequest): Promise<string> {
  if (deploymentId === null) throw new PotorooError('not_deployed', `Pipeline ${name} is not deployed: deploy it to get an address.`);
  await deployments.get(actor, deploymentId);
  const base = settings.publicUrl ?? `${request.protocol}://${request.host}`;
  return base.replace(/\/+$/, '') + inferencePath(name, deploymentId);
}

export function pipelineRoutes(app: FastifyInstance, context: Context): void {
  const { domains: { pipelines, workspaces, models } } = context;

  // Creates the pipeline, or connects to the one there is; steps make a new version of it.
  post(app, '/v1/api/pipelines/create', Type.Object({
    pipeline_id: Type.String(), workspace_id: Id, definition: Maybe(Type.Object({}, { additionalProperties: true })),
  }), async ({ actor, body }) => {
    const { items: [known] } = await pipelines.list(actor, { workspaceId: body.workspace_id, name: body.pipeline_id, limit: 1 });
    const before = known?.versions[0]?.steps ?? [];
    // For "as it is" the client sends what it reads back, which of splits is nothing.
    if (before.length > 0 && isDeepStrictEqual((body.definition as { steps?: unknown } | null | undefined)?.steps, [])) {
      throw new PotorooError('pipeline_invalid', `No step was sent: of a pipeline that is there the Python client reads back model steps alone. Add the steps of ${body.pipeline_id} again, or deploy a version as it is: versions()[0].deploy("${body.pipeline_id}", []).`);
    }
    const steps = keepFractions(readDefinition(body.definition), before);
    const pipeline = await pipelines.create(actor, { workspaceId: body.workspace_id, name: body.pipeline_id, ...(steps.length > 0 ? { steps } : {}) });
    // The client deploys the newest version; one without steps is what a pipeline without a model has.
    const newest = pipeline.versions[0] ?? await pipelines.addVersion(actor, pipeline.id, []);
    return { pipeline_pk_id: pipeline.id, pipeline_variant_pk_id: newest.id, pipeline_variant_version: newest.version };
  }, { readable: generated });

  post(app, '/v1/api/pipelines/list_pipelines', Type.Object({ workspace_id: Maybe(Id), workspace_name: Maybe(Type.String()) }), async ({ actor, body }) => {
    const own = new Map((await all((page) => workspaces.list(actor, page))).map((w) => [w.id, w]));
    const found = await all((page) => pipelines.list(actor, { ...page, ...(body.workspace_id ? { workspaceId: body.workspace_id } : {}) }));
    return { pipelines: found.flatMap((p) => {
      const workspace = own.get(p.workspaceId);
      if (workspace === undefined || (body.workspace_name && workspace.name !== body.workspace_name)) return [];
      return [{ pipeline: pipelineBody(p), plateau_topic: topicOf(p), workspace: workspaceBody(workspace) }];
    }) };
  });

  post(app, '/v1/api/pipelines/get_pipeline_by_name', Type.Object({ pipeline_name: Type.String(), workspace_id: Id }), async ({ actor, body }) => {
    const pipeline = await pipelineNamed(context, actor, body.workspace_id, body.pipeline_name);
    return { pipeline: pipelineBody(pipeline), plateau_topic: topicOf(pipeline), workspace: workspaceBody(await workspaces.get(actor, pipeline.workspaceId)) };
  });

  post(app, '/v1/api/pipelines/get_version', Type.Object({ version: Type.String() }), async ({ actor, body }) => {
    const version = await pipelines.versionByUuid(actor, body.version);
    const { name } = await pipelines.get(actor, version.pipelineId);
    const definition = await writeDefinition(name, version.steps, async (ref) => (await models.versionByName(actor, ref.name, ref.version)).sha256);
    return { pipeline_id: version.pipelineId, version: version.version, definition };
  }, { readable: generated });

  post(app, '/v1/api/plateau/get_topic_name', Type.Object({ pipeline_pk_id: Id }), async ({ actor, body }) => {
    return { topic_name: topicOf(await pipelines.get(actor, body.pipeline_pk_id)) };
  });

  post(app, '/v1/api/admin/get_pipeline_external_url', Type.Object({ workspace_id: Id, pipeline_name: Type.String() }), async ({ actor, body, request }) => {
    return { url: await inferenceUrl(context, actor, await pipelineNamed(context, actor, body.workspace_id, body.pipeline_name), request) };
  }, { readable: generated });
}
