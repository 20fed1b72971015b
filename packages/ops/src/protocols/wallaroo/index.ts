import type { FastifyInstance } from 'fastify';
import { answerError } from './errors.ts';
import { connectionRoutes } from './connections.ts';
import { deploymentRoutes } from './deployments.ts';
import { graphqlRoute } from './graphql/route.ts';
import type { Context } from './http.ts';
import { inferenceRoutes } from './inference.ts';
import { logRoutes } from './logs.ts';
import { modelRoutes } from './models.ts';
import { pipelineRoutes } from './pipelines.ts';
import { registryRoutes } from './registries.ts';
import { plainRoutes } from './plain.ts';
import { Refusals } from './refusals.ts';
import { uploadRoutes } from './upload.ts';
import { sidekickRoutes } from './sidekicks.ts';
import { userRoutes } from './users.ts';
import { compileValidator } from '../validation.ts';
import { workspaceRoutes } from './workspaces.ts';

/** What the published Python client speaks: REST, GraphQL, logs, inference and Keycloak-shaped user paths. Register it in a scope of its own. */
export async function wallarooProtocol(app: FastifyInstance, parts: Omit<Context, 'refusals'>): Promise<void> {
  const context = { ...parts, refusals: new Refusals() };
  app.setErrorHandler(answerError);
  app.setValidatorCompiler(compileValidator);

  // The architecture that uploads and deployments get when nothing else is said: the one of this machine.
  app.get('/v1/api/config', async () => ({ default_arch: process.arch === 'arm64' ? 'arm' : 'x86' }));
  userRoutes(app, context);
  workspaceRoutes(app, context);
  modelRoutes(app, context);
  pipelineRoutes(app, context);
  deploymentRoutes(app, context);
  sidekickRoutes(app, context);
  connectionRoutes(app, context);
  registryRoutes(app, context);
  logRoutes(app, context);
  graphqlRoute(app, context);
  await app.register((scope) => plainRoutes(scope, context));
  await app.register((scope) => uploadRoutes(scope, context));
  await app.register((scope) => inferenceRoutes(scope, context));
}
