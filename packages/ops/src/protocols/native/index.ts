import type { FastifyInstance } from 'fastify';
import { compileValidator } from '../validation.ts';
import { auditRoutes } from './audit.ts';
import { connectionRoutes } from './connections.ts';
import { deploymentRoutes } from './deployments.ts';
import { imageRoutes } from './images.ts';
import { inferenceRoutes } from './inference.ts';
import { ingestRoute } from './ingest.ts';
import { logRoutes } from './logs.ts';
import { modelRoutes } from './models.ts';
import { openInferenceRoutes } from './open-inference.ts';
import { peopleRoutes } from './people.ts';
import { pipelineRoutes } from './pipelines.ts';
import { answerProblem } from './problem.ts';
import { registryRoutes } from './registries.ts';
import type { NativeContext } from './route.ts';
import { tagRoutes } from './tags.ts';
import { tokenRoutes } from './tokens.ts';

/** The native API: REST below `/api/v1`, described by OpenAPI, and the engines' way in. Register it in a scope of its own. */
export async function nativeProtocol(app: FastifyInstance, context: NativeContext): Promise<void> {
  app.setErrorHandler(answerProblem);
  app.setValidatorCompiler(compileValidator);
  // Answers are what the domains give, times as ISO 8601; a test holds them against their schemas.
  app.setSerializerCompiler(() => JSON.stringify);
  peopleRoutes(app, context);
  await modelRoutes(app, context);
  pipelineRoutes(app, context);
  deploymentRoutes(app, context);
  await inferenceRoutes(app, context);
  await openInferenceRoutes(app, context);
  logRoutes(app, context);
  tagRoutes(app, context);
  connectionRoutes(app, context);
  registryRoutes(app, context);
  imageRoutes(app, context);
  tokenRoutes(app, context);
  auditRoutes(app, context);
  await ingestRoute(app, context.domains);
}
