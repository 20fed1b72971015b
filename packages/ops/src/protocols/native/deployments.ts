import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import {
  DeploymentSchema, DeploymentStatusSchema, DeployRequestSchema, IdSchema, PageQuerySchema, PageSchema, PotorooError, SidekickFollowQuerySchema, SidekickLogLineSchema, SidekickLogQuerySchema, SidekickQuerySchema, SidekickSchema,
} from '@potoroo/contract';
import type { Actor, Domains } from '../../domains/domains.ts';
import { deploymentDocument } from './deployment-document.ts';
import { sendEvents } from './events.ts';
import { route, type NativeContext } from './route.ts';

const tag = 'deployments';
const OfPipeline = Type.Object({ pipelineId: IdSchema });
const Params = Type.Object({ deploymentId: IdSchema });
const Sidekick = Type.Object({ deploymentId: IdSchema, sidekick: Type.String({ maxLength: 256, description: 'Name of a sidekick, as the status and the list of them have it.' }) });
const defaultTail = 10;
const Query = Type.Composite([PageQuerySchema, Type.Object({ workspaceId: Type.Optional(IdSchema), pipelineId: Type.Optional(IdSchema) })]);

/** @throws pipeline_not_found, not_deployed when it never was */
async function deploymentOf({ pipelines }: Domains, actor: Actor, pipelineId: number): Promise<number> {
  const { deploymentId, name } = await pipelines.get(actor, pipelineId);
  if (deploymentId === null) throw new PotorooError('not_deployed', `Pipeline ${name} has not been deployed yet: deploy it with PUT /pipelines/${pipelineId}/deployment.`);
  return deploymentId;
}

export function deploymentRoutes(app: FastifyInstance, context: NativeContext): void {
  const { domains, stopping } = context;
  const { deployments } = domains;
  route(app, context, 'PUT', '/pipelines/:pipelineId/deployment', {
    tag, summary: 'Deploy a pipeline, or update its deployment', description: 'Takes the newest version and the config of before when not given. Answers once it is written down what should be; the roll-out follows: watch `/deployments/{id}/events`.',
    params: OfPipeline, body: DeployRequestSchema, answer: DeploymentSchema,
  }, ({ actor, params, body }) => deployments.deploy(actor, { ...params, ...body }));
  route(app, context, 'GET', '/pipelines/:pipelineId/deployment', { tag, summary: 'Show the deployment of a pipeline', params: OfPipeline, answer: DeploymentSchema },
    async ({ actor, params }) => deployments.get(actor, await deploymentOf(domains, actor, params.pipelineId)));
  route(app, context, 'DELETE', '/pipelines/:pipelineId/deployment', { tag, summary: 'Undeploy a pipeline', description: 'Its engines answer what they have and stop.', params: OfPipeline, answer: DeploymentSchema },
    async ({ actor, params }) => deployments.undeploy(actor, await deploymentOf(domains, actor, params.pipelineId)));
  route(app, context, 'GET', '/deployments', { tag, summary: 'List deployments', query: Query, answer: PageSchema(DeploymentSchema) }, ({ actor, query }) => deployments.list(actor, query));
  route(app, context, 'GET', '/deployments/:deploymentId', { tag, summary: 'Show a deployment', params: Params, answer: DeploymentSchema },
    ({ actor, params }) => deployments.get(actor, params.deploymentId));
  route(app, context, 'GET', '/deployments/:deploymentId/openapi.json', {
    tag, summary: 'The API document of a deployed pipeline', description: 'OpenAPI 3.1 of its inference address, with the columns that it takes and gives: for those who generate clients.', params: Params, answer: Type.Record(Type.String(), Type.Unknown()),
  }, ({ actor, params }) => deploymentDocument(domains, actor, params.deploymentId));
  route(app, context, 'GET', '/deployments/:deploymentId/status', { tag, summary: 'Show how a deployment is', params: Params, answer: DeploymentStatusSchema },
    ({ actor, params }) => deployments.status(actor, params.deploymentId));
  route(app, context, 'GET', '/deployments/:deploymentId/events', {
    tag, summary: 'Follow a roll-out', description: 'Server-sent events: `status` with the status as its data, at once and after every change.', params: Params, answer: Type.String({ description: 'text/event-stream' }),
  }, async ({ actor, params, request, reply }) => {
    // Refusals come before the stream begins.
    await deployments.get(actor, params.deploymentId);
    return sendEvents(request, reply, 'status', stopping, (signal) => deployments.watch(actor, params.deploymentId, signal));
  });
  route(app, context, 'GET', '/deployments/:deploymentId/sidekicks', {
    tag, summary: 'List the sidekicks of a deployment', description: 'Processes and containers that run one model beside one engine, those that ended some days ago as well.', params: Params, query: SidekickQuerySchema, answer: PageSchema(SidekickSchema),
  }, ({ actor, params, query }) => deployments.sidekicks(actor, params.deploymentId, query));
  route(app, context, 'GET', '/deployments/:deploymentId/sidekicks/:sidekick/log', {
    tag, summary: 'Read what a sidekick wrote', description: 'Newest line first. Kept for some days after its end, up to some megabytes.', params: Sidekick, query: SidekickLogQuerySchema, answer: PageSchema(SidekickLogLineSchema),
  }, ({ actor, params, query: { start, end, ...page } }) => deployments.sidekickLog(actor, params.deploymentId, params.sidekick, { ...page, ...(start && { start: new Date(start) }), ...(end && { end: new Date(end) }) }));
  route(app, context, 'GET', '/deployments/:deploymentId/sidekicks/:sidekick/log/events', {
    tag, summary: 'Follow what a sidekick writes', description: 'Server-sent events: `lines` with a list of lines, oldest first, as its data. The stream ends with the sidekick.', params: Sidekick, query: SidekickFollowQuerySchema, answer: Type.String({ description: 'text/event-stream' }),
  }, async ({ actor, params, query, request, reply }) => {
    await deployments.sidekickLog(actor, params.deploymentId, params.sidekick, { limit: 1 });
    return sendEvents(request, reply, 'lines', stopping, (signal) => deployments.followSidekickLog(actor, params.deploymentId, params.sidekick, query.tail ?? defaultTail, signal));
  });
}
