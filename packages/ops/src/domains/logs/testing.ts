import type { Kysely } from 'kysely';
import { utf8At, type Batch, type Column, type TensorColumn, type Utf8 } from '@potoroo/batch';
import { FrameEncoder, logTypeOf, type LogSchema } from '@potoroo/batch/frames';
import { Access } from '../access.ts';
import type { Actor, LogPage, LogQuery } from '../domains.ts';
import { ModelService, type ModelOptions } from '../models/models.service.ts';
import { PipelineService } from '../pipelines/pipelines.service.ts';
import type { Blobs } from '../../storage/blobs.ts';
import type { Database } from '../../storage/database.ts';
import type { TestStorage } from '../../storage/testing.ts';
import { openLogs, type LogParts, type LogService } from './logs.service.ts';

export const admin: Actor = { id: 'u1', email: 'u1@ex.co', role: 'admin' };
export const stranger: Actor = { id: 'u2', email: 'u2@ex.co', role: 'user' };

export interface TestLogs { readonly logs: LogService; readonly folder: string; readonly pipelineId: number; readonly deploymentId: number; readonly errors: unknown[] }

/** The log of one pipeline that is deployed, in a fresh database. */
export async function logsOn(storage: Pick<TestStorage, 'db' | 'dataDir'>, errors: unknown[] = [], more: Partial<LogParts> = {}): Promise<TestLogs> {
  const { db, dataDir } = storage;
  const ids = await deployed(db);
  const folder = `${dataDir}/logs`;
  return { logs: await reopen(db, folder, errors, more), folder, ...ids, errors };
}

export function reopen(db: Kysely<Database>, folder: string, errors: unknown[] = [], more: Partial<LogParts> = {}): Promise<LogService> {
  const access = new Access(db);
  const pipelines = new PipelineService(db, access, new ModelService(db, {} as Blobs, access, { clock: Date.now } as ModelOptions), Date.now);
  return openLogs({ db, access, pipelines, folder, clock: Date.now, retention: { days: 0, bytes: 0 }, onError: (error) => errors.push(error), ...more });
}

let count = 0;
/** One more pipeline with its deployment. */
export async function deployed(db: Kysely<Database>): Promise<{ pipelineId: number; deploymentId: number }> {
  count += 1;
  const workspace = await db.insertInto('workspaces').values({ name: `w${count}`, archived: 0, createdAt: 1, createdBy: 'u1' }).returning('id').executeTakeFirstOrThrow();
  const pipeline = await db.insertInto('pipelines').values({ workspaceId: workspace.id, name: `p${count}`, ownerId: 'u1', createdAt: 1, updatedAt: 1 }).returning('id').executeTakeFirstOrThrow();
  const deployment = await db.insertInto('deployments').values({
    pipelineId: pipeline.id, workspaceId: workspace.id, pipelineVersionId: 1, wanted: 'running', generation: 1, config: '{}', spec: '{}',
    provenSpec: null, provenGeneration: null, port: null, createdAt: 1, updatedAt: 1,
  }).returning('id').executeTakeFirstOrThrow();
  return { pipelineId: pipeline.id, deploymentId: deployment.id };
}

export interface Row { readonly n: number; readonly time: number }
export interface FrameOptions { readonly version?: string; readonly model?: string; readonly columns?: (rows: readonly Row[]) => (Column | undefined)[]; readonly names?: readonly Column[]; readonly requests?: 'one' | 'each' }

const encoder = new FrameEncoder();
export const floats = (name: string, shape: number[], values: number[]): TensorColumn => ({ kind: 'tensor', name, type: 'float32', shape, values: Float32Array.from(values) });
/** Three inputs and an output that all tell the row's number. */
export const numbered = (rows: readonly Row[]): Column[] => [floats('in.x', [3], rows.flatMap(({ n }) => [n, n, n])), floats('out.y', [], rows.map(({ n }) => n))];

/** A schema frame and one frame of rows, as an engine would spool them. */
export function frames(pipelineId: number, partition: string, firstRow: number, rows: readonly Row[], options: FrameOptions = {}): Buffer {
  const columns = (options.columns ?? numbered)(rows);
  const schema: LogSchema = {
    format: 1, partition, pipeline: { id: pipelineId, name: 'p', version: options.version ?? 'v1', versionId: 1, workspaceId: 1, deploymentId: 1 },
    models: [{ name: options.model ?? 'm', sha: 'f00' }], columns: (options.names ?? columns as Column[]).map((c) => ({ name: c.name, ...logTypeOf(c) })),
  };
  const requests = options.requests === 'one' ? [{ rows: rows.length, timeMs: rows[0]!.time, requestId: `r${rows[0]!.n}`, elapsedNs: [1, 2] }]
    : rows.map(({ n, time }) => ({ rows: 1, timeMs: time, requestId: `r${n}`, elapsedNs: [n, 2] }));
  return Buffer.concat([encoder.schema(schema), ...encoder.rows({ firstRow, rows: rows.length, requests, model: 0, columns })]);
}

/** Values of one column, one entry a row, as a person would write them. */
export function plain(batch: Batch, name: string): unknown[] {
  const column = batch.columns.find((c) => c.name === name);
  if (column === undefined) throw new Error(`There is no column ${name}.`);
  return values(column, batch.rows);
}

function values(column: Column, rows: number): unknown[] {
  if (column.kind === 'struct') {
    const fields = column.fields.map((f) => [f.name, values(f, rows)] as const);
    return Array.from({ length: rows }, (_, i) => (column.nulls?.[i] === 1 ? null : Object.fromEntries(fields.map(([name, of]) => [name, of[i]]))));
  }
  if (column.kind === 'list') {
    const items = values(column.items, column.offsets[rows]!);
    return Array.from({ length: rows }, (_, i) => (column.nulls?.[i] === 1 ? null : items.slice(column.offsets[i], column.offsets[i + 1])));
  }
  const [length, ...rest] = column.shape;
  if (length !== undefined) {
    const items = values({ ...column, shape: rest }, rows * length);
    return Array.from({ length: rows }, (_, i) => items.slice(i * length, (i + 1) * length));
  }
  return Array.from({ length: rows }, (_, i) => {
    if (column.nulls?.[i] === 1) return null;
    const value = column.type === 'string' ? utf8At(column.values as Utf8, i) : (column.values as Float32Array | BigInt64Array)[i]!;
    return typeof value === 'bigint' ? Number(value) : value;
  });
}

/** Row numbers of all pages of a query, after checking that each row says the same of itself everywhere. */
export async function readAll(logs: LogService, query: LogQuery, check: (page: LogPage) => void = () => {}): Promise<number[]> {
  const rows: number[] = [];
  let cursor = query.cursor;
  for (;;) {
    const page = await logs.read(admin, { ...query, ...(cursor && { cursor }) });
    check(page);
    if (page.batch.rows > 0) {
      const y = plain(page.batch, 'out.y') as number[];
      const ids = plain(page.batch, 'metadata.request_id') as string[];
      if (ids.some((id, i) => id !== `r${y[i]}`)) throw new Error('a row has another row’s request');
      rows.push(...y);
    }
    if (page.next === null) return rows;
    if (page.batch.rows === 0) throw new Error(`a page without rows goes on: ${page.status}`);
    cursor = page.next;
  }
}
