import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setUpKeycloak } from './setup.mjs';

const realm = 'ml';
const administrator = { username: 'admin', password: 'a password for tests' };

export interface Person { readonly email: string; readonly password: string; readonly verified?: boolean; readonly roles?: readonly string[] }
export interface Keycloak {
  readonly issuer: string;
  addUser(person: Person): Promise<void>;
  /** An access token by password, for one of the two clients. */
  token(person: Person, client?: string, kind?: 'access_token' | 'id_token' | 'refresh_token'): Promise<string>;
  setPersonRoles(person: Person, roles: readonly string[]): Promise<void>;
  /** A new signing key that is used from now on. */
  rotateKeys(): Promise<void>;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A real Keycloak in memory, with a realm, two clients and the role that makes administrators. */
export async function startKeycloak(): Promise<Keycloak> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn('bash', [join(setUpKeycloak(), 'bin', 'kc.sh'), 'start-dev', `--http-port=${port}`, '--http-host=127.0.0.1', '--db=dev-mem', '--cache=local', '--log-level=WARN'], {
    stdio: ['ignore', 'pipe', 'pipe'], detached: true,
    env: { ...process.env, KC_BOOTSTRAP_ADMIN_USERNAME: administrator.username, KC_BOOTSTRAP_ADMIN_PASSWORD: administrator.password, JAVA_OPTS_KC_HEAP: '-Xms128m -Xmx768m' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output = (output + chunk.toString()).slice(-10_000); });
  await answering(`${url}/realms/master`, child, () => output);

  const grant = async (inRealm: string, client_id: string, username: string, password: string): Promise<Record<string, string>> => {
    const answer = await fetch(`${url}/realms/${inRealm}/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'password', scope: 'openid', client_id, username, password }) });
    const body = (await answer.json()) as Record<string, string>;
    if (!answer.ok) throw new Error(`Keycloak gave ${username} no token: ${JSON.stringify(body)}`);
    return body;
  };
  const admin = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const { access_token: token } = await grant('master', 'admin-cli', administrator.username, administrator.password);
    const answer = await fetch(`${url}/admin/realms${path}`, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, ...(body !== undefined && { body: JSON.stringify(body) }) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };

  await admin('POST', '', { realm, enabled: true });
  for (const clientId of ['potoroo', 'something-else']) await admin('POST', `/${realm}/clients`, { clientId, publicClient: true, directAccessGrantsEnabled: true, enabled: true });
  await admin('POST', `/${realm}/roles`, { name: 'potoroo-admin' });

  const idOf = async ({ email }: Person) => (await admin<{ id: string }[]>('GET', `/${realm}/users?exact=true&email=${encodeURIComponent(email)}`))[0]?.id as string;
  const setPersonRoles: Keycloak['setPersonRoles'] = async (person, roles) => {
    const path = `/${realm}/users/${await idOf(person)}/role-mappings/realm`;
    const role = await admin<{ id: string; name: string }>('GET', `/${realm}/roles/potoroo-admin`);
    await admin(roles.includes(role.name) ? 'POST' : 'DELETE', path, [role]);
  };
  return {
    issuer: `${url}/realms/${realm}`,
    setPersonRoles,
    async addUser(person) {
      const { email, password, verified = true, roles = [] } = person;
      await admin('POST', `/${realm}/users`, { username: email, email, emailVerified: verified, enabled: true, firstName: 'F', lastName: 'L', credentials: [{ type: 'password', value: password, temporary: false }] });
      if (roles.length > 0) await setPersonRoles(person, roles);
    },
    token: async ({ email, password }, client = 'potoroo', kind = 'access_token') => (await grant(realm, client, email, password))[kind] as string,
    async rotateKeys() {
      const { id } = await admin<{ id: string }>('GET', `/${realm}`);
      await admin('POST', `/${realm}/components`, { name: 'next', providerId: 'rsa-generated', providerType: 'org.keycloak.keys.KeyProvider', parentId: id, config: { priority: ['200'], enabled: ['true'], active: ['true'], algorithm: ['RS256'] } });
    },
    async stop() {
      // The script starts Java as its child: both are in the group that it leads.
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

async function answering(url: string, child: ChildProcess, output: () => string): Promise<void> {
  for (const until = Date.now() + 240_000; Date.now() < until;) {
    if (child.exitCode !== null) throw new Error(`Keycloak ended with ${child.exitCode}:\n${output()}`);
    if (await fetch(url).then((answer) => answer.ok, () => false)) return;
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
  throw new Error(`Keycloak did not start:\n${output()}`);
}
