import type { Command } from 'commander';
import { action, example, wholeNumber, type ContextOf } from '../command.ts';
import { show, table } from '../output.ts';
import { findUser } from './user.ts';

interface AuditOptions { all?: boolean; user?: string; limit: number }

export function addAudit(program: Command, contextOf: ContextOf): void {
  example(program.command('audit').description('show who changed what in the current workspace, newest first; for its owners')
    .option('-a, --all', 'on the whole server; for administrators')
    .option('-u, --user <email>', 'only what this user did')
    .option('-n, --limit <n>', 'how many', wholeNumber(1), 50)
    .action(action(contextOf, async (context, options: AuditOptions) => {
      const { signal } = context;
      const workspaceId = options.all === true ? undefined : (await context.workspace()).id;
      const userId = options.user === undefined ? undefined : (await findUser(context, options.user)).id;
      const found = await context.client.audit.list({ ...(workspaceId === undefined ? {} : { workspaceId }), ...(userId === undefined ? {} : { userId }), signal }).toArray(options.limit);
      show(context.output, found, () => table(
        ['time', 'who', 'action', 'what', 'outcome', 'request'],
        found.map((r) => [new Date(r.time), r.email, r.action, r.objectId === null ? r.kind : `${r.kind} ${r.objectId}`, r.outcome, r.requestId]),
        'Nothing has been changed yet.',
      ));
    })), 'potoroo audit --workspace fraud', 'potoroo audit --all --user maria@example.com --json');
}
