import { elementTypes, PotorooError, type Accelerator, type Architecture, type Field, type ModelConfig } from '@potoroo/contract';
import type { UploadInput } from '../domains.ts';
import type { FrameworkFacts } from '../environments/environments.service.ts';
import { pythonVersions } from '../environments/interpreters.ts';
import { parseRequirement } from '../environments/requirements.ts';

const mostFields = 4096;
const mostDimensions = 16;
const mostRequirements = 1000;
const mostConcurrency = 64;

/** Which processors an accelerator goes with; null is every one. */
const processorsOf: Readonly<Record<Accelerator, readonly Architecture[] | null>> = {
  none: null, cuda: null, jetson: ['arm'], openvino: ['x86'], rocm: ['x86'], qaic: ['x86'],
};

/** What is known of the framework and of this machine when an upload is checked. */
export interface Here { readonly facts: FrameworkFacts | undefined; /** Pythons of this machine, such as `3.11`. */ readonly pythons: readonly string[] }

/** What is kept of the options. */
export interface KeptOptions { conversion: Record<string, unknown>; config: ModelConfig }

const bad = (field: string, value: unknown, rule: string): PotorooError => {
  const shown = JSON.stringify(value) ?? 'missing';
  return new PotorooError('invalid_request', `${field} is ${shown.length > 80 ? `${shown.slice(0, 80)}…` : shown}: ${rule}.`, { fields: [{ field, message: rule }] });
};

/**
 * Checks what an upload says of its model, before its file is read. Gives what is kept of it: the record that the load goes by,
 * in the form that the Python client reads back, and the model's first config.
 * @throws invalid_request naming the field, its value and what would be right
 */
export function readUploadOptions(input: Omit<UploadInput, 'content'>, { facts, pythons }: Here): KeptOptions {
  const { framework, arch = 'x86', accel = 'none', inputSchema, outputSchema, requirements, pythonVersion, versions, frameworkConfig, concurrency, convert } = input;
  if (inputSchema !== undefined) checkFields('inputSchema', inputSchema);
  if (outputSchema !== undefined) checkFields('outputSchema', outputSchema);
  if (inputSchema === undefined && facts?.needsInputSchema === true) throw bad('inputSchema', inputSchema, `a file of the framework ${framework} does not say which columns its model takes; name them, each with its type and shape`);
  const processors = processorsOf[accel];
  if (processors !== null && !processors.includes(arch)) throw bad('accel', accel, `it goes with ${processors.join(' or ')} alone, and arch is ${arch}`);
  if (facts === undefined) {
    for (const [field, value] of Object.entries({ requirements, pythonVersion, versions, frameworkConfig, concurrency, convert })) {
      if (value !== undefined) throw bad(field, value, `models of the framework ${framework} run in the engine, without Python; leave it away`);
    }
  }
  if (requirements !== undefined) checkRequirements(requirements);
  if (pythonVersion !== undefined && !pythons.includes(pythonVersion)) {
    throw bad('pythonVersion', pythonVersion, (pythonVersions as readonly string[]).includes(pythonVersion)
      ? `this server has ${pythons.length === 0 ? 'no Python' : `Python ${pythons.join(', ')}`}; use one of these or install Python ${pythonVersion}`
      : `use one of ${pythonVersions.join(', ')}, as far as this server has it`);
  }
  const own = facts?.pythons ?? [];
  if (pythonVersion !== undefined && own.length > 0 && !own.includes(pythonVersion)) throw bad('pythonVersion', pythonVersion, `the packages of the framework ${framework} install on Python ${own.join(', ')}`);
  if (versions === 'guide' && facts?.guideRequirements.length === 0) throw bad('versions', versions, `the guide names none for the framework ${framework}; name packages in requirements`);
  if (frameworkConfig !== undefined && facts?.settings !== true) throw bad('frameworkConfig', frameworkConfig, `the framework ${framework} takes none; leave it away`);
  if (concurrency !== undefined && !(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= mostConcurrency)) throw bad('concurrency', concurrency, `use a whole number from 1 to ${mostConcurrency}`);
  if (convert !== undefined && facts?.converts === false) throw bad('convert', convert, `models of the framework ${framework} are never converted; leave it away`);
  return {
    conversion: {
      ...input.conversion,
      ...(requirements && { requirements: [...requirements] }), ...(pythonVersion && { python_version: pythonVersion }), ...(versions && { versions }),
      ...(frameworkConfig && { framework_config: { framework, config: frameworkConfig } }), ...(convert === false && { convert }), ...(concurrency !== undefined && { concurrency }),
    },
    config: { ...(inputSchema && { inputSchema }), ...(outputSchema && { outputSchema }) },
  };
}

function checkRequirements(requirements: readonly string[]): void {
  if (requirements.length > mostRequirements) throw bad('requirements', `${requirements.length} lines`, `at most ${mostRequirements} are read`);
  requirements.forEach((line, i) => {
    try {
      parseRequirement(line);
    } catch (error) {
      throw bad(`requirements[${i}]`, line, (error as Error).message.replace(/\.$/, ''));
    }
  });
}

/** @throws invalid_request naming the path of what is wrong, such as `inputSchema[0].shape[1]` */
export function checkFields(path: string, fields: readonly Field[], depth = 0): void {
  if (!Array.isArray(fields)) throw bad(path, fields, 'use a list of fields, each with a name, a type and a shape');
  if (fields.length === 0) throw bad(path, fields, 'name one field at least, or leave it away');
  if (fields.length > mostFields) throw bad(path, `${fields.length} fields`, `use at most ${mostFields}`);
  const names = new Set<string>();
  fields.forEach((field, i) => {
    const at = `${path}[${i}]`;
    if (typeof field !== 'object' || field === null) throw bad(at, field, 'use an object with a name, a type and a shape');
    const { name, type, shape, nullable, fields: inner } = field;
    if (typeof name !== 'string' || name === '' || name.length > 256) throw bad(`${at}.name`, name, 'use 1 to 256 characters');
    if (names.has(name)) throw bad(`${at}.name`, name, 'another field has this name already');
    names.add(name);
    if (!(elementTypes as readonly unknown[]).includes(type)) throw bad(`${at}.type`, type, `use one of ${elementTypes.join(', ')}${inner === undefined ? '; records have fields as well' : ''}`);
    if (!Array.isArray(shape) || shape.length > mostDimensions) throw bad(`${at}.shape`, shape, `use a list of up to ${mostDimensions} lengths: [] for a scalar, [29] for 29 values, [-1] for a list of any length`);
    shape.forEach((length: unknown, k) => {
      if (!Number.isInteger(length) || (length as number) < -1 || length === 0 || (length as number) > 2 ** 31 - 1) throw bad(`${at}.shape[${k}]`, length, 'use a length of 1 or more, or -1 for any length');
    });
    if (nullable !== undefined && typeof nullable !== 'boolean') throw bad(`${at}.nullable`, nullable, 'use true or false');
    if (inner === undefined) return;
    if (depth >= mostDimensions) throw bad(`${at}.fields`, '…', `records lie in each other ${mostDimensions} deep at most`);
    checkFields(`${at}.fields`, inner as Field[], depth + 1);
  });
}
