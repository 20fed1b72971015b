import type { Deployment, Model, ModelVersion, Pipeline, PipelineVersion, StoredModelConfig, Tag, Workspace } from '../../../domains/domains.ts';
import { modelsOf } from '@potoroo/contract';
import { writeDefinition } from '../definition.ts';
import { conversionOf, imagePathOf, schemaText } from '../present.ts';
import { orNull, type Session } from './session.ts';
import { distinct, sorted, type Node, type OrderBy } from './where.ts';

interface Ordered { order_by?: OrderBy[] | null }

export const workspaceNode = (w: Workspace): Node => ({
  id: w.id,
  name: w.name,
  archived: w.archived,
  created_at: w.createdAt,
  created_by: w.createdBy,
  users: (_: object, s: Session) => s.count(w.members.map((m) => ({ user_id: m.userId, user_type: m.role.toUpperCase(), workspace_id: w.id }))),
  models: async (args: Ordered, s: Session) => s.count(sorted((await s.models(w.id)).map(modelNode), args.order_by)),
  pipelines: async (_: object, s: Session) => s.count((await s.pipelines(w.id)).map(pipelineNode)),
});

/** A named model. */
export const modelNode = (m: Model): Node => ({
  id: m.id,
  name: m.name,
  owner_id: m.ownerId,
  created_at: m.createdAt,
  updated_at: m.updatedAt,
  models: (args: Ordered, s: Session) => s.count(sorted(m.versions.map(modelVersionNode), args.order_by)),
  workspace: async (_: object, s: Session) => workspaceNode(await s.workspace(m.workspaceId)),
});

/** `a.b[0]` or `$.a.b[0]` into a JSON value; undefined where there is nothing. */
function jsonPath(value: unknown, path: string): unknown {
  let at: unknown = value;
  for (const key of path.replace(/^\$\.?/, '').split(/[.[\]]+/).filter((k) => k !== '')) {
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
  }
  return at;
}

export const modelVersionNode = (v: ModelVersion): Node => ({
  id: v.id,
  model_id: v.name,
  model_version: v.version,
  models_pk_id: v.modelId,
  sha: v.sha256,
  status: v.status,
  error_summary: v.reason?.message ?? null,
  file_name: v.fileName,
  image_path: imagePathOf(v),
  updated_at: v.updatedAt,
  created_at: v.createdAt,
  visibility: v.visibility,
  owner_id: v.createdBy,
  model_tags: async (_: object, s: Session) => s.count((await s.tagsOfModel(v.id)).map((tag) => modelTagNode(tag, v.id))),
  conversion: (args: { path?: string | null }) => (args.path ? jsonPath(conversionOf(v), args.path) : conversionOf(v)),
  // A public version is shown to those who do not see its workspace.
  model: async (_: object, s: Session) => {
    const model = await orNull(s.model(v.modelId));
    return model === null ? elsewhereNode(v) : modelNode(model);
  },
});

const elsewhereNode = (v: ModelVersion): Node => ({
  id: v.modelId,
  name: v.name,
  models: [modelVersionNode(v)],
  workspace: { id: v.workspaceId, name: `workspace ${v.workspaceId}`, archived: false, created_at: v.createdAt, users: [], models: [], pipelines: [] },
});

/** What carries a tag is looked up when it is asked for; the session remembers it. */
export const tagNode = ({ id, tag }: Pick<Tag, 'id' | 'tag'>): Node => ({
  id,
  tag,
  model_tags: async (_: object, s: Session) => s.count((await s.tag(id)).modelVersionIds.map((versionId) => modelTagNode({ id, tag }, versionId))),
  pipeline_tags: async (_: object, s: Session) => s.count((await s.tag(id)).pipelineIds.map((pipelineId) => pipelineTagNode({ id, tag }, pipelineId))),
});

export const modelTagNode = (tag: Pick<Tag, 'id' | 'tag'>, versionId: number): Node => ({
  model_id: versionId,
  tag_id: tag.id,
  tag: () => tagNode(tag),
  model: async (_: object, s: Session) => modelVersionNode(await s.modelVersion(versionId)),
});

/** The pair has no id of its own; no two pipelines share one tag's. */
export const pipelineTagNode = (tag: Pick<Tag, 'id' | 'tag'>, pipelineId: number): Node => ({
  id: tag.id,
  pipeline_pk_id: pipelineId,
  tag_pk_id: tag.id,
  tag: () => tagNode(tag),
  pipeline: async (_: object, s: Session) => pipelineNode(await s.pipeline(pipelineId)),
});

export const modelConfigNode = (c: StoredModelConfig): Node => ({
  id: c.id,
  filter_threshold: c.filterThreshold ?? null,
  model: async (_: object, s: Session) => modelVersionNode(await s.modelVersion(c.modelVersionId)),
  runtime: c.runtime,
  tensor_fields: c.tensorFields ?? null,
  dynamic_batching_config: c.extra['dynamic_batching_config'] ?? null,
  continuous_batching_config: c.extra['continuous_batching_config'] ?? null,
  openai: c.extra['openai_config'] ?? null,
  input_schema: schemaText(c, 'input'),
  output_schema: schemaText(c, 'output'),
});

export const pipelineNode = (p: Pipeline): Node => ({
  id: p.id,
  pipeline_id: p.name,
  created_at: p.createdAt,
  updated_at: p.updatedAt,
  visibility: 'private',
  owner_id: p.ownerId,
  workspace_id: p.workspaceId,
  pipeline_versions: (args: Ordered, s: Session) => s.count(sorted(p.versions.map((v) => pipelineVersionNode(v)), args.order_by)),
  pipeline_tags: async (_: object, s: Session) => s.count((await s.tagsOfPipeline(p.id)).map((tag) => pipelineTagNode(tag, p.id))),
  workspace: async (_: object, s: Session) => workspaceNode(await s.workspace(p.workspaceId)),
  deployment: async (_: object, s: Session) => {
    const deployment = await deploymentOf(p, s);
    return deployment && deploymentNode(deployment);
  },
});

const deploymentOf = async (p: Pipeline, s: Session): Promise<Deployment | null> => (p.deploymentId === null ? null : orNull(s.deployment(p.deploymentId)));

/** The configs with which the models of a version's steps run; a model that was removed since is left out. */
async function configsOf(v: PipelineVersion, deploymentId: number | null, s: Session): Promise<Node[]> {
  const rows = await Promise.all(modelsOf(v.steps).map(async (ref) => {
    const version = await orNull(s.modelVersionNamed(ref.name, ref.version));
    if (version === null) return [];
    const config = await s.config(version.id);
    return [{ id: config.id, deployment_id: deploymentId, model_config_id: config.id, model_config: modelConfigNode(config) }];
  }));
  return s.count(rows.flat());
}

export const pipelineVersionNode = (v: PipelineVersion): Node => ({
  id: v.id,
  created_at: v.createdAt,
  updated_at: v.createdAt,
  version: v.version,
  owner_id: v.createdBy,
  pipeline_pk_id: v.pipelineId,
  pipeline: async (_: object, s: Session) => pipelineNode(await s.pipeline(v.pipelineId)),
  definition: async (_: object, s: Session) => {
    const { name } = await s.pipeline(v.pipelineId);
    return writeDefinition(name, v.steps, async (ref) => (await orNull(s.modelVersionNamed(ref.name, ref.version)))?.sha256 ?? '');
  },
  deployment_pipeline_versions: async (_: object, s: Session) => {
    const deployment = await deploymentOf(await s.pipeline(v.pipelineId), s);
    return deployment?.pipelineVersionId === v.id ? [deployedVersionNode(deployment, v)] : [];
  },
  deployment_model_configs: async (_: object, s: Session) => configsOf(v, (await s.pipeline(v.pipelineId)).deploymentId, s),
  pipeline_publishes: [],
});

const deployedVersionNode = (d: Deployment, v: PipelineVersion): Node => ({
  created_at: d.createdAt,
  updated_at: d.updatedAt,
  deployment: () => deploymentNode(d),
  pipeline_version: () => pipelineVersionNode(v),
});

export const deploymentNode = (d: Deployment): Node => ({
  id: d.id,
  deploy_id: d.pipelineName,
  deployed: d.wanted === 'running',
  limit_status: null,
  engine_config: d.config,
  pipeline: async (_: object, s: Session) => pipelineNode(await s.pipeline(d.pipelineId)),
  deployment_model_configs: async (_: object, s: Session) => configsOf(await s.pipelineVersion(d.pipelineVersionId), d.id, s),
  // Asked for as "one of each deployment", meant as "the models of this one".
  deployment_model_configs_aggregate: async (args: { distinct_on?: string[] | null }, s: Session) => ({
    nodes: distinct(await configsOf(await s.pipelineVersion(d.pipelineVersionId), d.id, s), args.distinct_on?.filter((c) => c !== 'deployment_id')),
  }),
  // One version runs at a time, so that there is nothing to order.
  deployment_pipeline_versions: async (_: object, s: Session) => [deployedVersionNode(d, await s.pipelineVersion(d.pipelineVersionId))],
});
