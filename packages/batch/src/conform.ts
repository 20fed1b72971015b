import { PotorooError, type Field } from '@potoroo/contract';
import type { Batch } from './batch.ts';
export function conform(batch: Batch, fields: readonly Field[]): Batch { throw new PotorooError('internal', `${batch.rows} ${fields.length}`); }
