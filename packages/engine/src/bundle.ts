import { readFile } from 'node:fs/promises';
import { join, relative, isAbsolute } from 'node:path';
import { checkSteps, modelsOfStep, PotorooError, type Bundle, type ModelRef, type Step } from '@potoroo/contract/plain';

const stepTypes: ReadonlySet<Step['type']> = new Set(['model', 'random-split', 'key-split', 'shadow', 'validations'] as const);

/**
 * Reads `pipeline.json` of a bundle folder. Checked by hand where the engine depends on it: the schema library would cost a
 * third of the start-up time, and ops has validated what it wrote.
 * @throws PotorooError `pipeline_invalid` naming the file and the field
 */
export async function readBundle(folder: string): Promise<Bundle> {
  const path = join(folder, 'pipeline.json');
  const refuse = (why: string): never => { throw new PotorooError('pipeline_invalid', `${path}: ${why}`); };
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => refuse(error.code === 'ENOENT' ? 'the file does not exist. Give the folder of a bundle with --bundle.' : `the file cannot be read (${error.code}).`));
  let bundle: Bundle;
  try {
    bundle = JSON.parse(text) as Bundle;
  } catch {
    return refuse('this is not JSON.');
  }
  if (typeof bundle !== 'object' || bundle === null || bundle.format !== 1) refuse('format must be 1.');
  const { pipeline, steps, models } = bundle;
  if (typeof pipeline?.name !== 'string' || typeof pipeline.version !== 'string') refuse('pipeline.name and pipeline.version must be strings.');
  for (const id of ['id', 'versionId', 'workspaceId', 'deploymentId'] as const) if (!Number.isInteger(pipeline[id])) refuse(`pipeline.${id} must be an integer; a bundle written by hand may use 0.`);
  if (!Array.isArray(steps) || steps.length === 0) refuse('steps must have at least one step.');
  if (!Array.isArray(models) || models.length === 0) refuse('models must have at least one model.');
  models.forEach((m, i) => {
    for (const key of ['name', 'version', 'sha256', 'framework', 'file'] as const) if (typeof m?.[key] !== 'string') refuse(`models[${i}].${key} must be a string.`);
    if (typeof m.config !== 'object' || m.config === null) refuse(`models[${i}].config must be an object.`);
    const inside = relative(folder, join(folder, m.file));
    if (isAbsolute(m.file) || inside === '' || inside.startsWith('..')) refuse(`models[${i}].file must be a path inside the bundle, not '${m.file}'.`);
  });
  steps.forEach((s, i) => {
    if (!stepTypes.has(s?.type)) refuse(`steps[${i}].type must be one of ${[...stepTypes].join(', ')}.`);
    let refs: ModelRef[] = [];
    try {
      refs = modelsOfStep(s);
    } catch {
      refuse(`steps[${i}] is not a step of type '${s.type}'.`);
    }
    if (s.type === 'validations' && !Array.isArray(s.validations)) refuse(`steps[${i}].validations must be a list.`);
    for (const ref of refs) {
      if (!models.some((m) => m.name === ref?.name && m.version === ref.version)) refuse(`steps[${i}] runs model '${ref?.name}' version '${ref?.version}', which is not among the bundle's models.`);
    }
  });
  checkSteps(steps);
  return bundle;
}
