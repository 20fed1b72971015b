// Makes .venv/<name>: a Python with what a suite needs. Does nothing when the environment was made from the same requirements.
// PYTHON names another interpreter.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

const call = (command, args, options = {}) => spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });

/** The pinned wheels exist for CPython 3.10 to 3.12. */
function interpreter(name) {
  const wanted = process.env.PYTHON;
  for (const candidate of wanted ? [wanted] : ['python3.11', 'python3.12', 'python3.10', 'python3']) {
    const answer = call(candidate, ['-c', 'import sys; print(*sys.version_info[:2])']);
    const [major, minor] = (answer.stdout ?? '').trim().split(' ').map(Number);
    if (answer.status === 0 && major === 3 && minor >= 10 && minor <= 12) return { python: candidate, version: `3.${minor}` };
    if (wanted) break;
  }
  throw new Error(`The environment .venv/${name} needs Python 3.10, 3.11 or 3.12; ${wanted ? `PYTHON=${wanted} is not one of them` : 'none was found'}. Install one (Debian: apt-get install python3.11-venv) or set PYTHON to its path.`);
}

function must(command, args) {
  const done = call(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} failed${done.error ? `: ${done.error.message}` : ` with exit code ${done.status}`}.`);
}

/** Path of the Python of .venv/<name>; made first when it is missing or older than its requirements. */
export function setUpPython(name, requirements) {
  const folder = join(root, '.venv', name);
  const python = join(folder, 'bin', 'python');
  const mark = join(folder, '.requirements.sha256');
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === hash && existsSync(python)) return python;

  const found = interpreter(name);
  console.log(`Setting up .venv/${name} (Python ${found.version}) ...`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  if (call('uv', ['--version']).status === 0) {
    must('uv', ['venv', '--quiet', '--python', found.python, folder]);
    must('uv', ['pip', 'install', '--quiet', '--python', python, '-r', requirements]);
  } else {
    must(found.python, ['-m', 'venv', folder]);
    must(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  }
  writeFileSync(mark, hash); // last, so that a broken installation is made again
  return python;
}
