import type { Command } from 'commander';
import { action, example, type ContextOf } from '../command.ts';
import { show, table } from '../output.ts';

export function addWorkspace(program: Command, contextOf: ContextOf): void {
  const workspace = program.command('workspace').description('list, create and choose workspaces');
  example(workspace, 'potoroo workspace list');

  example(workspace.command('list').description('list the workspaces that you may see')
    .action(action(contextOf, async (context) => {
      const current = await context.workspace();
      const found = await context.client.workspaces.list({ signal: context.signal }).toArray();
      show(context.output, found.map((w) => ({ ...w.info, current: w.id === current.id })), () =>
        table(['', 'id', 'name', 'members', 'created'], found.map((w) => [w.id === current.id ? '*' : '', w.id, w.name, w.info.members.length, new Date(w.info.createdAt)]), 'There is no workspace yet.'));
    })), 'potoroo workspace list --json');

  example(workspace.command('create').description('create a workspace').argument('<name>')
    .option('--use', 'choose it for the commands that follow')
    .action(action(contextOf, async (context, name: string, options: { use?: boolean }) => {
      const created = await context.client.workspaces.create(name, { signal: context.signal });
      if (options.use === true) context.saved.update(context.url, { workspaceId: created.id });
      show(context.output, created.info, () => `Created workspace ${created.name} (id ${created.id}).`);
    })), 'potoroo workspace create fraud --use');

  example(workspace.command('use').description('choose the workspace for the commands that follow').argument('<name>', 'name or id')
    .action(action(contextOf, async (context, name: string) => {
      const chosen = await context.workspaceNamed(name);
      context.saved.update(context.url, { workspaceId: chosen.id });
      show(context.output, chosen.info, () => `Using workspace ${chosen.name} (id ${chosen.id}).`);
    })), 'potoroo workspace use fraud');
}
