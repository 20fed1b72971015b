import { encodeArrowSchema } from '@potoroo/batch';
import { imageFramework } from '@potoroo/contract';
import type { Model, ModelVersion, Pipeline, StoredModelConfig, User, Workspace } from '../../domains/domains.ts';

/** ISO 8601 with an offset, as the client's parser and its users know times from this protocol. */
export const timeText = (time: Date): string => time.toISOString().replace('Z', '+00:00');

/** A schema as the client keeps it: an Arrow schema message in base64, of what was declared or else what the model itself says; null when neither is known. */
export function schemaText(config: StoredModelConfig, side: 'input' | 'output'): string | null {
  const fields = side === 'input' ? config.inputSchema ?? config.inputs : config.outputSchema ?? config.outputs;
  return fields === null ? null : Buffer.from(encodeArrowSchema(fields)).toString('base64');
}

/** The image of a version that is one, as it was registered. */
export const imagePathOf = (v: Pick<ModelVersion, 'framework' | 'conversion'>): string | null =>
  (v.framework === imageFramework ? (v.conversion['source'] as { image: string }).image : null);

export const conversionOf = (v: ModelVersion): Record<string, unknown> => ({
  python_version: '3.8', requirements: [], ...v.conversion, framework: v.framework === imageFramework ? 'mlflow' : v.framework, arch: v.arch, accel: v.conversion['accel'] ?? v.accel,
});

export const configBody = (c: StoredModelConfig) => ({
  id: c.id,
  model_version_id: c.modelVersionId,
  runtime: c.runtime,
  tensor_fields: c.tensorFields ?? null,
  filter_threshold: c.filterThreshold ?? null,
  input_schema: schemaText(c, 'input'),
  output_schema: schemaText(c, 'output'),
  batch_config: c.batchConfig ?? null,
  dynamic_batching_config: c.extra['dynamic_batching_config'] ?? null,
  continuous_batching_config: c.extra['continuous_batching_config'] ?? null,
  openai: c.extra['openai_config'] ?? null,
  sidekick_uri: null,
});

/** A model version as `get_version_by_id` and the deployment status show it. */
export const versionBody = (v: ModelVersion) => ({
  id: v.id,
  name: v.name,
  status: v.status,
  visibility: v.visibility,
  workspace_id: v.workspaceId,
  file_info: { version: v.version, sha: v.sha256, file_name: v.fileName, size: v.size },
  conversion: conversionOf(v),
  image_path: imagePathOf(v),
  task_id: null,
});

export const modelBody = (m: Model) => ({
  id: m.id, name: m.name, owner_id: m.ownerId, workspace_id: m.workspaceId, created_at: timeText(m.createdAt), updated_at: timeText(m.updatedAt),
});

export const workspaceBody = (w: Workspace) => ({
  id: w.id, name: w.name, archived: w.archived, created_at: timeText(w.createdAt), created_by: w.createdBy,
});

export const pipelineBody = (p: Pipeline) => ({ id: p.id, name: p.name, created_at: timeText(p.createdAt), updated_at: timeText(p.updatedAt) });

/** A user as Keycloak shows one. */
export const userBody = (u: User) => ({
  id: u.id, username: u.username, email: u.email, enabled: u.enabled, createdTimestamp: u.createdAt.getTime(), emailVerified: true,
});

export const topicOf = (p: Pipeline): string => `workspace-${p.workspaceId}-pipeline-${p.name}-inference`;
