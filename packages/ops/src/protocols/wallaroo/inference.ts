import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import { actorOf } from '../authenticate.ts';
import { leaveBodies } from '../streams.ts';
import { deploymentNamed } from './deployments.ts';
import type { Context } from './http.ts';

/** Inferences go to an engine as they come, and its answer back as it comes. */
export async function inferenceRoutes(app: FastifyInstance, context: Context): Promise<void> {
  leaveBodies(app);
  const params = Type.Object({ deployment: Type.String({ maxLength: 100 }), pipeline: Type.String({ maxLength: 100 }) });
  const options = { schema: { params }, config: { wallaroo: { form: 'engine' as const } } };
  const named = async (request: FastifyRequest): Promise<{ id: number; pipelineName: string }> => {
    const { deployment, pipeline } = request.params as { deployment: string; pipeline: string };
    const found = await deploymentNamed(context, actorOf(request), deployment);
    if (pipeline !== found.pipelineName) throw new PotorooError('pipeline_not_found', `Deployment ${deployment} has no pipeline ${JSON.stringify(pipeline)}: it runs ${found.pipelineName}.`);
    return found;
  };
  const base = '/v1/api/pipelines/infer/:deployment/:pipeline';
  // The API document that the client writes names the address with a slash at its end.
  for (const url of [base, `${base}/`]) {
    app.post(url, options, async (request, reply) => {
      const { id, pipelineName } = await named(request);
      return context.proxy.serve(request, reply, id, `/pipelines/${pipelineName}`);
    });
  }
  for (const call of ['completions', 'chat/completions']) {
    app.post(`${base}/openai/v1/${call}`, options, async (request, reply) => {
      const { pipelineName } = await named(request);
      // OpenAI's clients repeat a conflict unless they are told not to.
      reply.header('x-should-retry', 'false');
      throw new PotorooError('conflict', `Pipeline ${pipelineName} has no language model: OpenAI calls go to none of its models. Send rows to its inference address instead.`);
    });
  }
}
