import type { Generated } from 'kysely';
import type { Flag, Time } from '../../storage/values.ts';
import type { Member } from '../domains.ts';

interface WorkspaceTable { id: Generated<number>; name: string; archived: Flag; createdAt: Time; createdBy: string }
interface WorkspaceMemberTable { workspaceId: number; userUuid: string; role: Member['role'] }
interface DefaultWorkspaceTable { userUuid: string; workspaceId: number }
export interface WorkspaceTables { workspaces: WorkspaceTable; workspaceMembers: WorkspaceMemberTable; defaultWorkspaces: DefaultWorkspaceTable }
