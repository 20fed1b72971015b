import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openProcessHost } from '../../hosts/process/process-host.ts';
import { fixture } from '../../hosts/testing.ts';
import { silent } from '../../log.ts';
import { openBlobFolder } from '../../storage/blobs.ts';
import type { TestStorage } from '../../storage/testing.ts';
import { Access } from '../access.ts';
import type { Actor, Pipeline } from '../domains.ts';
import { inspectInChild } from '../models/inspection.ts';
import { ModelService } from '../models/models.service.ts';
import { PipelineService } from '../pipelines/pipelines.service.ts';
import { UserService } from '../users/users.service.ts';
import { WorkspaceService } from '../workspaces/workspaces.service.ts';
import { DeploymentService, type DeploymentParts } from './deployments.service.ts';

const inspector = fileURLToPath(new URL('../../../../engine/dist/inspect.js', import.meta.url));

/** Everything a deployment needs, with real engines and no HTTP server: engines keep their spool, which is adopted after them. */
export interface Stage {
  readonly admin: Actor;
  readonly workspaceId: number;
  readonly users: UserService;
  readonly workspaces: WorkspaceService;
  readonly models: ModelService;
  readonly pipelines: PipelineService;
  readonly deployments: DeploymentService;
  /** What was taken in of dead engines. */
  readonly adopted: string[];
  readonly errors: unknown[];
  /** A pipeline of one uploaded model per step; again with the same name, a new version of it. */
  pipeline(name: string, ...fixtures: string[]): Promise<Pipeline>;
  /** Stops the deployments and starts them again, as a restart of the server does. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function openStage(storage: TestStorage, more: Partial<DeploymentParts> & { engineMain?: string } = {}): Promise<Stage> {
  const { db, dataDir } = storage;
  const clock = Date.now;
  const access = new Access(db);
  const users = new UserService(db, access, clock);
  const workspaces = new WorkspaceService(db, access, users, clock);
  const blobs = await openBlobFolder(join(dataDir, 'blobs'));
  const models = new ModelService(db, blobs, access, { inspect: inspectInChild(inspector, 20_000), loadsAtOnce: 1, maxBytes: 2 ** 30, clock, log: silent });
  const pipelines = new PipelineService(db, access, models, clock);
  await users.createFirst({ email: 'ada@example.com', password: 'long enough' });
  const [user] = (await users.list({ id: '', email: '', role: 'admin' })).items;
  const admin: Actor = { id: user?.id ?? '', email: 'ada@example.com', role: 'admin' };
  const { id: workspaceId } = await workspaces.create(admin, { name: 'tests' });
  const adopted: string[] = [];
  const errors: unknown[] = [];

  const open = async (): Promise<DeploymentService> => {
    const host = await openProcessHost({ dataDir, drainMs: 5_000, ...(more.engineMain !== undefined && { engineMain: more.engineMain }) });
    const service = new DeploymentService({
      db, access, pipelines, models, host, dataDir, clock, blob: (sha256) => blobs.path(sha256), accessList: async () => null, shipTo: async () => null,
      adopt: async (_, { partition }) => { adopted.push(partition); }, onError: (error) => { errors.push(error); }, ...more,
    });
    await service.start();
    return service;
  };
  let deployments = await open();

  return {
    admin, workspaceId, users, workspaces, models, pipelines, adopted, errors,
    get deployments() { return deployments; },
    async pipeline(name, ...fixtures) {
      const steps = [];
      for (const file of fixtures) {
        const model = await models.upload(admin, { workspaceId, name: file, fileName: `${file}.onnx`, framework: 'onnx', content: createReadStream(fixture(file)) });
        steps.push({ type: 'model' as const, model: { name: model.name, version: model.version } });
      }
      return pipelines.create(admin, { workspaceId, name, steps });
    },
    async restart() {
      await deployments.close();
      deployments = await open();
    },
    async close() {
      await deployments.close();
      await models.close();
      await storage.close();
    },
  };
}
