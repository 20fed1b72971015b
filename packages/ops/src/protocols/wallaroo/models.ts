import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { ModelConfig } from '@potoroo/contract';
import type { ModelVersion, UploadLog } from '../../domains/domains.ts';
import { generated, Id, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { configBody, imagePathOf, modelBody, versionBody, workspaceBody } from './present.ts';
import { readSchema } from './upload.ts';

/** The newest lines of an upload log, which the client wants all at once. */
const mostLines = 10_000;
const Batching = Type.Object({}, { additionalProperties: true });

export const flatVersion = (v: ModelVersion) => ({
  id: v.id, sha: v.sha256, models_pk_id: v.modelId, model_version: v.version, owner_id: v.createdBy, model_id: v.name, file_name: v.fileName, image_path: imagePathOf(v),
});

/** `max_concurrent_batch_size` is how many requests a model works on at once. */
function concurrencyOf(config: Record<string, unknown> | null | undefined): Pick<ModelConfig, 'concurrency'> {
  const most = config?.['max_concurrent_batch_size'];
  return most === undefined || most === null ? {} : { concurrency: most as number };
}

export function modelRoutes(app: FastifyInstance, { domains: { models, workspaces } }: Context): void {
  post(app, '/v1/api/models/get_version_by_id', Type.Object({ model_version_id: Id }), async ({ actor, body }) => {
    const [version, config] = await Promise.all([models.version(actor, body.model_version_id), models.config(actor, body.model_version_id)]);
    return { model_version: { model_version: versionBody(version), config: configBody(config) } };
  });

  post(app, '/v1/api/models/insert_model_config', Type.Object({
    model_version_id: Id,
    tensor_fields: Maybe(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 10_000 })),
    filter_threshold: Maybe(Type.Number()),
    input_schema: Maybe(Type.String()),
    output_schema: Maybe(Type.String()),
    batch_config: Maybe(Type.Literal('single')),
    dynamic_batching_config: Maybe(Batching),
    continuous_batching_config: Maybe(Batching),
    openai_config: Maybe(Batching),
  }), async ({ actor, body }) => {
    const { dynamic_batching_config, continuous_batching_config, openai_config } = body;
    const config = await models.configure(actor, body.model_version_id, {
      ...(body.tensor_fields ? { tensorFields: body.tensor_fields } : {}),
      ...(typeof body.filter_threshold === 'number' ? { filterThreshold: body.filter_threshold } : {}),
      ...(body.batch_config ? { batchConfig: body.batch_config } : {}),
      ...(body.input_schema ? { inputSchema: readSchema(body.input_schema, 'input_schema') } : {}),
      ...(body.output_schema ? { outputSchema: readSchema(body.output_schema, 'output_schema') } : {}),
      ...concurrencyOf(body.continuous_batching_config),
    }, Object.fromEntries(Object.entries({ dynamic_batching_config, continuous_batching_config, openai_config }).filter(([, value]) => Boolean(value))));
    return { model_config: configBody(config) };
  });

  // What the client calls `model_id` here is a model version's id.
  post(app, '/v1/api/models/get_config_by_id', Type.Object({ model_id: Id }), async ({ actor, body }) => {
    return { model_config: configBody(await models.config(actor, body.model_id)) };
  }, { readable: generated });

  post(app, '/v1/api/models/get_upload_logs', Type.Object({ model_version_id: Id, lines: Maybe(Type.Integer({ minimum: 1 })) }), async ({ actor, body }) => {
    const most = Math.min(body.lines ?? mostLines, mostLines);
    let logs: string[] = [];
    for (let page: UploadLog | undefined; page === undefined || page.lines.length > 0;) {
      page = await models.uploadLog(actor, body.model_version_id, { after: page?.next ?? 0 });
      logs = [...logs, ...page.lines].slice(-most);
    }
    return { logs };
  });

  // Without the versions: the client reads those of a model when it wants them.
  post(app, '/v1/api/models/list', Type.Object({ workspace_id: Maybe(Id), workspace_name: Maybe(Type.String()) }), async ({ actor, body }) => {
    const found = await all((page) => models.list(actor, { ...page, ...(body.workspace_id ? { workspaceId: body.workspace_id } : {}) }));
    const own = new Map((await all((page) => workspaces.list(actor, page))).map((w) => [w.id, w]));
    return { models: found.flatMap((model) => {
      const workspace = own.get(model.workspaceId);
      if (workspace === undefined || (body.workspace_name && workspace.name !== body.workspace_name)) return [];
      return [{ model: modelBody(model), model_versions: [], workspace: workspaceBody(workspace) }];
    }) };
  });

  post(app, '/v1/api/models/get', Type.Object({ id: Id }), async ({ actor, body }) => {
    const model = await models.get(actor, body.id);
    const workspace = await workspaces.get(actor, model.workspaceId);
    return { ...modelBody(model), models: model.versions.map(flatVersion), workspace: { id: workspace.id, name: workspace.name } };
  }); // the client takes the body of a 400 for a model
}
