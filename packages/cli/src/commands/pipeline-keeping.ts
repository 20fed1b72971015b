import { Option, type Command } from 'commander';
import type { ApiLogRetention } from '@potoroo/contract';
import { action, example, size, wholeNumber, type ContextOf } from '../command.ts';
import { findPipeline, findPipelineVersion } from '../find.ts';
import { bytesText, pairs, show, table } from '../output.ts';

interface RetentionOptions { days?: number; size?: number; default?: boolean }

/** What is kept of a pipeline, and for how long. */
export function addPipelineKeeping(pipeline: Command, contextOf: ContextOf): void {
  example(pipeline.command('retention').description('show or set how long and how much of the log of a pipeline is kept').argument('<name>', 'name of the pipeline')
    .option('--days <n>', 'days that records are kept; 0 is for ever', wholeNumber(0))
    .addOption(new Option('--size <size>', 'size up to which the log is kept, such as 10GB; 0 is any').argParser((text) => (text === '0' ? 0 : size(text))))
    .option('--default', 'what is not given as the server is set')
    .action(action(contextOf, async (context, name: string, options: RetentionOptions) => {
      const found = await findPipeline(context, name);
      const before = await found.logRetention({ signal: context.signal });
      const set = options.days !== undefined || options.size !== undefined || options.default === true;
      const rest = options.default === true ? { days: null, bytes: null } : before;
      const now = set ? await found.setLogRetention({ days: options.days ?? rest.days, bytes: options.size ?? rest.bytes }, { signal: context.signal }) : before;
      show(context.output, now, () => describe(now));
    })), 'potoroo pipeline retention breast-cancer', 'potoroo pipeline retention breast-cancer --days 30 --size 10GB', 'potoroo pipeline retention breast-cancer --default');

  example(pipeline.command('partitions').description('list what each engine or edge wrote into the log of a pipeline').argument('<name>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => {
      const found = await (await findPipeline(context, name)).logPartitions({ signal: context.signal });
      show(context.output, found, () => table(['partition', 'first', 'next', 'records'], Object.entries(found).map(([partition, { start, end }]) => [partition, start, end, end - start]), 'Its log is empty.'));
    })), 'potoroo pipeline partitions breast-cancer');

  example(pipeline.command('delete').description('delete a pipeline that is not deployed, with its versions and its log, or one version of it').argument('<name>', 'name of the pipeline')
    .option('--pipeline-version <version>', 'only this one, which is neither deployed nor the only one; the start of it is enough')
    .action(action(contextOf, async (context, name: string, options: { pipelineVersion?: string }) => {
      const found = await findPipeline(context, name);
      if (options.pipelineVersion !== undefined) {
        const version = findPipelineVersion(found, options.pipelineVersion);
        await found.deleteVersion(version.id, { signal: context.signal });
        return show(context.output, version, () => `Deleted version ${version.version} of pipeline ${name}.`);
      }
      await found.delete({ signal: context.signal });
      show(context.output, found.info, () => `Deleted pipeline ${name}.`);
    })), 'potoroo pipeline delete breast-cancer', 'potoroo pipeline delete breast-cancer --pipeline-version 0f1c');
}

function describe({ days, bytes, effective }: ApiLogRetention): string {
  const own = (value: number | null): string => (value === null ? ' (as the server is set)' : '');
  return pairs([
    ['age', `${effective.days === 0 ? 'for ever' : `${effective.days} days`}${own(days)}`],
    ['size', `${effective.bytes === 0 ? 'any' : bytesText(effective.bytes)}${own(bytes)}`],
  ]);
}
