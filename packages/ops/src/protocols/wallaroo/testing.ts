import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { TestDatabase } from '../../storage/testing.ts';
import { adminEmail, adminPassword, startOps, type Answer, type TestOps } from '../../testing.ts';

const example = fileURLToPath(new URL('../../../../../examples/breast-cancer/model.onnx', import.meta.url));

export type Json = Record<string, unknown>;
/** One user's way to talk to the server, as the Python client does. */
export interface Caller {
  readonly id: string;
  readonly token: string;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<Json>>;
  post(path: string, body?: unknown): Promise<Answer<Json>>;
  graphql(query: string, variables?: Json): Promise<{ data?: Json | null; errors?: { message: string; extensions: { code: string } }[]; status: number }>;
  form(path: string, parts: readonly Part[]): Promise<Answer<Json>>;
}

export interface Part { name: string; content: Uint8Array | string; type?: string; fileName?: string }
export const boundary = 'a-boundary-of-the-test';
export const formType = `multipart/form-data; boundary=${boundary}`;

/** A multipart body, byte for byte as its parts say. */
export function formBody(parts: readonly Part[]): Buffer {
  return Buffer.concat([
    ...parts.flatMap(({ name, content, type, fileName }) => [
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${fileName === undefined ? '' : `; filename="${fileName}"`}\r\n${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n`),
      Buffer.from(content as Uint8Array), Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
}

/** The parts of an upload as the Python client sends them. */
export const uploadParts = (metadata: unknown, content: Uint8Array | string): Part[] => [
  { name: 'metadata', content: typeof metadata === 'string' ? metadata : JSON.stringify(metadata), type: 'application/json' },
  { name: 'file', content, type: 'application/octet-stream', fileName: 'model.onnx' },
];

export const metadataOf = (name: string, workspaceId: number): Json => ({
  name, visibility: 'private', workspace_id: workspaceId, conversion: { arch: 'x86', accel: 'none', framework: 'onnx', framework_config: null, python_version: '3.8', requirements: [] },
});

export const exampleModel = (): Promise<Buffer> => readFile(example);

export async function callerOf(server: TestOps, email: string, password: string): Promise<Caller> {
  const token = await server.signIn(email, password);
  const { id } = await server.ops.domains.identity.actorOf(token);
  const send: Caller['send'] = async (method, path, body, headers = {}) => {
    const answer = await server.call<Json | undefined>(method, path, body, { token, headers: { ...(typeof body === 'string' && { 'content-type': 'application/json' }), ...headers } });
    return { ...answer, body: answer.body ?? {} };
  };
  return {
    id, token, send,
    post: (path, body = {}) => send('POST', path, body),
    graphql: async (query, variables) => {
      const { body, status } = await send('POST', '/v1/graphql', { query, ...(variables && { variables }) });
      return { ...(body as Awaited<ReturnType<Caller['graphql']>>), status };
    },
    form: (path, parts) => send('POST', path, formBody(parts), { 'content-type': formType }),
  };
}

/** A whole ops and the callers of a test: its administrator, and two users who share nothing. */
export async function startWithUsers(database: TestDatabase, env: Record<string, string> = {}) {
  const server = await startOps(database, env);
  const admin = await callerOf(server, adminEmail, adminPassword);
  const user = async (email: string): Promise<Caller> => {
    await admin.post('/v1/api/users/invite', { email, password: 'a-good-password' });
    return callerOf(server, email, 'a-good-password');
  };
  return { server, admin, ana: await user('ana@example.com'), eve: await user('eve@example.com') };
}
