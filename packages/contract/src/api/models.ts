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

const simpleOptions = {
  fileName: Type.Optional(Type.String({ description: 'Name to show; that of the file of a form, else `<model>.<framework>`.' })),
  arch: Type.Optional(ArchitectureSchema), accel: Type.Optional(AcceleratorSchema), visibility: Type.Optional(VisibilitySchema),
  pythonVersion: Type.Optional(Type.String({ description: 'Such as `3.11`: 3.9 to 3.12, as far as the server has it.' })),
  versions: Type.Optional(oneOf(['current', 'guide'], { description: 'Which pinned versions of the framework: current ones, or those that the guide names.' })),
  concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 64, description: 'Requests that each process of the model works on at once; 1 when not given.' })),
  convert: Type.Optional(Type.Boolean({ description: 'False: not tried as ONNX.' })),
};
const Framework = Type.String({ description: 'What made the model, such as `onnx`, `sklearn` or `python`.' });

/** Query of an upload; the body is the file itself, or a form of `options` and `file`. */
export const UploadQuerySchema = Type.Object({ framework: Type.Optional(Framework), ...simpleOptions }, { additionalProperties: false });
/** The part `options` of an upload form, as JSON. What it says goes before what the query says. */
export const UploadOptionsSchema = Type.Object({
  framework: Type.Optional(Framework), ...simpleOptions,
  inputSchema: Type.Optional(Type.Array(FieldSchema, { description: 'Columns that the model takes; nested lists have a shape of several lengths, -1 for any.' })),
  outputSchema: Type.Optional(Type.Array(FieldSchema, { description: 'Columns that the model gives.' })),
  requirements: Type.Optional(Type.Array(Type.String({ maxLength: 1000 }), { maxItems: 1000, description: "Packages beside the framework's own, or in their place where they name the same." })),
  frameworkConfig: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'Settings of the framework; those of a custom model reach its builder.' })),
}, { additionalProperties: false });
export type ApiUploadOptions = Static<typeof UploadOptionsSchema>;
export const FrameworksSchema = Type.Object({
  frameworks: Type.Array(Type.Object({
    name: Type.String(), runtime: Type.String({ description: 'How its models run when they do not run as ONNX.' }),
    converts: Type.Boolean({ description: 'Whether its models are tried as ONNX.' }),
    archive: oneOf(['no', 'always', 'maybe'], { description: 'Whether its models are zip files.' }),
    requirements: Type.Array(Type.String()), guideRequirements: Type.Array(Type.String()),
  })),
  pythonVersions: Type.Array(Type.String(), { description: 'Pythons of this server that models may ask for, the one that is used when they do not first.' }),
}, { $id: 'Frameworks' });
export type ApiFrameworks = Static<typeof FrameworksSchema>;
export type UploadQuery = Static<typeof UploadQuerySchema>;

export const StoredModelConfigSchema = Type.Composite([
  ModelConfigSchema,
  Type.Object({
    id: IdSchema, modelVersionId: IdSchema, runtime: Type.String(),
    inputs: nullable(Type.Array(FieldSchema, { description: 'What the model itself declares, by the names that this config gives.' })), outputs: nullable(Type.Array(FieldSchema)),
  }),
], { $id: 'ModelConfig' });
export type ApiModelConfig = Static<typeof StoredModelConfigSchema>;

export const uploadLogPage = 1000;
/** Query of an upload log, which is read as it grows. */
export const UploadLogQuerySchema = Type.Object({
  after: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_147_483_647, description: '`next` of the page before; from its beginning when not given.' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: uploadLogPage, description: `Lines a page; ${uploadLogPage} when not given.` })),
}, { additionalProperties: false });
export const UploadLogSchema = Type.Object({
  lines: Type.Array(Type.String(), { description: '`<time> <stream> F <text>`, oldest first. Fewer than the limit: there are no more yet.' }),
  next: Type.Integer({ description: 'Pass it as `after` to get what comes after these lines, now or later.' }),
}, { $id: 'UploadLog' });
export type ApiUploadLog = Static<typeof UploadLogSchema>;

export const PipelineVersionSchema = Type.Object({
  id: IdSchema, pipelineId: IdSchema, version: Type.String({ description: 'A UUID.' }), steps: StepsSchema, createdAt: TimeSchema, createdBy: Type.String(),
  warnings: Type.Array(Type.String(), { description: 'What is accepted but does not do what it seems to, such as a validation whose name is ignored.' }),
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
