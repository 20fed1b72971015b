import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { silent } from '../log.ts';
import { openBlobFolder } from '../storage/blobs.ts';
import { Secrets } from '../storage/secrets.ts';
import type { TestDatabase, TestStorage } from '../storage/testing.ts';
import { Access } from './access.ts';
import type { Actor, ModelVersion } from './domains.ts';
import { IdentityService } from './identity/identity.service.ts';
import { PersonalTokenService } from './identity/personal-tokens.service.ts';
import { SigningKeyService } from './identity/signing-keys.service.ts';
import { inspectInChild, type Inspect } from './models/inspection.ts';
import { ModelService } from './models/models.service.ts';
import { PipelineService } from './pipelines/pipelines.service.ts';
import { UserService } from './users/users.service.ts';
import { WorkspaceService } from './workspaces/workspaces.service.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const exampleModel = here('../../../../examples/breast-cancer/model.onnx');
export const inspectProgram = here('../../../engine/dist/inspect.js');

export interface TestDomains {
  readonly storage: TestStorage; readonly access: Access; readonly users: UserService; readonly identity: IdentityService; readonly personalTokens: PersonalTokenService; readonly signingKeys: SigningKeyService; readonly secrets: Secrets;
  readonly workspaces: WorkspaceService; readonly models: ModelService; readonly pipelines: PipelineService;
  /** An administrator and three users; `ann` owns `workspaceId`, `bob` is a collaborator there, `eve` is not in it. */
  readonly admin: Actor; readonly ann: Actor; readonly bob: Actor; readonly eve: Actor;
  readonly workspaceId: number;
  /** The clock that everything here goes by, in ms. */
  readonly time: { now: number };
  /** A second server on the same storage, as after a restart. */
  modelsAgain(inspect?: Inspect): Promise<ModelService>;
  upload(actor: Actor, name: string, content?: AsyncIterable<Uint8Array>): Promise<ModelVersion>;
  close(): Promise<void>;
}

export const password = 'a long enough password';

/** Real services on a fresh database, with real test loads. */
export async function openDomains(database: TestDatabase, options: { inspect?: Inspect } = {}): Promise<TestDomains> {
  const storage = await database.open();
  const { db } = storage;
  const time = { now: Date.UTC(2030, 0, 1) };
  const clock = () => time.now;
  const access = new Access(db);
  const users = new UserService(db, access, clock);
  const personalTokens = new PersonalTokenService(db, clock);
  const secrets = new Secrets(randomBytes(32));
  const signingKeys = new SigningKeyService(db, access, { secrets, accessTokenLifetime: 900, clock });
  const identity = new IdentityService(db, personalTokens, { keys: signingKeys, secrets, issuer: 'http://ops.test/auth/realms/master', accessTokenLifetime: 900, refreshTokenLifetime: 3600, clock });
  const workspaces = new WorkspaceService(db, access, users, clock);
  const opened: ModelService[] = [];
  const modelsAgain = async (inspect: Inspect = inspectInChild(inspectProgram, 30_000)): Promise<ModelService> => {
    const service = new ModelService(db, await openBlobFolder(join(storage.dataDir, 'blobs')), access, { inspect, loadsAtOnce: 1, maxBytes: 1_000_000, clock, log: silent });
    opened.push(service);
    return service;
  };
  const models = await modelsAgain(options.inspect);
  const pipelines = new PipelineService(db, access, models, clock);

  await users.createFirst({ email: 'admin@ex.co', password });
  const actorNamed = async (email: string): Promise<Actor> => identity.actorOf((await identity.passwordGrant(email, password)).accessToken);
  const admin = await actorNamed('admin@ex.co');
  const [ann, bob, eve] = await Promise.all(['ann@ex.co', 'bob@ex.co', 'eve@ex.co'].map(async (email) => {
    await users.create(admin, { email, password, role: 'user' });
    return actorNamed(email);
  })) as [Actor, Actor, Actor];
  const { id: workspaceId } = await workspaces.create(ann, { name: 'credit cards' });
  await workspaces.setMember(ann, workspaceId, { userId: bob.id, role: 'collaborator' });

  return {
    storage, access, users, identity, personalTokens, signingKeys, secrets, workspaces, models, pipelines, admin, ann, bob, eve, workspaceId, time, modelsAgain,
    upload: (actor, name, content = createReadStream(exampleModel)) => models.upload(actor, { workspaceId, name, fileName: `${name}.onnx`, framework: 'onnx', content }),
    close: async () => {
      await Promise.all(opened.map((service) => service.close()));
      await storage.close();
    },
  };
}
