// Makes .venv/client: a Python with the published client and what its answers are compared with.
// Does nothing when the environment was made from the same requirements. PYTHON names another interpreter.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const folder = join(root, '.venv', 'client');
const requirements = join(here, 'requirements.txt');

/** The interpreter of the environment, whether or not it is there yet. */
export const clientPython = join(folder, 'bin', 'python');

const call = (command, args, options = {}) => spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });

/** The pinned wheels exist for CPython 3.10 to 3.12. */
function interpreter() {
  const wanted = process.env.PYTHON;
  for (const name of wanted ? [wanted] : ['python3.11', 'python3.12', 'python3.10', 'python3']) {
    const answer = call(name, ['-c', 'import sys; print(*sys.version_info[:2])']);
    const [major, minor] = (answer.stdout ?? '').trim().split(' ').map(Number);
    if (answer.status === 0 && major === 3 && minor >= 10 && minor <= 12) return { name, version: `3.${minor}` };
    if (wanted) break;
  }
  throw new Error(`The Python client's tests need Python 3.10, 3.11 or 3.12; ${wanted ? `PYTHON=${wanted} is not one of them` : 'none was found'}. Install one (Debian: apt-get install python3.11-venv) or set PYTHON to its path.`);
}

function must(command, args) {
  const done = call(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} failed${done.error ? `: ${done.error.message}` : ` with exit code ${done.status}`}.`);
}

/** Path of the environment's Python; made first when it is missing or older than its requirements. */
export function setUpClientPython() {
  const mark = join(folder, '.requirements.sha256');
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === hash && existsSync(clientPython)) return clientPython;

  const { name, version } = interpreter();
  console.log(`Setting up the Python client in .venv/client (Python ${version}) ...`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  if (call('uv', ['--version']).status === 0) {
    must('uv', ['venv', '--quiet', '--python', name, folder]);
    must('uv', ['pip', 'install', '--quiet', '--python', clientPython, '-r', requirements]);
  } else {
    must(name, ['-m', 'venv', folder]);
    must(clientPython, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  }
  writeFileSync(mark, hash); // last, so that a broken installation is made again
  return clientPython;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(setUpClientPython());
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
