import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PotorooError } from '@potoroo/contract';
import type { DeviceSignIns } from '../domains/domains.ts';
import { toPotorooError } from './errors.ts';

export const devicePath = '/auth/realms/master/device';

const cookieName = 'potoroo_sign_in';
const Code = Type.String({ minLength: 1, maxLength: 64 });
const Form = Type.Union([
  Type.Object({ proof: Code, user_code: Code, answer: Type.Literal('allow'), username: Type.String({ minLength: 1, maxLength: 254 }), password: Type.String({ minLength: 1, maxLength: 1024 }) }),
  Type.Object({ proof: Code, user_code: Code, answer: Type.Literal('deny') }),
]);

const style = `
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 3rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff }
label { display: block; margin-top: 1rem; font-weight: 600 }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #666; border-radius: 4px }
button { font: inherit; margin: 1.5rem .5rem 0 0; padding: .6rem 1.2rem; border: 1px solid #1d4f91; border-radius: 4px; background: #1d4f91; color: #fff }
button.quiet { background: #fff; color: #1d4f91 }
:focus-visible { outline: 3px solid #f0a500; outline-offset: 2px }
code { font: 1.4rem ui-monospace, monospace; letter-spacing: .1em }
[role=alert] { border-left: 4px solid #b00020; padding-left: .8rem }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #1b1b1b } input { color: #eee; background: #2a2a2a } button.quiet { background: #1b1b1b; color: #9cc2f5 } }
`;
const policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/**
 * The page on which the user of a waiting device signs in. Nothing on it comes from elsewhere and nothing runs in it. A form
 * is taken only from the browser that was given it: its hidden field has to match a cookie that other sites cannot send.
 */
export function devicePage(app: FastifyInstance, { devices, publicUrl }: { devices: DeviceSignIns; publicUrl: () => string }): void {
  const secure = () => publicUrl().startsWith('https:');

  const page = (reply: FastifyReply, status: number, title: string, body: string): FastifyReply =>
    reply.code(status).type('text/html; charset=utf-8').headers({ 'content-security-policy': policy, 'cache-control': 'no-store' }).send(
      `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>${escaped(title)} - Potoroo</title>\n<style>${style}</style>\n<main>\n<h1>${escaped(title)}</h1>\n${body}\n</main>\n</html>\n`);

  const form = (reply: FastifyReply, status: number, userCode: string, message?: string, username = ''): FastifyReply => {
    const proof = randomBytes(18).toString('base64url');
    reply.header('set-cookie', `${cookieName}=${proof}; Path=${devicePath}; HttpOnly; SameSite=Strict; Max-Age=900${secure() ? '; Secure' : ''}`);
    const alert = message === undefined ? '' : `<p role="alert" id="problem">${escaped(message)}</p>\n`;
    return page(reply, status, 'Sign in', `${alert}<p>A program wants to work in your name. Go on only if you started it yourself and it shows this code:</p>
<p><code>${escaped(userCode)}</code></p>
<form method="post" action="">
<input type="hidden" name="proof" value="${proof}">
<input type="hidden" name="user_code" value="${escaped(userCode)}">
<label for="username">E-mail or user name</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus value="${escaped(username)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${message === undefined ? '' : ' aria-describedby="problem"'}>
<button name="answer" value="allow">Sign in</button>
<button name="answer" value="deny" class="quiet" formnovalidate>Refuse</button>
</form>`);
  };

  const ask = (reply: FastifyReply, status: number, message?: string): FastifyReply =>
    page(reply, status, 'Sign in', `${message === undefined ? '' : `<p role="alert" id="problem">${escaped(message)}</p>\n`}<form method="get" action="">
<label for="user_code">Code that the program shows</label>
<input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required autofocus${message === undefined ? '' : ' aria-describedby="problem"'}>
<button>Go on</button>
</form>`);

  const gone = 'This code is unknown, used or expired. Start the sign-in again where you came from, or type the code that it shows.';

  /** What goes wrong on a page is told on a page. */
  const answering = (run: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>) => async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      return await run(request, reply);
    } catch (thrown) {
      const error = toPotorooError(thrown);
      if (error.status >= 500) request.log.error({ err: thrown }, error.message);
      return page(reply, error.status, 'Sign in', `<p role="alert">${escaped(error.message)}</p>`);
    }
  };

  app.get(devicePath, answering(async (request, reply) => {
    const code = (request.query as Record<string, unknown>)['user_code'];
    if (typeof code !== 'string' || code.trim() === '') return ask(reply, 200);
    return (await devices.isPending(code.slice(0, 64), request.ip)) ? form(reply, 200, code.slice(0, 64).toUpperCase()) : ask(reply, 404, gone);
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
    return page(reply, 200, 'Signed in', '<p>You can close this page and go back to the program.</p>');
  }));
}

function fromThisPage(request: FastifyRequest, proof: string): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') return false;
  const cookie = new RegExp(`(?:^|;\\s*)${cookieName}=([\\w-]+)`).exec(request.headers.cookie ?? '')?.[1] ?? '';
  const [x, y] = [Buffer.from(cookie), Buffer.from(proof)];
  return x.length === y.length && timingSafeEqual(x, y);
}
