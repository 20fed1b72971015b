import { Option, type Command } from 'commander';
import { action, duration, example, type ContextOf } from '../command.ts';
import { show, table } from '../output.ts';

export function addToken(program: Command, contextOf: ContextOf): void {
  const token = program.command('token').description('print an access token, for curl and the like; make lasting ones for scripts')
    .action(action(contextOf, async (context) => {
      const printed = await context.client.token({ signal: context.signal });
      show(context.output, { token: printed }, () => printed);
    }));
  example(token, 'curl -H "Authorization: Bearer $(potoroo token)" http://127.0.0.1:8080/api/v1/pipelines');

  example(token.command('create').description('make a personal access token and print it, this once').argument('<name>', 'what it is for')
    .addOption(new Option('--expires <time>', 'how long it is good, such as 12h or 90d; without end when not given').argParser(duration))
    .action(action(contextOf, async (context, name: string, options: { expires?: number }) => {
      const created = await context.client.personalTokens.create({ name, ...(options.expires === undefined ? {} : { expiresAt: new Date(Date.now() + options.expires) }) }, { signal: context.signal });
      show(context.output, created, () => created.token);
    })), 'POTOROO_TOKEN=$(potoroo token create nightly --expires 20d)');

  example(token.command('list').description('list your personal access tokens, without the tokens themselves')
    .action(action(contextOf, async (context) => {
      const found = await context.client.personalTokens.list({ signal: context.signal }).toArray();
      const time = (text: string | null) => (text === null ? null : new Date(text));
      show(context.output, found, () => table(['name', 'id', 'created', 'expires', 'last used'], found.map((t) => [t.name, t.id, time(t.createdAt), time(t.expiresAt), time(t.lastUsedAt)]), 'You have no personal access token.'));
    })), 'potoroo token list');

  example(token.command('revoke').description('revoke a personal access token').argument('<id>', 'id of the token; `potoroo token list` shows it')
    .action(action(contextOf, async (context, id: string) => {
      await context.client.personalTokens.revoke(id, { signal: context.signal });
      show(context.output, { id }, () => `Revoked ${id}.`);
    })), 'potoroo token revoke 3f0c7a52-8a3e-4a76-9d0f-1f5d7a3f6a11');
}
