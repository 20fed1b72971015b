import { join } from 'node:path';
import { expect } from 'vitest';
import type { TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Problem } from '@potoroo/contract';
import { createOps, type Ops } from './app.ts';
import { silent } from './log.ts';
import { readSettings } from './settings.ts';
import type { TestDatabase } from './storage/testing.ts';

export const adminEmail = 'admin@ex.co';
export const adminPassword = 'a password for tests';

export interface Answer<T = unknown> { readonly status: number; readonly headers: Headers; readonly body: T; readonly text: string }
export interface TestOps {
  readonly ops: Ops;
  readonly url: string;
  readonly dataDir: string;
  /** Signs in; gives the access token. */
  signIn(username: string, password: string): Promise<string>;
  /** A request as the administrator, or as whoever `token` says; null sends none. JSON bodies and answers. */
  call<T = unknown>(method: string, path: string, body?: unknown, options?: { token?: string | null; headers?: Record<string, string> }): Promise<Answer<T>>;
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** A whole server with its database, on a port of its own. */
export async function startOps(database: TestDatabase, env: Record<string, string> = {}, clock: () => number = Date.now): Promise<TestOps> {
  const storage = await database.open();
  const dataDir = join(storage.dataDir, 'ops');
  const settings = readSettings({ POTOROO_PORT: '0', POTOROO_DATA_DIR: dataDir, POTOROO_ADMIN_EMAIL: adminEmail, POTOROO_ADMIN_PASSWORD: adminPassword, ...(storage.databaseUrl && { DATABASE_URL: storage.databaseUrl }), ...env });
  const start = async () => {
    const ops = await createOps(settings, { log: silent, clock });
    return { ops, url: await ops.listen() };
  };
  let running = await start();
  let admin: Promise<string> | undefined;

  const signIn = async (username: string, password: string): Promise<string> => {
    const response = await fetch(`${running.url}/auth/realms/master/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'password', client_id: 'sdk-client', username, password }) });
    return ((await response.json()) as { access_token: string }).access_token;
  };
  return {
    get ops() { return running.ops; },
    get url() { return running.url; },
    dataDir,
    signIn,
    async call(method, path, body, { token, headers = {} } = {}) {
      const bearer = token === undefined ? await (admin ??= signIn(adminEmail, adminPassword)) : token;
      const raw = body instanceof Uint8Array || typeof body === 'string';
      const response = await fetch(running.url + path, {
        method, redirect: 'manual',
        headers: { ...(bearer !== null && { authorization: `Bearer ${bearer}` }), ...(body !== undefined && !raw && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: raw ? (body as string) : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '') && text !== '';
      return { status: response.status, headers: response.headers, text, body: (isJson ? JSON.parse(text) : undefined) as never };
    },
    async restart() {
      await running.ops.close();
      running = await start();
    },
    async close() {
      await running.ops.close();
      await storage.close();
    },
  };
}

/** The answer is what its schema says: nothing missing, nothing else in it. */
export function expectShape(schema: TSchema, body: unknown): void {
  expect([...Value.Errors(schema, body)].map((e) => `${e.path}: ${e.message}`)).toEqual([]);
  expect(Value.Clean(schema, structuredClone(body))).toEqual(body);
}

export function expectProblem(answer: Answer, code: string, field?: string): void {
  const problem = answer.body as Problem;
  expect(problem, answer.text).toMatchObject({ code, status: answer.status });
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(problem.detail).toMatch(/^[^\n]{10,}$/);
  expect(answer.text).not.toMatch(/\bat .*\.[jt]s:\d/);
  if (field !== undefined) expect(problem.errors?.map((e) => e.field)).toContain(field);
}
