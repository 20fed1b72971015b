import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { imageFramework, levelOf, PotorooError, type AccessList } from '@potoroo/contract';
import { ensureAdministrator } from './administrator.ts';
import { Access } from './domains/access.ts';
import { audited } from './domains/audit/audited.ts';
import { AuditService } from './domains/audit/audit.service.ts';
import { ConnectionService } from './domains/connections/connections.service.ts';
import { DeploymentService } from './domains/deployments/deployments.service.ts';
import type { Domains } from './domains/domains.ts';
import { DeviceService } from './domains/identity/device.service.ts';
import { ExternalIssuer } from './domains/identity/external.ts';
import { IdentityService, type SignIn } from './domains/identity/identity.service.ts';
import { PersonalTokenService } from './domains/identity/personal-tokens.service.ts';
import { SigningKeyService } from './domains/identity/signing-keys.service.ts';
import { openLogs } from './domains/logs/logs.service.ts';
import { Environments } from './domains/environments/environments.service.ts';
import { inspectInChild } from './domains/models/inspection.ts';
import { ModelService } from './domains/models/models.service.ts';
import { PipelineService } from './domains/pipelines/pipelines.service.ts';
import { RegistryService } from './domains/registries/registries.service.ts';
import { TagService } from './domains/tags/tags.service.ts';
import { UserService } from './domains/users/users.service.ts';
import { WorkspaceService } from './domains/workspaces/workspaces.service.ts';
import { ImageService } from './domains/images/images.service.ts';
import { imageTool, sweepWith } from './domains/images/image-tool.ts';
import { hostArch, openProcessHost } from './hosts/process/process-host.ts';
import { createLog, type Logger } from './log.ts';
import { Outgoing } from './outgoing/outgoing.ts';
import { authenticate } from './protocols/authenticate.ts';
import { healthRoutes } from './protocols/health.ts';
import { InferenceProxy } from './protocols/inference-proxy.ts';
import { Idempotency } from './protocols/native/idempotency.ts';
import { IdempotencyStore } from './protocols/native/idempotency.store.ts';
import { nativeProtocol } from './protocols/native/index.ts';
import { openapi } from './protocols/native/openapi.ts';
import { issuerPath, openidProtocol } from './protocols/openid.ts';
import { createServer, frontRoutes } from './protocols/server.ts';
import { spareConnections } from './protocols/spare-connections.ts';
import { wallarooProtocol } from './protocols/wallaroo/index.ts';
import { publicUrlOf, type Settings } from './settings.ts';
import { openBlobFolder } from './storage/blobs.ts';
import { createDatabase } from './storage/database.ts';
import { takeDataFolder } from './storage/data-folder.ts';
import { sealAnew } from './storage/seal-anew.ts';
import { openSecrets } from './storage/secrets.ts';

export interface OpsOptions {
  readonly clock?: () => number;
  readonly log?: Logger;
  /** The engine's programs; by default those of the engine package beside this one. Ops starts them and never imports them. */
  readonly engine?: { readonly main: string; readonly inspect: string; readonly image: string };
}

export interface Ops {
  readonly domains: Domains;
  readonly log: Logger;
  /** Every route there is, as `GET /path/:id`. */
  readonly routes: ReadonlySet<string>;
  /** Where it listens, such as `http://127.0.0.1:8080`; null before `listen`. */
  readonly address: string | null;
  /** Takes requests, then brings back every deployment that should run. @throws port_in_use */
  listen(): Promise<string>;
  /** Answers what is under way, drains the engines, stops everything it started. */
  close(): Promise<void>;
}

const engineProgram = (name: string): string => fileURLToPath(new URL(`../../engine/dist/${name}`, import.meta.url));
const sweepMs = 3_600_000;
const keysMs = 300_000;

/** Puts the control plane together: storage, domains, host, protocols. Nothing runs before `listen`. */
export async function createOps(settings: Settings, options: OpsOptions = {}): Promise<Ops> {
  const { clock = Date.now, log = createLog(settings.logLevel, process.stdout.isTTY), engine = { main: engineProgram('main.js'), inspect: engineProgram('inspect.js'), image: engineProgram('image.js') } } = options;
  // What has been opened, to close in reverse order, also when a later part fails to open.
  const opened: (() => unknown)[] = [];
  const closeAll = async () => { for (const close of opened.splice(0).reverse()) await close(); };
  try {
    const folder = takeDataFolder(settings.dataDir);
    opened.push(folder.release);
    const { db, close } = await createDatabase(settings);
    opened.push(close);
    const blobs = await openBlobFolder(join(settings.dataDir, 'blobs'));
    const access = new Access(db);
    const onError = (error: unknown, context: Record<string, unknown>) => log[levelOf(error)]({ err: error, ...context }, 'a background task failed and will be tried again');

    const audit = new AuditService(db, access, clock, onError);
    const onSignIn = async ({ action, outcome, address, user = { id: '', email: '' } }: SignIn): Promise<void> => {
      await audit.add(user, { action, kind: 'address', objectId: address, workspaceId: null, outcome });
    };

    const users = new UserService(db, access, clock);
    const personalTokens = new PersonalTokenService(db, clock);
    const external = settings.oidcIssuer === undefined ? undefined : new ExternalIssuer({
      issuer: settings.oidcIssuer, clientId: settings.oidcClientId, emailClaim: settings.oidcEmailClaim, roleClaim: settings.oidcRoleClaim, adminRole: settings.oidcAdminRole, clock, onKeys: () => access.changed(),
    });
    const secrets = openSecrets(settings.dataDir, settings.secretKey, settings.secretKeyPrevious);
    if (settings.secretKeyPrevious !== undefined) log.info(await sealAnew(db, secrets), 'encrypted what was encrypted with the key of before; POTOROO_SECRET_KEY_PREVIOUS is not needed any more when none is lost');
    const signingKeys = new SigningKeyService(db, access, { clock, secrets, log, accessTokenLifetime: settings.accessTokenLifetime, onKeys: () => access.changed() });
    const identity = new IdentityService(db, personalTokens, { ...settings, keys: signingKeys, secrets, issuer: publicUrlOf(settings) + issuerPath, clock, external, onRole: () => access.changed(), onSignIn });
    const workspaces = new WorkspaceService(db, access, users, clock);
    const environments = new Environments({ root: join(settings.dataDir, 'environments'), python: settings.python, sourceBuilds: settings.sourceBuilds, versions: settings.frameworkVersions });
    opened.push(() => environments.close());
    // Opened before the models, so that it closes after them: they fetch by it.
    const outgoing = new Outgoing(settings.allowedPrivateHosts ?? '');
    opened.push(() => outgoing.close());
    const models = new ModelService(db, blobs, access, {
      environments, loadTimeoutMs: settings.modelLoadTimeout * 1000,
      inspect: inspectInChild(engine.inspect, settings.modelLoadTimeout * 1000), loadsAtOnce: settings.modelLoads, maxBytes: settings.maxUploadBytes, clock, log,
      open: (version, say, signal) => (version.framework === imageFramework ? images : registries).open(version, say, signal),
      onRemoved: (version) => { if (version.framework === imageFramework) void images.collect(); },
    });
    opened.push(() => models.close());
    const pipelines = new PipelineService(db, access, models, clock);
    const tags = new TagService(db, access, models, pipelines, clock);
    const connections = new ConnectionService(db, access, secrets, clock);
    const registries: RegistryService = new RegistryService({ db, access, secrets, outgoing, clock, workspaces, models, bounds: { maxBytes: settings.maxUploadBytes } });
    const images: ImageService = new ImageService({ db, secrets, outgoing, clock, models, tool: imageTool(engine.image), arch: hostArch, insecure: settings.insecureRegistries ?? '', dataDir: settings.dataDir, log });
    opened.push(() => images.close());
    const logs = await openLogs({ db, access, pipelines, folder: join(settings.dataDir, 'logs'), clock, retention: { days: settings.logRetentionDays, bytes: settings.logRetentionBytes }, onError });
    opened.push(() => logs.close());
    // An issuer that does not answer keeps nobody else out.
    const outside = () => external?.offline().catch((error: unknown) => { onError(error, { doing: 'reading the keys of the OpenID issuer' }); return undefined; });
    const accessList = async (workspaceId: number): Promise<AccessList> => {
      const others = await outside();
      return { issuer: identity.issuer(), jwks: await identity.jwks(), subjects: await access.subjects(workspaceId), ...(others && { external: others }) };
    };
    let address: string | null = null;
    const stopping = new AbortController();
    const host = await openProcessHost({
      dataDir: settings.dataDir, address: settings.host, engineMain: engine.main, clock, drainMs: settings.drainTimeout * 1000,
      onLine: (name, line) => log.debug({ engine: name }, line),
    });
    const deployments = new DeploymentService({
      db, access, pipelines, models, host, isolation: settings.isolation, prepare: (model) => images.ensure(model, stopping.signal),
      sweep: () => { void sweepWith(engine.image).then((removed) => { if (removed.length > 0) log.info({ removed }, 'removed containers that killed engines had left'); }); }, dataDir: settings.dataDir, clock, accessList, onError,
      blob: blobs.path, sidekicks: { days: settings.sidekickLogDays, bytes: settings.sidekickLogBytes },
      shipTo: async (deploymentId) => (address === null ? null : { url: address, token: identity.engineToken(deploymentId) }),
      adopt: (spool, owner) => logs.adopt(spool, owner),
    });
    const domains: Domains = audited({ users, identity, workspaces, models, pipelines, deployments, logs, tags, connections, registries, images, devices: new DeviceService(db, identity, clock), personalTokens, signingKeys, accessList, audit }, audit);

    const proxy = new InferenceProxy({ deployments, clock, maxBytes: settings.maxInferenceBytes, timeoutMs: settings.inferenceTimeout * 1000 });
    const app = createServer(log);
    const spare = spareConnections(app.server);
    opened.push(() => proxy.close(), () => closeServer(app, spare, settings.drainTimeout * 1000));
    const routes = authenticate(app, identity, settings.metricsToken);
    frontRoutes(app);
    await openapi(app);
    healthRoutes(app, { db, stopping: stopping.signal });
    await app.register(openidProtocol, { identity, devices: domains.devices, publicUrl: () => settings.publicUrl ?? address ?? publicUrlOf(settings) });
    await app.register(nativeProtocol, { domains, proxy, idempotency: new Idempotency(new IdempotencyStore(db), clock), stopping: stopping.signal });
    await app.register(wallarooProtocol, { domains, settings, proxy });
    await app.ready();
    await ensureAdministrator(users, settings);

    const shorten = () => {
      logs.removeExpired().then((all) => { for (const { until, ...removed } of all) log.info({ ...removed, until: new Date(until).toISOString() }, 'removed log records that are over the retention'); })
        .catch((error: unknown) => onError(error, { doing: 'removing old log records' }));
      audit.removeExpired(settings.auditRetentionDays).then((records) => { if (records > 0) log.info({ records }, 'removed audit records that are over the retention'); })
        .catch((error: unknown) => onError(error, { doing: 'removing old audit records' }));
    };
    const sweep = setInterval(() => {
      models.sweep().catch((error: unknown) => onError(error, { doing: 'removing unused files' }));
      void images.collect();
      shorten();
    }, sweepMs).unref();
    // Engines verify offline: new keys of the issuer have to reach them before the first token does.
    const renew = setInterval(() => { void outside(); }, keysMs).unref();
    opened.push(() => clearInterval(sweep), () => clearInterval(renew));

    return {
      domains, log, routes,
      get address() { return address; },
      async listen() {
        await app.listen({ host: settings.host, port: settings.port }).catch((error: unknown) => { throw listenError(error, settings); });
        address = addressOf(app.server.address() as AddressInfo);
        // Engines reach ops from the same machine whatever it listens on.
        opened.push(async () => {
          stopping.abort();
          await deployments.close();
        });
        await models.resume();
        await deployments.start();
        void images.collect();
        shorten();
        return address;
      },
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Answers what is under way, for so long; then cuts off what is left. */
async function closeServer(app: FastifyInstance, spare: { close(): void }, patienceMs: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), patienceMs);
  const closed = app.close();
  spare.close();
  await closed;
  clearTimeout(cut);
}

function addressOf({ address, family, port }: AddressInfo): string {
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function listenError(error: unknown, { host, port }: Settings): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') return new PotorooError('port_in_use', `Port ${port} of ${host} is taken by another program. Stop that, or set POTOROO_PORT to another port.`);
  if (code === 'EACCES') return new PotorooError('settings_invalid', `POTOROO_PORT: this user may not listen on port ${port}. Use one from 1024 on.`);
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return new PotorooError('settings_invalid', `POTOROO_HOST: ${host} is not an address of this machine. Use 127.0.0.1 or 0.0.0.0.`);
  return error;
}
