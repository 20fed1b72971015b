import type { Accelerator, Architecture } from '@potoroo/contract';
import type { Generated } from 'kysely';
import type { Json, Time } from '../../storage/values.ts';
import type { ModelStatus } from '../domains.ts';

interface ModelTable { id: Generated<number>; workspaceId: number; name: string; ownerId: string; createdAt: Time; updatedAt: Time }
interface ModelVersionTable {
  id: Generated<number>; modelId: number; version: string; sha256: string; size: number; fileName: string; framework: string; runtime: string;
  arch: Architecture; accel: Accelerator; visibility: 'private' | 'public'; status: ModelStatus; reason: Json | null;
  inputs: Json | null; outputs: Json | null; conversion: Json; createdAt: Time; updatedAt: Time; createdBy: string;
}
interface ModelConfigTable { id: Generated<number>; modelVersionId: number; config: Json; extra: Json; createdAt: Time }
interface ModelUploadLogTable { id: Generated<number>; modelVersionId: number; line: string }
export interface ModelTables { models: ModelTable; modelVersions: ModelVersionTable; modelConfigs: ModelConfigTable; modelUploadLog: ModelUploadLogTable }
