import type { Command } from 'commander';
import { PotorooError, type ApiDeploymentStatus, type ApiSidekickLogLine, type Deployment } from '@potoroo/sdk';
import { action, example, moment, wholeNumber, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { findPipeline } from '../find.ts';
import { bytesText, pairs, show, table } from '../output.ts';

interface LogOptions { sidekick?: string; follow?: boolean; limit: number; start?: Date; end?: Date }

export function addDeployment(program: Command, contextOf: ContextOf): void {
  const deployment = program.command('deployment').description('look at what runs: engines and their sidekicks, the processes of models');
  example(deployment, 'potoroo deployment status breast-cancer');
  const of = async (context: Context, pipeline: string): Promise<Deployment> => (await findPipeline(context, pipeline)).deployment({ signal: context.signal });

  example(deployment.command('list').description('list the deployments of the workspace')
    .option('--everywhere', 'of all workspaces that you may see')
    .action(action(contextOf, async (context, options: { everywhere?: boolean }) => {
      const { signal } = context;
      const workspaceId = options.everywhere === true ? undefined : (await context.workspace()).id;
      const found = await context.client.deployments.list({ signal, ...(workspaceId === undefined ? {} : { workspaceId }) }).toArray();
      show(context.output, found.map((d) => d.info), () => table(
        ['pipeline', 'workspace', 'deployment', 'wanted', 'port', 'updated'],
        found.map(({ info }) => [info.pipelineName, info.workspaceId, info.id, info.wanted, info.port, new Date(info.updatedAt)]), 'Nothing has been deployed yet.',
      ));
    })), 'potoroo deployment list --everywhere');

  example(deployment.command('status').description('show how the deployment of a pipeline is: engines, sidekicks and why they do not run').argument('<pipeline>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => showStatus(context, await of(context, name)))), 'potoroo deployment status breast-cancer');

  example(deployment.command('openapi').description('write the API document (OpenAPI) of a deployed pipeline').argument('<pipeline>', 'name of the pipeline')
    .action(action(contextOf, async (context, name: string) => context.output.out(JSON.stringify(await (await of(context, name)).openapi({ signal: context.signal }), null, 2)))), 'potoroo deployment openapi breast-cancer > breast-cancer.json');

  example(deployment.command('sidekicks').description('list the sidekicks that run and, for some days, those that ended').argument('<pipeline>', 'name of the pipeline')
    .option('-n, --limit <n>', 'how many, newest first', wholeNumber(1), 100)
    .option('--model <name>', 'only those of one model')
    .action(action(contextOf, async (context, name: string, { limit, model }: { limit: number; model?: string }) => {
      const found = await (await of(context, name)).sidekicks({ signal: context.signal, model }).toArray(limit);
      show(context.output, found, () => table(
        ['sidekick', 'model', 'step', 'started', 'ended', 'restarts', 'reason'],
        found.map((s) => [s.name, s.model, s.step, new Date(s.startedAt), s.endedAt === null ? 'runs' : new Date(s.endedAt), s.restarts, s.reason?.message]),
        `Pipeline ${name} has had no sidekick lately: its models run in the engine.`,
      ));
    })), 'potoroo deployment sidekicks breast-cancer');

  example(deployment.command('logs').description('show what the process of a model printed, oldest line first').argument('<pipeline>', 'name of the pipeline')
    .option('-s, --sidekick <name>', 'which one; needed when more than one runs')
    .option('-n, --limit <n>', 'the last lines to show', wholeNumber(1), 100)
    .option('--start <time>', 'from then on: a time, or how long ago, such as 15m', moment)
    .option('--end <time>', 'until then', moment)
    .option('-f, --follow', 'go on with what it prints, until Ctrl-C or its end')
    .action(action(contextOf, async (context, name: string, options: LogOptions) => {
      const found = await of(context, name);
      const sidekick = options.sidekick ?? await onlySidekick(context, found);
      const { signal } = context;
      if (options.follow === true) {
        if (options.start !== undefined || options.end !== undefined) throw new PotorooError('invalid_request', '--follow goes with neither --start nor --end; leave these away.');
        const print = ({ time, stream, text }: ApiSidekickLogLine): void => context.output.out(context.output.json ? JSON.stringify({ time, stream, text }) : lineText({ time, stream, text }));
        try {
          for await (const line of found.followSidekickLog(sidekick, { signal, tail: Math.min(options.limit, 1000) })) print(line);
        } catch (error) {
          if (!signal.aborted) throw error;
        }
        return;
      }
      const { start, end, limit } = options;
      const lines = (await found.sidekickLog(sidekick, { signal, start, end }).toArray(limit)).reverse();
      show(context.output, lines, () => (lines.length === 0 ? 'No lines.' : lines.map(lineText).join('\n')));
    })), 'potoroo deployment logs breast-cancer --follow');
}

export async function showStatus(context: Context, deployment: Deployment): Promise<void> {
  const status = await deployment.status({ signal: context.signal });
  show(context.output, { deployment: deployment.info, status }, () => describe(deployment, status));
}

const lineText = ({ time, stream, text }: ApiSidekickLogLine): string => `${time} ${stream === 'engine' ? '[engine] ' : ''}${text}`;

async function onlySidekick(context: Context, deployment: Deployment): Promise<string> {
  const { signal } = context;
  const running = await deployment.sidekicks({ signal, current: true }).toArray(20);
  const [only, ...others] = running.length > 0 ? running : await deployment.sidekicks({ signal }).toArray(1);
  if (only === undefined) throw new PotorooError('sidekick_not_found', `Pipeline ${deployment.info.pipelineName} has had no sidekick lately: its models run in the engine.`);
  if (others.length > 0) throw new PotorooError('invalid_request', `Pipeline ${deployment.info.pipelineName} has several sidekicks; choose one with --sidekick: ${running.map((s) => s.name).join(', ')}.`);
  return only.name;
}

function describe(deployment: Deployment, status: ApiDeploymentStatus): string {
  const sidekicks = status.engines.flatMap((e) => e.sidekicks);
  const lines = [
    pairs([
      ['pipeline', deployment.info.pipelineName], ['deployment', deployment.id], ['state', status.state], ['version', status.pipelineVersion],
      ['replicas', `${status.readyReplicas} of ${status.wantedReplicas} ready`], ['port', deployment.info.port],
      ...(status.reason === null ? [] : [['reason', `${status.reason.message} (${status.reason.code})`] as const]),
    ]),
    '',
    table(['engine', 'state', 'pid', 'restarts', 'started', 'reason'], status.engines.map((e) => [e.name, e.state, e.pid, e.restarts, new Date(e.startedAt), e.reason?.message]), 'No engine runs.'),
  ];
  if (sidekicks.length > 0) {
    lines.push('', table(
      ['sidekick', 'model', 'state', 'pid', 'restarts', 'since', 'memory', 'cpu', 'reason'],
      sidekicks.map((s) => [s.name, s.model, s.state, s.pid, s.restarts, new Date(s.since), s.memoryBytes === null ? null : bytesText(s.memoryBytes), s.cpuSeconds === null ? null : `${s.cpuSeconds.toFixed(1)} s`, s.reason?.message]), '',
    ));
  }
  if (status.reason?.log !== undefined && status.reason.log.length > 0) lines.push('', 'Last lines of its log:', ...status.reason.log.map((line) => `  ${line}`));
  if (status.limits.length > 0 && status.state !== 'stopped') lines.push('', 'Limits:', ...status.limits.map((line) => `  ${line}`));
  return lines.join('\n');
}
