import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { FrameworksSchema, IdSchema, ModelConfigSchema, ModelSchema, ModelVersionChangeSchema, ModelVersionSchema, PageQuerySchema, PageSchema, StoredModelConfigSchema, TimeSchema, UploadLogQuerySchema, UploadLogSchema, UploadQuerySchema } from '@potoroo/contract';
import type { StoredModelConfig } from '../../domains/domains.ts';
import { leaveBodies } from '../streams.ts';
import { route, type NativeContext } from './route.ts';
import { withUpload } from './upload.ts';

const tag = 'models';
const VersionParams = Type.Object({ versionId: IdSchema });
const UploadParams = Type.Object({ workspaceId: IdSchema, name: Type.String({ description: 'Name of the model.' }) });
const Search = Type.Composite([PageQuerySchema, Type.Object({
  term: Type.Optional(Type.String({ maxLength: 256, description: 'Part of a name, version, digest or file name.' })), workspaceId: Type.Optional(IdSchema),
  createdAfter: Type.Optional(TimeSchema), createdBefore: Type.Optional(TimeSchema),
})]);
const ModelQuery = Type.Composite([PageQuerySchema, Type.Object({ workspaceId: Type.Optional(IdSchema), name: Type.Optional(Type.String()) })]);

/** `extra` is what other protocols keep with a config. */
const configBody = ({ extra: _, ...config }: StoredModelConfig) => config;

export async function modelRoutes(app: FastifyInstance, context: NativeContext): Promise<void> {
  const { idempotency, domains: { models } } = context;
  route(app, context, 'GET', '/models', { tag, summary: 'List models', description: 'Each with its versions, newest first.', query: ModelQuery, answer: PageSchema(ModelSchema) },
    ({ actor, query }) => models.list(actor, query));
  route(app, context, 'GET', '/frameworks', { tag, summary: 'What models can be of here, and which Pythons there are for them', answer: FrameworksSchema }, ({ actor }) => models.frameworks(actor));
  route(app, context, 'GET', '/models/:modelId', { tag, summary: 'Show a model', params: Type.Object({ modelId: IdSchema }), answer: ModelSchema },
    ({ actor, params }) => models.get(actor, params.modelId));
  route(app, context, 'GET', '/model-versions', { tag, summary: 'Search model versions', query: Search, answer: PageSchema(ModelVersionSchema) },
    ({ actor, query: { createdAfter, createdBefore, ...query } }) => models.search(actor, {
      ...query, term: query.term ?? '', ...(createdAfter && { createdAfter: new Date(createdAfter) }), ...(createdBefore && { createdBefore: new Date(createdBefore) }),
    }));
  route(app, context, 'GET', '/model-versions/:versionId', { tag, summary: 'Show a model version', params: VersionParams, answer: ModelVersionSchema },
    ({ actor, params }) => models.version(actor, params.versionId));
  route(app, context, 'PATCH', '/model-versions/:versionId', {
    tag, summary: 'Open a model version to everybody, or take it back', description: 'A public one can be read and taken into pipelines by every signed-in user; changing it stays with its workspace.',
    params: VersionParams, body: ModelVersionChangeSchema, answer: ModelVersionSchema,
  }, ({ actor, params, body }) => models.setVisibility(actor, params.versionId, body.visibility));
  route(app, context, 'DELETE', '/model-versions/:versionId', { tag, summary: 'Remove a model version', description: 'Not while a pipeline version has it as a step.', params: VersionParams },
    ({ actor, params }) => models.remove(actor, params.versionId));
  route(app, context, 'GET', '/model-versions/:versionId/upload-log', { tag, summary: 'What happened when the model was loaded for the first time', description: 'Page by page, also while it is being loaded.', params: VersionParams, query: UploadLogQuerySchema, answer: UploadLogSchema },
    ({ actor, params, query }) => models.uploadLog(actor, params.versionId, query));
  route(app, context, 'GET', '/model-versions/:versionId/config', { tag, summary: 'Show how a model version is run', params: VersionParams, answer: StoredModelConfigSchema },
    async ({ actor, params }) => configBody(await models.config(actor, params.versionId)));
  route(app, context, 'PUT', '/model-versions/:versionId/config', { tag, summary: 'Say how a model version is run', description: 'Counts from the next deploy on.', params: VersionParams, body: ModelConfigSchema, answer: StoredModelConfigSchema },
    async ({ actor, params, body }) => configBody(await models.configure(actor, params.versionId, body)));

  await app.register(async (scope) => {
    leaveBodies(scope);
    for (const method of ['POST', 'PUT'] as const) {
      route(scope, context, method, '/workspaces/:workspaceId/models/:name/versions', {
        tag, summary: 'Upload a model', description: 'The body is the file, of any type and size, so that `curl -T model.onnx` does it; or a form (multipart/form-data) with the parts `options`, JSON with schemas, requirements and what the query can say, and `file`, in this order. Bytes that are the newest version of an ONNX model already give that version; with an `Idempotency-Key`, any upload that is sent again within a day gives the version that it made. The answer comes when the model has been loaded once, or after some seconds: look at `status`.',
        params: UploadParams, query: UploadQuerySchema, answer: ModelVersionSchema, keyed: true,
      }, ({ actor, params, query, request, reply }) => withUpload(request, query, ({ options, fileName, content: sent }) => {
        const said = [options, fileName];
        return idempotency.once(request, reply, 200, { said, content: sent }, (content, keep) => models.upload(actor, {
          ...options, onAdded: keep, workspaceId: params.workspaceId, name: params.name, fileName: options.fileName ?? fileName ?? `${params.name}.${options.framework}`, content,
        }));
      }));
    }
  });
}
