import { Type, type Static } from '@sinclair/typebox';
import { DeploymentConfigSchema, deploymentStates, engineStates, ReasonSchema } from '../deployment.ts';
import { IdSchema, oneOf, TimeSchema } from './common.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const DeploymentSchema = Type.Object({
  id: IdSchema, pipelineId: IdSchema, pipelineName: Type.String(), workspaceId: IdSchema, pipelineVersionId: IdSchema,
  config: DeploymentConfigSchema,
  wanted: oneOf(['running', 'stopped']),
  generation: Type.Integer({ description: 'Grows with every change of what should be.' }),
  port: nullable(Type.Integer({ description: 'Where its engines listen themselves.' })),
  createdAt: TimeSchema, updatedAt: TimeSchema,
}, { $id: 'Deployment' });
export type ApiDeployment = Static<typeof DeploymentSchema>;

/** Body of `PUT /pipelines/{id}/deployment`: deploys or updates. */
export const DeployRequestSchema = Type.Object({
  pipelineVersionId: Type.Optional(IdSchema),
  config: Type.Optional(DeploymentConfigSchema),
}, { additionalProperties: false });
export type DeployRequest = Static<typeof DeployRequestSchema>;

export const EngineStatusSchema = Type.Object({
  name: Type.String(),
  state: oneOf(engineStates),
  reason: nullable(ReasonSchema), pipelineVersion: Type.String(), address: nullable(Type.String()), pid: nullable(Type.Integer()),
  restarts: Type.Integer(),
  models: Type.Array(Type.Object({
    name: Type.String(), version: Type.String(), sha: Type.String(),
    status: oneOf(['Running', 'Error']), message: Type.Optional(Type.String()),
  })),
  startedAt: TimeSchema,
});
export const DeploymentStatusSchema = Type.Object({
  state: oneOf(deploymentStates),
  reason: nullable(ReasonSchema),
  observedGeneration: Type.Integer({ description: 'The generation that has been reached.' }),
  current: Type.Boolean({ description: 'Whether what answers is what was deployed last; not so while an update is on its way, nor after one that failed.' }),
  pipelineVersion: Type.String(), wantedReplicas: Type.Integer(), readyReplicas: Type.Integer(),
  engines: Type.Array(EngineStatusSchema),
  limits: Type.Array(Type.String({ description: 'Which limits are enforced here and which are advice.' })),
}, { $id: 'DeploymentStatus' });
export type ApiDeploymentStatus = Static<typeof DeploymentStatusSchema>;
