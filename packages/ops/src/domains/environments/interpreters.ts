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

/** A machine that is busy, as at its start, is given this time. */
const patienceMs = 60_000;

/** `undefined`: it is none; `late`: it did not say in time. */
async function look(command: string, timeout: number): Promise<Interpreter | 'late' | undefined> {
  try {
    const { stdout } = await call(command, ['-I', '-c', asks], { timeout });
    const [version, path] = stdout.trim().split('\n');
    return version !== undefined && path !== undefined && (pythonVersions as readonly string[]).includes(version) ? { path, version } : undefined;
  } catch (error) {
    return (error as { killed?: boolean }).killed === true ? 'late' : undefined;
  }
}

const notOne = (path: string): PotorooError => new PotorooError('settings_invalid', `POTOROO_PYTHON: ${JSON.stringify(path)} is not right: use the path of a Python ${pythonVersions.toReversed().join(', ')}.`);

/** One that says nothing in time may be right: whoever needs it asks again. @throws PotorooError `settings_invalid` when the path is no Python */
export async function checkInterpreter(path: string, timeout = 10_000): Promise<void> {
  if ((await look(path, timeout)) === undefined) throw notOne(path);
}

/**
 * The Pythons of this machine, one a version, preferred ones first. `preferred` is a path that goes before all others.
 * @throws PotorooError `settings_invalid` when that is none: another one in its place would be a surprise; `environment_failed` when it,
 * or every one that there may be, is too slow to say what it is
 */
export async function findInterpreters(preferred?: string, timeout = patienceMs): Promise<Interpreter[]> {
  const names = [...(preferred === undefined ? [] : [preferred]), ...pythonVersions.map((v) => `python${v}`), 'python3'];
  const found = await Promise.all(names.map((name) => look(name, timeout)));
  if (preferred !== undefined && found[0] === undefined) throw notOne(preferred);
  const one = new Map<string, Interpreter>();
  for (const interpreter of found) if (interpreter !== undefined && interpreter !== 'late' && !one.has(interpreter.version)) one.set(interpreter.version, interpreter);
  const late = names.filter((_, i) => found[i] === 'late');
  if (late.length > 0 && (one.size === 0 || late[0] === preferred)) throw new PotorooError('environment_failed', `${late[0]} did not say which Python it is within ${timeout / 1000} s. Try again when the machine is less busy.`);
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
