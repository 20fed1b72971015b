import type { Command } from 'commander';
import { PotorooError } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { pairs, show } from '../output.ts';
import { adminOf } from './login.ts';
import { deployExample, type Example } from '../up/example.ts';
import { startOps, type Ops } from '../up/ops.ts';
import { keepHeader, type Header } from '../up/header.ts';

interface UpOptions {
  example?: boolean;
}

export function addUp(program: Command, contextOf: ContextOf): void {
  const up = program.command('up').description('start a server on this machine, with everything in one folder; Ctrl-C stops it')
    .option('--example', 'deploy the example pipeline the first time')
    .addHelpText('after', '\nSettings come from the environment (POTOROO_PORT, POTOROO_DATA_DIR,\nDATABASE_URL, ...): see docs/settings.md.')
    .action(action(contextOf, async (context, options: UpOptions) => {
      context.output.err('Starting Potoroo …');
      const ops = await startOps(context.env, (line) => context.output.err(line));
      const stop = (): void => {
        context.output.err('\nStopping: requests in progress are answered first. Ctrl-C again stops at once.');
        ops.stop();
        process.once('SIGINT', () => ops.kill());
      };
      context.signal.addEventListener('abort', stop, { once: true });
      const watch = watchNpm(context);
      try {
        if (context.signal.aborted) stop();
        else await announce(context, ops, options.example === true);
        const how = await ops.exited;
        if (!context.signal.aborted) throw new PotorooError('internal', `The server stopped on its own with ${how}; its last lines are above.`);
        context.output.err('Stopped. The next start brings back what was running.');
      } finally {
        clearInterval(watch);
        ops.stop();
        await ops.exited;
      }
    }));
  example(up, 'potoroo up --example', 'POTOROO_PORT=9090 POTOROO_DATA_DIR=/srv/potoroo potoroo up');
}

/** Under `npm start`, a signal that ends npm does not reach this process: stop when its parent is gone. */
function watchNpm({ env, interrupt }: Context): NodeJS.Timeout | undefined {
  if (env['npm_lifecycle_event'] === undefined) return undefined;
  const parent = process.ppid;
  return setInterval(() => { if (process.ppid !== parent) interrupt(); }, 500).unref();
}

async function announce(context: Context, ops: Ops, withExample: boolean): Promise<void> {
  const admin = ops.adminFile === null ? null : adminOf(ops.adminFile);
  const username = admin?.username ?? context.env['POTOROO_ADMIN_EMAIL'] ?? 'admin@potoroo.local';
  const password = admin?.password ?? context.env['POTOROO_ADMIN_PASSWORD'] ?? '';
  let found: Example | null = null;
  let header: Header | null = null;
  if (withExample) {
    try {
      ({ found, header } = await prepare(context, ops, { username, password }));
    } catch (error) {
      if (context.signal.aborted) return;
      // The server is up all the same: what is wrong with the example must not take it down.
      context.output.err(`The example pipeline is not ready: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const curl = found?.deploymentId === undefined || header === null ? null : curlLine(ops.url, found, header);
  const place = ops.adminFile ?? 'POTOROO_ADMIN_EMAIL and POTOROO_ADMIN_PASSWORD, as you set them';
  show(context.output, { url: ops.url, username, credentials: place, example: found, curl }, () => [
    '',
    `Potoroo runs at ${ops.url}`,
    '',
    pairs([
      ['  API', `${ops.url}/api/v1/docs`],
      ['  user', username],
      ['  password', `in ${place}`],
      ...(found === null ? [] : [['  example', found.text] as const]),
    ]),
    ...(curl === null ? [] : ['', 'Try it:', '', curl]),
    '',
    'Ctrl-C stops it; the next start brings back what was running.',
  ].join('\n'));
}

async function prepare(context: Context, ops: Ops, who: { username: string; password: string }): Promise<{ found: Example; header: Header }> {
  const header = await keepHeader(ops, who, context.signal);
  return { found: await deployExample(context, header.client), header };
}

/** Paths are whole, so that the line works from any folder; the rows and the token are in files, so that it stays short. */
function curlLine(url: string, found: Example, header: Header): string {
  const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  return ['curl -s', `-H ${quoted(`@${header.path}`)}`, "-H 'Content-Type: application/json'", `-d ${quoted(`@${found.rows}`)}`, quoted(`${url}/api/v1/deployments/${found.deploymentId}/infer?dataset=out`)].join(' ');
}
