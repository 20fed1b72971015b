import { resolve } from 'node:path';
import { Type, type Static, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isolations, PotorooError, type ErrorField } from '@potoroo/contract';
import { fromText } from './text.ts';

/** One setting: its environment variable, and the schema whose description and default the documentation prints. */
const setting = <T extends TSchema>(env: string, schema: T): T => ({ ...schema, env });

/** All settings of ops. Each is read from its environment variable once, at start; an empty variable counts as not set. */
export const SettingsSchema = Type.Object({
  host: setting('POTOROO_HOST', Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on; `0.0.0.0` for every network.' })),
  port: setting('POTOROO_PORT', Type.Integer({ default: 8080, minimum: 0, maximum: 65535, description: 'Port to listen on; 0 takes a free one.' })),
  publicUrl: setting('POTOROO_PUBLIC_URL', Type.Optional(Type.String({ pattern: '^https?://[^\\s/]+(/[^\\s]*)?$', description: 'Address that clients reach this server under, when it is not `http://<host>:<port>`. It names the token issuer.' }))),
  dataDir: setting('POTOROO_DATA_DIR', Type.String({ default: '.potoroo', minLength: 1, description: 'Folder for the database, model files, logs and what running engines need.' })),
  databaseUrl: setting('DATABASE_URL', Type.Optional(Type.String({ pattern: '^postgres(ql)?://', description: 'Postgres to keep the metadata in, as `postgres://user:password@host/database`; SQLite in the data folder when not set.' }))),
  adminEmail: setting('POTOROO_ADMIN_EMAIL', Type.String({ default: 'admin@potoroo.local', pattern: '^[^\\s@]+@[^\\s@]+$', description: 'E-mail of the administrator that the first start creates.' })),
  adminPassword: setting('POTOROO_ADMIN_PASSWORD', Type.Optional(Type.String({ minLength: 8, maxLength: 256, description: 'Password of that administrator; when not set, one is generated and written to `admin.json` in the data folder, readable only by its owner.' }))),
  secretKey: setting('POTOROO_SECRET_KEY', Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$', description: 'Key that connection details, the tokens of model registries and the keys that sign access tokens are encrypted with: 32 random bytes in base64, as `openssl rand -base64 32` prints. When not set, one is made and kept as `secret.key` in the data folder; several servers on one database need the same.' }))),
  secretKeyPrevious: setting('POTOROO_SECRET_KEY_PREVIOUS', Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$', description: 'The key of before, for one start after it was changed: what was encrypted with it is encrypted with the new one.' }))),
  logLevel: setting('LOG_LEVEL', Type.Union(['trace', 'debug', 'info', 'warn', 'error', 'silent'].map((level) => Type.Literal(level)), { default: 'info', description: 'How much ops writes to its own log: `trace`, `debug`, `info`, `warn`, `error` or `silent`.' })),
  maxUploadBytes: setting('POTOROO_MAX_UPLOAD_BYTES', Type.Integer({ default: 68_719_476_736, minimum: 1, description: 'Largest model file taken, in bytes.' })),
  maxInferenceBytes: setting('POTOROO_MAX_INFERENCE_BYTES', Type.Integer({ default: 268_435_456, minimum: 1, description: 'Largest inference request passed on to an engine, in bytes.' })),
  modelLoadTimeout: setting('POTOROO_MODEL_LOAD_TIMEOUT', Type.Integer({ default: 300, minimum: 1, maximum: 3600, description: 'Seconds that an uploaded model may take to load once before it counts as unusable.' })),
  frameworkVersions: setting('POTOROO_FRAMEWORK_VERSIONS', Type.Union([Type.Literal('current'), Type.Literal('guide')], { default: 'current', description: 'Versions of the frameworks for uploads that do not say: `current` ones, or those that the `guide` of the Python client names.' })),
  sourceBuilds: setting('POTOROO_SOURCE_BUILDS', Type.Boolean({ default: false, description: 'Whether packages without a ready-made wheel are built for the environments of models; building runs code of the package. `true` or `false`.' })),
  python: setting('POTOROO_PYTHON', Type.Optional(Type.String({ minLength: 1, description: 'Python that runs models which need one, 3.9 to 3.12; without it the newest of these in `PATH`.' }))),
  isolation: setting('POTOROO_ISOLATION', Type.Union(isolations.map((i) => Type.Literal(i)), { default: 'process', description: 'Where models with a process of their own run when their deployment does not say: `process`, a child process of the engine, or `container`.' })),
  containers: setting('POTOROO_CONTAINERS', Type.Union(['auto', 'podman', 'docker', 'off'].map((tool) => Type.Literal(tool)), { default: 'auto', description: 'Tool that runs containers: `podman`, `docker`, the first of these that works (`auto`), or none (`off`).' })),
  containerArgs: setting('POTOROO_CONTAINER_ARGS', Type.Optional(Type.String({ description: 'Arguments for that tool beside our own, and behind ` -- ` those of its `run`; an option given here replaces ours.' }))),
  runtimeImage: setting('POTOROO_RUNTIME_IMAGE', Type.String({ default: 'potoroo-runtime', minLength: 1, description: 'Image that Python models run in when they run in a container; built from `deploy/runtime`.' })),
  registryAuth: setting('POTOROO_REGISTRY_AUTH', Type.Optional(Type.String({ minLength: 1, description: 'File with the credentials for image registries, as `podman login --authfile` writes it; what is given with an image goes before.' }))),
  insecureRegistries: setting('POTOROO_INSECURE_REGISTRIES', Type.Optional(Type.String({ description: 'Image registries that are spoken to without TLS, as `host:port`, with commas between.' }))),
  allowedPrivateHosts: setting('POTOROO_ALLOWED_PRIVATE_HOSTS', Type.Optional(Type.String({ maxLength: 10_000, description: 'Host names, addresses and nets (`10.2.0.0/16`), separated by commas, of this machine and of private networks that requests for users may go to after all, such as a model registry; all others are refused.' }))),
  modelLoads: setting('POTOROO_MODEL_LOADS', Type.Integer({ default: 2, minimum: 1, maximum: 64, description: 'Uploaded models that are test-loaded at the same time.' })),
  accessTokenLifetime: setting('POTOROO_ACCESS_TOKEN_LIFETIME', Type.Integer({ default: 900, minimum: 30, maximum: 86_400, description: 'Seconds that an access token is valid; clients renew it on their own.' })),
  refreshTokenLifetime: setting('POTOROO_REFRESH_TOKEN_LIFETIME', Type.Integer({ default: 604_800, minimum: 60, maximum: 31_536_000, description: 'Seconds after which an unused sign-in ends.' })),
  oidcIssuer: setting('POTOROO_OIDC_ISSUER', Type.Optional(Type.String({ pattern: '^https?://[^\\s/]+(/[^\\s]*)?$', description: 'An OpenID issuer whose access tokens are taken as well, such as `https://login.example.com/realms/ml`. Its users are created here when they first come.' }))),
  oidcClientId: setting('POTOROO_OIDC_CLIENT_ID', Type.String({ default: 'potoroo', minLength: 1, maxLength: 256, description: 'Client that tokens of that issuer have to be made for (`azp` or `aud`).' })),
  oidcEmailClaim: setting('POTOROO_OIDC_EMAIL_CLAIM', Type.String({ default: 'email', minLength: 1, description: 'Claim with the e-mail of the user.' })),
  oidcRoleClaim: setting('POTOROO_OIDC_ROLE_CLAIM', Type.String({ default: 'realm_access.roles', minLength: 1, description: 'Claim with the roles of the user.' })),
  oidcAdminRole: setting('POTOROO_OIDC_ADMIN_ROLE', Type.String({ default: 'potoroo-admin', minLength: 1, description: 'Who has this role there is an administrator here.' })),
  metricsToken: setting('POTOROO_METRICS_TOKEN', Type.Optional(Type.String({ pattern: '^[\\w.~+/-]{16,1024}=*$', description: 'Bearer token with which a Prometheus server may read `/metrics`; without it, signed-in users may.' }))),
  inferenceTimeout: setting('POTOROO_INFERENCE_TIMEOUT', Type.Integer({ default: 60, minimum: 1, maximum: 3600, description: 'Seconds an inference through ops may take when the request does not say.' })),
  logRetentionDays: setting('POTOROO_LOG_RETENTION_DAYS', Type.Integer({ default: 365, minimum: 0, maximum: 36_500, description: 'Days that inference log records are kept, unless their pipeline says otherwise; 0 keeps them for ever.' })),
  logRetentionBytes: setting('POTOROO_LOG_RETENTION_BYTES', Type.Integer({ default: 68_719_476_736, minimum: 0, description: 'Size up to which the inference log of a pipeline is kept, in bytes, unless it says otherwise; 0 is any size.' })),
  auditRetentionDays: setting('POTOROO_AUDIT_RETENTION_DAYS', Type.Integer({ default: 1095, minimum: 0, maximum: 36_500, description: 'Days that audit records are kept; 0 keeps them for ever.' })),
  sidekickLogDays: setting('POTOROO_SIDEKICK_LOG_DAYS', Type.Integer({ default: 7, minimum: 0, maximum: 36_500, description: "Days that a sidekick and what it printed is kept after its end." })),
  sidekickLogBytes: setting('POTOROO_SIDEKICK_LOG_BYTES', Type.Integer({ default: 8_388_608, minimum: 65_536, description: 'Size up to which what one sidekick prints is kept, in bytes; the oldest lines go first.' })),
  drainTimeout: setting('POTOROO_DRAIN_TIMEOUT', Type.Integer({ default: 20, minimum: 1, maximum: 3600, description: 'Seconds that requests in progress get to finish when the server stops.' })),
});
export type Settings = Static<typeof SettingsSchema>;

const entries = Object.entries(SettingsSchema.properties) as unknown as [keyof Settings, TSchema & { env: string }][];

/** @throws settings_invalid naming every setting that is wrong, its value and what would be right. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const fields: ErrorField[] = [];
  const found: Partial<Record<keyof Settings, unknown>> = {};
  for (const [name, schema] of entries) {
    const text = env[schema.env];
    const value = text === undefined || text === '' ? schema['default'] : fromText(schema, text);
    if (value === undefined) continue;
    if (Value.Check(schema, value)) found[name] = value;
    else fields.push({ field: schema.env, message: `${secret(schema.env) ? 'its value' : JSON.stringify(text)} is not right: ${ruleOf(schema)}` });
  }
  if (fields.length > 0) throw new PotorooError('settings_invalid', fields.map((f) => `${f.field}: ${f.message}`).join(' '), { fields });
  const settings = found as Settings;
  return { ...settings, dataDir: resolve(settings.dataDir) };
}

/** Base URL that clients use, without a slash at the end. */
export function publicUrlOf(settings: Settings): string {
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
  return (settings.publicUrl ?? `http://${host}:${settings.port}`).replace(/\/+$/, '');
}

/** The page `docs/settings.md`; a test keeps the file the same as this. */
export function settingsPage(): string {
  const rows = entries.map(([, s]) => `| \`${s.env}\` | ${s['default'] === undefined ? '' : `\`${String(s['default'])}\``} | ${s.description ?? ''} |`);
  return ['# Settings', '', 'Read from the environment once, at start. A value that is not right stops the start with a message that names it.', '', '| variable | default | what it does |', '|---|---|---|', ...rows, ''].join('\n');
}

/** Values that must not show up in a message. */
const secret = (env: string): boolean => ['POTOROO_ADMIN_PASSWORD', 'POTOROO_SECRET_KEY', 'POTOROO_SECRET_KEY_PREVIOUS', 'POTOROO_METRICS_TOKEN', 'DATABASE_URL'].includes(env);

function ruleOf(schema: TSchema & { env: string }): string {
  if (schema['minimum'] !== undefined) return `use a whole number from ${schema['minimum']}${schema['maximum'] === undefined ? '' : ` to ${schema['maximum']}`}.`;
  if (schema['type'] === 'boolean') return 'use true or false.';
  if (schema['anyOf'] !== undefined) return `use one of ${(schema['anyOf'] as { const: string }[]).map((o) => o.const).join(', ')}.`;
  if (schema['minLength'] !== undefined && schema['maxLength'] !== undefined) return `use ${schema['minLength']} to ${schema['maxLength']} characters.`;
  const shapes: Record<string, string> = { POTOROO_ADMIN_EMAIL: 'use an e-mail address.', POTOROO_SECRET_KEY: 'use 32 random bytes in base64, such as `openssl rand -base64 32` prints.', POTOROO_SECRET_KEY_PREVIOUS: 'use the key of before, 32 bytes in base64.', POTOROO_METRICS_TOKEN: 'use 16 or more letters, digits and ._~+/-.', DATABASE_URL: 'use postgres://user:password@host/database.', POTOROO_PUBLIC_URL: 'use an address such as https://potoroo.example.com.', POTOROO_OIDC_ISSUER: 'use an address such as https://login.example.com/realms/ml.' };
  return shapes[schema.env] ?? 'use a text that is not empty.';
}
