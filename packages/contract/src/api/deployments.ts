import { Type, type Static } from '@sinclair/typebox';
import { DeploymentConfigSchema, deploymentStates, engineStates, ReasonSchema, sidekickStates } from '../deployment.ts';
import { architectures } from '../pipeline.ts';
import { IdSchema, oneOf, PageQuerySchema, TimeSchema } from './common.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

export const DeploymentSchema = Type.Object({
  id: IdSchema, pipelineId: IdSchema, pipelineName: Type.String(), workspaceId: IdSchema, pipelineVersionId: IdSchema,
  config: DeploymentConfigSchema,
  wanted: oneOf(['running', 'stopped']),
  generation: Type.Integer({ description: 'Grows with every change of what should be.' }),
  arch: oneOf(architectures, { description: 'Architecture of its engines: that of its config, else of its models.' }),
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

const sidekickModel = {
  model: Type.String({ description: 'Name of the model that it runs.' }), modelVersion: Type.String({ description: "The model version's UUID." }),
  step: Type.Integer({ description: 'Which step of the pipeline, counted from 0.' }),
};
/** A process, or container, that runs one model beside one engine. */
export const SidekickStatusSchema = Type.Object({
  name: Type.String(), ...sidekickModel,
  state: oneOf(sidekickStates),
  reason: nullable(ReasonSchema),
  restarts: Type.Integer({ description: 'How often it was started again.' }),
  since: TimeSchema,
  pid: nullable(Type.Integer()),
  memoryBytes: nullable(Type.Integer({ description: 'Resident memory, every few seconds; null where it cannot be told.' })),
  cpuSeconds: nullable(Type.Number({ description: 'CPU time used since it was started.' })),
  log: Type.Array(Type.String(), { description: 'The last lines that it wrote.' }),
});
export const SidekickSchema = Type.Object({
  name: Type.String(), engine: Type.String(), ...sidekickModel, sha: Type.String(),
  startedAt: TimeSchema, endedAt: nullable(TimeSchema),
  restarts: Type.Integer(), reason: nullable(ReasonSchema),
}, { $id: 'Sidekick', description: 'A sidekick that is, or was until `endedAt`; `reason` is what was wrong with it last.' });
export type ApiSidekick = Static<typeof SidekickSchema>;
export const SidekickQuerySchema = Type.Composite([PageQuerySchema, Type.Object({
  current: Type.Optional(Type.Boolean({ description: 'Only those that are; only those that were.' })),
  model: Type.Optional(Type.String({ maxLength: 256, description: 'Name of a model.' })),
})]);
export const SidekickLogLineSchema = Type.Object({
  time: TimeSchema, stream: oneOf(['stdout', 'stderr', 'engine'], { description: '`engine`: what the engine has to say of it.' }), text: Type.String(),
});
export type ApiSidekickLogLine = Static<typeof SidekickLogLineSchema>;
export const SidekickLogQuerySchema = Type.Composite([PageQuerySchema, Type.Object({ start: Type.Optional(TimeSchema), end: Type.Optional(TimeSchema) })]);
export const SidekickFollowQuerySchema = Type.Object({ tail: Type.Optional(Type.Integer({ minimum: 0, maximum: 1000, description: 'Lines of before to begin with; 10 when not given.' })) });

export const EngineStatusSchema = Type.Object({
  name: Type.String(),
  state: oneOf(engineStates),
  reason: nullable(ReasonSchema), pipelineVersion: Type.String(), address: nullable(Type.String()), pid: nullable(Type.Integer()),
  restarts: Type.Integer(),
  models: Type.Array(Type.Object({
    name: Type.String(), version: Type.String(), sha: Type.String(),
    status: oneOf(['Running', 'Error']), message: Type.Optional(Type.String()),
  })),
  sidekicks: Type.Array(SidekickStatusSchema),
  startedAt: TimeSchema,
});
export const DeploymentStatusSchema = Type.Object({
  state: oneOf(deploymentStates),
  reason: nullable(ReasonSchema),
  observedGeneration: Type.Integer({ description: 'The generation that has been reached.' }),
  current: Type.Boolean({ description: 'Whether what answers is what was deployed last; not so while an update is on its way, nor after one that failed.' }),
  givenUp: Type.Boolean({ description: 'Whether what was deployed last was given up, as it cannot run: it takes another deploy. What was there before serves on.' }),
  pipelineVersion: Type.String(), wantedReplicas: Type.Integer(), readyReplicas: Type.Integer(),
  engines: Type.Array(EngineStatusSchema),
  limits: Type.Array(Type.String({ description: 'Which limits are enforced here and which are advice.' })),
}, { $id: 'DeploymentStatus' });
export type ApiDeploymentStatus = Static<typeof DeploymentStatusSchema>;
