import { PotorooError } from '@potoroo/contract';
import { deploymentNode, modelConfigNode, modelTagNode, modelVersionNode, pipelineNode, pipelineTagNode, tagNode, workspaceNode } from './nodes.ts';
import type { Session } from './session.ts';
import { pinned, type Where } from './where.ts';

interface InsertWorkspace { object: { name?: string | null; user_default_workspaces?: object | null } }
interface Deploy { pk_columns: { id: number }; _set?: { deployed?: boolean | null } | null }
interface Update { where: Where; _set?: { visibility?: string | null } | null }
interface ReplaceModels { objects: { deployment_id?: number | null; model_config_id?: number | null }[] }

const needed = (value: unknown, field: string): number => {
  if (typeof value !== 'number') throw new PotorooError('invalid_request', `${field} is missing.`, { fields: [{ field, message: 'missing' }] });
  return value;
};

/** One after the other: what is refused leaves what came before it done. */
async function inOrder<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const done: R[] = [];
  for (const item of items) done.push(await run(item));
  return done;
}

function visibilityOf(set: Update['_set']): 'private' | 'public' {
  const visibility = set?.visibility;
  if (visibility === 'private' || visibility === 'public') return visibility;
  throw new PotorooError('invalid_request', `_set.visibility is ${JSON.stringify(visibility)}: use "private" or "public".`, { fields: [{ field: '_set.visibility', message: 'private or public' }] });
}

const refuse = (what: string) => () => {
  throw new PotorooError('invalid_request', `${what} cannot be changed here yet.`);
};

export const mutations = {
  async update_model({ where, _set }: Update, s: Session) {
    const changed = await s.domains.models.setVisibility(s.actor, needed(pinned(where, 'id'), 'where.id._eq'), visibilityOf(_set));
    return { affected_rows: 1, returning: [modelVersionNode(changed)] };
  },

  /** What is in a pipeline, runs and is logged stays with the members of its workspace. */
  async update_pipeline({ where, _set }: Update, s: Session) {
    const pipeline = await s.pipeline(needed(pinned(where, 'id'), 'where.id._eq'));
    if (visibilityOf(_set) === 'public') throw new PotorooError('invalid_request', `Pipeline ${pipeline.name} stays with its workspace: add users to workspace ${pipeline.workspaceId} instead.`, { fields: [{ field: '_set.visibility', message: 'private only' }] });
    return { affected_rows: 1, returning: [pipelineNode(pipeline)] };
  },

  update_assay_by_pk: refuse('Assays'),

  async insert_tag({ objects }: { objects: { tag?: string | null }[] }, s: Session) {
    const made = await inOrder(objects, ({ tag }) => s.domains.tags.create(s.actor, tag ?? ''));
    return { affected_rows: made.length, returning: made.map(tagNode) };
  },

  async insert_model_tag({ objects }: { objects: { model_id?: number | null; tag_id?: number | null }[] }, s: Session) {
    const made = await inOrder(objects, async (object) => {
      const versionId = needed(object.model_id, 'objects.model_id');
      const tag = await s.domains.tags.get(s.actor, needed(object.tag_id, 'objects.tag_id'));
      await s.domains.tags.add(s.actor, tag.id, { modelVersionId: versionId });
      return modelTagNode(tag, versionId);
    });
    return { affected_rows: made.length, returning: made };
  },

  async delete_model_tag({ where }: { where: Where }, s: Session) {
    const versionId = needed(pinned(where, 'model_id'), 'where.model_id._eq');
    const tag = await s.domains.tags.get(s.actor, needed(pinned(where, 'tag_id'), 'where.tag_id._eq'));
    await s.domains.tags.remove(s.actor, tag.id, { modelVersionId: versionId });
    return { affected_rows: 1, returning: [modelTagNode(tag, versionId)] };
  },

  async insert_pipeline_tag({ objects }: { objects: { pipeline_pk_id?: number | null; tag_pk_id?: number | null }[] }, s: Session) {
    const made = await inOrder(objects, async (object) => {
      const pipelineId = needed(object.pipeline_pk_id, 'objects.pipeline_pk_id');
      const tag = await s.domains.tags.get(s.actor, needed(object.tag_pk_id, 'objects.tag_pk_id'));
      await s.domains.tags.add(s.actor, tag.id, { pipelineId });
      return pipelineTagNode(tag, pipelineId);
    });
    return { affected_rows: made.length, returning: made };
  },

  async delete_pipeline_tag({ where }: { where: Where }, s: Session) {
    const pipelineId = needed(pinned(where, 'pipeline_pk_id'), 'where.pipeline_pk_id._eq');
    const tag = await s.domains.tags.get(s.actor, needed(pinned(where, 'tag_pk_id'), 'where.tag_pk_id._eq'));
    await s.domains.tags.remove(s.actor, tag.id, { pipelineId });
    return { affected_rows: 1, returning: [pipelineTagNode(tag, pipelineId)] };
  },

  /** The client makes its user's default workspace this way; whatever name it gives, that is the one they have. */
  async insert_workspace_one({ object }: InsertWorkspace, s: Session) {
    const { workspaces } = s.domains;
    return workspaceNode(object.user_default_workspaces ? await workspaces.defaultFor(s.actor) : await workspaces.create(s.actor, { name: object.name ?? '' }));
  },

  async delete_workspace_users({ where }: { where: Where }, s: Session) {
    const userId = pinned(where, 'user_id');
    const workspaceId = needed(pinned(where, 'workspace_id'), 'where.workspace_id._eq');
    if (typeof userId !== 'string') throw new PotorooError('invalid_request', 'where.user_id._eq is missing: name the one user to take out.');
    const { members } = await s.workspace(workspaceId);
    const member = members.find((m) => m.userId === userId);
    if (member === undefined) return { affected_rows: 0, returning: [] };
    await s.domains.workspaces.removeMember(s.actor, workspaceId, userId);
    return { affected_rows: 1, returning: [{ user_id: userId, user_type: member.role.toUpperCase(), workspace_id: workspaceId }] };
  },

  async update_deployment_by_pk({ pk_columns, _set }: Deploy, s: Session) {
    const { deployments } = s.domains;
    const deployment = await deployments.get(s.actor, pk_columns.id);
    if (_set?.deployed === true) {
      const { pipelineId, pipelineVersionId, config } = deployment;
      return deploymentNode(await deployments.deploy(s.actor, { pipelineId, pipelineVersionId, config }));
    }
    return deploymentNode(_set?.deployed === false ? await deployments.undeploy(s.actor, deployment.id) : deployment);
  },

  /** Puts another model in the place of a deployment's only one: a new version of the pipeline, deployed as the one before. */
  async insert_deployment_model_configs({ objects }: ReplaceModels, s: Session) {
    const [object, ...more] = objects;
    if (object === undefined || more.length > 0) throw new PotorooError('invalid_request', 'objects has to be one deployment and one model config.');
    const deployment = await s.deployment(needed(object.deployment_id, 'objects.deployment_id'));
    const config = await s.domains.models.configById(s.actor, needed(object.model_config_id, 'objects.model_config_id'));
    const { name, version } = await s.modelVersion(config.modelVersionId);
    const { steps } = await s.pipelineVersion(deployment.pipelineVersionId);
    if (steps.length !== 1 || steps[0]?.type !== 'model') {
      throw new PotorooError('pipeline_invalid', `Which of the ${steps.length} steps of ${deployment.pipelineName} to replace is not said. Use replace_with_model_step(index, model) on the pipeline and deploy it.`);
    }
    const next = await s.domains.pipelines.addVersion(s.actor, deployment.pipelineId, [{ type: 'model', model: { name, version } }]);
    await s.domains.deployments.deploy(s.actor, { pipelineId: deployment.pipelineId, pipelineVersionId: next.id, config: deployment.config });
    return { affected_rows: 1, returning: [{ id: config.id, deployment_id: deployment.id, model_config_id: config.id, model_config: modelConfigNode(config) }] };
  },
};
