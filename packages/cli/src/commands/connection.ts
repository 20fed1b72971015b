import { readFileSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import { PotorooError, type Connection } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { jsonText, pairs, show, table } from '../output.ts';

export function addConnection(program: Command, contextOf: ContextOf): void {
  const connection = program.command('connection').description('keep how to reach data stores, shared through workspaces');
  example(connection, 'potoroo connection list');

  example(connection.command('list').description('list the connections that you may see, without their details')
    .option('--here', 'only those of the current workspace')
    .action(action(contextOf, async (context, options: { here?: boolean }) => {
      const workspaceId = options.here === true ? (await context.workspace()).id : undefined;
      const found = await context.client.connections.list({ ...(workspaceId === undefined ? {} : { workspaceId }), signal: context.signal }).toArray();
      show(context.output, found.map((c) => c.info), () => table(
        ['name', 'type', 'workspaces', 'created'],
        found.map((c) => [c.name, c.type, c.info.workspaces.map((w) => w.name).join(', '), new Date(c.info.createdAt)]),
        'There is no connection that you may see. Create one with: potoroo connection create <name> <type> <details.json>',
      ));
    })), 'potoroo connection list --json');

  example(connection.command('create').description('create a connection; its details are kept encrypted').argument('<name>', 'name of the connection').argument('<type>', 'what it leads to, in your own word')
    .argument('[details]', 'file with the details, a JSON object; - for standard input', '-')
    .action(action(contextOf, async (context, name: string, type: string, file: string) => {
      const details = await detailsFrom(file);
      const created = await context.client.connections.create({ name, type, details }, { signal: context.signal });
      show(context.output, created.info, () => `Created connection ${created.name}. Share it with: potoroo connection add ${created.name}`);
    })), 'potoroo connection create sales POSTGRES sales.json', 'pass show sales | potoroo connection create sales POSTGRES');

  example(connection.command('show').description('show a connection and the workspaces that have it, without its details').argument('<name>', 'name of the connection')
    .action(action(contextOf, async (context, name: string) => {
      const { info } = await findConnection(context, name);
      show(context.output, info, () => pairs([['name', info.name], ['type', info.type], ['id', info.id], ['workspaces', info.workspaces.map((w) => w.name).join(', ') || null], ['created', new Date(info.createdAt)]]));
    })), 'potoroo connection show sales');

  example(connection.command('details').description('print the details of a connection, secrets and all').argument('<name>', 'name of the connection')
    .action(action(contextOf, async (context, name: string) => {
      const details = await (await findConnection(context, name)).details({ signal: context.signal });
      context.output.out(jsonText(details));
    })), 'potoroo connection details sales');

  example(connection.command('add').description('add a connection to the current workspace').argument('<name>', 'name of the connection')
    .action(action(contextOf, async (context, name: string) => {
      const workspace = await context.workspace();
      const added = await (await findConnection(context, name)).addToWorkspace(workspace.id, { signal: context.signal });
      show(context.output, added.info, () => `Workspace ${workspace.name} has connection ${name}.`);
    })), 'potoroo connection add sales --workspace fraud');

  example(connection.command('remove').description('take a connection out of the current workspace').argument('<name>', 'name of the connection')
    .action(action(contextOf, async (context, name: string) => {
      const workspace = await context.workspace();
      const found = await findConnection(context, name);
      await found.removeFromWorkspace(workspace.id, { signal: context.signal });
      show(context.output, { name, workspaceId: workspace.id }, () => `Workspace ${workspace.name} no longer has connection ${name}.`);
    })), 'potoroo connection remove sales --workspace fraud');

  example(connection.command('delete').description('delete a connection that is in no workspace').argument('<name>', 'name of the connection')
    .action(action(contextOf, async (context, name: string) => {
      const found = await findConnection(context, name);
      await found.delete({ signal: context.signal });
      show(context.output, found.info, () => `Deleted connection ${name}.`);
    })), 'potoroo connection delete sales');
}

async function findConnection(context: Context, name: string): Promise<Connection> {
  const [found] = await context.client.connections.list({ name, signal: context.signal }).toArray(1);
  if (found === undefined) throw new PotorooError('connection_not_found', `There is no connection ${JSON.stringify(name)} that you may see.`);
  return found;
}

/** Nothing of what is read stands in a message: it holds passwords. */
async function detailsFrom(file: string): Promise<Record<string, unknown>> {
  const where = file === '-' ? 'Standard input' : file;
  let content: string;
  try {
    content = file === '-' ? await readAll(process.stdin) : readFileSync(file, 'utf8');
  } catch (cause) {
    throw new PotorooError('invalid_request', `${where} cannot be read; give the path of a JSON file with the details, or - for standard input.`, { cause });
  }
  let value: unknown;
  try { value = JSON.parse(content); } catch { /* said below */ }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new PotorooError('invalid_request', `${where} does not hold a JSON object, such as {"host": "db.example.com", "password": "…"}.`);
}
