import type { Accelerator, Architecture, Bundle, DeploymentConfig, Reason } from '@potoroo/contract';
import type { Generated, Kysely, Selectable } from 'kysely';
import type { EngineLimits } from '../../hosts/host.ts';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import { json, parsed, parsedOrNull, type Json, type Time } from '../../storage/values.ts';
import type { Access } from '../access.ts';

interface DeploymentTable {
  id: Generated<number>; pipelineId: number; workspaceId: number; pipelineVersionId: number; wanted: 'running' | 'stopped'; generation: number;
  config: Json; spec: Json; provenSpec: Json | null; provenGeneration: number | null; port: number | null; createdAt: Time; updatedAt: Time;
}
export interface DeploymentTables { deployments: DeploymentTable }

/** What a set of engines is made from, worked out when it was asked for and kept as it was then. */
export interface DeploymentSpec {
  /** Digest of bundle and limits: engines of one revision can stand in for each other. */
  revision: string;
  replicas: number;
  /** `deploymentId` is 0 in here; the folder has the real one. */
  bundle: Bundle;
  limits: EngineLimits;
  /** Architectures that its models were uploaded for, or the one that the deployment config names. */
  archs: Architecture[];
  /** That of its engines. Specs of before have none of these. */
  arch?: Architecture; accels?: Accelerator[];
  /** Why it can run nowhere. */
  refusal?: Reason;
}
export interface DeploymentRow {
  id: number; pipelineId: number; workspaceId: number; pipelineVersionId: number; wanted: 'running' | 'stopped'; generation: number;
  config: DeploymentConfig;
  spec: DeploymentSpec;
  /** The last spec whose every engine was ready; engines of it serve until those of `spec` are. */
  proven: DeploymentSpec | null;
  /** Generation that was proven last. */
  provenGeneration: number | null;
  port: number | null; createdAt: number; updatedAt: number;
}
export type Change = Pick<DeploymentRow, 'pipelineVersionId' | 'wanted' | 'generation' | 'config' | 'spec'>;

export class DeploymentStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async byId(id: number): Promise<DeploymentRow | undefined> {
    const row = await this.#db.selectFrom('deployments').selectAll().where('id', '=', id).executeTakeFirst();
    return row && fromRow(row);
  }

  async byPipeline(pipelineId: number): Promise<DeploymentRow | undefined> {
    const row = await this.#db.selectFrom('deployments').selectAll().where('pipelineId', '=', pipelineId).executeTakeFirst();
    return row && fromRow(row);
  }

  async all(): Promise<DeploymentRow[]> {
    return (await this.#db.selectFrom('deployments').selectAll().orderBy('id').execute()).map(fromRow);
  }

  async list(window: PageWindow, filter: { visible: ReturnType<Access['workspacesOf']>; workspaceId?: number | undefined; pipelineId?: number | undefined }): Promise<DeploymentRow[]> {
    let query = this.#db.selectFrom('deployments').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.visible !== undefined) query = query.where('workspaceId', 'in', filter.visible);
    if (filter.workspaceId !== undefined) query = query.where('workspaceId', '=', filter.workspaceId);
    if (filter.pipelineId !== undefined) query = query.where('pipelineId', '=', filter.pipelineId);
    return (await query.execute()).map(fromRow);
  }

  /** @throws a unique violation when the pipeline has a deployment already */
  async insert(first: { pipelineId: number; workspaceId: number } & Change, now: Time): Promise<number> {
    const { pipelineId, workspaceId, ...change } = first;
    const { id } = await this.#db.insertInto('deployments')
      .values({ pipelineId, workspaceId, ...asRow(change), provenSpec: null, provenGeneration: null, port: null, createdAt: now, updatedAt: now })
      .returning('id').executeTakeFirstOrThrow();
    return id;
  }

  /** Whether it was still at the generation before; if not, somebody else changed it in between and nothing happened. */
  async change(id: number, change: Change, now: Time): Promise<boolean> {
    const { numUpdatedRows } = await this.#db.updateTable('deployments').set({ ...asRow(change), ...(change.wanted === 'stopped' && { provenSpec: null, provenGeneration: null }), updatedAt: now })
      .where('id', '=', id).where('generation', '=', change.generation - 1).executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  async setProven(id: number, spec: DeploymentSpec | null, generation: number): Promise<void> {
    await this.#db.updateTable('deployments').set({ provenSpec: spec === null ? null : json(spec), provenGeneration: generation }).where('id', '=', id).execute();
  }

  async setPort(id: number, port: number | null): Promise<void> {
    await this.#db.updateTable('deployments').set({ port }).where('id', '=', id).execute();
  }
}

const asRow = ({ config, spec, ...rest }: Change) => ({ ...rest, config: json(config), spec: json(spec) });

function fromRow({ config, spec, provenSpec, ...rest }: Selectable<DeploymentTable>): DeploymentRow {
  return { ...rest, config: parsed(config), spec: parsed(spec), proven: parsedOrNull(provenSpec) };
}
