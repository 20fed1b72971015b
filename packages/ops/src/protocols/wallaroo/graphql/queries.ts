import { all } from '../pages.ts';
import { deploymentNode, modelConfigNode, modelVersionNode, pipelineNode, pipelineVersionNode, tagNode, workspaceNode } from './nodes.ts';
import { orNull, type Session } from './session.ts';
import { distinct, filter, pinned, sorted, type Node, type OrderBy, type Where } from './where.ts';

interface ById { id: number }
interface Many { where?: Where | null; order_by?: OrderBy[] | null }
interface Search extends Many { args: { search?: string | null }; distinct_on?: string[] | null }

/** One thing by its id, null where there is none to see. */
const one = <T>(read: (s: Session, id: number) => Promise<T>, node: (value: T) => Node) =>
  async ({ id }: ById, s: Session): Promise<Node | null> => {
    const found = await orNull(read(s, id));
    return found === null ? null : node(found);
  };

const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
/** Drops what is not set, so that it can be passed where absent and undefined differ. */
const given = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };

/** Filters are answered by the domains where they can be and checked here once more, so that each means what it says. */
export const queries = {
  tag_by_pk: one((s, id) => s.tag(id), tagNode),
  workspace_by_pk: one((s, id) => s.workspace(id), workspaceNode),
  model_by_pk: one((s, id) => s.modelVersion(id), modelVersionNode),
  model_config_by_pk: one((s, id) => s.domains.models.configById(s.actor, id), modelConfigNode),
  pipeline_by_pk: one((s, id) => s.pipeline(id), pipelineNode),
  pipeline_version_by_pk: one((s, id) => s.pipelineVersion(id), pipelineVersionNode),
  async deployment_by_pk({ id }: ById, s: Session) {
    const refused = s.refusals.of(s.actor, id);
    if (refused !== undefined) throw refused;
    const found = await orNull(s.deployment(id));
    return found && deploymentNode(found);
  },

  /** One's own only; it is made when it is asked for. */
  async user_default_workspace({ where }: Many, s: Session) {
    const rows = [{ user_id: s.actor.id, workspace: async () => workspaceNode(await s.domains.workspaces.defaultFor(s.actor)) }];
    return filter(rows, where, s);
  },

  async model({ where }: Many, s: Session) {
    const [name, version, id] = [text(pinned(where, 'model_id')), text(pinned(where, 'model_version')), number(pinned(where, 'id'))];
    const workspaceId = number(pinned(where, 'model', 'workspace', 'id'));
    if (id !== undefined || (name !== undefined && version !== undefined)) {
      const found = await orNull(id === undefined ? s.modelVersionNamed(String(name), String(version), workspaceId) : s.modelVersion(id));
      return filter(found === null ? [] : [modelVersionNode(found)], where, s);
    }
    const models = await all((page) => s.domains.models.list(s.actor, { ...page, ...given({ name, workspaceId }) }));
    return filter(s.count(models.flatMap((m) => m.versions.map(modelVersionNode))), where, s);
  },

  async search_models({ args, where, order_by }: Search, s: Session) {
    const found = await all((page) => s.domains.models.search(s.actor, {
      ...page, term: args.search ?? '', ...given({ workspaceId: number(pinned(where, 'model', 'workspace', 'id')), ownerId: text(pinned(where, 'owner_id')) }),
    }));
    return sorted(await filter(s.count(found.map(modelVersionNode)), where, s), order_by);
  },

  async pipeline({ where, order_by }: Many, s: Session) {
    const workspaceId = number(pinned(where, 'workspace_id')) ?? number(pinned(where, 'workspace', 'id'));
    const found = await all((page) => s.domains.pipelines.list(s.actor, { ...page, ...given({ workspaceId, name: text(pinned(where, 'pipeline_id')) }) }));
    return sorted(await filter(s.count(found.map(pipelineNode)), where, s), order_by);
  },

  /** Rows are versions: all of those pipelines that match. */
  async search_pipelines({ args, where, order_by, distinct_on }: Search, s: Session) {
    const deployed = pinned(where, 'pipeline', 'deployment', 'deployed');
    const found = await all((page) => s.domains.pipelines.list(s.actor, {
      ...page, term: args.search ?? '', ...given({ workspaceId: number(pinned(where, 'pipeline', 'workspace', 'id')), deployed: typeof deployed === 'boolean' ? deployed : undefined }),
    }));
    const versions = s.count(found.flatMap((p) => p.versions.map(pipelineVersionNode)));
    return distinct(sorted(await filter(versions, where, s), order_by), distinct_on);
  },

  async tag({ order_by }: Many, s: Session) {
    const found = await all((page) => s.tags(page));
    return sorted(s.count(found.map(tagNode)), order_by);
  },

  async deployment({ where }: Many, s: Session) {
    const id = number(pinned(where, 'id'));
    if (id !== undefined) {
      const found = await orNull(s.deployment(id));
      return filter(found === null ? [] : [deploymentNode(found)], where, s);
    }
    const found = await all((page) => s.domains.deployments.list(s.actor, page));
    return filter(s.count(found.map(deploymentNode)), where, s);
  },
};
