import { Type, type Static } from '@sinclair/typebox';
import { ReasonSchema } from '../deployment.ts';
import { FieldSchema } from '../field.ts';
import { accelerators, architectures, ModelConfigSchema, StepsSchema } from '../pipeline.ts';
import { IdSchema, oneOf, TimeSchema } from './common.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const ArchitectureSchema = oneOf(architectures);
const AcceleratorSchema = oneOf(accelerators);
const VisibilitySchema = oneOf(['private', 'public']);

export const modelStatuses = ['uploading', 'pending_load_native', 'attempting_load_native', 'pending_load_container', 'attempting_load_container', 'ready', 'error'] as const;

export const ModelVersionSchema = Type.Object({
  id: IdSchema, modelId: IdSchema, workspaceId: IdSchema, name: Type.String(),
  version: Type.String({ description: 'UUID that steps refer to.' }),
  sha256: Type.String(), size: Type.Integer({ description: 'Bytes.' }), fileName: Type.String(), framework: Type.String(), runtime: Type.String(),
  arch: ArchitectureSchema, accel: AcceleratorSchema, visibility: VisibilitySchema,
  status: oneOf(modelStatuses),
  reason: nullable(ReasonSchema),
  inputs: nullable(Type.Array(FieldSchema)), outputs: nullable(Type.Array(FieldSchema)),
  convertedSha256: nullable(Type.String({ description: 'Digest of the ONNX file that the upload was converted to, when it was.' })),
  environment: nullable(Type.String({ description: 'Hash of the Python environment it runs in, when it needs one.' })),
  conversion: Type.Record(Type.String(), Type.Unknown()),
  createdAt: TimeSchema, updatedAt: TimeSchema, createdBy: Type.String(),
}, { $id: 'ModelVersion' });
export type ApiModelVersion = Static<typeof ModelVersionSchema>;

export const ModelVersionChangeSchema = Type.Object({ visibility: VisibilitySchema }, { additionalProperties: false });

export const ModelSchema = Type.Object({
  id: IdSchema, workspaceId: IdSchema, name: Type.String(), ownerId: Type.String(), createdAt: TimeSchema, updatedAt: TimeSchema,
  versions: Type.Array(ModelVersionSchema, { description: 'Newest first.' }),
}, { $id: 'Model' });
export type ApiModel = Static<typeof ModelSchema>;

/** Query of an upload; the body is the file itself. */
export const UploadQuerySchema = Type.Object({
  framework: Type.String({ description: 'What made the model, such as `onnx`.' }),
  fileName: Type.Optional(Type.String({ description: 'Name to show; `<model>.<framework>` when not given.' })),
  arch: Type.Optional(ArchitectureSchema), accel: Type.Optional(AcceleratorSchema), visibility: Type.Optional(VisibilitySchema),
}, { additionalProperties: false });
export type UploadQuery = Static<typeof UploadQuerySchema>;

export const StoredModelConfigSchema = Type.Composite([
  ModelConfigSchema,
  Type.Object({ id: IdSchema, modelVersionId: IdSchema, runtime: Type.String() }),
], { $id: 'ModelConfig' });
export type ApiModelConfig = Static<typeof StoredModelConfigSchema>;

export const UploadLogSchema = Type.Object({ lines: Type.Array(Type.String(), { description: '`<time> <stream> F <text>`' }) });

export const PipelineVersionSchema = Type.Object({
  id: IdSchema, pipelineId: IdSchema, version: Type.String({ description: 'A UUID.' }), steps: StepsSchema, createdAt: TimeSchema, createdBy: Type.String(),
}, { $id: 'PipelineVersion' });
export type ApiPipelineVersion = Static<typeof PipelineVersionSchema>;

export const PipelineSchema = Type.Object({
  id: IdSchema, workspaceId: IdSchema, name: Type.String(), ownerId: Type.String(), createdAt: TimeSchema, updatedAt: TimeSchema,
  versions: Type.Array(PipelineVersionSchema, { description: 'Newest first.' }),
  deploymentId: nullable(IdSchema),
}, { $id: 'Pipeline' });
export type ApiPipeline = Static<typeof PipelineSchema>;

export const NewPipelineSchema = Type.Object({ name: Type.String(), steps: Type.Optional(StepsSchema) }, { additionalProperties: false });
export const NewPipelineVersionSchema = Type.Object({ steps: StepsSchema }, { additionalProperties: false });
