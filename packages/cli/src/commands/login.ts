import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { text as readAll } from 'node:stream/consumers';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { Potoroo, PotorooError, type SignInPage, type TokenSet } from '@potoroo/sdk';
import { action, example, type ContextOf } from '../command.ts';
import type { Context } from '../context.ts';
import { show } from '../output.ts';

interface LoginOptions {
  username?: string;
  passwordStdin?: boolean;
  adminFile?: string;
  browser?: boolean;
}

export function addLogin(program: Command, contextOf: ContextOf): void {
  const login = program.command('login').description('log in to a server and remember it')
    .option('-u, --username <name>', 'e-mail or user name; asked for when not given')
    .option('--password-stdin', 'read the password from standard input')
    .option('--admin-file <file>', 'take user name and password from the admin.json that a server wrote')
    .option('--browser', 'sign in on a page in a browser, on any machine')
    .action(action(contextOf, async (context, options: LoginOptions) => {
      const { url, signal } = context;
      if (options.browser === true && (options.username ?? options.passwordStdin ?? options.adminFile) !== undefined) throw new PotorooError('invalid_request', '--browser asks for user name and password on the page: leave the other options out.');
      const given = options.browser === true ? undefined : await who(context, options);
      let tokens: TokenSet | undefined;
      const keep = { url, onTokens: (set: TokenSet) => { tokens = set; } };
      const client = given === undefined ? new Potoroo({ ...keep, signInSignal: signal, onSignIn: (page) => context.output.err(pageText(page)) }) : new Potoroo({ ...keep, ...given });
      await client.token({ signal });
      const username = given?.username ?? (await client.users.me({ signal })).email;
      if (tokens === undefined) throw new PotorooError('internal', 'The server gave no tokens.');
      context.saved.save(url, { username, tokens, workspaceId: null });
      show(context.output, { url, username }, () => `Logged in to ${url} as ${username}.`);
    }));
  example(login, 'potoroo login --url http://127.0.0.1:8080 --username admin@potoroo.local', 'potoroo login --admin-file .potoroo/admin.json', 'potoroo login --browser');

  const logout = program.command('logout').description('forget the log-in of a server')
    .action(action(contextOf, async (context) => {
      const { url } = context;
      const found = context.saved.remove(url);
      show(context.output, { url, loggedOut: found }, () => (found ? `Logged out of ${url}.` : `You were not logged in to ${url}.`));
    }));
  example(logout, 'potoroo logout');
}

const pageText = ({ address, code, expiresAt }: SignInPage): string =>
  `Open this page within ${Math.round((expiresAt - Date.now()) / 60_000)} minutes, check that it shows ${code}, and sign in there:\n\n  ${address}\n`;

async function who(context: Context, options: LoginOptions): Promise<{ username: string; password: string }> {
  if (options.adminFile !== undefined) return adminOf(options.adminFile);
  const terminal = process.stdin.isTTY === true;
  if (options.username === undefined && !terminal) throw new PotorooError('invalid_request', 'Give --username and --password-stdin: there is no terminal to ask on.');
  const username = options.username ?? await ask('User name: ', false, context.signal);
  if (options.passwordStdin === true) return { username, password: (await readAll(process.stdin)).replace(/\r?\n$/, '') };
  if (!terminal) throw new PotorooError('invalid_request', 'Give the password on standard input with --password-stdin: there is no terminal to ask on.');
  return { username, password: await ask('Password: ', true, context.signal) };
}

/** What ops writes for the administrator that its first start creates. */
export function adminOf(path: string): { username: string; password: string } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PotorooError('invalid_request', `${path} cannot be read; give the path of the admin.json in the data folder of the server.`, { cause });
  }
  try {
    const { email, password } = JSON.parse(text) as { email?: unknown; password?: unknown };
    if (typeof email === 'string' && typeof password === 'string') return { username: email, password };
  } catch { /* said below */ }
  throw new PotorooError('invalid_request', `${path} does not hold the fields email and password; is it the admin.json of a server?`);
}

async function ask(question: string, hidden: boolean, signal: AbortSignal): Promise<string> {
  // What is typed is echoed by readline, not by the terminal: give it nowhere to echo to.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: hidden ? silent : process.stderr, terminal: true });
  try {
    if (hidden) process.stderr.write(question);
    return await lines.question(hidden ? '' : question, { signal });
  } finally {
    lines.close();
    if (hidden) process.stderr.write('\n');
  }
}
