import { Type, type Static, type TSchema } from '@sinclair/typebox';
import type { ErrorCode } from './errors.ts';

const Quantity = Type.Union([Type.String(), Type.Number()]);
const Resources = Type.Object(
  {
    limits: Type.Optional(Type.Record(Type.String(), Quantity)),
    requests: Type.Optional(Type.Record(Type.String(), Quantity)),
  },
  { additionalProperties: true },
);
const open = <T extends Record<string, TSchema>>(properties: T) => Type.Object(properties, { additionalProperties: true });

/**
 * A deployment config, in the form of the guide's deployment configuration page (what `DeploymentConfigBuilder().build()`
 * gives). Keys we do not act on are kept and given back unchanged.
 */
export const DeploymentConfigSchema = open({
  engine: Type.Optional(open({
    replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
    cpu: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    gpu: Type.Optional(Type.Integer({ minimum: 0 })),
    arch: Type.Optional(Type.String()),
    accel: Type.Optional(Type.Unknown()),
    resources: Type.Optional(Resources),
    autoscale: Type.Optional(open({
      replica_min: Type.Optional(Type.Integer({ minimum: 0 })),
      replica_max: Type.Optional(Type.Integer({ minimum: 0 })),
    })),
  })),
  enginelb: Type.Optional(open({ resources: Type.Optional(Resources) })),
  engineAux: Type.Optional(open({ images: Type.Optional(Type.Record(Type.String(), open({}))) })),
  workspace_id: Type.Optional(Type.Integer()),
});
export type DeploymentConfig = Static<typeof DeploymentConfigSchema>;

export const engineStates = ['starting', 'running', 'draining', 'stopped', 'error'] as const;
export const deploymentStates = ['starting', 'running', 'updating', 'degraded', 'stopping', 'stopped', 'error'] as const;
export type DeploymentState = (typeof deploymentStates)[number];
export type EngineState = (typeof engineStates)[number];
export const sidekickStates = ['starting', 'running', 'error'] as const;
export type SidekickState = (typeof sidekickStates)[number];

/** What a state that is no error gives as its reason. */
export const progressCodes = ['starting', 'updating', 'draining', 'stopping', 'stopped', 'scaled_to_zero'] as const;
export type ProgressCode = (typeof progressCodes)[number];

/** Why something is not running: a stable code, one sentence, and the last lines its log had. */
export const ReasonSchema = Type.Object({
  code: Type.Unsafe<ErrorCode | ProgressCode>(Type.String({ description: `One of the codes of errors, or ${progressCodes.join(', ')}.` })),
  message: Type.String(),
  log: Type.Optional(Type.Array(Type.String())),
});
export type Reason = Static<typeof ReasonSchema>;
