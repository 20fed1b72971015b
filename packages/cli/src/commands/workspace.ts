import type { Command } from 'commander';
import { action, example, type ContextOf } from '../command.ts';
import { pairs, show, table } from '../output.ts';
import { findUser } from './user.ts';

export function addWorkspace(program: Command, contextOf: ContextOf): void {
  const workspace = program.command('workspace').description('list, create and choose workspaces');
  example(workspace, 'potoroo workspace list');

  example(workspace.command('list').description('list the workspaces that you may see')
    .option('--archived', 'the archived ones')
    .action(action(contextOf, async (context, options: { archived?: boolean }) => {
      const current = await context.workspace();
      const found = await context.client.workspaces.list({ ...(options.archived === true ? { archived: true } : {}), signal: context.signal }).toArray();
      show(context.output, found.map((w) => ({ ...w.info, current: w.id === current.id })), () =>
        table(['', 'id', 'name', 'members', 'created'], found.map((w) => [w.id === current.id ? '*' : '', w.id, w.name, w.info.members.length, new Date(w.info.createdAt)]), 'There is no workspace yet.'));
    })), 'potoroo workspace list --json');

  example(workspace.command('show').description('show a workspace').argument('[workspace]', 'its name or id; the current one when not given')
    .action(action(contextOf, async (context, name: string | undefined) => {
      const { info } = name === undefined ? await context.workspace() : await context.workspaceNamed(name);
      show(context.output, info, () => pairs([['name', info.name], ['id', info.id], ['archived', info.archived], ['members', info.members.length], ['created', new Date(info.createdAt)]]));
    })), 'potoroo workspace show', 'potoroo workspace show fraud');

  example(workspace.command('create').description('create a workspace').argument('<name>', 'what to call it; other workspaces may have the same name')
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

  for (const { name, archived, what } of [{ name: 'archive', archived: true, what: 'leave a workspace out of lists; what is in it stays as it is' }, { name: 'unarchive', archived: false, what: 'list an archived workspace again' }]) {
    example(workspace.command(name).description(what).argument('<workspace>', 'its name or id; an archived one has to be named by id')
      .action(action(contextOf, async (context, id: string) => {
        const changed = await (await context.workspaceNamed(id)).setArchived(archived, { signal: context.signal });
        show(context.output, changed.info, () => `Workspace ${changed.name} (id ${changed.id}) is ${archived ? 'archived' : 'listed again'}.`);
      })), `potoroo workspace ${name} 7`);
  }

  example(workspace.command('members').description('list the members of the current workspace')
    .action(action(contextOf, async (context) => {
      const { info, name } = await context.workspace();
      const found = await Promise.all(info.members.map(async (member) => ({ ...member, email: (await context.client.users.get(member.userId, { signal: context.signal })).email })));
      show(context.output, found, () => table(['email', 'role', 'id'], found.map((m) => [m.email, m.role, m.userId]), `Workspace ${name} has no member.`));
    })), 'potoroo workspace members');

  example(workspace.command('add').description('take a user into the current workspace, or change their role').argument('<email>', 'e-mail of the user')
    .option('--owner', 'as an owner, who may take others in')
    .action(action(contextOf, async (context, email: string, options: { owner?: boolean }) => {
      const role = options.owner === true ? 'owner' : 'collaborator';
      const changed = await (await context.workspace()).setMember((await findUser(context, email)).id, role, { signal: context.signal });
      show(context.output, changed.info, () => `${email} is ${role === 'owner' ? 'an owner' : 'a collaborator'} of workspace ${changed.name}.`);
    })), 'potoroo workspace add maria@example.com --workspace fraud');

  example(workspace.command('remove').description('take a user out of the current workspace').argument('<email>', 'e-mail of the user')
    .action(action(contextOf, async (context, email: string) => {
      const changed = await (await context.workspace()).removeMember((await findUser(context, email)).id, { signal: context.signal });
      show(context.output, changed.info, () => `${email} is no longer in workspace ${changed.name}.`);
    })), 'potoroo workspace remove maria@example.com --workspace fraud');
}
