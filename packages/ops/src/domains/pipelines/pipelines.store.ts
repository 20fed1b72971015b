import { warningsOf, type Step } from '@potoroo/contract';
import type { Generated, Kysely, Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import { contains, date, json, parsed, type Json, type Time } from '../../storage/values.ts';
import type { Access } from '../access.ts';
import type { ModelKey, Pipeline, PipelineVersion } from '../domains.ts';

interface PipelineTable { id: Generated<number>; workspaceId: number; name: string; ownerId: string; createdAt: Time; updatedAt: Time }
interface PipelineVersionTable { id: Generated<number>; pipelineId: number; version: string; steps: Json; createdAt: Time; createdBy: string }
/** Which model versions a pipeline version runs: what is in here cannot be removed. */
interface PipelineVersionModelTable { pipelineVersionId: number; modelVersionId: number }
export interface PipelineTables { pipelines: PipelineTable; pipelineVersions: PipelineVersionTable; pipelineVersionModels: PipelineVersionModelTable }
type PipelineRow = Selectable<PipelineTable>;

export interface NewPipelineVersion { version: string; steps: Step[]; modelVersionIds: readonly number[]; createdBy: string; createdAt: Time }

export class PipelineStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** The pipeline of that name, made when there is none; `version` is added when it is new or `wanted` says so of the newest. */
  ensure(workspaceId: number, name: string, version: NewPipelineVersion, wanted: (newest: PipelineVersion) => boolean): Promise<number> {
    const now = version.createdAt;
    return this.#db.transaction().execute(async (tx) => {
      const { id } = await tx.insertInto('pipelines').values({ workspaceId, name, ownerId: version.createdBy, createdAt: now, updatedAt: now })
        .onConflict((c) => c.columns(['workspaceId', 'name']).doUpdateSet({ name })).returning('id').executeTakeFirstOrThrow();
      const inTx = new PipelineStore(tx);
      const newest = (await inTx.#versionsOf([id]))[0];
      if (newest === undefined || wanted(newest)) await inTx.#insertVersion(id, version);
      return id;
    });
  }

  addVersion(pipelineId: number, version: NewPipelineVersion): Promise<number> {
    return this.#db.transaction().execute((tx) => new PipelineStore(tx).#insertVersion(pipelineId, version));
  }

  async #insertVersion(pipelineId: number, { version, steps, modelVersionIds, createdAt, createdBy }: NewPipelineVersion): Promise<number> {
    const { id } = await this.#db.insertInto('pipelineVersions').values({ pipelineId, version, steps: json(steps), createdAt, createdBy }).returning('id').executeTakeFirstOrThrow();
    const models = [...new Set(modelVersionIds)].map((modelVersionId) => ({ pipelineVersionId: id, modelVersionId }));
    if (models.length > 0) await this.#db.insertInto('pipelineVersionModels').values(models).execute();
    await this.#db.updateTable('pipelines').set({ updatedAt: createdAt }).where('id', '=', pipelineId).execute();
    return id;
  }

  async byId(id: number): Promise<Pipeline | undefined> {
    const row = await this.#db.selectFrom('pipelines').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? undefined : (await this.withVersions([row]))[0];
  }

  /** With the workspace it is in. */
  async version(by: { id: number } | { version: string }): Promise<(PipelineVersion & { workspaceId: number }) | undefined> {
    const query = this.#db.selectFrom('pipelineVersions').innerJoin('pipelines', 'pipelines.id', 'pipelineVersions.pipelineId').selectAll('pipelineVersions').select('pipelines.workspaceId');
    const row = await ('id' in by ? query.where('pipelineVersions.id', '=', by.id) : query.where('pipelineVersions.version', '=', by.version)).executeTakeFirst();
    return row && { ...toVersion(row), workspaceId: row.workspaceId };
  }

  list(window: PageWindow, filter: { visible: ReturnType<Access['workspacesOf']>; workspaceId?: number | undefined; name?: string | undefined; deployed?: boolean | undefined; term?: string | undefined }): Promise<PipelineRow[]> {
    const { visible, deployed, term } = filter;
    let query = this.#db.selectFrom('pipelines').selectAll('pipelines').orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (visible !== undefined) query = query.where('workspaceId', 'in', visible);
    if (filter.workspaceId !== undefined) query = query.where('workspaceId', '=', filter.workspaceId);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    if (deployed !== undefined) {
      query = query.where(({ exists, not, selectFrom }) => {
        const running = exists(selectFrom('deployments').select('deployments.id').whereRef('deployments.pipelineId', '=', 'pipelines.id').where('deployments.wanted', '=', 'running'));
        return deployed ? running : not(running);
      });
    }
    if (term !== undefined && term !== '') {
      query = query.where((eb) => eb.or([
        contains('pipelines.name', term),
        eb.exists(eb.selectFrom('pipelineVersions').select('pipelineVersions.id').whereRef('pipelineVersions.pipelineId', '=', 'pipelines.id').where(contains('pipelineVersions.version', term))),
        eb('pipelines.id', 'in', eb.selectFrom('pipelineTags').innerJoin('tags', 'tags.id', 'pipelineTags.tagId').select('pipelineTags.pipelineId').where(contains('tags.tag', term))),
      ]));
    }
    return query.execute();
  }

  /** Versions that have the model in a step, by pipeline. */
  async withModel(model: ModelKey, visible: ReturnType<Access['workspacesOf']>): Promise<{ pipelineId: number; versions: string[] }[]> {
    let query = this.#db.selectFrom('pipelineVersionModels')
      .innerJoin('modelVersions', 'modelVersions.id', 'pipelineVersionModels.modelVersionId').innerJoin('models', 'models.id', 'modelVersions.modelId')
      .innerJoin('pipelineVersions', 'pipelineVersions.id', 'pipelineVersionModels.pipelineVersionId').innerJoin('pipelines', 'pipelines.id', 'pipelineVersions.pipelineId')
      .select(['pipelineVersions.pipelineId', 'pipelineVersions.version']).distinct().orderBy('pipelineVersions.pipelineId');
    query = 'id' in model ? query.where('models.id', '=', model.id) : query.where('models.name', '=', model.name);
    if (visible !== undefined) query = query.where('pipelines.workspaceId', 'in', visible);
    const found = new Map<number, string[]>();
    for (const { pipelineId, version } of await query.execute()) found.set(pipelineId, [...(found.get(pipelineId) ?? []), version]);
    return [...found].map(([pipelineId, versions]) => ({ pipelineId, versions }));
  }

  async withVersions(rows: readonly PipelineRow[]): Promise<Pipeline[]> {
    if (rows.length === 0) return [];
    const ids = rows.map((row) => row.id);
    const versions = await this.#versionsOf(ids);
    const deployments = await this.#db.selectFrom('deployments').select(['id', 'pipelineId']).where('pipelineId', 'in', ids).execute();
    return rows.map((row) => ({
      ...row, createdAt: date(row.createdAt), updatedAt: date(row.updatedAt), versions: versions.filter((v) => v.pipelineId === row.id),
      deploymentId: deployments.find((d) => d.pipelineId === row.id)?.id ?? null,
    }));
  }

  /** Newest first. */
  async #versionsOf(pipelineIds: readonly number[]): Promise<PipelineVersion[]> {
    const rows = await this.#db.selectFrom('pipelineVersions').selectAll().where('pipelineId', 'in', [...pipelineIds]).orderBy('id', 'desc').execute();
    return rows.map(toVersion);
  }

  /** False when it is a deployment's, or the only one. */
  async removeVersion(pipelineId: number, id: number): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom('pipelineVersions').where('id', '=', id)
      .where(({ not, exists, selectFrom }) => not(exists(selectFrom('deployments').select('deployments.id').where('deployments.pipelineVersionId', '=', id))))
      .where(({ exists, selectFrom }) => exists(selectFrom('pipelineVersions as others').select('others.id').where('others.pipelineId', '=', pipelineId).where('others.id', '!=', id)))
      .executeTakeFirst();
    return numDeletedRows > 0n;
  }

  /** With its versions and what is left of its deployment; false when it is deployed. */
  async removeStopped(id: number): Promise<boolean> {
    return this.#db.transaction().execute(async (trx) => {
      // A deployment keeps its port until its engines have stopped.
      await trx.deleteFrom('deployments').where('pipelineId', '=', id).where('wanted', '=', 'stopped').where('port', 'is', null).execute();
      const { numDeletedRows } = await trx.deleteFrom('pipelines').where('id', '=', id)
        .where(({ not, exists, selectFrom }) => not(exists(selectFrom('deployments').select('deployments.id').where('deployments.pipelineId', '=', id))))
        .executeTakeFirst();
      return numDeletedRows > 0n;
    });
  }
}

function toVersion(row: Selectable<PipelineVersionTable>): PipelineVersion {
  const steps = parsed<Step[]>(row.steps);
  return { id: row.id, pipelineId: row.pipelineId, version: row.version, steps, createdAt: date(row.createdAt), createdBy: row.createdBy, warnings: warningsOf(steps) };
}
