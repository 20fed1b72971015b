import type { Accelerator, Architecture, Field, ModelConfig, Reason } from '@potoroo/contract';
import { sql, type Generated, type Kysely, type Selectable } from 'kysely';
import type { Database } from '../../storage/database.ts';
import type { PageWindow } from '../../storage/paging.ts';
import { contains, date, json, parsed, parsedOrNull, type Json, type Time } from '../../storage/values.ts';
import type { Access } from '../access.ts';
import type { Model, ModelStatus, ModelVersion, StoredModelConfig, UploadInput, UploadLog } from '../domains.ts';

interface ModelTable { id: Generated<number>; workspaceId: number; name: string; ownerId: string; createdAt: Time; updatedAt: Time }
interface ModelVersionTable {
  id: Generated<number>; modelId: number; version: string; sha256: string; size: number; fileName: string; framework: string; runtime: string;
  arch: Architecture; accel: Accelerator; visibility: 'private' | 'public'; status: ModelStatus; reason: Json | null;
  inputs: Json | null; outputs: Json | null; convertedSha256: string | null; environment: string | null; conversion: Json; createdAt: Time; updatedAt: Time; createdBy: string;
}
interface ModelConfigTable { id: Generated<number>; modelVersionId: number; config: Json; extra: Json; createdAt: Time }
interface ModelUploadLogTable { id: Generated<number>; modelVersionId: number; line: string }
export interface ModelTables { models: ModelTable; modelVersions: ModelVersionTable; modelConfigs: ModelConfigTable; modelUploadLog: ModelUploadLogTable }

type VersionRow = Selectable<ModelVersionTable> & { name: string; workspaceId: number };
export type NewVersion = Omit<Selectable<ModelVersionTable>, 'id' | 'modelId' | 'version' | 'status' | 'reason' | 'inputs' | 'outputs' | 'convertedSha256' | 'environment' | 'updatedAt'>;
type IdQuery = ReturnType<Access['workspacesOf']>;
interface Adding { same?: (newest: ModelVersion) => boolean; status?: ModelStatus; onAdded: UploadInput['onAdded'] }
interface Outcome { status: ModelStatus; reason?: Reason | null; inputs?: Field[]; outputs?: Field[]; runtime?: string; convertedSha256?: string | null; environment?: string | null }

export class ModelStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /**
   * The model's newest version when `same` says that it is what is being added, else a new one; the model is made when
   * the workspace has none of that name. One transaction that holds the model, so that equal uploads at one time make one version,
   * and that `onAdded` is part of.
   */
  add(
    workspaceId: number, name: string, version: string, values: NewVersion, config: ModelConfig | undefined, { same, status = 'pending_load_native', onAdded }: Adding,
  ): Promise<{ version: ModelVersion; added: boolean }> {
    const now = values.createdAt;
    return this.#db.transaction().execute(async (tx) => {
      const model = await tx.insertInto('models').values({ workspaceId, name, ownerId: values.createdBy, createdAt: now, updatedAt: now })
        .onConflict((c) => c.columns(['workspaceId', 'name']).doUpdateSet({ updatedAt: now })).returning(['id']).executeTakeFirstOrThrow();
      const inTx = new ModelStore(tx);
      const newest = (await inTx.versionsOf([model.id], 1))[0];
      if (newest !== undefined && same?.(newest) === true) {
        await onAdded?.(newest, tx);
        return { version: newest, added: false };
      }
      const { id } = await tx.insertInto('modelVersions')
        .values({ ...values, modelId: model.id, version, status, reason: null, inputs: null, outputs: null, convertedSha256: null, environment: null, updatedAt: now })
        .returning('id').executeTakeFirstOrThrow();
      if (config !== undefined) await inTx.addConfig(id, config, {}, now);
      const made = (await inTx.version(id)) as ModelVersion;
      await onAdded?.(made, tx);
      return { version: made, added: true };
    });
  }

  #versions() {
    return this.#db.selectFrom('modelVersions').innerJoin('models', 'models.id', 'modelVersions.modelId')
      .selectAll('modelVersions').select(['models.name', 'models.workspaceId']);
  }

  async version(id: number): Promise<ModelVersion | undefined> {
    const row = await this.#versions().where('modelVersions.id', '=', id).executeTakeFirst();
    return row && toVersion(row);
  }

  async versionByName(name: string, version: string, workspaceId: number | undefined): Promise<ModelVersion | undefined> {
    let query = this.#versions().where('modelVersions.version', '=', version).where('models.name', '=', name);
    if (workspaceId !== undefined) query = query.where('models.workspaceId', '=', workspaceId);
    const row = await query.executeTakeFirst();
    return row && toVersion(row);
  }

  /** Newest first. */
  async versionsOf(modelIds: readonly number[], limit?: number): Promise<ModelVersion[]> {
    if (modelIds.length === 0) return [];
    let query = this.#versions().where('modelVersions.modelId', 'in', [...modelIds]).orderBy('modelVersions.id', 'desc');
    if (limit !== undefined) query = query.limit(limit);
    return (await query.execute()).map(toVersion);
  }

  async undecided(): Promise<number[]> {
    const rows = await this.#db.selectFrom('modelVersions').select('id').where('status', 'not in', ['ready', 'error']).orderBy('id').execute();
    return rows.map((row) => row.id);
  }

  async list(window: PageWindow, filter: { visible: IdQuery; workspaceId?: number | undefined; name?: string | undefined; id?: number }): Promise<Selectable<ModelTable>[]> {
    let query = this.#db.selectFrom('models').selectAll().orderBy('id', 'desc').limit(window.take);
    if (window.before !== undefined) query = query.where('id', '<', window.before);
    if (filter.visible !== undefined) query = query.where('workspaceId', 'in', filter.visible);
    if (filter.workspaceId !== undefined) query = query.where('workspaceId', '=', filter.workspaceId);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    if (filter.id !== undefined) query = query.where('id', '=', filter.id);
    return query.execute();
  }

  async withVersions(rows: readonly Selectable<ModelTable>[]): Promise<Model[]> {
    const versions = await this.versionsOf(rows.map((row) => row.id));
    return rows.map((row) => ({
      ...row, createdAt: date(row.createdAt), updatedAt: date(row.updatedAt), versions: versions.filter((v) => v.modelId === row.id),
    }));
  }

  async search(window: PageWindow, filter: { term: string; visible: IdQuery; workspaceId?: number | undefined; createdAfter?: Date | undefined; createdBefore?: Date | undefined; ownerId?: string | undefined }): Promise<ModelVersion[]> {
    let query = this.#versions().orderBy('modelVersions.id', 'desc').limit(window.take);
    const { visible } = filter;
    if (window.before !== undefined) query = query.where('modelVersions.id', '<', window.before);
    if (visible !== undefined) query = query.where((eb) => eb.or([eb('models.workspaceId', 'in', visible), eb('modelVersions.visibility', '=', 'public')]));
    if (filter.workspaceId !== undefined) query = query.where('models.workspaceId', '=', filter.workspaceId);
    if (filter.createdAfter !== undefined) query = query.where('modelVersions.createdAt', '>=', filter.createdAfter.getTime());
    if (filter.createdBefore !== undefined) query = query.where('modelVersions.createdAt', '<=', filter.createdBefore.getTime());
    if (filter.ownerId !== undefined) query = query.where('modelVersions.createdBy', '=', filter.ownerId);
    if (filter.term !== '') {
      const tagged = this.#db.selectFrom('modelTags').innerJoin('tags', 'tags.id', 'modelTags.tagId').select('modelTags.modelVersionId').where(contains('tags.tag', filter.term));
      query = query.where(sql<boolean>`(${sql.ref('modelVersions.id')} in ${tagged} or ${sql.join(['models.name', 'modelVersions.version', 'modelVersions.sha256', 'modelVersions.fileName'].map((c) => contains(c, filter.term)), sql` or `)})`);
    }
    return (await query.execute()).map(toVersion);
  }

  async setVisibility(id: number, visibility: 'private' | 'public', now: Time): Promise<void> {
    await this.#db.updateTable('modelVersions').set({ visibility, updatedAt: now }).where('id', '=', id).execute();
  }

  async decide(id: number, outcome: Outcome, now: Time): Promise<void> {
    await this.#db.updateTable('modelVersions').set({
      status: outcome.status, updatedAt: now, reason: outcome.reason ? json(outcome.reason) : null,
      ...(outcome.runtime === undefined ? {} : { runtime: outcome.runtime, convertedSha256: outcome.convertedSha256 ?? null, environment: outcome.environment ?? null }),
      ...(outcome.inputs === undefined ? {} : { inputs: json(outcome.inputs) }),
      ...(outcome.outputs === undefined ? {} : { outputs: json(outcome.outputs) }),
    }).where('id', '=', id).execute();
  }

  /** The file of a version that was `uploading` is here. */
  async arrived(id: number, file: Pick<ModelVersion, 'sha256' | 'size' | 'fileName' | 'framework'>, now: Time): Promise<void> {
    await this.#db.updateTable('modelVersions').set({ ...file, status: 'pending_load_native', updatedAt: now }).where('id', '=', id).where('status', '=', 'uploading').execute();
  }

  async log(id: number, lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await this.#db.insertInto('modelUploadLog').values(lines.map((line) => ({ modelVersionId: id, line }))).execute();
  }

  async logOf(id: number, after: number, limit: number): Promise<UploadLog> {
    const rows = await this.#db.selectFrom('modelUploadLog').select(['id', 'line']).where('modelVersionId', '=', id).where('id', '>', after).orderBy('id').limit(limit).execute();
    return { lines: rows.map((row) => row.line), next: rows.at(-1)?.id ?? after };
  }

  async addConfig(modelVersionId: number, config: ModelConfig, extra: Record<string, unknown>, now: Time): Promise<number> {
    const row = await this.#db.insertInto('modelConfigs').values({ modelVersionId, config: json(config), extra: json(extra), createdAt: now }).returning('id').executeTakeFirstOrThrow();
    return row.id;
  }

  /** The newest of a version, or one by its id. */
  async config(by: { modelVersionId: number } | { id: number }): Promise<StoredModelConfig | undefined> {
    const query = this.#db.selectFrom('modelConfigs').innerJoin('modelVersions', 'modelVersions.id', 'modelConfigs.modelVersionId').selectAll('modelConfigs').select(['modelVersions.runtime', 'modelVersions.inputs', 'modelVersions.outputs']);
    const row = await ('id' in by ? query.where('modelConfigs.id', '=', by.id) : query.where('modelVersionId', '=', by.modelVersionId)).orderBy('modelConfigs.id', 'desc').executeTakeFirst();
    if (row === undefined) return undefined;
    const config = parsed<ModelConfig>(row.config);
    const own = { inputs: parsedOrNull<Field[]>(row.inputs), outputs: parsedOrNull<Field[]>(row.outputs) };
    return { ...config, id: row.id, modelVersionId: row.modelVersionId, runtime: row.runtime, extra: parsed(row.extra), ...declared(own, config) };
  }

  /** The model goes with its last version. */
  remove(version: ModelVersion): Promise<void> {
    return this.#db.transaction().execute(async (tx) => {
      await tx.deleteFrom('modelVersions').where('id', '=', version.id).execute();
      await tx.deleteFrom('models').where('id', '=', version.modelId)
        .where(({ not, exists, selectFrom }) => not(exists(selectFrom('modelVersions').select('id').where('modelId', '=', version.modelId)))).execute();
    });
  }

  async workspaceExists(id: number): Promise<boolean> {
    return (await this.#db.selectFrom('workspaces').select('id').where('id', '=', id).executeTakeFirst()) !== undefined;
  }

  /** Hashes of the Python environments that model versions run in. */
  async environments(): Promise<ReadonlySet<string>> {
    const rows = await this.#db.selectFrom('modelVersions').select('environment').distinct().where('environment', 'is not', null).execute();
    return new Set(rows.map((row) => row.environment as string));
  }

  async uses(sha256: string): Promise<boolean> {
    return (await this.#db.selectFrom('modelVersions').select('id').where(({ or, eb }) => or([eb('sha256', '=', sha256), eb('convertedSha256', '=', sha256)])).limit(1).executeTakeFirst()) !== undefined;
  }
}

/** What a model declares, its inputs by the names of a config. */
export const declared = ({ inputs, outputs }: Pick<ModelVersion, 'inputs' | 'outputs'>, { tensorFields }: ModelConfig): Pick<StoredModelConfig, 'inputs' | 'outputs'> => ({
  inputs: inputs?.map((field, i) => ({ ...field, name: tensorFields?.[i] ?? field.name })) ?? null, outputs,
});

function toVersion(row: VersionRow): ModelVersion {
  return {
    ...row, reason: parsedOrNull<Reason>(row.reason), inputs: parsedOrNull<Field[]>(row.inputs), outputs: parsedOrNull<Field[]>(row.outputs),
    conversion: parsed(row.conversion), createdAt: date(row.createdAt), updatedAt: date(row.updatedAt),
  };
}
