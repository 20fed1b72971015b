import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { IdSchema, NewTagSchema, PageQuerySchema, PageSchema, TagNamesSchema, TagSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const tag = 'tags';
const Params = Type.Object({ tagId: IdSchema });

export function tagRoutes(app: FastifyInstance, context: NativeContext): void {
  const { tags, models, pipelines } = context.domains;
  route(app, context, 'GET', '/tags', {
    tag, summary: 'List tags', description: 'Tags are shared by everybody; what carries one is shown only to those who may see that thing.',
    query: Type.Composite([PageQuerySchema, Type.Object({ tag: Type.Optional(Type.String({ description: 'Only the tag with this text.' })) })]), answer: PageSchema(TagSchema),
  }, ({ actor, query }) => tags.list(actor, query));
  route(app, context, 'POST', '/tags', { tag, summary: 'Create a tag', body: NewTagSchema, answer: TagSchema, status: 201 }, ({ actor, body }) => tags.create(actor, body.tag));
  route(app, context, 'GET', '/tags/:tagId', { tag, summary: 'Show a tag and what carries it', params: Params, answer: TagSchema }, ({ actor, params }) => tags.get(actor, params.tagId));
  route(app, context, 'DELETE', '/tags/:tagId', { tag, summary: 'Delete a tag', description: 'Takes it off everything. For who made it and administrators.', params: Params }, ({ actor, params }) => tags.delete(actor, params.tagId));

  const OfVersion = Type.Object({ versionId: IdSchema });
  const OnVersion = Type.Composite([OfVersion, Params]);
  route(app, context, 'GET', '/model-versions/:versionId/tags', { tag, summary: 'List the tags of a model version', params: OfVersion, answer: TagNamesSchema }, async ({ actor, params }) => {
    const { id } = await models.version(actor, params.versionId);
    return { items: (await tags.ofModels([id])).get(id)?.map(({ id: tagId, tag: text }) => ({ id: tagId, tag: text })) ?? [] };
  });
  route(app, context, 'PUT', '/model-versions/:versionId/tags/:tagId', { tag, summary: 'Tag a model version', params: OnVersion },
    ({ actor, params }) => tags.add(actor, params.tagId, { modelVersionId: params.versionId }));
  route(app, context, 'DELETE', '/model-versions/:versionId/tags/:tagId', { tag, summary: 'Take a tag off a model version', params: OnVersion },
    ({ actor, params }) => tags.remove(actor, params.tagId, { modelVersionId: params.versionId }));

  const OfPipeline = Type.Object({ pipelineId: IdSchema });
  const OnPipeline = Type.Composite([OfPipeline, Params]);
  route(app, context, 'GET', '/pipelines/:pipelineId/tags', { tag, summary: 'List the tags of a pipeline', params: OfPipeline, answer: TagNamesSchema }, async ({ actor, params }) => {
    const { id } = await pipelines.get(actor, params.pipelineId);
    return { items: (await tags.ofPipelines([id])).get(id)?.map(({ id: tagId, tag: text }) => ({ id: tagId, tag: text })) ?? [] };
  });
  route(app, context, 'PUT', '/pipelines/:pipelineId/tags/:tagId', { tag, summary: 'Tag a pipeline', params: OnPipeline },
    ({ actor, params }) => tags.add(actor, params.tagId, { pipelineId: params.pipelineId }));
  route(app, context, 'DELETE', '/pipelines/:pipelineId/tags/:tagId', { tag, summary: 'Take a tag off a pipeline', params: OnPipeline },
    ({ actor, params }) => tags.remove(actor, params.tagId, { pipelineId: params.pipelineId }));
}
