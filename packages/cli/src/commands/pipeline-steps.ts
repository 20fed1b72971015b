import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { modelsOfStep } from '@potoroo/contract';
import { PotorooError, stepText, type ApiPipelineVersion, type Pipeline, type Step } from '@potoroo/sdk';
import { action, example, wholeNumber, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { findPipeline, findPipelineVersion } from '../find.ts';
import { pairs, show, table } from '../output.ts';
import { stepFrom, stepOptions, type StepOptions } from '../steps.ts';

/** `pipeline step …`, `pipeline show` and `pipeline versions`. Every change of steps is a new version; what is deployed stays until the next `pipeline deploy`. */
export function addPipelineSteps(pipeline: Command, contextOf: ContextOf): void {
  example(pipeline.command('show').description('show a pipeline: its steps, versions and tags').argument('<name>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => {
      const found = await findPipeline(context, name);
      const tags = await found.tags({ signal: context.signal });
      warn(context, found.versions[0]);
      show(context.output, { ...found.info, tags }, () => [
        pairs([['name', found.name], ['id', found.id], ['workspace', found.info.workspaceId], ['deployment', found.info.deploymentId], ['versions', found.versions.length], ['newest', found.versions[0]?.version], ['tags', tags.map((t) => t.tag).join(', ') || null]]),
        '', stepTable(found.steps),
      ].join('\n'));
    })), 'potoroo pipeline show breast-cancer');

  example(pipeline.command('versions').description('list the versions of a pipeline, newest first').argument('<name>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => {
      const found = await findPipeline(context, name);
      const deployed = found.info.deploymentId === null ? undefined : (await found.deployment({ signal: context.signal })).info;
      const current = deployed?.wanted === 'running' ? deployed.pipelineVersionId : undefined;
      show(context.output, found.versions.map((v) => ({ ...v, deployed: v.id === current })), () => table(
        ['', 'version', 'steps', 'created'], found.versions.map((v) => [v.id === current ? '*' : '', v.version, v.steps.map(stepText).join(' > '), new Date(v.createdAt)]), `Pipeline ${name} has no version yet.`));
    })), 'potoroo pipeline versions breast-cancer', 'potoroo pipeline deploy breast-cancer --pipeline-version 0f1c');

  const step = pipeline.command('step').description('list and change the steps of a pipeline; each change is a new version, and runs from the next deploy on');
  example(step, 'potoroo pipeline step list breast-cancer', 'potoroo pipeline step add breast-cancer --model breast-cancer');

  example(step.command('list').description('list the steps').argument('<name>', 'name of the pipeline')
    .option('--pipeline-version <version>', 'those of an earlier version; the start of it is enough')
    .action(action(contextOf, async (context, name: string, options: { pipelineVersion?: string }) => {
      const found = await findPipeline(context, name);
      const version = options.pipelineVersion === undefined ? found.versions[0] : findPipelineVersion(found, options.pipelineVersion);
      const steps = version?.steps ?? [];
      warn(context, version);
      show(context.output, steps, () => stepTable(steps));
    })), 'potoroo pipeline step list breast-cancer --json > steps.json');

  example(stepOptions(step.command('add').description('add a step at the end').argument('<name>', 'name of the pipeline'))
    .option('--at <index>', 'in the place of the one with this index, which moves on; the first is 0', wholeNumber(0))
    .action(action(contextOf, async (context, name: string, options: StepOptions & { at?: number }) => {
      await change(context, name, async (found) => {
        const added = await stepFrom(context, options);
        const { at = found.steps.length } = options;
        if (at > found.steps.length) throw new PotorooError('pipeline_invalid', `--at ${at}: pipeline ${name} has ${found.steps.length} steps; use 0 to ${found.steps.length}.`);
        return found.steps.toSpliced(at, 0, added);
      });
    })),
  'potoroo pipeline step add breast-cancer --model breast-cancer',
  'potoroo pipeline step add house-price --random-split champion=2,challenger=1 --hash-key customer',
  'potoroo pipeline step add house-price --key-split card --control small --route gold=large --route black=large@0f1c',
  'potoroo pipeline step add house-price --shadow champion --challenger challenger --challenger heavy=0.1',
  "potoroo pipeline step add house-price --validate 'too_high = out.price[0] > 500_000' --validate 'odd = out.price[0] > 3 * in.rent.mean() or in.country not in [\"NZ\", \"AU\"]'");

  example(stepOptions(step.command('replace').description('put another step in the place of one').argument('<name>', 'name of the pipeline').argument('<index>', 'which one; the first is 0', wholeNumber(0)))
    .action(action(contextOf, async (context, name: string, index: number, options: StepOptions) => {
      await change(context, name, async (found) => found.replaceStep(index, await stepFrom(context, options)).steps);
    })), 'potoroo pipeline step replace breast-cancer 0 --model breast-cancer@0f1c');

  example(step.command('remove').description('remove a step').argument('<name>', 'name of the pipeline').argument('<index>', 'which one; the first is 0', wholeNumber(0))
    .action(action(contextOf, async (context, name: string, index: number) => {
      await change(context, name, async (found) => found.removeStep(index).steps);
    })), 'potoroo pipeline step remove breast-cancer 1');

  example(step.command('clear').description('remove all steps').argument('<name>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => {
      await change(context, name, async (found) => found.clear().steps);
    })), 'potoroo pipeline step clear breast-cancer');

  example(step.command('set').description('take all steps from a JSON file, as `step list --json` prints them').argument('<name>', 'name of the pipeline').argument('<file>', 'the JSON file')
    .action(action(contextOf, async (context, name: string, file: string) => {
      await change(context, name, async () => stepsFrom(file));
    })), 'potoroo pipeline step set breast-cancer steps.json');

  example(step.command('undo').description('take the steps of the version before, or of any earlier one, as a new version').argument('<name>', 'name of the pipeline')
    .option('--to <version>', 'those of this version; the start of it is enough')
    .action(action(contextOf, async (context, name: string, options: { to?: string }) => {
      await change(context, name, async (found) => {
        if (options.to !== undefined) return findPipelineVersion(found, options.to).steps;
        const before = found.versions[1];
        if (before === undefined) throw new PotorooError('pipeline_invalid', `Pipeline ${name} has no version before its newest: there is nothing to undo.`);
        return before.steps;
      });
    })), 'potoroo pipeline step undo breast-cancer', 'potoroo pipeline step undo breast-cancer --to 0f1c');
}

/** Saves what `edit` gives as a new version, and says what it is now. */
async function change(context: Context, name: string, edit: (found: Pipeline) => Promise<readonly Step[]>): Promise<void> {
  const found = await findPipeline(context, name);
  const steps = await edit(found);
  found.clear();
  for (const step of steps) found.addStep(step);
  const version: ApiPipelineVersion = await found.createVersion({ signal: context.signal });
  warn(context, version);
  show(context.output, version, () => `${stepTable(version.steps)}\n\nSaved as version ${version.version}.${found.info.deploymentId === null ? '' : ` What is deployed stays until: potoroo pipeline deploy ${name}`}`);
}

/** What is accepted and yet not done, beside the result. */
export function warn(context: Context, version: ApiPipelineVersion | undefined): void {
  for (const warning of version?.warnings ?? []) context.output.err(`Warning: ${warning}`);
}

export function stepTable(steps: readonly Step[]): string {
  return table(['', 'step', 'models'], steps.map((step, i) => [i, stepText(step), modelsOfStep(step).map((m) => `${m.name}@${m.version.slice(0, 8)}`).join(', ') || null]), 'It has no steps.');
}

function stepsFrom(file: string): Step[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new PotorooError('invalid_request', `${file} cannot be read; give the path of a JSON file with steps.`, { cause });
  }
  let value: unknown;
  try { value = JSON.parse(text); } catch { /* said below */ }
  // Of what is in it the server says what is wrong.
  if (Array.isArray(value)) return value as Step[];
  throw new PotorooError('invalid_request', `${file} does not hold a JSON array of steps, as \`potoroo pipeline step list <name> --json\` prints it.`);
}
