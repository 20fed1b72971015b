import type { Kysely } from 'kysely';
import type { Database } from './database.ts';
import type { Secrets } from './secrets.ts';

/** Where sealed text lies, and what of its row each is bound to. */
const places = [
  { table: 'connections', column: 'sealedDetails', owner: 'uuid' }, { table: 'registries', column: 'sealedToken', owner: 'uuid' }, { table: 'imageCredentials', column: 'sealed', owner: 'uuid' },
  { table: 'signingKeys', column: 'privateJwk', owner: 'kid' },
] as const satisfies readonly { table: keyof Database; column: string; owner: string }[];

/**
 * Seals with the key of now what was sealed with the one before, row by row; may be cut off and done again.
 * @returns how many were, and how many open with neither key
 */
export async function sealAnew(db: Kysely<Database>, secrets: Secrets): Promise<{ sealed: number; lost: number }> {
  let [sealed, lost] = [0, 0];
  for (const { table, column, owner } of places) {
    // One shape for all, which the compiler cannot see.
    const rows = (await db.selectFrom(table as 'connections').select(['id', owner as 'uuid', column as 'sealedDetails']).execute()) as unknown as Record<string, string | number | null>[];
    for (const row of rows) {
      const text = row[column];
      // JSON is of before it was sealed: who reads it seals it.
      if (typeof text !== 'string' || text.startsWith('{')) continue;
      let anew: string | undefined;
      try {
        anew = secrets.sealedAnew(text, String(row[owner]));
      } catch {
        lost += 1;
      }
      if (anew === undefined) continue;
      // Only when nobody changed it meanwhile.
      const { numUpdatedRows } = await db.updateTable(table as 'connections').set({ [column]: anew }).where('id', '=', Number(row['id'])).where(column as 'sealedDetails', '=', text).executeTakeFirst();
      sealed += Number(numUpdatedRows);
    }
  }
  return { sealed, lost };
}
