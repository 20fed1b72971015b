// Makes a checkout ready to run: dependencies, the one native module that may have to be compiled, the build.
// `npm start` and `npm test` run it first. Says nothing and takes under a second when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const oldest = [20, 19];

function stop(message) {
  console.error(`\nSet-up stopped: ${message}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return;
  stop(`this is Node ${process.versions.node}; Potoroo needs Node ${oldest.join('.')} or later. Install one from https://nodejs.org and run the command again.`);
}

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** What the lock asks for against what npm noted as installed: contents, because a checkout changes file times. */
function dependenciesInstalled() {
  const noted = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(noted)) return false;
  const installed = readJson(noted).packages;
  return Object.entries(readJson(join(root, 'package-lock.json')).packages).every(([path, wanted]) => {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return true;
    if (wanted.link) return existsSync(join(root, path));
    const found = installed[path];
    return found ? found.version === wanted.version : wanted.optional === true;
  });
}

/** npm of the Node that runs this, also when npm itself is only a shim in PATH. */
function npm(args) {
  const cli = process.env.npm_execpath;
  // The GPU build that onnxruntime-node's install script would fetch is not used; its CPU library is in the package.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  return cli?.endsWith('.js') ? run(process.execPath, [cli, ...args], { env }) : run('npm', args, { env, shell: process.platform === 'win32' });
}

function installDependencies() {
  if (dependenciesInstalled()) return;
  console.log('Installing dependencies (npm ci); the first time this takes a minute or two …');
  const { status } = npm(['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (status !== 0) stop('npm ci failed, see above. Is the npm registry reachable? A clean retry: delete node_modules and run the command again.');
}

/** In a child process: a module compiled for another Node version cannot be loaded, nor be loaded again once mended. */
function sqliteLoads() {
  const script = "new (require('better-sqlite3'))(':memory:').close()";
  return spawnSync(process.execPath, ['-e', script], { cwd: root, stdio: 'ignore' }).status === 0;
}

function checkSqlite() {
  try {
    const Database = createRequire(import.meta.url)('better-sqlite3');
    new Database(':memory:').close();
    return;
  } catch {
    console.log('Compiling better-sqlite3 for this Node …');
  }
  const compiler = ['c++', 'g++', 'clang++'].find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
  npm(['rebuild', 'better-sqlite3', '--foreground-scripts', '--loglevel=error']);
  if (sqliteLoads()) return;
  stop(compiler || process.platform === 'win32'
    ? 'better-sqlite3 could not be compiled, see above. It needs a C++20 compiler, make and Python 3.'
    : 'better-sqlite3 has no ready-made binary for this machine and no C++ compiler was found. Install one (Debian, Ubuntu: apt-get install g++ make python3; macOS: xcode-select --install) and run the command again.');
}

function build() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (run(process.execPath, [tsc, '-b']).status !== 0) stop('the TypeScript build failed, see above.');
}

checkNode();
installDependencies();
checkSqlite();
build();
