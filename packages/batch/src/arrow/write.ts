import { PotorooError, type Field } from '@potoroo/contract';
import type { Batch } from '../batch.ts';
export interface ArrowOptions { metadata?: Record<string, string>; separator?: string | null }
export function encodeArrowFile(batch: Batch, options: ArrowOptions = {}): Uint8Array { throw new PotorooError('internal', `${batch.rows} ${options.separator}`); }
export function encodeArrowStream(batch: Batch, options: ArrowOptions = {}): Uint8Array { throw new PotorooError('internal', `${batch.rows} ${options.separator}`); }
export function arrowSchemaMessage(batch: Batch, metadata: Record<string, string> = {}): Uint8Array { throw new PotorooError('internal', `${batch.rows} ${metadata}`); }
export function arrowBatchMessage(batch: Batch): Uint8Array { throw new PotorooError('internal', `${batch.rows}`); }
export function encodeArrowSchema(fields: readonly Field[]): Uint8Array { throw new PotorooError('internal', `${fields.length}`); }
