import { PotorooError, type Field } from '@potoroo/contract';
import type { Batch } from '../batch.ts';
export function decodeArrow(body: Uint8Array): { batch: Batch; metadata: Record<string, string> } { throw new PotorooError('internal', `${body.length}`); }
export function decodeArrowSchema(body: Uint8Array): Field[] { throw new PotorooError('internal', `${body.length}`); }
