import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import {
  IdSchema, ModelVersionSchema, NewRegistrySchema, PageQuerySchema, PageSchema, RegisteredModelSchema, RegisteredModelVersionSchema, RegistryArtifactsSchema, RegistryChangeSchema, RegistrySchema, RegistryUploadSchema,
} from '@potoroo/contract';
import { route, type NativeContext } from './route.ts';

const tag = 'registries';
const Uuid = Type.String({ maxLength: 64 });
const Params = Type.Object({ registryId: Uuid });
const InWorkspace = Type.Object({ workspaceId: IdSchema, registryId: Uuid });
const Query = Type.Composite([PageQuerySchema, Type.Object({ workspaceId: Type.Optional(IdSchema), name: Type.Optional(Type.String()) })]);
/** Cursors hold those of the registry, which may be longer than ours. */
const AskQuery = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })), cursor: Type.Optional(Type.String({ maxLength: 8192 })) });
const Model = Type.String({ minLength: 1, maxLength: 1024 });

export function registryRoutes(app: FastifyInstance, context: NativeContext): void {
  const { registries } = context.domains;
  route(app, context, 'GET', '/registries', { tag, summary: 'List model registries', description: 'Those you made and those of your workspaces.', query: Query, answer: PageSchema(RegistrySchema) },
    ({ actor, query }) => registries.list(actor, query));
  route(app, context, 'POST', '/registries', { tag, summary: 'Connect a model registry', description: 'An MLflow server, or a Databricks workspace. It is in the workspace that is named, or in your own one.', body: NewRegistrySchema, answer: RegistrySchema, status: 201 },
    ({ actor, body }) => registries.create(actor, body));
  route(app, context, 'GET', '/registries/:registryId', { tag, summary: 'Show a model registry', params: Params, answer: RegistrySchema },
    ({ actor, params }) => registries.get(actor, params.registryId));
  route(app, context, 'PATCH', '/registries/:registryId', { tag, summary: 'Renew the token of a model registry', description: 'For who made it and administrators. Fetches that are under way go on with the one before.', params: Params, body: RegistryChangeSchema, answer: RegistrySchema },
    ({ actor, params, body }) => registries.setToken(actor, params.registryId, body.token));
  route(app, context, 'DELETE', '/registries/:registryId', { tag, summary: 'Delete a model registry', description: 'For who made it and administrators; not while a workspace has it. What was uploaded from it stays.', params: Params },
    ({ actor, params }) => registries.remove(actor, params.registryId));
  route(app, context, 'PUT', '/workspaces/:workspaceId/registries/:registryId', { tag, summary: 'Add a model registry to a workspace', description: 'Its members may then use it.', params: InWorkspace, answer: RegistrySchema },
    ({ actor, params }) => registries.addToWorkspace(actor, params.registryId, params.workspaceId));
  route(app, context, 'DELETE', '/workspaces/:workspaceId/registries/:registryId', { tag, summary: 'Take a model registry out of a workspace', params: InWorkspace },
    ({ actor, params }) => registries.removeFromWorkspace(actor, params.registryId, params.workspaceId));

  route(app, context, 'GET', '/registries/:registryId/models', { tag, summary: 'List the models of a registry', description: 'In its order.', params: Params, query: AskQuery, answer: PageSchema(RegisteredModelSchema) },
    ({ actor, params, query }) => registries.models(actor, params.registryId, query));
  route(app, context, 'GET', '/registries/:registryId/versions', { tag, summary: 'List the versions of a model in a registry', params: Params, query: Type.Composite([AskQuery, Type.Object({ model: Model })]), answer: PageSchema(RegisteredModelVersionSchema) },
    ({ actor, params, query: { model, ...query } }) => registries.versions(actor, params.registryId, model, query));
  route(app, context, 'GET', '/registries/:registryId/artifacts', { tag, summary: 'List the files of a model version in a registry', params: Params, query: Type.Object({ model: Model, version: Type.String({ minLength: 1, maxLength: 64 }) }), answer: RegistryArtifactsSchema },
    async ({ actor, params, query }) => ({ items: await registries.artifacts(actor, params.registryId, query.model, query.version) }));
  route(app, context, 'POST', '/registries/:registryId/uploads', {
    tag, summary: 'Upload a model from a registry', description: 'Answers at once with a version that is `uploading`: its status and its upload log say how it goes. A folder becomes a zip.', params: Params, body: RegistryUploadSchema, answer: ModelVersionSchema, status: 201,
  }, ({ actor, params, body, keep }) => registries.upload(actor, params.registryId, { ...body, onAdded: keep }));
}
