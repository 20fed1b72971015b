import { PotorooError } from '@potoroo/contract';
import type { Batch } from '../batch.ts';
export function encodeRecords(batch: Batch, separator: string | null): string { throw new PotorooError('internal', `${batch.rows} ${separator}`); }
export function encodeDictionary(batch: Batch): string { throw new PotorooError('internal', `${batch.rows}`); }
