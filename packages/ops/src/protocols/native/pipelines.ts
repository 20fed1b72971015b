import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { IdSchema, NewPipelineSchema, NewPipelineVersionSchema, PageQuerySchema, PageSchema, PipelineSchema, PipelineVersionSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const tag = 'pipelines';
const Params = Type.Object({ pipelineId: IdSchema });
const Query = Type.Composite([PageQuerySchema, Type.Object({
  workspaceId: Type.Optional(IdSchema), name: Type.Optional(Type.String()), deployed: Type.Optional(Type.Boolean()),
  term: Type.Optional(Type.String({ maxLength: 256, description: 'Part of a name or version.' })),
})]);

export function pipelineRoutes(app: FastifyInstance, context: NativeContext): void {
  const { pipelines } = context.domains;
  route(app, context, 'GET', '/pipelines', { tag, summary: 'List pipelines', description: 'Each with its versions, newest first.', query: Query, answer: PageSchema(PipelineSchema) },
    ({ actor, query }) => pipelines.list(actor, query));
  route(app, context, 'POST', '/workspaces/:workspaceId/pipelines', {
    tag, summary: 'Create a pipeline', description: 'Gives the pipeline of that name when the workspace has it; steps that are not those of its newest version make a new version.',
    params: Type.Object({ workspaceId: IdSchema }), body: NewPipelineSchema, answer: PipelineSchema, status: 201,
  }, ({ actor, params, body }) => pipelines.create(actor, { ...params, ...body }));
  route(app, context, 'GET', '/pipelines/:pipelineId', { tag, summary: 'Show a pipeline', params: Params, answer: PipelineSchema },
    ({ actor, params }) => pipelines.get(actor, params.pipelineId));
  route(app, context, 'DELETE', '/pipelines/:pipelineId', { tag, summary: 'Remove a pipeline', description: 'Not while it is deployed.', params: Params },
    ({ actor, params }) => pipelines.remove(actor, params.pipelineId));
  route(app, context, 'POST', '/pipelines/:pipelineId/versions', { tag, summary: 'Add a pipeline version', params: Params, body: NewPipelineVersionSchema, answer: PipelineVersionSchema, status: 201 },
    ({ actor, params, body }) => pipelines.addVersion(actor, params.pipelineId, body.steps));
  route(app, context, 'GET', '/pipeline-versions/:versionId', { tag, summary: 'Show a pipeline version', params: Type.Object({ versionId: IdSchema }), answer: PipelineVersionSchema },
    ({ actor, params }) => pipelines.version(actor, params.versionId));
  route(app, context, 'DELETE', '/pipeline-versions/:versionId', {
    tag, summary: 'Remove a pipeline version', description: "Not the one that is deployed, or was last, nor a pipeline's only one. Models that were its steps can be removed then.", params: Type.Object({ versionId: IdSchema }),
  }, ({ actor, params }) => pipelines.removeVersion(actor, params.versionId));
}
