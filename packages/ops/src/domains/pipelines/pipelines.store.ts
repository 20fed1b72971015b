import type { Generated } from 'kysely';
import type { Json, Time } from '../../storage/values.ts';

interface PipelineTable { id: Generated<number>; workspaceId: number; name: string; ownerId: string; createdAt: Time; updatedAt: Time }
interface PipelineVersionTable { id: Generated<number>; pipelineId: number; version: string; steps: Json; createdAt: Time; createdBy: string }
/** Which model versions a pipeline version runs: what is in here cannot be removed. */
interface PipelineVersionModelTable { pipelineVersionId: number; modelVersionId: number }
export interface PipelineTables { pipelines: PipelineTable; pipelineVersions: PipelineVersionTable; pipelineVersionModels: PipelineVersionModelTable }
