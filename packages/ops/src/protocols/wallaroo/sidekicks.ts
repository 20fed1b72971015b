import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { isPotorooError, PotorooError } from '@potoroo/contract';
import type { Actor, SidekickLogLine } from '../../domains/domains.ts';
import { everyPage } from '../../storage/paging.ts';
import { generated, Id, Maybe, post, type Context } from './http.ts';
import { all } from './pages.ts';
import { pipelineNamed } from './pipelines.ts';
import { timeText } from './present.ts';

const When = Type.String({ format: 'date-time' });
const defaultLines = 100;
const mostPods = 10_000;

export function sidekickRoutes(app: FastifyInstance, context: Context): void {
  const { domains: { deployments } } = context;

  // The client names the workspace; names are not unique, so the sidekick is looked for in each that has such a pipeline.
  post(app, '/v1/api/pipelines/get_sidekick_pod_logs', Type.Object({
    pipeline_name: Type.String(), workspace_name: Type.String(), sidekick_name: Type.String({ maxLength: 256 }),
    start_datetime: Maybe(When), end_datetime: Maybe(When), limit: Maybe(Type.Integer({ minimum: 1, maximum: 100_000 })),
  }), async ({ actor, body }) => {
    const within = { ...(body.start_datetime && { start: new Date(body.start_datetime) }), ...(body.end_datetime && { end: new Date(body.end_datetime) }) };
    const found = await sidekickNamed(context, actor, body);
    const lines: SidekickLogLine[] = [];
    const limit = body.limit ?? defaultLines;
    for (let cursor: string | undefined; lines.length < limit;) {
      const page = await deployments.sidekickLog(actor, found, body.sidekick_name, { ...within, limit: Math.min(1000, limit - lines.length), ...(cursor !== undefined && { cursor }) });
      lines.push(...page.items);
      if (page.cursor === null) break;
      cursor = page.cursor;
    }
    return { logs: lines.map(({ time, stream, text }) => `${time.toISOString()} ${stream === 'engine' ? '[engine] ' : ''}${text}`) };
  }, { readable: generated });

  post(app, '/v1/api/pipelines/get_sidekick_pods_history', Type.Object({ pipeline_name: Type.String(), workspace_id: Id, model_id: Maybe(Type.String()) }), async ({ actor, body }) => {
    const { deploymentId } = await pipelineNamed(context, actor, body.workspace_id, body.pipeline_name);
    if (deploymentId === null) return { pods: [] };
    const pods = [];
    for await (const s of everyPage((page) => deployments.sidekicks(actor, deploymentId, { ...page, current: false, ...(body.model_id ? { model: body.model_id } : {}) }))) {
      pods.push({ sidekick_name: s.name, started_at: timeText(s.startedAt), pipeline_model_step: s.model, model_sha: s.sha, model_version: s.modelVersion });
      if (pods.length === mostPods) break;
    }
    return { pods };
  }, { readable: generated });
}

/** Id of the deployment that has this sidekick. @throws sidekick_not_found */
async function sidekickNamed({ domains: { workspaces, pipelines, deployments } }: Context, actor: Actor, { pipeline_name, workspace_name, sidekick_name }: { pipeline_name: string; workspace_name: string; sidekick_name: string }): Promise<number> {
  for (const workspace of await all((page) => workspaces.list(actor, { ...page, name: workspace_name }))) {
    if (workspace.name !== workspace_name) continue;
    const { items: [pipeline] } = await pipelines.list(actor, { workspaceId: workspace.id, name: pipeline_name, limit: 1 });
    if (pipeline === undefined || pipeline.deploymentId === null) continue;
    const id = pipeline.deploymentId;
    const there = await deployments.sidekickLog(actor, id, sidekick_name, { limit: 1 }).then(() => true, (error: unknown) => {
      if (isPotorooError(error) && error.code === 'sidekick_not_found') return false;
      throw error;
    });
    if (there) return id;
  }
  throw new PotorooError('sidekick_not_found', `Pipeline ${JSON.stringify(pipeline_name.slice(0, 80))} of workspace ${JSON.stringify(workspace_name.slice(0, 80))} has no sidekick ${JSON.stringify(sidekick_name.slice(0, 80))}, or it ended too long ago: its status names those that run, get_sidekick_pods_history() those that did.`);
}
