import type { Generated } from 'kysely';
import type { Json, Time } from '../../storage/values.ts';

interface SigningKeyTable { id: Generated<number>; kid: string; privateJwk: Json; publicJwk: Json; createdAt: Time }
/** A refresh token is used once and then replaced; all that came from one sign-in share a family. */
interface RefreshTokenTable { id: Generated<number>; family: string; hash: string; userUuid: string; expiresAt: Time; usedAt: Time | null }
export interface IdentityTables { signingKeys: SigningKeyTable; refreshTokens: RefreshTokenTable }
