import { PotorooError } from '@potoroo/contract';
import type { Batch } from '../batch.ts';
export function decodeLoose(body: Uint8Array): Batch { throw new PotorooError('internal', `${body.length}`); }
