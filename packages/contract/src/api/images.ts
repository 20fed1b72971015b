import { Type, type Static } from '@sinclair/typebox';
import { FieldSchema } from '../field.ts';
import { architectures } from '../pipeline.ts';
import { oneOf, PasswordSchema } from './common.ts';

/** A container image to be registered as a model: one that serves MLflow's scoring protocol, as `mlflow models build-docker` makes it. */
export const ImageRegistrationSchema = Type.Object({
  image: Type.String({ minLength: 1, maxLength: 512, description: 'With its registry and its tag or digest, such as `registry.example.com/team/model:1`; without a registry it is of Docker Hub.' }),
  credentials: Type.Optional(Type.Object({
    username: Type.String({ minLength: 1, maxLength: 256 }), password: PasswordSchema({ minLength: 1, maxLength: 16_384 }),
  }, { additionalProperties: false, writeOnly: true, description: 'For its registry, where the server has none for that; kept encrypted and never shown.' })),
  arch: Type.Optional(oneOf(architectures)),
  visibility: Type.Optional(oneOf(['private', 'public'])),
  inputSchema: Type.Optional(Type.Array(FieldSchema, { description: 'Columns that the model takes. It can be declared later, by its config.' })),
  outputSchema: Type.Optional(Type.Array(FieldSchema, { description: 'Columns that the model gives.' })),
}, { additionalProperties: false });
export type ImageRegistration = Static<typeof ImageRegistrationSchema>;
