import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sql } from 'kysely';
import { openBlobFolder } from './blobs.ts';
import { createDatabase } from './database.ts';
import { takeDataFolder } from './data-folder.ts';
import { fromDatabaseError, isForeignKeyViolation, isUniqueViolation } from './errors.ts';
import { databases, type TestDatabase, type TestStorage } from './testing.ts';

describe.each(databases)('database on $name', ({ open }) => {
  let storage: TestStorage;
  beforeAll(async () => { storage = await open(); });
  afterAll(() => storage.close());

  const user = (n: number) => ({ uuid: `u${n}`, email: `u${n}@ex.co`, username: `u${n}`, role: 'user' as const, enabled: 1 as const, passwordHash: 'x', createdAt: 1_700_000_000_123 });

  test('big integers come back as numbers', async () => {
    const row = await storage.db.insertInto('users').values(user(1)).returningAll().executeTakeFirstOrThrow();
    expect(row.createdAt).toBe(1_700_000_000_123);
    expect(row.id).toBe(1);
  });

  test('broken constraints are told apart', async () => {
    const twice = await storage.db.insertInto('users').values(user(1)).execute().catch((error: unknown) => error);
    expect(isUniqueViolation(twice)).toBe(true);
    const orphan = await storage.db.insertInto('workspaceMembers').values({ workspaceId: 999, userUuid: 'u1', role: 'owner' }).execute().catch((error: unknown) => error);
    expect(isForeignKeyViolation(orphan)).toBe(true);
  });

  test('opening again runs nothing twice, and leaves a newer version’s migrations alone', async () => {
    await sql`insert into schema_migrations (name, ran_at) values ('9999_future', 1)`.execute(storage.db);
    const again = await Promise.all([1, 2].map(() => createDatabase(storage)));
    const rows = await sql<{ name: string }>`select name from schema_migrations order by name`.execute(storage.db);
    expect(new Set(rows.rows.map((r) => r.name)).size).toBe(rows.rows.length);
    expect(rows.rows.at(-1)?.name).toBe('9999_future');
    await Promise.all(again.map((s) => s.close()));
  });
});

test('a full disk is said to be full, also within a transaction, and what was there stays', async () => {
  const storage = await (databases[0] as TestDatabase).open();
  const { rows: [size] } = await sql<{ pageCount: number }>`pragma page_count`.execute(storage.db);
  await sql`pragma max_page_count = ${sql.lit(Number(size?.pageCount) + 2)}`.execute(storage.db);
  const fill = (n: number) => storage.db.transaction().execute((tx) => tx.insertInto('users').values({ uuid: `u${n}`, email: `u${n}`, username: `u${n}`, role: 'user', enabled: 1, passwordHash: 'x'.repeat(3000), createdAt: 1 }).execute());
  let written = 0;
  const full = await (async () => { for (;;) { await fill(written); written += 1; } })().catch((error: unknown) => error);
  expect(fromDatabaseError(full)).toMatchObject({ code: 'storage_full' });
  expect(await storage.db.selectFrom('users').select('uuid').execute()).toHaveLength(written);
  await sql`pragma max_page_count = 1000000`.execute(storage.db);
  await fill(written);
  await storage.close();
});

test('a database that another program has locked is waited for without holding up the thread, and then refused at once until it is free', async () => {
  const storage = await (databases[0] as TestDatabase).open();
  const add = (n: number) => storage.db.insertInto('users').values({ uuid: `u${n}`, email: `u${n}`, username: `u${n}`, role: 'user', enabled: 1, passwordHash: 'x', createdAt: 1 }).execute();
  const other = new Sqlite(join(storage.dataDir, 'potoroo.db'), { timeout: 0 });
  other.exec('begin immediate');
  let turns = 0;
  const turning = setInterval(() => { turns += 1; }, 10);
  const waiting = add(1);
  await expect.poll(() => turns).toBeGreaterThan(5);
  other.exec('rollback');
  await waiting;

  other.exec('begin immediate');
  const busy = async (of: Promise<unknown>) => fromDatabaseError(await of.catch((error: unknown) => error));
  expect(await busy(storage.db.transaction().execute(() => add(2)))).toMatchObject({ code: 'storage_busy', message: expect.stringContaining('potoroo.db') as string });
  const before = turns;
  expect(await busy(add(2))).toMatchObject({ code: 'storage_busy' });
  expect(turns - before).toBeLessThan(20);
  expect(await storage.db.selectFrom('users').select('uuid').where('uuid', 'like', 'u_').execute()).toEqual([{ uuid: 'u1' }]);
  other.exec('rollback');
  await add(2);
  clearInterval(turning);
  other.close();
  await storage.close();
});

test('a database that cannot be reached is a settings error', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'potoroo-test-'));
  await expect(createDatabase({ dataDir, databaseUrl: 'postgres://nobody@127.0.0.1:1/none' })).rejects.toMatchObject({ code: 'settings_invalid', message: expect.stringContaining('DATABASE_URL') });
  await rm(dataDir, { recursive: true });
});

describe('data folder', () => {
  let dir: string;
  beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'potoroo-test-')); });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test('two servers cannot share it; one that was killed does not hold it', async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', `
      import { takeDataFolder } from ${JSON.stringify(new URL('../../dist/storage/data-folder.js', import.meta.url).href)};
      takeDataFolder(${JSON.stringify(dir)}); console.log('held'); setInterval(() => {}, 1000);`], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    expect(() => takeDataFolder(dir)).toThrow(expect.objectContaining({ code: 'data_dir_in_use', message: expect.stringMatching(new RegExp(`process id ${child.pid},.*POTOROO_DATA_DIR`)) }));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const mine = takeDataFolder(dir);
    expect(() => takeDataFolder(dir)).toThrow(expect.objectContaining({ code: 'data_dir_in_use' }));
    mine.release();
    takeDataFolder(dir).release();
  });

  test('a file where the folder should be is a clear error', () => {
    expect(() => takeDataFolder(join(dir, 'server.json', 'x'))).toThrow(expect.objectContaining({ name: 'PotorooError' }));
  });
});

describe('blobs', () => {
  let dir: string;
  beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'potoroo-test-')); });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  async function* chunks(...parts: Uint8Array[]) { yield* parts; }

  test('the same bytes are one file, by their digest', async () => {
    const blobs = await openBlobFolder(dir);
    const bytes = randomBytes(100_000);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(await blobs.put(chunks(bytes.subarray(0, 7), bytes.subarray(7)))).toEqual({ sha256, size: 100_000 });
    expect(await blobs.put(chunks(bytes))).toEqual({ sha256, size: 100_000 });
    expect((await readFile(blobs.path(sha256))).equals(bytes)).toBe(true);
  });

  test('a sender that breaks off, or sends too much, leaves nothing behind', async () => {
    const blobs = await openBlobFolder(dir);
    async function* broken() { yield Buffer.from('x'); throw new Error('gone'); }
    await expect(blobs.put(broken())).rejects.toThrow('gone');
    await expect(blobs.put(chunks(Buffer.alloc(11)), 10)).rejects.toMatchObject({ code: 'body_too_large' });
    expect(await readdir(join(dir, 'incoming'))).toEqual([]);
  });

  test('a sweep takes what nobody wants, and spares what was just put', async () => {
    const blobs = await openBlobFolder(dir);
    const wanted = await blobs.put(chunks(randomBytes(9)));
    const unwanted = await blobs.put(chunks(randomBytes(9)));
    const keep = async (sha256: string) => sha256 === wanted.sha256;
    expect(await blobs.sweep(keep, Date.now())).toBe(0);
    expect(await blobs.sweep(keep, Date.now() + 3_700_000)).toBeGreaterThan(0);
    expect([await blobs.has(wanted.sha256), await blobs.has(unwanted.sha256)]).toEqual([true, false]);
  });

  test('a name that is not a digest never becomes a path', async () => {
    const blobs = await openBlobFolder(dir);
    expect(() => blobs.path('../../etc/passwd')).toThrow('not a SHA-256');
  });
});
