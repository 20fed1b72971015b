import { imageFramework } from '@potoroo/contract';
import type { Generated, Kysely } from 'kysely';
import type { Database } from '../../storage/database.ts';
import { parsed, type Time } from '../../storage/values.ts';
import type { ModelVersion } from '../domains.ts';

interface ImageCredentialTable { id: Generated<number>; uuid: string; modelVersionId: number | null; sealed: string; createdAt: Time }
export interface ImageTables { imageCredentials: ImageCredentialTable }

export class ImageStore {
  readonly #db: Kysely<Database>;
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Before there is the version that they are for: its image is asked for at once when there is. Those whose version never came go after `before`. */
  async insert(uuid: string, sealed: string, now: Time, before: Time): Promise<void> {
    await this.#db.deleteFrom('imageCredentials').where('modelVersionId', 'is', null).where('createdAt', '<', before).execute();
    await this.#db.insertInto('imageCredentials').values({ uuid, sealed, modelVersionId: null, createdAt: now }).execute();
  }

  async belong(uuid: string, modelVersionId: number): Promise<void> {
    await this.#db.updateTable('imageCredentials').set({ modelVersionId }).where('uuid', '=', uuid).execute();
  }

  async version(id: number): Promise<Pick<ModelVersion, 'arch' | 'conversion' | 'fileName'> | undefined> {
    const row = await this.#db.selectFrom('modelVersions').select(['arch', 'conversion', 'fileName']).where('id', '=', id).executeTakeFirst();
    return row && { ...row, conversion: parsed(row.conversion) };
  }

  /** Whether an image is being pulled for a version, which does not name it by its digest yet. */
  async pulling(): Promise<boolean> {
    return (await this.#db.selectFrom('modelVersions').select('id').where('framework', '=', imageFramework).where('status', '=', 'uploading').limit(1).executeTakeFirst()) !== undefined;
  }

  /** Whether a version is of the image with this digest. */
  async names(digest: string): Promise<boolean> {
    return (await this.#db.selectFrom('modelVersions').select('id').where('framework', '=', imageFramework).where('fileName', 'like', `%@${digest}`).limit(1).executeTakeFirst()) !== undefined;
  }

  async sealed(uuid: string): Promise<string | undefined> {
    return (await this.#db.selectFrom('imageCredentials').select('sealed').where('uuid', '=', uuid).executeTakeFirst())?.sealed;
  }
}
