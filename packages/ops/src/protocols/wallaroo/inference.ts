import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import { actorOf } from '../authenticate.ts';
import { leaveBodies } from '../streams.ts';
import { deploymentNamed } from './deployments.ts';
import type { Context } from './http.ts';

/** Inferences go to an engine as they come, and its answer back as it comes. */
export async function inferenceRoutes(app: FastifyInstance, context: Context): Promise<void> {
  leaveBodies(app);
  const params = Type.Object({ deployment: Type.String({ maxLength: 100 }), pipeline: Type.String({ maxLength: 100 }) });
  app.post('/v1/api/pipelines/infer/:deployment/:pipeline', { schema: { params }, config: { wallaroo: { form: 'engine' } } }, async (request, reply) => {
    const { deployment, pipeline } = request.params as { deployment: string; pipeline: string };
    const { id, pipelineName } = await deploymentNamed(context, actorOf(request), deployment);
    if (pipeline !== pipelineName) throw new PotorooError('pipeline_not_found', `Deployment ${deployment} has no pipeline ${JSON.stringify(pipeline)}: it runs ${pipelineName}.`);
    return context.proxy.serve(request, reply, id, `/pipelines/${pipelineName}`);
  });
}
