import { Option, type Command } from 'commander';
import { PotorooError, type Tag } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { findModelVersion, findPipeline } from '../find.ts';
import { show, table } from '../output.ts';

interface Things { model?: string; pipeline?: string }

export function addTag(program: Command, contextOf: ContextOf): void {
  const tag = program.command('tag').description('put tags on models and pipelines');
  example(tag, 'potoroo tag list');

  example(tag.command('list').description('list the tags and how much carries each, or those of one thing')
    .addOption(new Option('-m, --model <model>', 'those of this model, as <name> for its newest version or <name>@<version>').conflicts('pipeline'))
    .option('-p, --pipeline <name>', 'those of this pipeline')
    .action(action(contextOf, async (context, things: Things) => {
      if (things.model !== undefined || things.pipeline !== undefined) {
        const carried = await (await thingOf(context, things)).tags({ signal: context.signal });
        return show(context.output, carried, () => table(['tag', 'id'], carried.map((t) => [t.tag, t.id]), `${things.model ?? things.pipeline} carries no tag.`));
      }
      const found = await context.client.tags.list({ signal: context.signal }).toArray();
      show(context.output, found.map((t) => t.info), () => table(
        ['tag', 'id', 'model versions', 'pipelines', 'created'],
        found.map((t) => [t.text, t.id, t.info.modelVersionIds.length, t.info.pipelineIds.length, new Date(t.info.createdAt)]),
        'There is no tag yet. Create one with: potoroo tag create <tag>',
      ));
    })), 'potoroo tag list', 'potoroo tag list --pipeline breast-cancer');

  example(tag.command('show').description('show a tag and what carries it, as far as you may see that').argument('<tag>', 'the tag')
    .action(action(contextOf, async (context, text: string) => {
      const { info } = await findTag(context, text);
      const { signal } = context;
      const things = [
        ...await Promise.all(info.modelVersionIds.map(async (id) => { const v = await context.client.models.version(id, { signal }); return { kind: 'model version', name: `${v.name}@${v.version}`, workspaceId: v.info.workspaceId }; })),
        ...await Promise.all(info.pipelineIds.map(async (id) => { const p = await context.client.pipelines.get(id, { signal }); return { kind: 'pipeline', name: p.name, workspaceId: p.info.workspaceId }; })),
      ];
      show(context.output, { ...info, things }, () => table(['kind', 'name', 'workspace'], things.map((t) => [t.kind, t.name, t.workspaceId]), `Nothing that you may see carries ${text}.`));
    })), 'potoroo tag show production');

  example(tag.command('create').description('create a tag').argument('<tag>', 'the tag')
    .action(action(contextOf, async (context, text: string) => {
      const created = await context.client.tags.create(text, { signal: context.signal });
      show(context.output, created.info, () => `Created tag ${created.text} (id ${created.id}).`);
    })), 'potoroo tag create production');

  example(tag.command('delete').description('delete a tag, off everything that carries it').argument('<tag>', 'the tag')
    .action(action(contextOf, async (context, text: string) => {
      const found = await findTag(context, text);
      await found.delete({ signal: context.signal });
      show(context.output, found.info, () => `Deleted tag ${found.text}.`);
    })), 'potoroo tag delete production');

  for (const { name, what, done } of [{ name: 'add', what: 'put a tag on a model version or a pipeline', done: 'carries' }, { name: 'remove', what: 'take a tag off a model version or a pipeline', done: 'no longer carries' }] as const) {
    example(tag.command(name).description(what).argument('<tag>', 'the tag')
      .addOption(new Option('-m, --model <model>', 'the model, as <name> for its newest version or <name>@<version>').conflicts('pipeline'))
      .option('-p, --pipeline <name>', 'the pipeline')
      .action(action(contextOf, async (context, text: string, things: Things) => {
        const found = await findTag(context, text);
        const thing = await thingOf(context, things);
        await (name === 'add' ? found.addTo(thing, { signal: context.signal }) : found.removeFrom(thing, { signal: context.signal }));
        show(context.output, { tag: found.text, ...things }, () => `${things.model ?? things.pipeline} ${done} the tag ${found.text}.`);
      })), `potoroo tag ${name} production --pipeline breast-cancer`, `potoroo tag ${name} production --model breast-cancer`);
  }
}

async function findTag(context: Context, text: string): Promise<Tag> {
  const [found] = await context.client.tags.list({ tag: text, signal: context.signal }).toArray(1);
  if (found === undefined) throw new PotorooError('tag_not_found', `There is no tag ${JSON.stringify(text)}.`);
  return found;
}

async function thingOf(context: Context, { model, pipeline }: Things) {
  if (model !== undefined) return await findModelVersion(context, model);
  if (pipeline !== undefined) return await findPipeline(context, pipeline);
  throw new PotorooError('invalid_request', 'Give what to tag: --model <name> or --pipeline <name>.');
}
