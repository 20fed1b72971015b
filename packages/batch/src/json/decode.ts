import { PotorooError, type Field } from '@potoroo/contract';
import type { Batch } from '../batch.ts';
export function decodeRecords(body: Uint8Array, fields: readonly Field[]): Batch { throw new PotorooError('internal', `${body.length} ${fields.length}`); }
export function decodeDictionary(body: Uint8Array, fields: readonly Field[]): Batch { throw new PotorooError('internal', `${body.length} ${fields.length}`); }
