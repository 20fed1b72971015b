import { PotorooError, type Field } from '@potoroo/contract';
import type { Batch } from './batch.ts';
/** An inference request of the Open Inference Protocol v2, its inputs already as the declared columns. */
export interface V2Request {
  id?: string;
  batch: Batch;
  /** What the client asked for; undefined means every output. */
  outputs: { name: string; binary?: boolean }[] | undefined;
  /** `parameters.binary_data_output`: outputs without a flag of their own go out as binary. */
  binaryDefault: boolean;
  parameters: Record<string, unknown>;
}
export function decodeV2(body: Uint8Array, headerLength: number | undefined, fields: readonly Field[]): V2Request { throw new PotorooError('internal', `${body.length} ${headerLength} ${fields.length}`); }
export interface V2Answer { modelName: string; modelVersion: string; id: string | undefined; batch: Batch; request: Pick<V2Request, 'outputs' | 'binaryDefault'> }
export function encodeV2(answer: V2Answer): { head: string; binary: Uint8Array[]; headerLength: number | null } { throw new PotorooError('internal', answer.modelName); }
