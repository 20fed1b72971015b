import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeploymentConfigBuilder, PotorooError, type Deployment, type Pipeline, type Potoroo } from '@potoroo/sdk';
import type { Context } from '../context.ts';
import { follow } from '../commands/pipeline.ts';

const name = 'breast-cancer';
const folder = fileURLToPath(new URL('../../../../examples/breast-cancer', import.meta.url));
/** Milliseconds that the example may take to start. */
const patience = 120_000;

export interface Example {
  /** Absent when somebody undeployed it. */
  readonly deploymentId?: number;
  readonly rows: string;
  readonly text: string;
}

/** Deploys the example pipeline unless it ever was; later it is left as it is, and what was running is waited for. */
export async function deployExample(context: Context, client: Potoroo): Promise<Example> {
  const { signal } = context;
  const rows = join(folder, 'rows.json');
  const model = join(folder, 'model.onnx');
  if (!existsSync(model)) throw new PotorooError('invalid_request', `${model} is missing; check out the repository whole.`);
  const workspace = await client.workspaces.default({ signal });
  const pipeline = await workspace.buildPipeline(name, { signal });
  const deployment = pipeline.info.deploymentId === null ? await firstTime(pipeline, model, workspace.id, client, signal) : await pipeline.deployment({ signal });
  if (deployment.info.wanted === 'stopped') return { rows, text: `pipeline ${name} is not deployed; deploy it with: npx potoroo pipeline deploy ${name}` };
  const status = await follow(context, deployment, patience);
  return { deploymentId: deployment.id, rows, text: `pipeline ${name} is running, ${status.readyReplicas} of ${status.wantedReplicas} replicas ready` };
}

async function firstTime(pipeline: Pipeline, model: string, workspaceId: number, client: Potoroo, signal: AbortSignal): Promise<Deployment> {
  const version = await client.models.upload(workspaceId, name, model, { framework: 'onnx', signal });
  await version.configure({ tensorFields: ['tensor'] }, { signal });
  const config = new DeploymentConfigBuilder().replicaCount(1).cpus(0.5).memory('512Mi').build();
  return await pipeline.clear().addModelStep(version).deploy({ config, signal });
}
