import { PotorooError } from '@potoroo/contract';
import type { RegisteredModel, RegisteredModelVersion } from '../domains.ts';
import { nextOf, numberOf, rowsOf, textOf, type Json, type RegistryApi } from './api.ts';

/** MLflow's REST API, as far as models are found by it. Databricks' workspace registry has the same calls. */
const base = '/api/2.0/mlflow';
const maxName = 1024;

export interface RegistryPage<T> { items: T[]; next: string | null }

export async function searchModels(api: RegistryApi, limit: number, token: string | undefined): Promise<RegistryPage<RegisteredModel>> {
  const answer = await api.json(`${base}/registered-models/search`, { max_results: limit, page_token: token });
  const items = rowsOf(api, answer, 'registered_models').map((row) => ({
    name: required(api, row, 'name'), userId: textOf(row['user_id']) || null, description: textOf(row['description']) || null, ...timesOf(row),
    latestVersions: rowsOf(api, row, 'latest_versions').slice(0, 16).map((version) => versionOf(api, version)),
  }));
  return { items, next: nextOf(api, answer, token) };
}

/** Not in an order that can be relied on. */
export async function searchVersions(api: RegistryApi, name: string, limit: number, token: string | undefined): Promise<RegistryPage<RegisteredModelVersion>> {
  const answer = await api.json(`${base}/model-versions/search`, { filter: `name=${quoted(name)}`, max_results: limit, page_token: token });
  return { items: rowsOf(api, answer, 'model_versions').map((row) => versionOf(api, row)), next: nextOf(api, answer, token) };
}

/** @throws artifact_not_found */
export async function readVersion(api: RegistryApi, name: string, version: string): Promise<RegisteredModelVersion> {
  return versionOf(api, objectOf(api, await api.json(`${base}/model-versions/get`, { name, version })));
}

/** The version that an alias stands for. @throws artifact_not_found */
export async function readAlias(api: RegistryApi, name: string, alias: string): Promise<RegisteredModelVersion> {
  return versionOf(api, objectOf(api, await api.json(`${base}/registered-models/alias`, { name, alias })));
}

/** Where the files of a version lie, such as `mlflow-artifacts:/1/models/m-…/artifacts`. */
export async function downloadUri(api: RegistryApi, name: string, version: string): Promise<string> {
  return required(api, await api.json(`${base}/model-versions/get-download-uri`, { name, version }), 'artifact_uri');
}

function versionOf(api: RegistryApi, row: Json): RegisteredModelVersion {
  return {
    name: required(api, row, 'name'), version: required(api, row, 'version'), description: textOf(row['description']) || null,
    runId: textOf(row['run_id']) || null, runLink: textOf(row['run_link']) || null, source: textOf(row['source']), status: textOf(row['status'], 64) || 'READY',
    stage: textOf(row['current_stage'], 64) || 'None', userId: textOf(row['user_id']) || null, ...timesOf(row),
  };
}

function timesOf(row: Json): { createdAt: Date; updatedAt: Date } {
  const created = timeOf(row['creation_timestamp']);
  return { createdAt: created, updatedAt: timeOf(row['last_updated_timestamp'] ?? row['creation_timestamp']) };
}
function timeOf(value: unknown): Date {
  const time = new Date(numberOf(value) ?? 0);
  return Number.isNaN(time.getTime()) ? new Date(0) : time;
}

function required(api: RegistryApi, row: Json, field: string): string {
  const value = row[field];
  const text = textOf(typeof value === 'number' ? String(value) : value, maxName + 1);
  if (text === '' || text.length > maxName) return api.invalid(`answered without ${field} where one belongs.`);
  return text;
}

function objectOf(api: RegistryApi, answer: Json): Json {
  const row = answer['model_version'];
  return typeof row === 'object' && row !== null ? (row as Json) : api.invalid('answered without the model_version that was asked for.');
}

/** As a filter takes it, which knows no escape. */
function quoted(name: string): string {
  const quote = ["'", '"'].find((mark) => !name.includes(mark));
  if (quote === undefined) throw new PotorooError('invalid_request', 'A model name with both kinds of quotes cannot be searched for; rename the model in the registry.', { fields: [{ field: 'model', message: 'both kinds of quotes' }] });
  return quote + name + quote;
}
