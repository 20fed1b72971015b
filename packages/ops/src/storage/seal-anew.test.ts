import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { sealAnew } from './seal-anew.ts';
import { openSecrets, Secrets } from './secrets.ts';
import { databases } from './testing.ts';

const key = () => randomBytes(32).toString('base64');

test.each(databases)('a new key: what the old one sealed opens, is sealed with the new one, and needs the old one no more ($name)', async ({ open }) => {
  const { db, dataDir, close } = await open();
  const [old, now] = [key(), key()];
  const before = openSecrets(dataDir, old);
  const connection = (uuid: string, sealedDetails: string) => db.insertInto('connections').values({ uuid, name: uuid, type: 'X', sealedDetails, createdBy: 'u', createdAt: 1 }).execute();
  await connection('c1', before.seal('horse', 'c1'));
  await connection('c2', new Secrets(Buffer.from(now, 'base64')).seal('battery', 'c2'));
  await connection('c3', new Secrets(randomBytes(32)).seal('lost', 'c3'));
  for (const [uuid, sealedToken] of [['r1', before.seal('staple', 'r1')], ['r2', null]] as const) {
    await db.insertInto('registries').values({ uuid, name: uuid, url: 'http://r', sealedToken, createdBy: 'u', createdAt: 1, updatedAt: 1 }).execute();
  }
  await db.insertInto('imageCredentials').values({ uuid: 'i1', sealed: before.seal('correct', 'i1'), modelVersionId: null, createdAt: 1 }).execute();

  const both = openSecrets(dataDir, now, old);
  expect(await sealAnew(db, both)).toEqual({ sealed: 3, lost: 1 });
  expect(await sealAnew(db, both)).toEqual({ sealed: 0, lost: 1 });
  const alone = openSecrets(dataDir, now);
  const details = await db.selectFrom('connections').select(['uuid', 'sealedDetails']).where('uuid', '!=', 'c3').orderBy('uuid').execute();
  expect(details.map((row) => alone.open(row.sealedDetails, row.uuid))).toEqual(['horse', 'battery']);
  expect(() => alone.open(details[0]!.sealedDetails, 'c2')).toThrow(/does not open/);
  const [registry] = await db.selectFrom('registries').select('sealedToken').where('uuid', '=', 'r1').execute();
  expect(alone.open(registry!.sealedToken!, 'r1')).toBe('staple');
  expect(alone.open((await db.selectFrom('imageCredentials').select('sealed').executeTakeFirstOrThrow()).sealed, 'i1')).toBe('correct');
  await close();
});
