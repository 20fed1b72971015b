/**
 * Spool frames: how answered inferences lie in an engine's spool and travel to ops. Node only (`@potoroo/batch/frames`).
 *
 * A frame is a 16-byte header (magic, kind, payload length, checksum of both) and a payload padded to 8 bytes,
 * so that columns can be read in place. A *schema* frame is JSON and holds for the rows frames that follow it; a *rows*
 * frame is a small head and the raw buffers of its columns. All numbers are little-endian.
 */
import { elementTypes, PotorooError, type ElementType } from '@potoroo/contract/plain';
import type { Column } from '../batch.ts';

/** Type of a logged column as it lies in frames: a tensor's shape may differ from frame to frame, its rank not. */
export type LogType =
  | { readonly kind: 'tensor'; readonly type: ElementType; readonly rank: number }
  | { readonly kind: 'list'; readonly items: LogType }
  | { readonly kind: 'struct'; readonly fields: readonly LogField[] };
export type LogField = { readonly name: string } & LogType;

/** Which pipeline version's inferences these are; the ids of the bundle. */
export interface LogPipeline {
  readonly id: number; readonly name: string; readonly version: string; readonly versionId: number; readonly workspaceId: number; readonly deploymentId: number;
}
export interface LogModel { readonly name: string; readonly sha: string }
export interface LogSchema {
  readonly format: 1;
  readonly partition: string;
  readonly pipeline: LogPipeline;
  /** Only ever grows within a partition: rows name a model by its index here. */
  readonly models: readonly LogModel[];
  readonly columns: readonly LogField[];
}

/** One request of a merged run: its rows are consecutive. `timeMs` is since the epoch, `elapsedNs` parsing and then each step. */
export interface LogRequest { readonly rows: number; readonly timeMs: number; readonly requestId: string; readonly elapsedNs: readonly number[] }
export interface LogRows {
  /** Offset of the first row in its partition. */
  readonly firstRow: number;
  readonly rows: number;
  readonly requests: readonly LogRequest[];
  /** Index into the schema's models: one for all rows, or one for each. */
  readonly model: number | Int32Array;
  /** As the schema's columns; undefined where the column was dropped for want of space. */
  readonly columns: readonly (Column | undefined)[];
}

/** Longest frame. What is longer is written without its largest columns. */
export const maxFrameBytes = 48 * 1024 * 1024;
/** Most rows of one frame, which is one merged run. */
export const maxFrameRows = 1 << 20;
export const frameHeaderBytes = 16;
/** Stands in the head of rows that have a model each; their indexes are the first of the buffers. */
export const eachItsModel = 0xffff_ffff;
/** Fixed part of a rows payload. */
export const rowsHeadBytes = 24;
export const magic = 0x31_46_54_50; // PTF1
export const kinds = { schema: 1, rows: 2 } as const;
export type FrameKind = keyof typeof kinds;
const maxRank = 16;
const maxDepth = 16;
const maxColumns = 4096;
export const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8;

/** Type of a column as the schema frame tells it. */
export function logTypeOf(column: Column): LogType {
  if (column.kind === 'tensor') return { kind: 'tensor', type: column.type, rank: column.shape.length };
  if (column.kind === 'list') return { kind: 'list', items: logTypeOf(column.items) };
  return { kind: 'struct', fields: column.fields.map((f) => ({ name: f.name, ...logTypeOf(f) })) };
}

/** Whether a column may go under this type, without making anything. */
export function isOfType(column: Column, type: LogType): boolean {
  if (column.kind === 'tensor') return type.kind === 'tensor' && column.type === type.type && column.shape.length === type.rank;
  if (column.kind === 'list') return type.kind === 'list' && isOfType(column.items, type.items);
  return type.kind === 'struct' && column.fields.length === type.fields.length && column.fields.every((f, i) => f.name === type.fields[i]!.name && isOfType(f, type.fields[i]!));
}

/** @throws PotorooError malformed_body */
export function decodeSchema(payload: Uint8Array): LogSchema {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
  } catch {
    throw bad('its schema is not JSON');
  }
  const schema = value as LogSchema;
  const pipeline = schema?.pipeline;
  const texts = [schema?.partition, pipeline?.name, pipeline?.version];
  const ids = [pipeline?.id, pipeline?.versionId, pipeline?.workspaceId, pipeline?.deploymentId];
  if (schema?.format !== 1) throw bad('its schema is not of format 1');
  if (!texts.every((t) => typeof t === 'string') || !ids.every((i) => Number.isSafeInteger(i))) throw bad('its schema does not name a pipeline version and partition');
  if (!Array.isArray(schema.models) || !schema.models.every((m) => typeof m?.name === 'string' && typeof m.sha === 'string')) throw bad('its list of models is wrong');
  if (!areFields(schema.columns, 0)) throw bad('its list of columns is wrong');
  return schema;
}

function areFields(value: unknown, depth: number): boolean {
  return Array.isArray(value) && value.length <= maxColumns && value.every((f: { name?: unknown }) => typeof f?.name === 'string' && isType(f, depth)) && new Set(value.map((f: LogField) => f.name)).size === value.length;
}

function isType(value: unknown, depth: number): boolean {
  const type = value as LogType | undefined;
  if (depth > maxDepth) return false;
  if (type?.kind === 'tensor') return elementTypes.includes(type.type) && Number.isInteger(type.rank) && type.rank >= 0 && type.rank <= maxRank;
  if (type?.kind === 'list') return isType(type.items, depth + 1);
  return type?.kind === 'struct' && areFields(type.fields, depth + 1);
}

export const bad = (why: string): PotorooError => new PotorooError('malformed_body', `A log frame cannot be read: ${why}.`);
