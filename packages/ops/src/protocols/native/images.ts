import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { IdSchema, ImageRegistrationSchema, ModelVersionSchema } from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const Params = Type.Object({ workspaceId: IdSchema, name: Type.String({ description: 'Name of the model.' }) });

export function imageRoutes(app: FastifyInstance, context: NativeContext): void {
  const { images } = context.domains;
  route(app, context, 'POST', '/workspaces/:workspaceId/models/:name/images', {
    tag: 'models', summary: 'Register a container image as a model',
    description: 'The image has to serve the MLflow scoring protocol. Answers at once with a version that is `uploading`: the image is pulled and started once, and its status, its reason and its upload log say how that goes. What runs later is the digest that was pulled.',
    params: Params, body: ImageRegistrationSchema, answer: ModelVersionSchema, status: 201,
  }, ({ actor, params, body, keep }) => images.register(actor, { ...body, ...params, onAdded: keep }));
}
