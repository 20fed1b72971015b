import type { Generated } from 'kysely';
import type { Flag, Time } from '../../storage/values.ts';
import type { Role } from '../domains.ts';

/** `id` orders the list; `uuid` is what the rest of the system knows a user by. E-mail and username are lower case. */
interface UserTable {
  id: Generated<number>; uuid: string; email: string; username: string; role: Role; enabled: Flag; passwordHash: string; createdAt: Time;
}
export interface UserTables { users: UserTable }
