import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createDatabase, type Storage } from './database.ts';

/** A fresh, migrated database and a fresh folder, both gone after `close`. */
export interface TestStorage extends Storage {
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
}

export interface TestDatabase { readonly name: 'sqlite' | 'postgres'; readonly open: () => Promise<TestStorage> }

/** Set by `npm run test:postgres`: a server on which databases may be created. */
const postgresServer = process.env['POTOROO_TEST_POSTGRES'];

/** The databases that every store and service test runs on: `describe.each(databases)('... on $name', ({ open }) => ...)`. */
export const databases: readonly TestDatabase[] = [
  { name: 'sqlite', open: () => openWith(undefined, async () => {}) },
  ...(postgresServer === undefined ? [] : [{ name: 'postgres' as const, open: () => openPostgres(postgresServer) }]),
];

async function openPostgres(server: string): Promise<TestStorage> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await onServer(server, `create database ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return openWith(url.href, () => onServer(server, `drop database ${name} with (force)`));
}

async function openWith(databaseUrl: string | undefined, drop: () => Promise<void>): Promise<TestStorage> {
  const dataDir = await mkdtemp(join(tmpdir(), 'potoroo-test-'));
  const storage = await createDatabase({ dataDir, databaseUrl });
  return {
    ...storage,
    dataDir,
    databaseUrl,
    close: async () => {
      await storage.close();
      await drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function onServer(server: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
