import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { isPotorooError, modelsOf, PotorooError, type DeploymentConfig, type DeploymentState, type EngineState, type Reason, type SidekickState } from '@potoroo/contract';
import type { Actor, Deployment, DeploymentStatus, EngineStatus } from '../../domains/domains.ts';
import { orNull } from './graphql/session.ts';
import { Id, post, type Context } from './http.ts';
import { configBody, versionBody } from './present.ts';
import { fromPythonClient } from './refusals.ts';

/** Where the client sends inferences of a deployment. */
export const inferencePath = (name: string, id: number): string => `/v1/api/pipelines/infer/${name}-${id}/${name}`;

/** `<deployment name>-<deployment id>`, the way the client names one. @throws deployment_not_found */
export async function deploymentNamed({ domains }: Context, actor: Actor, text: string): Promise<Deployment> {
  const [, name, id] = /^(.+)-([0-9]{1,15})$/.exec(text) ?? [];
  const missing = new PotorooError('deployment_not_found', `Deployment ${JSON.stringify(text.slice(0, 100))} does not exist, or you may not see it.`);
  if (name === undefined) throw missing;
  const deployment = await domains.deployments.get(actor, Number(id));
  if (deployment.pipelineName !== name) throw missing;
  return deployment;
}

const wireStates: Record<DeploymentState, string> = {
  starting: 'Starting', updating: 'Starting', running: 'Running', degraded: 'Running', stopping: 'Stopping', stopped: 'Stopped', error: 'Error',
};
const engineStates: Record<EngineState, string> = { starting: 'Starting', running: 'Running', draining: 'Stopping', stopped: 'Stopped', error: 'Error' };

/**
 * The client takes `Running` to mean that what it asked for last runs. While an update is on its way the old set still
 * answers, so it is told `Starting` until the new one has taken over, and `Error` when that failed.
 */
export function wireState(generation: number, status: Pick<DeploymentStatus, 'state' | 'observedGeneration' | 'current' | 'readyReplicas'>): string {
  const state = wireStates[status.state];
  if (state !== 'Running') return state;
  if (status.observedGeneration < generation) return 'Starting';
  if (!status.current) return 'Error';
  return status.state === 'degraded' && status.readyReplicas === 0 ? 'Starting' : 'Running';
}

const explain = (reason: Reason | null): string[] => (reason === null ? [] : [`${reason.code}: ${reason.message}`, ...(reason.log ?? [])]);
const hostOf = (address: string | null): string => address?.replace(/^[a-z]+:\/\//, '').replace(/:\d+$/, '') ?? '127.0.0.1';

export function deploymentRoutes(app: FastifyInstance, context: Context): void {
  const { domains: { deployments, pipelines, models } } = context;

  post(app, '/v1/api/pipelines/deploy', Type.Object({
    // What is wrong with a config the domain says.
    deploy_id: Type.String(), pipeline_version_pk_id: Id, engine_config: Type.Optional(Type.Unknown()),
  }), async ({ actor, body, request }) => {
    try {
      const version = await pipelines.version(actor, body.pipeline_version_pk_id);
      const { id } = await deployments.deploy(actor, {
        pipelineId: version.pipelineId, pipelineVersionId: version.id, ...(body.engine_config ? { config: body.engine_config as DeploymentConfig } : {}),
      });
      return { id };
    } catch (error) {
      if (isPotorooError(error) && error.status < 500 && fromPythonClient(request.headers['user-agent'])) return { id: context.refusals.add(actor, error) };
      throw error;
    }
  });

  post(app, '/v1/api/pipelines/undeploy', Type.Object({ deployment_id: Id }), async ({ actor, body }) => {
    await deployments.undeploy(actor, body.deployment_id);
    return {};
  });

  post(app, '/v1/api/status/get_deployment', Type.Object({ name: Type.String() }), async ({ actor, body }) => {
    const deployment = await deploymentNamed(context, actor, body.name);
    const status = await deployments.status(actor, deployment.id);
    // The client waits for this 404 after an undeploy.
    if (status.state === 'stopped') throw new PotorooError('not_deployed', `Pipeline ${deployment.pipelineName} is not deployed.`);
    const wanted = await pipelines.version(actor, deployment.pipelineVersionId);
    // Of any workspace: a step may run a public model of another, and goes on with it when that is taken back.
    const known = await Promise.all(modelsOf(wanted.steps).map(async (ref) => {
      const version = await orNull(models.versionByName(actor, ref.name, ref.version));
      return version === null ? [] : [{ model_version: versionBody(version), config: configBody(await models.config(actor, version.id)) }];
    }));
    return {
      status: wireState(deployment.generation, status),
      details: explain(status.reason),
      // What an update leaves behind only finishes its last answers; the guide shows what runs.
      engines: status.engines.filter((e) => e.state !== 'draining' || deployment.wanted === 'stopped').map((engine) => engineBody(engine, deployment, known.flat())),
      // Ops itself balances the load; it is ready when there is an engine to send to.
      engine_lbs: [{ ip: '127.0.0.1', name: `engine-lb-${deployment.id}`, status: status.readyReplicas > 0 ? 'Running' : 'Starting', reason: null, details: [] }],
      sidekicks: status.engines.flatMap(sidekickBodies),
    };
  });
}

const sidekickStates: Record<SidekickState, string> = { starting: 'Starting', running: 'Running', error: 'Error' };

function sidekickBodies({ address, sidekicks }: EngineStatus) {
  return sidekicks.map(({ name, state, reason, model, modelVersion, restarts, log }) => ({
    ip: hostOf(address), name, status: sidekickStates[state], reason: reason?.message ?? null, details: explain(reason),
    statuses: '\n', model: { name: model, version: modelVersion }, restarts, log,
  }));
}

/** In both of the guide's forms at once: a model's name, version and sha, and the whole version with its config. */
function engineBody(engine: EngineStatus, deployment: Deployment, known: { model_version: ReturnType<typeof versionBody>; config: ReturnType<typeof configBody> }[]) {
  const state = engineStates[engine.state];
  return {
    ip: hostOf(engine.address),
    name: engine.name,
    status: state,
    reason: engine.reason?.message ?? null,
    details: explain(engine.reason),
    pipeline_statuses: { pipelines: [{ id: deployment.pipelineName, status: state }] },
    model_statuses: { models: engine.models.map(({ name, version, sha, status }) => ({
      name, version, sha, status, ...known.find((k) => k.model_version.file_info.version === version),
    })) },
  };
}
