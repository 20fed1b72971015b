import { Type, type Static } from '@sinclair/typebox';
import { IdSchema, TimeSchema } from './common.ts';
import { UploadOptionsSchema } from './models.ts';

const TextOrNull = Type.Union([Type.String(), Type.Null()]);

export const RegistrySchema = Type.Object({
  id: Type.String({ description: 'A UUID.' }), name: Type.String(), url: Type.String(), hasToken: Type.Boolean({ description: 'The token itself is never given out.' }),
  createdAt: TimeSchema, updatedAt: TimeSchema, createdBy: Type.String({ description: 'A user id.' }),
  workspaces: Type.Array(Type.Object({ id: IdSchema, name: Type.String() }), { description: 'Workspaces that have it, of those that you may see.' }),
}, { $id: 'Registry' });
export type ApiRegistry = Static<typeof RegistrySchema>;

export const NewRegistrySchema = Type.Object({
  name: Type.String(),
  url: Type.String({ description: 'Address of the MLflow server, without `/api` at its end.' }),
  token: Type.Optional(Type.String({ writeOnly: true, description: 'Sent as `Bearer`; a token that names its scheme, such as `Basic dXNlcjpwYXNz`, is sent as it is. Kept encrypted.' })),
  workspaceId: Type.Optional(IdSchema),
}, { additionalProperties: false });
export type NewRegistry = Static<typeof NewRegistrySchema>;
export const RegistryChangeSchema = Type.Object({
  token: Type.Union([Type.String(), Type.Null()], { writeOnly: true, description: 'In the place of the one before, as it is kept when a registry is created; null takes it away.' }),
}, { additionalProperties: false });

export const RegisteredModelVersionSchema = Type.Object({
  name: Type.String(), version: Type.String(), description: TextOrNull, runId: TextOrNull, runLink: TextOrNull, source: Type.String(), status: Type.String(), stage: Type.String(), userId: TextOrNull,
  createdAt: TimeSchema, updatedAt: TimeSchema,
}, { $id: 'RegisteredModelVersion' });
export type ApiRegisteredModelVersion = Static<typeof RegisteredModelVersionSchema>;

export const RegisteredModelSchema = Type.Object({
  name: Type.String(), description: TextOrNull, userId: TextOrNull, createdAt: TimeSchema, updatedAt: TimeSchema, latestVersions: Type.Array(RegisteredModelVersionSchema),
}, { $id: 'RegisteredModel' });
export type ApiRegisteredModel = Static<typeof RegisteredModelSchema>;

export const RegistryArtifactSchema = Type.Object({
  path: Type.String({ description: "From the model's folder on." }), address: Type.String({ description: 'What to upload it by.' }),
  directory: Type.Boolean(), size: Type.Union([Type.Integer(), Type.Null()], { description: 'Bytes.' }), modifiedAt: Type.Union([TimeSchema, Type.Null()]),
}, { $id: 'RegistryArtifact' });
export type ApiRegistryArtifact = Static<typeof RegistryArtifactSchema>;
export const RegistryArtifactsSchema = Type.Object({ items: Type.Array(RegistryArtifactSchema) });

/** What is uploaded from a registry, and as what: beside where it lies, all that can be said of a model that is uploaded. */
export const RegistryUploadSchema = Type.Composite([
  Type.Object({
    workspaceId: IdSchema,
    name: Type.String({ description: 'Name of the model here.' }),
    path: Type.String({ maxLength: 4096, description: 'The address of an artifact, or `models:/<model>/<version>` for a whole MLflow model.' }),
    framework: Type.String({ description: 'What made the model, such as `sklearn`; `mlflow` runs the folder of an MLflow model.' }),
  }),
  Type.Omit(UploadOptionsSchema, ['framework', 'fileName']),
], { additionalProperties: false });
export type RegistryUpload = Static<typeof RegistryUploadSchema>;
