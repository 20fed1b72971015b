import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import type { DeviceSignIns } from '../domains/domains.ts';
import { logFailure, toPotorooError } from './errors.ts';

export const devicePath = '/auth/realms/master/device';

const cookieName = 'potoroo_sign_in';
const Code = Type.String({ minLength: 1, maxLength: 64 });
const Form = Type.Union([
  Type.Object({ proof: Code, user_code: Code, answer: Type.Literal('allow'), username: Type.String({ minLength: 1, maxLength: 254 }), password: Type.String({ minLength: 1, maxLength: 1024 }) }),
  Type.Object({ proof: Code, user_code: Code, answer: Type.Literal('deny') }),
]);

const style = `
:root { color-scheme: light dark; --text: #1b1b1b; --soft: #5a5a5a; --page: #f3f4f6; --card: #fff; --line: #767676; --edge: #d9dce1; --main: #1d4f91; --on: #fff; --link: #1d4f91; --bad: #b00020; --good: #1b6e3c; --focus: #c77700 }
@media (prefers-color-scheme: dark) { :root { --text: #ececec; --soft: #b3b3b3; --page: #141517; --card: #1f2124; --line: #8a8f98; --edge: #34373c; --main: #9cc2f5; --on: #10243d; --link: #9cc2f5; --bad: #ff9a8f; --good: #7ed6a0; --focus: #ffb84d } }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; padding: 2.5rem 1rem; color: var(--text); background: var(--page) }
header, main { box-sizing: border-box; max-width: 28rem; margin: 0 auto }
header { padding: 0 2rem; margin-bottom: .75rem; font-weight: 600; color: var(--soft) }
main { padding: 2rem; background: var(--card); border: 1px solid var(--edge); border-radius: 12px }
main > :last-child { margin-bottom: 0 }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem }
label { display: block; margin: 1.25rem 0 .4rem; font-weight: 600 }
input { font: inherit; color: inherit; background: transparent; width: 100%; box-sizing: border-box; min-height: 2.75rem; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: 6px }
#user_code { font: 1.25rem ui-monospace, monospace; letter-spacing: .1em; text-transform: uppercase }
#user_code::placeholder { color: var(--soft); opacity: .6 }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.75rem }
button { font: inherit; font-weight: 600; flex: 1 1 8rem; min-height: 2.75rem; padding: .5rem 1.25rem; border: 1px solid var(--main); border-radius: 6px; background: var(--main); color: var(--on); cursor: pointer }
button.quiet { background: transparent; color: var(--link) }
button:hover { filter: brightness(1.1) }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px }
code { display: block; font: 600 1.6rem ui-monospace, monospace; letter-spacing: .12em; text-align: center; padding: .6rem; border: 1px dashed var(--line); border-radius: 6px }
[role=alert] { margin: 0 0 1rem; padding: .2rem 0 .2rem .9rem; border-left: 4px solid var(--bad); color: var(--bad) }
.done { color: var(--good) }
@media (max-width: 30rem) { body { padding: 1rem } main { padding: 1.25rem } header { padding: 0 1.25rem } }
@media (forced-colors: active) { button, input, main { border-color: CanvasText } }
`;
const policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

/** As the program shows it, however it was typed. */
const asShown = (code: string): string => code.toUpperCase().replace(/[^A-Z]/g, '').replace(/^.{4}/, '$&-');
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/**
 * The page on which the user of a waiting device signs in. Nothing on it comes from elsewhere and nothing runs in it. A form
 * is taken only from the browser that was given it: its hidden field has to match a cookie that other sites cannot send.
 */
export function devicePage(app: FastifyInstance, { devices, publicUrl }: { devices: DeviceSignIns; publicUrl: () => string }): void {
  const secure = () => publicUrl().startsWith('https:');

  const page = (reply: FastifyReply, status: number, title: string, body: string, kind = ''): FastifyReply =>
    reply.code(status).type('text/html; charset=utf-8').headers({ 'content-security-policy': policy, 'cache-control': 'no-store' }).send(
      `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>${escaped(title)} - Potoroo</title>\n<style>${style}</style>\n<header>Potoroo</header>\n<main>\n<h1${kind}>${escaped(title)}</h1>\n${body}\n</main>\n</html>\n`);

  const form = (reply: FastifyReply, status: number, userCode: string, message?: string, username = ''): FastifyReply => {
    const proof = randomBytes(18).toString('base64url');
    reply.header('set-cookie', `${cookieName}=${proof}; Path=${devicePath}; HttpOnly; SameSite=Strict; Max-Age=900${secure() ? '; Secure' : ''}`);
    const alert = message === undefined ? '' : `<p role="alert" id="problem">${escaped(message)}</p>\n`;
    return page(reply, status, 'Sign in', `${alert}<p>A program wants to work in your name. Go on only if you started it yourself and it shows this code:</p>
<code>${escaped(userCode)}</code>
<form method="post" action="">
<input type="hidden" name="proof" value="${proof}">
<input type="hidden" name="user_code" value="${escaped(userCode)}">
<label for="username">E-mail or user name</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required${username === '' ? ' autofocus' : ''} value="${escaped(username)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${username === '' ? '' : ' autofocus'}${message === undefined ? '' : ' aria-describedby="problem"'}>
<div class="buttons">
<button name="answer" value="allow">Sign in</button>
<button name="answer" value="deny" class="quiet" formnovalidate>Refuse</button>
</div>
</form>`);
  };

  const ask = (reply: FastifyReply, status: number, message?: string, userCode = ''): FastifyReply =>
    page(reply, status, 'Sign in', `${message === undefined ? '' : `<p role="alert" id="problem">${escaped(message)}</p>\n`}<form method="get" action="">
<label for="user_code">Code that the program shows</label>
<input id="user_code" name="user_code" placeholder="BCDF-GHJK" maxlength="20" autocomplete="off" autocapitalize="characters" spellcheck="false" required autofocus value="${escaped(userCode)}"${message === undefined ? '' : ' aria-describedby="problem" aria-invalid="true"'}>
<div class="buttons"><button>Continue</button></div>
</form>`);

  const gone = 'This code is unknown, used or expired. Start the sign-in again where you came from, or type the code that it shows.';

  /** What goes wrong on a page is told on a page. */
  const answering = (run: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>) => async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      return await run(request, reply);
    } catch (thrown) {
      const error = toPotorooError(thrown);
      logFailure(request.log, error);
      return page(reply, error.status, 'Sign in', `<p role="alert">${escaped(error.message)}</p>`);
    }
  };

  app.get(devicePath, answering(async (request, reply) => {
    const code = (request.query as Record<string, unknown>)['user_code'];
    if (typeof code !== 'string' || code.trim() === '') return ask(reply, 200);
    return (await devices.isPending(code.slice(0, 64), request.ip)) ? form(reply, 200, asShown(code.slice(0, 64))) : ask(reply, 404, gone, code.slice(0, 20));
  }));

  app.post(devicePath, answering(async (request, reply) => {
    const { body } = request;
    if (!Value.Check(Form, body)) throw new PotorooError('invalid_request', 'The form is not complete: open the address again that the program showed.');
    if (!fromThisPage(request, body.proof)) throw new PotorooError('forbidden', 'This form was not sent from the page it belongs to, or the page was open too long: open the address again that the program showed.');
    if (body.answer === 'deny') {
      await devices.deny(body.user_code, request.ip);
      return page(reply, 200, 'Refused', '<p>The program was not let in. You can close this page.</p>');
    }
    try {
      await devices.approve(body.user_code, body.username, body.password, request.ip);
    } catch (thrown) {
      const error = toPotorooError(thrown);
      if (error.code === 'invalid_credentials' || error.code === 'rate_limited') return form(reply, error.status, body.user_code, error.message, body.username);
      if (error.code === 'invalid_request') return ask(reply, 404, gone);
      throw thrown;
    }
    return page(reply, 200, 'Signed in', '<p>You can close this page and go back to the program.</p>', ' class="done"');
  }));
}

function fromThisPage(request: FastifyRequest, proof: string): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') return false;
  const cookie = new RegExp(`(?:^|;\\s*)${cookieName}=([\\w-]+)`).exec(request.headers.cookie ?? '')?.[1] ?? '';
  const [x, y] = [Buffer.from(cookie), Buffer.from(proof)];
  return x.length === y.length && timingSafeEqual(x, y);
}
