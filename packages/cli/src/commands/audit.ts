import type { Command } from 'commander';
import { action, example, moment, wholeNumber, type ContextOf } from '../command.ts';
import { show, table } from '../output.ts';
import { findUser } from './user.ts';

interface AuditOptions { all?: boolean; user?: string; action?: string; kind?: string; object?: string; outcome?: string; signIns?: boolean; start?: Date; end?: Date; limit: number }

export function addAudit(program: Command, contextOf: ContextOf): void {
  example(program.command('audit').description('show who changed what in the current workspace, newest first; for its owners')
    .option('-a, --all', 'on the whole server; for administrators')
    .option('-u, --user <email>', 'only what this user did')
    .option('--action <action>', 'only this, such as pipelines.addVersion')
    .option('--kind <kind>', 'only what was done to this kind of thing, such as pipeline')
    .option('--object <id>', 'only what was done to the thing with this id; with --kind')
    .option('--outcome <outcome>', 'only with this outcome: done, begun or the code of an error')
    .option('--sign-ins', 'only sign-ins with a password, from everywhere; for administrators')
    .option('--start <time>', 'from then on: a time, or how long ago, such as 2d', moment)
    .option('--end <time>', 'until then', moment)
    .option('-n, --limit <n>', 'how many', wholeNumber(1), 50)
    .action(action(contextOf, async (context, options: AuditOptions) => {
      const { signal } = context;
      const { all, user, action: done, kind, object, outcome, signIns, start, end, limit } = options;
      const workspaceId = all === true || signIns === true ? undefined : (await context.workspace()).id;
      const userId = user === undefined ? undefined : (await findUser(context, user)).id;
      const found = await context.client.audit.list({
        signal, ...(workspaceId === undefined ? {} : { workspaceId }), ...(userId === undefined ? {} : { userId }), ...(done === undefined ? {} : { action: done }),
        ...(signIns === true ? { kind: 'address' } : kind === undefined ? {} : { kind }), ...(object === undefined ? {} : { objectId: object }), ...(outcome === undefined ? {} : { outcome }),
        ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }),
      }).toArray(limit);
      show(context.output, found, () => table(
        ['time', 'who', 'action', 'what', 'outcome', 'request'],
        found.map((r) => [new Date(r.time), r.email || null, r.action, r.objectId === null ? r.kind : `${r.kind} ${r.objectId}`, r.outcome, r.requestId]),
        'There is no such record.',
      ));
    })), 'potoroo audit --workspace fraud', 'potoroo audit --all --user maria@example.com --json', 'potoroo audit --sign-ins --outcome invalid_credentials --start 1d', 'potoroo audit --kind pipeline --object 7');
}
