import { Option, type Command } from 'commander';
import { DeploymentConfigBuilder, PotorooError, stepText, type ApiDeploymentStatus, type Deployment, type DeploymentConfig, type ModelVersion, type Pipeline } from '@potoroo/sdk';
import { action, collect, example, positiveNumber, timeoutOption, wholeNumber, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { findModelVersion, findPipeline, findPipelineVersion } from '../find.ts';
import { show, table } from '../output.ts';
import { progress } from '../progress.ts';
import { showStatus } from './deployment.ts';
import { addInferenceCommands } from './inference.ts';
import { addPipelineKeeping } from './pipeline-keeping.ts';
import { addPipelineSteps, warn } from './pipeline-steps.ts';

interface DeployOptions {
  model?: readonly string[];
  pipelineVersion?: string;
  replicas?: number;
  cpus?: number;
  memory?: string;
  wait: boolean;
  timeout: number;
}

export function addPipeline(program: Command, contextOf: ContextOf): void {
  const pipeline = program.command('pipeline').description('build, deploy and use pipelines');
  example(pipeline, 'potoroo pipeline list');
  const modelOption = (text: string) => new Option('-m, --model <model>', text).argParser(collect);

  example(pipeline.command('create').description('create a pipeline, or give an existing one new steps').argument('<name>', 'name of the pipeline')
    .addOption(modelOption('model of a step, as <name> or <name>@<version>; once for each step, in order'))
    .action(action(contextOf, async (context, name: string, options: { model?: readonly string[] }) => {
      const workspace = await context.workspace();
      const models = await modelsOf(context, options.model);
      const built = await workspace.buildPipeline(name, { signal: context.signal });
      if (models !== undefined) {
        setSteps(built, models);
        await built.createVersion({ signal: context.signal });
      }
      show(context.output, built.info, () => `Pipeline ${built.name} (id ${built.id}) has ${steps(built)}.`);
    })), 'potoroo pipeline create breast-cancer --model breast-cancer');

  example(pipeline.command('list').description('list the pipelines of the workspace')
    .option('--find <text>', 'only those with this in their name or a version')
    .option('--deployed', 'only those that are deployed')
    .action(action(contextOf, async (context, options: { find?: string; deployed?: boolean }) => {
      const workspace = await context.workspace();
      const found = await context.client.pipelines.list({
        workspaceId: workspace.id, signal: context.signal, ...(options.find === undefined ? {} : { term: options.find }), ...(options.deployed === undefined ? {} : { deployed: options.deployed }),
      }).toArray();
      show(context.output, found.map((p) => p.info), () => table(
        ['name', 'versions', 'steps', 'deployment', 'updated'],
        found.map((p) => [p.name, p.versions.length, stepsText(p), p.info.deploymentId, new Date(p.info.updatedAt)]),
        `Workspace ${workspace.name} has no pipeline yet. Create one with: potoroo pipeline create <name> --model <model>`,
      ));
    })), 'potoroo pipeline list');

  example(pipeline.command('deploy').description('deploy a pipeline, or update its deployment without a failed request').argument('<name>', 'name of the pipeline')
    .addOption(modelOption('use these models as steps, as <name> or <name>@<version>; the pipeline is created when there is none').conflicts('pipelineVersion'))
    .option('--pipeline-version <version>', 'an earlier version instead of the newest; the start of it is enough')
    .option('-r, --replicas <n>', 'engines to run', wholeNumber(1))
    .option('--cpus <n>', 'CPUs of each, such as 0.5', positiveNumber)
    .option('--memory <amount>', 'memory of each, such as 1Gi')
    .option('--no-wait', 'return at once')
    .addOption(timeoutOption('how long to wait', 120))
    .action(action(contextOf, async (context, name: string, options: DeployOptions) => {
      const models = await modelsOf(context, options.model);
      const found = models !== undefined ? await (await context.workspace()).buildPipeline(name, { signal: context.signal }) : await findPipeline(context, name);
      if (models !== undefined) setSteps(found, models);
      const before = found.info.deploymentId === null ? undefined : (await found.deployment({ signal: context.signal })).info.config;
      const config = configOf(options, before);
      const earlier = options.pipelineVersion === undefined ? undefined : findPipelineVersion(found, options.pipelineVersion);
      const deployment = await found.deploy({ signal: context.signal, ...(config === undefined ? {} : { config }), ...(earlier === undefined ? {} : { pipelineVersionId: earlier.id }) });
      warn(context, earlier ?? found.versions[0]);
      const status = options.wait ? await follow(context, deployment, options.timeout) : await deployment.status({ signal: context.signal });
      show(context.output, { deployment: deployment.info, status }, () => `Pipeline ${name} is ${status.state}: ${status.readyReplicas} of ${status.wantedReplicas} replicas ready.${options.wait ? `\nTry it: potoroo pipeline infer ${name} <rows.json>` : ''}`);
    })), 'potoroo pipeline deploy breast-cancer --replicas 2 --cpus 0.5 --memory 512Mi', 'potoroo pipeline deploy breast-cancer --model breast-cancer', 'potoroo pipeline deploy breast-cancer --pipeline-version 0f1c');

  example(pipeline.command('status').description('show how the deployment of a pipeline is').argument('<name>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => {
      await showStatus(context, await (await findPipeline(context, name)).deployment({ signal: context.signal }));
    })), 'potoroo pipeline status breast-cancer --json');

  addPipelineSteps(pipeline, contextOf);
  addInferenceCommands(pipeline, contextOf);
  addPipelineKeeping(pipeline, contextOf);

  example(pipeline.command('undeploy').description('stop the deployment of a pipeline; requests in progress are answered first').argument('<name>', 'name of the pipeline')
    .option('--no-wait', 'return at once')
    .addOption(timeoutOption('how long to wait', 120))
    .action(action(contextOf, async (context, name: string, options: { wait: boolean; timeout: number }) => {
      const deployment = await (await findPipeline(context, name)).undeploy({ signal: context.signal });
      const status = options.wait ? await deployment.waitUntilStopped({ signal: context.signal, timeoutMs: options.timeout }) : await deployment.status({ signal: context.signal });
      show(context.output, { deployment: deployment.info, status }, () => `Pipeline ${name} is ${status.state}.`);
    })), 'potoroo pipeline undeploy breast-cancer');
}

/** Before anything is made: a misspelt model leaves no empty pipeline behind. */
async function modelsOf(context: Context, references: readonly string[] | undefined): Promise<ModelVersion[] | undefined> {
  if (references === undefined) return undefined;
  const found: ModelVersion[] = [];
  for (const reference of references) found.push(await findModelVersion(context, reference));
  return found;
}

function setSteps(pipeline: Pipeline, models: readonly ModelVersion[]): void {
  pipeline.clear();
  for (const model of models) pipeline.addModelStep(model);
}

/** The options over what was deployed before; nothing when there are none, so that everything stays. */
function configOf(options: DeployOptions, before: DeploymentConfig = {}): DeploymentConfig | undefined {
  if (options.replicas === undefined && options.cpus === undefined && options.memory === undefined) return undefined;
  const builder = new DeploymentConfigBuilder();
  if (options.replicas !== undefined) builder.replicaCount(options.replicas);
  if (options.cpus !== undefined) builder.cpus(options.cpus);
  if (options.memory !== undefined) builder.memory(options.memory);
  const { engine } = builder.build();
  const limits = { ...before.engine?.resources?.limits, ...engine?.resources?.limits };
  return { ...before, engine: { ...before.engine, ...engine, ...(Object.keys(limits).length === 0 ? {} : { resources: { limits, requests: limits } }) } };
}

/** Shows the roll-out until it runs. */
export async function follow(context: Context, deployment: Deployment, timeoutMs: number): Promise<ApiDeploymentStatus> {
  const bar = progress(context.output, `Deploying ${deployment.info.pipelineName}`, 'replicas');
  try {
    return await deployment.waitUntilRunning({
      signal: context.signal, timeoutMs,
      onProgress: (status) => (status.reason === null ? bar.update(status.readyReplicas, status.wantedReplicas) : bar.note(status.reason.message)),
    });
  } catch (error) {
    if (error instanceof PotorooError && error.code === 'deadline_exceeded') throw new PotorooError('engine_start_timeout', error.message);
    throw error;
  } finally {
    bar.end();
  }
}

const stepsText = (pipeline: Pipeline): string => pipeline.steps.map(stepText).join(' > ') || '-';

function steps(pipeline: Pipeline): string {
  return pipeline.steps.length === 0 ? 'no steps' : `the steps ${stepsText(pipeline)}`;
}
