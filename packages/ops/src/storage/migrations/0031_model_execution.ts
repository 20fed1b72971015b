import type { Migration } from '../migrate.ts';

/** What an engine runs for a model version: the ONNX model it was converted to, or the file in the environment of this hash. */
export const modelExecution: Migration = async ({ db }) => {
  await db.schema.alterTable('model_versions').addColumn('converted_sha256', 'text').execute();
  await db.schema.alterTable('model_versions').addColumn('environment', 'text').execute();
  await db.schema.createIndex('model_versions_converted').on('model_versions').column('converted_sha256').execute();
};
