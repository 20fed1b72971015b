import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createOps } from '../../app.ts';
import { readSettings } from '../../settings.ts';

const example = fileURLToPath(new URL('../../../../../examples/breast-cancer/model.onnx', import.meta.url));

export interface Answer { status: number; body: Record<string, unknown>; text: string; headers: Headers }
/** One user's way to talk to the server, as the Python client does. */
export interface Caller {
  readonly id: string;
  readonly token: string;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  graphql(query: string, variables?: Record<string, unknown>): Promise<{ data?: Record<string, unknown> | null; errors?: { message: string; extensions: { code: string } }[]; status: number }>;
  form(path: string, parts: readonly Part[]): Promise<Answer>;
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

export const metadataOf = (name: string, workspaceId: number): Record<string, unknown> => ({
  name, visibility: 'private', workspace_id: workspaceId, conversion: { arch: 'x86', accel: 'none', framework: 'onnx', framework_config: null, python_version: '3.8', requirements: [] },
});

/** A whole ops on a free port with a data folder of its own, its administrator, and sign-ins. */
export async function startOps(env: Record<string, string> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'potoroo-wallaroo-'));
  const admin = { email: 'admin@example.com', password: 'the-first-password' };
  const ops = await createOps(readSettings({
    POTOROO_DATA_DIR: join(folder, 'data'), POTOROO_PORT: '0', POTOROO_ADMIN_EMAIL: admin.email, POTOROO_ADMIN_PASSWORD: admin.password, LOG_LEVEL: 'silent', ...env,
  }));
  const url = await ops.listen();
  const model = await readFile(example);

  const signIn = async (email: string, password: string): Promise<Caller> => {
    const form = new URLSearchParams({ grant_type: 'password', client_id: 'sdk-client', username: email, password });
    const answer = await fetch(`${url}/auth/realms/master/protocol/openid-connect/token`, { method: 'POST', body: form });
    const { access_token: token } = (await answer.json()) as { access_token: string };
    const { id } = await ops.domains.identity.actorOf(token);
    const request = async (path: string, init: RequestInit): Promise<Answer> => {
      const response = await fetch(url + path, init);
      const text = await response.text();
      const json = response.headers.get('content-type')?.includes('json') ? (JSON.parse(text) as Record<string, unknown>) : {};
      return { status: response.status, body: json, text, headers: response.headers };
    };
    const auth = { authorization: `Bearer ${token}` };
    const send: Caller['send'] = (method, path, body, headers = {}) => request(path, {
      method, headers: { ...auth, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
    });
    return {
      id, token, send,
      post: (path, body = {}) => send('POST', path, body),
      graphql: async (query, variables) => {
        const { body, status } = await send('POST', '/v1/graphql', { query, ...(variables && { variables }) });
        return { ...(body as Awaited<ReturnType<Caller['graphql']>>), status };
      },
      form: (path, parts) => request(path, { method: 'POST', headers: { ...auth, 'content-type': formType }, body: formBody(parts) }),
    };
  };
  return {
    ops, url, admin, signIn, model,
    close: async () => {
      await ops.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
