import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { apiPrefix, IdSchema } from '@potoroo/contract';
import { leaveBodies } from '../streams.ts';
import { answerProblem } from './problem.ts';
import type { NativeContext } from './route.ts';

const prefix = `${apiPrefix}/deployments/:deploymentId`;
const params = { deploymentId: IdSchema };
const model = { ...params, model: Type.String({ maxLength: 100, description: 'Name of the pipeline.' }) };
const version = { ...model, version: Type.String({ maxLength: 100 }) };
const json = { 'application/json': { schema: {} } };
const inferResponse = { 200: { description: 'The outputs: JSON, or JSON and the tensors that were asked for as bytes.', content: { ...json, 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } } };
const infer = 'JSON, or JSON and tensors as bytes with the header `Inference-Header-Content-Length`; gzip or deflate where `Content-Encoding` says so. A larger answer is compressed for who sends `Accept-Encoding: gzip` or `deflate`.';
const refused = { description: 'What is wrong, as the Open Inference Protocol says it, with the code beside it.', content: { 'application/json': { schema: Type.Object({ error: Type.String(), code: Type.String() }) } } };

const routes = [
  ['GET', '/v2', params, 'v2ServerMetadata', 'Show the server'],
  ['GET', '/v2/health/live', params, 'v2ServerLive', 'Whether the server is up'],
  ['GET', '/v2/health/ready', params, 'v2ServerReady', 'Whether the deployment takes inferences'],
  ['POST', '/v2/repository/index', params, 'v2RepositoryIndex', 'List the models'],
  ['GET', '/v2/models/:model', model, 'v2ModelMetadata', 'Show inputs and outputs'],
  ['GET', '/v2/models/:model/ready', model, 'v2ModelReady', 'Whether the model takes inferences'],
  ['POST', '/v2/models/:model/infer', model, 'v2ModelInfer', 'Infer'],
  ['GET', '/v2/models/:model/versions/:version', version, 'v2VersionMetadata', 'Show inputs and outputs of a version'],
  ['GET', '/v2/models/:model/versions/:version/ready', version, 'v2VersionReady', 'Whether the version takes inferences'],
  ['POST', '/v2/models/:model/versions/:version/infer', version, 'v2VersionInfer', 'Infer by a version'],
] as const;

/** The Open Inference Protocol v2 of a deployment, below its own path: the base address to give to clients of that protocol. */
export async function openInferenceRoutes(app: FastifyInstance, { proxy }: NativeContext): Promise<void> {
  await app.register(async (scope) => {
    leaveBodies(scope);
    scope.setErrorHandler(answerError);
    for (const [method, url, fields, operationId, summary] of routes) {
      const infers = url.endsWith('/infer');
      scope.route({
        method, url: prefix + url,
        schema: { summary: `${summary} (v2)`, tags: ['inference'], operationId, params: Type.Object(fields), response: { ...(infers ? inferResponse : { 200: { description: 'As the Open Inference Protocol says.', content: json } }), default: refused }, ...(infers && { description: infer }) },
        handler: (request, reply) => {
          const path = request.url.split('?', 1)[0] as string;
          return proxy.serve(request, reply, (request.params as { deploymentId: number }).deploymentId, path.slice(path.indexOf('/v2')));
        },
      });
    }
  });
}

/** The one member that clients of this protocol read, and the code; some of them read it of this content type only. */
function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  return answerProblem(thrown, request, reply, { type: 'application/json', body: ({ detail, code }) => ({ error: detail, code }) });
}
