import { Type, type Static } from '@sinclair/typebox';
import { DeploymentConfigSchema, deploymentStates, engineStates, ReasonSchema, type DeploymentState, type EngineState } from '../deployment.ts';
import { IdSchema, TimeSchema } from './common.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const DeploymentSchema = Type.Object({
  id: IdSchema, pipelineId: IdSchema, pipelineName: Type.String(), workspaceId: IdSchema, pipelineVersionId: IdSchema,
  config: DeploymentConfigSchema,
  wanted: Type.Unsafe<'running' | 'stopped'>(Type.String({ enum: ['running', 'stopped'] })),
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
  state: Type.Unsafe<EngineState>(Type.String({ enum: [...engineStates] })),
  reason: nullable(ReasonSchema), pipelineVersion: Type.String(), address: nullable(Type.String()), pid: nullable(Type.Integer()),
  restarts: Type.Integer(),
  models: Type.Array(Type.Object({
    name: Type.String(), version: Type.String(), sha: Type.String(),
    status: Type.Unsafe<'Running' | 'Error'>(Type.String({ enum: ['Running', 'Error'] })), message: Type.Optional(Type.String()),
  })),
  startedAt: TimeSchema,
});
export const DeploymentStatusSchema = Type.Object({
  state: Type.Unsafe<DeploymentState>(Type.String({ enum: [...deploymentStates] })),
  reason: nullable(ReasonSchema),
  observedGeneration: Type.Integer({ description: 'The generation that has been reached.' }),
  pipelineVersion: Type.String(), wantedReplicas: Type.Integer(), readyReplicas: Type.Integer(),
  engines: Type.Array(EngineStatusSchema),
  limits: Type.Array(Type.String({ description: 'Which limits are enforced here and which are advice.' })),
}, { $id: 'DeploymentStatus' });
export type ApiDeploymentStatus = Static<typeof DeploymentStatusSchema>;
