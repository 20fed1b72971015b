import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { apiPrefix, IdSchema, PotorooError } from '@potoroo/contract';
import { actorOf } from '../authenticate.ts';
import { leaveBodies } from '../streams.ts';
import type { NativeContext } from './route.ts';

const tags = ['inference'];
const description = 'The body holds the rows: JSON records, a dictionary of columns, or Arrow (`application/vnd.apache.arrow.file`, `.stream`); `Accept` chooses the form of the answer. `dataset`, `dataset.exclude` and `dataset.separator` choose its columns. The header `request-timeout` gives the seconds it may take; `x-request-id` names the request in the answer and in the log.';
/** Without a dataset engines answer in the edge form. */
const options = { defaultQuery: '?dataset=*', throwRefusals: true };
const response = { 200: { description: 'The results, in the form that `Accept` asks for.', content: { 'application/json': { schema: {} }, 'application/vnd.apache.arrow.file': { schema: { type: 'string', format: 'binary' } } } } };

export async function inferenceRoutes(app: FastifyInstance, { domains: { deployments, pipelines }, proxy }: NativeContext): Promise<void> {
  await app.register(async (scope) => {
    leaveBodies(scope);
    scope.post(`${apiPrefix}/deployments/:deploymentId/infer`, {
      schema: { summary: 'Infer by a deployment', description, tags, operationId: 'inferByDeployment', params: Type.Object({ deploymentId: IdSchema }), response },
    }, async (request, reply) => {
      const { deploymentId } = request.params as { deploymentId: number };
      const { pipelineName } = await deployments.get(actorOf(request), deploymentId);
      return proxy.serve(request, reply, deploymentId, `/pipelines/${pipelineName}`, options);
    });

    scope.post(`${apiPrefix}/workspaces/:workspaceId/pipelines/:name/infer`, {
      schema: { summary: 'Infer by the name of a pipeline', description, tags, operationId: 'inferByPipeline', params: Type.Object({ workspaceId: IdSchema, name: Type.String({ maxLength: 64 }) }), response },
    }, async (request, reply) => {
      const { workspaceId, name } = request.params as { workspaceId: number; name: string };
      const [pipeline] = (await pipelines.list(actorOf(request), { workspaceId, name, limit: 1 })).items;
      if (pipeline === undefined) throw new PotorooError('pipeline_not_found', `Workspace ${workspaceId} has no pipeline ${JSON.stringify(name)}, or you may not see it.`);
      if (pipeline.deploymentId === null) throw new PotorooError('not_deployed', `Pipeline ${name} is not deployed: deploy it, then infer.`);
      return proxy.serve(request, reply, pipeline.deploymentId, `/pipelines/${name}`, options);
    });
  });
}
