import { PotorooError } from '@potoroo/contract';
import type { Batch } from './batch.ts';
export function concat(batches: readonly Batch[]): Batch { throw new PotorooError('internal', `${batches.length}`); }
export function slice(batch: Batch, from: number, to: number): Batch { throw new PotorooError('internal', `${batch.rows} ${from} ${to}`); }
export function select(batch: Batch, include: readonly string[], exclude: readonly string[]): Batch { throw new PotorooError('internal', `${batch.rows} ${include.length} ${exclude.length}`); }
