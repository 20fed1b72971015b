import { PotorooError, type ApiPipelineVersion, type Model, type ModelVersion, type Pipeline } from '@potoroo/sdk';
import type { Context } from './context.ts';

/** The model of that name in the current workspace. */
export async function findModel(context: Context, name: string): Promise<Model> {
  const workspace = await context.workspace();
  for await (const model of workspace.models({ name, signal: context.signal })) if (model.name === name) return model;
  throw new PotorooError('model_not_found', `There is no model ${JSON.stringify(name)} in workspace ${JSON.stringify(workspace.name)}.`);
}

/** `name` for the newest version, `name@<version>` for another; the start of a version's UUID is enough. */
export async function findModelVersion(context: Context, reference: string): Promise<ModelVersion> {
  const at = reference.indexOf('@');
  const model = await findModel(context, at < 0 ? reference : reference.slice(0, at));
  if (at < 0) return model.latest;
  const wanted = reference.slice(at + 1);
  const found = model.versions.filter((version) => version.version.startsWith(wanted));
  if (found.length === 1 && found[0] !== undefined && wanted !== '') return found[0];
  throw new PotorooError('model_not_found', `Model ${model.name} has ${found.length === 0 ? 'no version' : 'more than one version'} that starts with ${JSON.stringify(wanted)}.`);
}

/** The pipeline of that name in the current workspace. */
export async function findPipeline(context: Context, name: string): Promise<Pipeline> {
  const workspace = await context.workspace();
  for await (const pipeline of workspace.pipelines({ name, signal: context.signal })) if (pipeline.name === name) return pipeline;
  throw new PotorooError('pipeline_not_found', `There is no pipeline ${JSON.stringify(name)} in workspace ${JSON.stringify(workspace.name)}.`);
}

/** By the start of its UUID. */
export function findPipelineVersion(pipeline: Pipeline, wanted: string): ApiPipelineVersion {
  const found = pipeline.versions.filter(({ version }) => version.startsWith(wanted));
  if (found.length === 1 && found[0] !== undefined && wanted !== '') return found[0];
  throw new PotorooError('pipeline_not_found', `Pipeline ${pipeline.name} has ${found.length === 0 ? 'no version' : 'more than one version'} that starts with ${JSON.stringify(wanted)}.`);
}
