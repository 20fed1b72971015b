import type { Json, Time } from '../../storage/values.ts';

/** `answer` is null while the first request with this key is still at work. */
interface IdempotencyTable { userUuid: string; key: string; requestHash: string; status: number | null; answer: Json | null; createdAt: Time }
export interface IdempotencyTables { idempotencyKeys: IdempotencyTable }
