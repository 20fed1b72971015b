import { randomBytes } from 'node:crypto';
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import { PotorooError, type ApiUser } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { pairs, show, table } from '../output.ts';

export function addUser(program: Command, contextOf: ContextOf): void {
  const user = program.command('user').description('invite users and look at them');
  example(user, 'potoroo user list');

  example(user.command('list').description('list the users of the server')
    .action(action(contextOf, async (context) => {
      const found = await context.client.users.list({ signal: context.signal }).toArray();
      show(context.output, found, () => table(['email', 'role', 'enabled', 'id', 'created'], found.map((u) => [u.email, u.role, u.enabled, u.id, new Date(u.createdAt)]), 'There is no user.'));
    })), 'potoroo user list');

  example(user.command('show').description('show a user').argument('[email]', 'who; you when not given')
    .action(action(contextOf, async (context, email: string | undefined) => {
      const found = email === undefined ? await context.client.users.me({ signal: context.signal }) : await findUser(context, email);
      show(context.output, found, () => pairs([['email', found.email], ['user name', found.username], ['role', found.role], ['enabled', found.enabled], ['id', found.id], ['created', new Date(found.createdAt)]]));
    })), 'potoroo user show', 'potoroo user show maria@example.com');

  example(user.command('invite').description('create a user; prints the password that it makes, this once').argument('<email>', 'e-mail of the user')
    .option('--admin', 'as an administrator')
    .option('--password-stdin', 'read the password from standard input instead of making one')
    .action(action(contextOf, async (context, email: string, options: { admin?: boolean; passwordStdin?: boolean }) => {
      const given = options.passwordStdin === true ? (await readAll(process.stdin)).replace(/\r?\n$/, '') : undefined;
      const password = given ?? randomBytes(15).toString('base64url');
      const created = await context.client.users.create({ email, password, role: options.admin === true ? 'admin' : 'user' }, { signal: context.signal });
      show(context.output, { ...created, ...(given === undefined ? { password } : {}) }, () => `Created ${created.email}.${given === undefined ? ` Password: ${password}` : ''}`);
    })), 'potoroo user invite maria@example.com');

  for (const { name, enabled, what } of [{ name: 'enable', enabled: true, what: 'let a user in again' }, { name: 'disable', enabled: false, what: 'keep a user out, at once' }]) {
    example(user.command(name).description(what).argument('<email>', 'e-mail of the user')
      .action(action(contextOf, async (context, email: string) => {
        const changed = await context.client.users.setEnabled((await findUser(context, email)).id, enabled, { signal: context.signal });
        show(context.output, changed, () => `${changed.email} is ${enabled ? 'enabled' : 'disabled'}.`);
      })), `potoroo user ${name} maria@example.com`);
  }
}

/** @throws PotorooError user_not_found */
export async function findUser(context: Context, email: string): Promise<ApiUser> {
  const [found] = await context.client.users.list({ email, signal: context.signal }).toArray(1);
  if (found === undefined) throw new PotorooError('user_not_found', `There is no user with the e-mail ${JSON.stringify(email)}.`);
  return found;
}
