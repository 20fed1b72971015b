import type { Command } from 'commander';
import type { ApiSigningKey } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import { show, table } from '../output.ts';

/** The keys of the built-in issuer; for administrators. */
export function addKey(program: Command, contextOf: ContextOf): void {
  const key = program.command('key').description('look at the keys that access tokens are signed with, make a new one, and revoke one; for administrators');
  example(key, 'potoroo key list');

  const rows = (keys: readonly ApiSigningKey[]): string => table(['key', 'state', 'created', 'signs from'], keys.map((k) => [k.id, k.state, new Date(k.createdAt), new Date(k.signsFrom)]), 'There is no key yet.');
  example(key.command('list').description('list them, newest first')
    .action(action(contextOf, async (context) => {
      const found = await context.client.signingKeys.list({ signal: context.signal });
      show(context.output, found, () => rows(found));
    })), 'potoroo key list');

  example(key.command('rotate').description('make a new key; it signs as soon as engines know it, and nobody has to sign in again')
    .action(action(contextOf, async (context) => {
      const made = await context.client.signingKeys.rotate({ signal: context.signal });
      show(context.output, made, () => `Made key ${made.id}. It signs from ${made.signsFrom} on; the one before is good until its last token has ended.`);
    })), 'potoroo key rotate');

  example(key.command('revoke').description('refuse the tokens of a key at once, because somebody else may have it; whoever is signed in stays so').argument('<key>', 'its name, as `potoroo key list` shows it')
    .action(action(contextOf, async (context, id: string) => {
      const revoked = await context.client.signingKeys.revoke(id, { signal: context.signal });
      show(context.output, revoked, () => `Revoked key ${revoked.id}. Its access tokens are refused from now on; who is signed in gets another one.`);
    })), 'potoroo key revoke 3q2-7wAbC');
}
