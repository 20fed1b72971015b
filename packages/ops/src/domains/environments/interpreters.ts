import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { PotorooError } from '@potoroo/contract';

const call = promisify(execFile);

export interface Interpreter {
  readonly path: string;
  /** Such as `3.11`. */
  readonly version: string;
}

/** Versions that the Python runtime runs on, the preferred ones first. */
export const pythonVersions = ['3.12', '3.11', '3.10', '3.9'] as const;
const asks = 'import sys; print("%d.%d" % sys.version_info[:2]); print(sys.executable)';

async function look(command: string): Promise<Interpreter | undefined> {
  try {
    const { stdout } = await call(command, ['-I', '-c', asks], { timeout: 10_000 });
    const [version, path] = stdout.trim().split('\n');
    return version !== undefined && path !== undefined && (pythonVersions as readonly string[]).includes(version) ? { path, version } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The Pythons of this machine, one a version, preferred ones first. `preferred` is a path that goes before all others.
 * @throws PotorooError `settings_invalid` when that is none: another one in its place would be a surprise
 */
export async function findInterpreters(preferred?: string): Promise<Interpreter[]> {
  const names = [...(preferred === undefined ? [] : [preferred]), ...pythonVersions.map((v) => `python${v}`), 'python3'];
  const found = await Promise.all(names.map(look));
  if (preferred !== undefined && found[0] === undefined) throw new PotorooError('settings_invalid', `POTOROO_PYTHON: ${JSON.stringify(preferred)} is not right: use the path of a Python ${pythonVersions.toReversed().join(', ')}.`);
  const one = new Map<string, Interpreter>();
  for (const interpreter of found) if (interpreter !== undefined && !one.has(interpreter.version)) one.set(interpreter.version, interpreter);
  return [...one.values()];
}

/**
 * The interpreter of the wanted version; the first without a wish, or when the wish is a version that no runtime here is made for, such
 * as the 3.8 that the Python client always sends.
 * @throws PotorooError `environment_failed` when there is no Python at all, or not the wanted one
 */
export function choose(found: readonly Interpreter[], wanted: string | undefined): Interpreter {
  const served = (pythonVersions as readonly (string | undefined)[]).includes(wanted);
  const chosen = found.find((i) => i.version === wanted) ?? found[0];
  if (served && chosen !== undefined && chosen.version !== wanted) {
    throw new PotorooError('environment_failed', `Python ${wanted} was asked for and this machine has ${found.map((i) => i.version).join(', ')}. Ask for one of these, or install Python ${wanted} where PATH finds it.`);
  }
  if (chosen === undefined) throw new PotorooError('environment_failed', `No Python was found; this model needs one of ${pythonVersions.join(', ')}. Install one (Debian: apt-get install python3 python3-venv) or set POTOROO_PYTHON to its path.`);
  return chosen;
}
